/** Programs of the lab: run to their end, or kept running, always with their output captured and their time bounded. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/** How a program ended and what it said. */
export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  readonly ms: number;
}

export interface ExecOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string | Uint8Array;
  /** After this the program is killed; 15 s if absent. */
  readonly timeoutMs?: number;
  /** Descriptors that the program gets from 3 on. */
  readonly fds?: readonly number[];
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Captured output beyond this is cut at the front, so that a chatty daemon does not fill the memory. */
const outputLimit = 4 * 1024 * 1024;

/** Collects the output of one stream. */
class Tail {
  #text = '';

  add(chunk: string): void {
    this.#text += chunk;
    if (this.#text.length > outputLimit) this.#text = this.#text.slice(-outputLimit / 2);
  }

  get text(): string {
    return this.#text;
  }
}

/** A program that runs in the lab. Its process id is the program's own, whatever wrapper started it. */
export class LabProcess {
  readonly name: string;
  readonly exited: Promise<Result>;
  readonly #child: ChildProcess;
  readonly #out = new Tail();
  readonly #err = new Tail();
  #result: Result | undefined;

  constructor(name: string, argv: readonly string[], options: ExecOptions) {
    this.name = name;
    const started = performance.now();
    const spawnOptions: SpawnOptions = {
      // A session of its own: Ctrl-C at the terminal reaches only the lab's runner, which then takes everything down.
      detached: true,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(options.fds ?? [])],
      // root's path on Debian lacks these after `su`.
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`, LC_ALL: 'C', ...options.env },
    };
    const child = spawn(argv[0]!, argv.slice(1), spawnOptions);
    this.#child = child;
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => this.#out.add(chunk));
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => this.#err.add(chunk));
    if (child.stdin) {
      // The program may end without reading it all.
      child.stdin.on('error', () => undefined);
      child.stdin.end(options.input);
    }
    let timedOut = false;
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            this.kill('SIGKILL');
          }, options.timeoutMs);
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        if (timer !== undefined) clearTimeout(timer);
        this.#result ??= {
          code,
          signal,
          stdout: this.stdout,
          stderr: this.stderr,
          timedOut,
          ms: performance.now() - started,
        };
        resolve(this.#result);
      };
      child.on('error', (error) => {
        this.#err.add(`${error.message}\n`);
        end(127, null);
      });
      child.on('close', end);
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get stdout(): string {
    return this.#out.text;
  }

  get stderr(): string {
    return this.#err.text;
  }

  /** Both streams, for error messages. */
  get output(): string {
    return this.stderr + this.stdout;
  }

  /** Undefined while the program runs. */
  get result(): Result | undefined {
    return this.#result;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#result === undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill(signal);
    }
  }

  /** SIGTERM or what `signal` says, then SIGKILL after `graceMs`. */
  async stop(graceMs = 3000, signal: NodeJS.Signals = 'SIGTERM'): Promise<Result> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const result = await this.exited;
    clearTimeout(timer);
    return result;
  }
}

/** Runs a program to its end. */
export function exec(argv: readonly string[], options: ExecOptions = {}): Promise<Result> {
  return new LabProcess(argv.join(' '), argv, { timeoutMs: 15_000, ...options }).exited;
}

/**
 * Runs a program that has to succeed and returns what it printed.
 * @throws {Error} with the command line and its output
 */
export async function mustExec(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
  const result = await exec(argv, options);
  if (result.code !== 0) throw new Error(`${argv.join(' ')}: ${describe(result)}`);
  return result.stdout;
}

/** How it ended, and the last lines of what it said, in one line. */
export function describe(result: Result): string {
  const end = result.timedOut ? `killed after ${Math.round(result.ms)} ms` : `exit ${result.signal ?? result.code}`;
  const lines = (result.stderr + result.stdout).trim().split('\n').slice(-4).join(' | ');
  return lines === '' ? end : `${end}: ${lines}`;
}

/**
 * Asks `condition` until it gives something else than undefined or false.
 * @throws {Error} when the deadline passes, naming `what`, with the last error or with what `why` says
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly timeoutMs?: number; readonly everyMs?: number; readonly why?: () => string } = {},
): Promise<T> {
  const { timeoutMs = 10_000, everyMs = 50 } = options;
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const why = options.why?.() ?? (lastError instanceof Error ? lastError.message : undefined);
  throw new Error(`${what}: not within ${timeoutMs} ms${why === undefined ? '' : `; ${why}`}`, { cause: lastError });
}
