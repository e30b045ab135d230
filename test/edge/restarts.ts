/** A daemon that is restarted, and clients that must not notice. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type LabProcess, waitFor } from '../lab/process.ts';
import type { DaemonHome } from './daemon-process.ts';
import type { ServiceManager } from './service-manager.ts';

/** A member that greets whoever connects. */
export async function member(t: Test, name: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Listeners with their binds, in front of one member. */
export function config(listeners: Record<string, readonly string[]>, port: number): string {
  const list = Object.entries(listeners).map(
    ([name, bind]) => `{ name: ${name}, bind: ${JSON.stringify(bind)}, pool: p }`,
  );
  const members = `[{ name: m, address: 127.0.0.1, port: ${port} }]`;
  return `proxy:\n  listeners: [${list.join(', ')}]\n  pools: { p: { check: { type: none }, members: ${members} } }`;
}

/** What a client gets: the member's greeting, or why there is none. */
export function ask(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host, timeout: 20_000 });
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'silence' })));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      text = error.code ?? error.message;
    });
    socket.on('close', () => resolve(text));
  });
}

/** Clients one after the other on each of `loops` lines, over IPv4 and IPv6 in turn where `hosts` says so. */
export class Load {
  readonly got: string[] = [];
  #going = true;
  readonly #lines: Promise<void>[];

  constructor(port: number, hosts: readonly string[], loops = 20) {
    this.#lines = Array.from({ length: loops }, async (_, i) => {
      while (this.#going) this.got.push(await ask(port, hosts[i % hosts.length]));
    });
  }

  /** Waits for some more clients to be served. */
  async more(count = 200): Promise<void> {
    const enough = this.got.length + count;
    await waitFor(`${count} clients`, () => this.got.length >= enough, { everyMs: 5, timeoutMs: 20_000 });
  }

  /** Ends the load; how often each thing was got. */
  async end(): Promise<Record<string, number>> {
    this.#going = false;
    await Promise.all(this.#lines);
    const counts: Record<string, number> = {};
    for (const each of this.got) counts[each] = (counts[each] ?? 0) + 1;
    return counts;
  }
}

const faults = { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'fault.ts')}` };

/** Starts a daemon as its service manager would. */
export function start(home: DaemonHome, manager: ServiceManager): Promise<LabProcess> {
  const { fds, env } = manager.passed;
  return home.start({ fds, env: { ...env, ...faults } });
}

/** Ends a daemon in order, as a service manager does for a restart, and starts the next. */
export async function restart(home: DaemonHome, manager: ServiceManager, daemon: LabProcess): Promise<LabProcess> {
  daemon.kill('SIGUSR2');
  t.equal((await daemon.exited).code, 0);
  return await start(home, manager);
}
