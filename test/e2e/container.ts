/**
 * A booted Debian in a container, for tests of what systemd does with us, and of what networkd and resolved make of us. It
 * has a network namespace of its own that is empty but for `lo`, until a test attaches a link; its files are a throw-away layer over
 * the folder that rootfs.sh makes.
 *
 * All of it is a tree of processes in mount and process namespaces of their own: when the test ends in whatever way, the kernel
 * ends the tree, and with it mounts, links and namespaces. What the kernel does not take (an empty folder, empty control
 * groups), the next container takes.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { describe, type ExecOptions, exec, LabProcess, mustExec, type Result, waitFor } from '../lab/process.ts';

const prefix = 'v6edge-container-';
const cgroups = '/sys/fs/cgroup';
/** A first start makes the root file system, which takes a minute, and longer beside other work. */
const rootfsMs = 600_000;
const bootMs = 60_000;

/**
 * What the process that is to become systemd-nspawn does first. $1: lower layer, $2: folder of this container, $3: its name; the rest
 * are options. nspawn would put every container of a process into one control group.
 */
const boot = `set -e
root=$1 folder=$2 name=$3
shift 3
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
for hierarchy in ${cgroups}/systemd ${cgroups}/unified ${cgroups}; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir "$hierarchy/$name"
  echo $$ >"$hierarchy/$name/cgroup.procs"
done
exec unshare --pid --fork --kill-child --mount-proc systemd-nspawn --quiet --directory="$folder/root" --machine="$name" \\
  --private-network --register=no --keep-unit --console=pipe --boot "$@"`;

let made = 0;

export class Container {
  readonly name: string;
  /** Process id of its systemd, on this machine. */
  readonly leader: number;
  readonly #nspawn: number;
  readonly #process: LabProcess;

  private constructor(name: string, process: LabProcess, nspawn: number, leader: number) {
    this.name = name;
    this.leader = leader;
    this.#process = process;
    this.#nspawn = nspawn;
  }

