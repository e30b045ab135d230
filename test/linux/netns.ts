/**
 * Network namespaces for tests, without names: each lives as long as the process that holds it, so that nothing is left
 * whatever happens to the test.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import type { Test } from 'tap';

const marker = 'V6EDGE_TEST_NETNS';

/**
 * Runs the calling test file again inside a new network namespace, as one subtest of it. Returns whether this is already
 * the run inside: then the caller goes on with its tests, else it is done.
 */
export function inNamespace(t: Test, file: string): boolean {
  if (process.env[marker] !== undefined) {
    run('ip', 'link', 'set', 'lo', 'up');
    return true;
  }
  if (process.getuid?.() !== 0) t.pass('network namespaces need root', { skip: 'not root' });
  else void t.spawn('unshare', ['-n', process.execPath, file], { env: { ...process.env, [marker]: '1' } }, file);
  return false;
}

/** Runs a program of this machine and returns what it printed. */
export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `ip` with the words of one line. */
export function ip(line: string): string {
  return run('ip', ...line.split(' '));
}

/** Another namespace beside the one the test runs in. */
export class PeerNamespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** Makes one that ends with the test `t`. */
  static async open(t: Test): Promise<PeerNamespace> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '-n', 'sleep', '3600'], { stdio: 'ignore' });
    t.teardown(() => holder.kill('SIGKILL'));
    const own = readlinkSync('/proc/self/ns/net');
    await eventually(() => {
      try {
        return readlinkSync(`/proc/${holder.pid}/ns/net`) !== own;
      } catch {
        return false;
      }
    });
    const peer = new PeerNamespace(holder);
    peer.ip('link set lo up');
    return peer;
  }

  get pid(): number {
    return this.#holder.pid!;
  }

  run(command: string, ...args: string[]): string {
    return run('nsenter', '-t', String(this.pid), '-n', command, ...args);
  }

  /** Starts a program in the namespace that the caller ends; it dies with the test process. */
  spawn(command: string, ...args: string[]): ChildProcess {
    const words = ['--pdeathsig', 'KILL', 'nsenter', '-t', String(this.pid), '-n', command, ...args];
    return spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  ip(line: string): string {
    return this.run('ip', ...line.split(' '));
  }

  /** Sets a sysctl, written with slashes, for example `net/ipv6/conf/v1/accept_ra`. */
  sysctl(path: string, value: string | number): void {
    this.run('sh', '-c', `echo ${value} > /proc/sys/${path}`);
  }
}

/** Waits until `condition` holds, looking every few milliseconds; for what the kernel or another program does in its time. */
export async function eventually(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
