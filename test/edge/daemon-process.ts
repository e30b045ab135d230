/** A daemon as a child process on loopback, with a state folder and an admin socket of its own. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type ExecOptions, LabProcess, waitFor } from '../lab/process.ts';
import { ownFolder } from '../own-folder.ts';

export { freePort } from '../free-port.ts';

const checkout = join(import.meta.dirname, '../../bin/v6edge');

export const keyName = 'node-key';
export const keySecret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==';

/** An answer of the admin API. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
  readonly etag: string | undefined;
}

/** Folder, configuration and processes of one daemon. All is gone when the test ends. */
export class DaemonHome {
  readonly folder: string;
  readonly configFile: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly #processes: LabProcess[] = [];
  readonly #program: string;

  /** `program` is v6edge: the checkout's, unless a test has another. */
  constructor(t: Test, program = checkout) {
    this.#program = program;
    this.folder = ownFolder(t, 'v6edge-daemon-');
    this.configFile = join(this.folder, 'v6edge.yaml');
    this.stateDir = join(this.folder, 'state');
    this.socket = join(this.folder, 'admin.sock');
    const kill = () => {
      for (const one of this.#processes) one.kill('SIGKILL');
    };
    // Daemons are sessions of their own: a runner that gives a test up does not reach them.
    process.once('exit', kill);
    t.teardown(async () => {
      kill();
      process.off('exit', kill);
      await Promise.all(this.#processes.map(({ exited }) => exited));
    });
  }

  /** Writes the configuration: `body` is what comes after threads, state and admin. */
  configure(body: string, workers = 2): void {
    const head = [
      `workers: ${workers}`,
      `state: { dir: ${this.stateDir} }`,
      `admin: { listen: ["unix:${this.socket}"] }`,
    ];
    writeFileSync(this.configFile, `${head.join('\n')}\n${body}\n`);
  }

  /** Starts a daemon without waiting for anything. */
  spawn(options: ExecOptions = {}): LabProcess {
    // Without what a test runner would load into every Node.js process below it.
    const env = { NODE_OPTIONS: '', ...options.env };
    // A test runner that is killed can end nothing: the kernel does it then (prctl(2), PR_SET_PDEATHSIG).
    const run = ['setpriv', '--pdeathsig', 'KILL', this.#program, 'run', '--config', this.configFile];
    // As a service manager does: the process that sockets are meant for is named by its number.
    const command = options.fds === undefined ? run : ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...run];
    const daemon = new LabProcess('v6edge', command, { ...options, env });
    this.#processes.push(daemon);
    return daemon;
  }

  /** Starts a daemon and waits until it is ready. */
  async start(options: ExecOptions = {}): Promise<LabProcess> {
    const daemon = this.spawn(options);
    const ready = waitFor('readyz', () => daemon.result !== undefined || this.isReady(), {
      timeoutMs: 20_000,
      everyMs: 25,
      why: () => daemon.output,
    });
    await ready;
    if (daemon.result !== undefined) throw new Error(`ended: ${daemon.output}`);
    return daemon;
  }

  /** Ends every daemon that was started here, at once. */
  async stopAll(): Promise<void> {
    for (const one of this.#processes) one.kill('SIGKILL');
    await Promise.all(this.#processes.map(({ exited }) => exited));
  }

  async isReady(): Promise<boolean> {
    return (await this.api('GET', '/readyz')).status === 200;
  }

  /** @param sent as JSON */
  api(method: string, path: string, headers: Record<string, string> = {}, sent?: unknown): Promise<ApiAnswer> {
    const json = sent === undefined ? {} : { 'content-type': 'application/json' };
    const options = { socketPath: this.socket, method, path, headers: { ...headers, ...json }, timeout: 5_000 };
    return new Promise((resolve, reject) => {
      const call = request(options, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode!, body, etag: response.headers.etag }));
      });
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer`)));
      call.on('error', reject);
      call.end(sent === undefined ? undefined : JSON.stringify(sent));
    });
  }

  async json<T>(path: string): Promise<T> {
    return JSON.parse((await this.api('GET', path)).body) as T;
  }

  /** The metrics, by name with labels as they are printed. */
  async metrics(): Promise<Map<string, number>> {
    const { body } = await this.api('GET', '/metrics');
    const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
  }
}

/** Log lines of a daemon whose message matches. */
export function logged(daemon: LabProcess, message: RegExp): Record<string, unknown>[] {
  return daemon.stdout
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => message.test(String(msg)));
}

/** How many descriptors a process has open. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Resident memory of a process, MiB. */
export function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}
