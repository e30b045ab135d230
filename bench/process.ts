/** Processes under measurement: started pinned, ended by pid and with this process as are folders and namespaces; their CPU time read from /proc. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** CPU time of a process, all its threads: microseconds. */
export interface CpuTime {
  /** Time on a CPU as the scheduler counted it, exact to the nanosecond. */
  readonly total: number;
  /** User and system share, in the kernel's ticks of 10 ms. */
  readonly user: number;
  readonly system: number;
}

/** Where things run: what is measured has one core for itself, all else has the others. */
export interface Cores {
  readonly measured: string;
  readonly rest: string;
}

/** Core 0 for what is measured; the rest for load and origins (the same core where there is only one). */
export function chooseCores(): Cores {
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]!;
  const list = allowed.split(',').flatMap((range) => {
    const [from, to] = range.split('-').map(Number);
    return Array.from({ length: (to ?? from!) - from! + 1 }, (_, i) => from! + i);
  });
  if (list.length < 2) process.stderr.write('only one core: load and server share it, figures will be poor\n');
  return { measured: String(list[0]), rest: list.length > 1 ? list.slice(1).join(',') : String(list[0]) };
}

const running = new Set<ChildProcess>();
/** The newest last. */
const undone: (() => void)[] = [];
let watched = false;

/**
 * However this process ends, nothing that it started or made stays behind, but after SIGKILL: the kernel ends its processes then
 * (setpriv below), and no more.
 */
function endAllWithUs(): void {
  if (watched) return;
  watched = true;
  process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL');
    for (const undo of undone.reverse()) {
      try {
        undo();
      } catch (error) {
        process.stderr.write(`left behind: ${(error as Error).message}\n`);
      }
    }
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
  }
}

/**
 * Has `undo` take away what is about to be made (a namespace, say): once, when this process ends, however that is, unless the
 * function that it returns was called before, which does the same.
 */
export function undoAtEnd(undo: () => void): () => void {
  endAllWithUs();
  undone.push(undo);
  return () => {
    const at = undone.indexOf(undo);
    if (at < 0) return;
    undone.splice(at, 1);
    undo();
  };
}

/** A folder for a benchmark's files; the function takes it away, as the end of this process does. */
export function temporaryFolder(name: string): [folder: string, remove: () => void] {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  // Processes that were ended a moment ago may still write.
  return [folder, undoAtEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 }))];
}

/** Starts a process on `cores` that does not outlive this one. */
export function spawnPinned(cores: string, command: readonly string[], options: SpawnOptions): ChildProcess {
  endAllWithUs();
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'taskset', '-c', cores, ...command], options);
  running.add(child);
  child.on('exit', () => running.delete(child)).on('error', () => running.delete(child));
  return child;
}

export class Server {
  readonly name: string;
  /** Its exit code, when it has ended; null after a signal. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  #output = '';
  #exited = false;

  constructor(name: string, cores: string, command: readonly string[], env: Record<string, string> = {}) {
    this.name = name;
    this.#child = spawnPinned(cores, command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        if (this.#output.length < 100_000) this.#output += data.toString();
      });
    }
    this.exited = new Promise((resolve) => {
      this.#child.on('exit', (code) => {
        this.#exited = true;
        resolve(code);
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it printed so far, bounded. */
  get output(): string {
    return this.#output;
  }

  /** Resolves when `probe`, asked every `pauseMs`, says yes; fails when the process ends first or 15 s pass. */
  async ready(probe: () => boolean | Promise<boolean>, pauseMs = 50): Promise<this> {
    const deadline = performance.now() + 15_000;
    while (!(await probe())) {
      if (this.#exited) throw new Error(`${this.name} ended at start:\n${this.#output}`);
      if (performance.now() > deadline) throw new Error(`${this.name} was not ready in 15 s:\n${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return this;
  }

  /**
   * From now on `cat` on `cores` reads what it prints, its log above all, and throws it away: this process would take more time for
   * a line than who writes it.
   */
  discardOutput(cores: string): void {
    const { stdout } = this.#child;
    if (stdout === null) return;
    stdout.pause();
    spawnPinned(cores, ['cat'], { stdio: [stdout, 'ignore', 'ignore'] });
  }

  cpu(): CpuTime {
    let total = 0;
    for (const thread of readdirSync(`/proc/${this.pid}/task`)) {
      total += Number(readFileSync(`/proc/${this.pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { total: total / 1000, user: Number(fields[11]) * 10_000, system: Number(fields[12]) * 10_000 };
  }

  /** Memory, KiB: resident, private, and what of it comes from no file. */
  memory(): { rss: number; uss: number; anonymous: number } {
    if (this.#exited) throw new Error(`${this.name} ended:\n${this.#output}`);
    const rollup = readFileSync(`/proc/${this.pid}/smaps_rollup`, 'utf8');
    const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
    const uss = field('Private_Clean') + field('Private_Dirty');
    return { rss: field('Rss'), uss, anonymous: field('Anonymous') };
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#exited) return;
    const exit = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill(signal);
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await exit;
    clearTimeout(force);
  }
}

/** Runs a load generator to its end, pinned, without blocking the loop that reads the servers' output. */
export function runLoad(cores: string, command: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawnPinned(cores, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout!.on('data', (data: Buffer) => {
      output += data;
    });
    child.stderr!.on('data', (data: Buffer) => {
      errors += data;
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command.join(' ')} ended with ${code}:\n${errors}${output}`));
    });
  });
}

/** Whether a program is there, for peers that may be missing. */
export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}