  /**
   * Boots one that ends with the test `t`; resolves when systemd has started everything. `prepare` gets its root folder before that,
   * to put configuration of networkd there, for example.
   */
  static async boot(
    t: Test,
    options: {
      readonly prepare?: (root: string) => void;
      readonly nspawn?: readonly string[];
      /** It sees control groups of version 2 alone, whatever this machine has: kubelets want no other. */
      readonly unified?: boolean;
    } = {},
  ): Promise<Container> {
    sweep();
    const rootfs = (
      await mustExec([join(import.meta.dirname, 'rootfs.sh')], { timeoutMs: rootfsMs, env: { NODE_OPTIONS: '' } })
    ).trim();
    const name = `${prefix}${process.pid}-${made++}`;
    const folder = mkdtempSync(join(tmpdir(), `${name}-`));
    for (const each of ['upper', 'work', 'root']) mkdirSync(join(folder, each));
    // The upper layer is what the container will see of this.
    options.prepare?.(join(folder, 'upper'));
    const command = ['bash', '-c', boot, 'boot', rootfs, folder, name, ...(options.nspawn ?? [])];
    const env: Record<string, string> = options.unified ? { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } : {};
    const root = new LabProcess(name, ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', ...command], { env });
    t.teardown(async () => {
      await root.stop(0, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
      await waitFor('control groups without processes', () => removeCgroups(name));
    });
    const why = () => root.output;
    const child = (of: number, program: string) =>
      waitFor(`the start of ${name}`, () => childOf(of, program) ?? (root.result !== undefined && fail(why())), {
        why,
      });
    const nspawn = await child(root.pid, 'systemd-nspawn');
    const leader = await child(nspawn, 'systemd');
    const container = new Container(name, root, nspawn, leader);
    await container.#booted();
    return container;
  }

  async #booted(): Promise<void> {
    let state = '';
    await waitFor(
      `${this.name} to have booted`,
      async () => {
        // It waits by itself, once there is a bus to ask on.
        const asked = await this.exec(['systemctl', 'is-system-running', '--wait'], { timeoutMs: bootMs });
        state = describe(asked);
        return /^(running|degraded)$/m.test(asked.stdout);
      },
      { timeoutMs: bootMs, why: () => `${state}; ${this.console}` },
    );
  }

  /** What it wrote to its console. */
  get console(): string {
    return this.#process.output;
  }

  /** How a file of the container is called here: for reading and writing at any time. */
  path(file: string): string {
    return join(`/proc/${this.leader}/root`, file);
  }

  /** Writes a file of the container, with the folders it needs. */
  write(file: string, text: string | Buffer, mode = 0o644): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text, { mode });
  }

  /** Runs a program in it to its end. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<Result> {
    return exec(this.#inside(argv), options);
  }

  /**
   * Runs a program in it that has to succeed, and returns what it printed.
   * @throws {Error} with the command line and its output
   */
  async must(argv: readonly string[], options?: ExecOptions): Promise<string> {
    const result = await this.exec(argv, options);
    if (result.code !== 0) throw new Error(`${argv.join(' ')} in ${this.name}: ${describe(result)}`);
    return result.stdout;
  }

  /** Starts a program in it that runs on; it ends with the container at the latest. */
  spawn(argv: readonly string[], options: ExecOptions = {}): LabProcess {
    return new LabProcess(argv[0]!, this.#inside(argv), options);
  }

  /**
   * Makes a link between the namespace of the test, where its end is `here` and up, and the container, where it is `inside` and left to
   * networkd or to the test.
   */
  async attach(here: string, inside: string, mac?: string): Promise<void> {
    const address = mac === undefined ? [] : ['address', mac];
    const peer = ['peer', 'name', inside, ...address, 'netns', String(this.leader)];
    await mustExec(['ip', 'link', 'add', here, 'type', 'veth', ...peer]);
    await mustExec(['ip', 'link', 'set', here, 'up']);
  }

  /** Lines of its journal, `args` say which. */
  async journal(...args: string[]): Promise<string> {
    return await this.must(['journalctl', '--no-pager', '--output=cat', ...args]);
  }

  /** Takes its power away: nothing in it gets to do anything about that. */
  async powerCut(): Promise<void> {
    await this.#process.stop(0, 'SIGKILL');
  }

  /** Shuts it down in order: every unit stops. */
  async powerOff(): Promise<void> {
    process.kill(this.#nspawn, 'SIGTERM');
    await waitFor(`${this.name} to shut down`, () => this.#process.result !== undefined, { timeoutMs: bootMs });
  }

  #inside(argv: readonly string[]): string[] {
    const namespaces = ['-m', '-u', '-i', '-n', '-p', '-C', '-r', '-w'];
    const env = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8', 'TERM=dumb'];
    return ['nsenter', '-t', String(this.leader), ...namespaces, ...env, ...argv];
  }
}

function fail(text: string): never {
  throw new Error(text);
}

/** The child of a process that runs `program` by now (as the kernel shortens its name). */
function childOf(pid: number, program: string): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const found = children.find((each) => readFileSync(`/proc/${each}/comm`, 'utf8') === `${program.slice(0, 15)}\n`);
    return found === undefined ? undefined : Number(found);
  } catch {
    // It has ended in between.
    return undefined;
  }
}

/** Folders and control groups of containers whose test was killed. */
function sweep(): void {
  const ended = (name: string) => {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  for (const name of readdirSync(tmpdir()).filter(ended))
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  for (const hierarchy of hierarchies()) {
    for (const name of readdirSync(hierarchy).filter(ended)) removeCgroups(name);
  }
}

function hierarchies(): string[] {
  return ['systemd', 'unified', '.']
    .map((each) => join(cgroups, each))
    .filter((each) => existsSync(`${each}/cgroup.procs`));
}

/** Whether they are gone; the kernel keeps one while a process in it has not quite ended. */
function removeCgroups(name: string): boolean {
  const remove = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(join(folder, entry.name));
    }
    rmdirSync(folder);
  };
  try {
    for (const folder of hierarchies().map((each) => join(each, name))) {
      if (existsSync(folder)) remove(folder);
    }
    return true;
  } catch {
    return false;
  }
}
