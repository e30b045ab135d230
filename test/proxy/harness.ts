/** A proxy engine on loopback for tests, with plain TCP servers as members. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import type { Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { type LogLine, MemoryLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { Reactor } from '../../src/linux/reactor.ts';
import { acceptTcp, listenTcp, SockaddrSlot } from '../../src/linux/tcp.ts';
import type { ListenerConfig, ProxyTimeouts } from '../../src/proxy/config.ts';
import { proxyCounters, proxyGauges } from '../../src/proxy/counters.ts';
import { ProxyEngine, type ProxyEvent } from '../../src/proxy/engine.ts';
import type { SocketKeeper } from '../../src/proxy/listener-set.ts';
import {
  type ListenerSnapshot,
  listenerSnapshot,
  type MemberSnapshot,
  type PoolSnapshot,
  type ProxySnapshot,
} from '../../src/proxy/snapshot.ts';
import { freePort } from '../free-port.ts';

export { freePort };

/** Descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Resolves when `holds` does, looked at each time the loop turns; rejects after 5 s. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited 5 s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function member(name: string, port: number, more: Partial<MemberSnapshot> = {}): MemberSnapshot {
  const slot = Number(/\d+$/.exec(name)?.[0] ?? 0);
  const base = { name, slot, address: '127.0.0.1', port, weight: 1, maxConnections: 0, backup: false } as const;
  return { ...base, tier: more.backup === true ? 1 : 0, state: 'up', ...more };
}

export function pool(members: readonly MemberSnapshot[], more: Partial<PoolSnapshot> = {}): PoolSnapshot {
  return {
    name: 'pool',
    slot: 0,
    proxyProtocol: 'none',
    proxyV2Options: [],
    proxyV2Tlvs: [],
    proxyV2Align: 0,
    balance: 'roundrobin',
    onMarkedDown: 'close',
    onMarkedUp: 'keep',
    keepaliveMs: 0,
    userTimeoutMs: 0,
    maxAgeMs: 0,
    retries: 3,
    queue: { timeoutMs: 5000, length: 1000 },
    timeouts: undefined,
    members,
    pending: false,
    ...more,
  };
}

/** What a test wants otherwise of a listener. */
export type ListenerSettings = Partial<ListenerConfig & { readonly slot: number }>;

export function listener(bind: string, { slot = 0, ...more }: ListenerSettings = {}): ListenerSnapshot {
  const config: ListenerConfig = {
    name: 'front',
    bind: [parseInetEndpoint(bind)],
    pool: 'pool',
    routes: [],
    whenEmpty: 'reset',
    acceptProxy: false,
    trusted: [],
    allow: [],
    deny: [],
    rate: { perSource: 0, windowMs: 10_000 },
    maxPerSource: 0,
    onLimit: 'reject',
    backlog: 128,
    maxConnections: 0,
    log: true,
    logStart: false,
    logSilent: true,
    ...more,
  };
  return listenerSnapshot(config, slot);
}

/** Long enough not to matter. */
export const timeouts: ProxyTimeouts = {
  connectMs: 3000,
  attemptDelayMs: 250,
  idleMs: 60_000,
  tunnelMs: 60_000,
  clientFinMs: 10_000,
  serverFinMs: 12_000,
  proxyHeaderMs: 3000,
  clientHelloMs: 3000,
  hardStopAfterMs: 0,
};

export function snapshot(
  listeners: readonly ListenerSnapshot[],
  pools: readonly PoolSnapshot[],
  more: Partial<ProxySnapshot> = {},
): ProxySnapshot {
  return { version: 1, timeouts, maxConnections: 0, listeners, pools, ...more };
}

/** An engine with what it needs, and what it told. */
export class Harness {
  readonly reactor = new Reactor();
  readonly counters = CounterStripe.alone(proxyCounters, proxyGauges);
  readonly log = new MemoryLogger();
  readonly events: ProxyEvent[] = [];
  readonly engine: ProxyEngine;

  constructor(clock: Clock = systemClock, keeper?: SocketKeeper) {
    this.engine = new ProxyEngine({
      reactor: this.reactor,
      clock,
      random: new SeededRandom(1),
      log: this.log,
      counters: this.counters,
      report: (event) => this.events.push(event),
      ...(keeper === undefined ? {} : { keeper }),
    });
  }

  /** The session log lines so far. */
  get sessions(): LogLine['fields'][] {
    return this.log.lines.filter((line) => line.message === 'session').map((line) => line.fields);
  }

  /** The `count`th session's line, waited for. */
  async session(count = 1): Promise<LogLine['fields']> {
    await until(() => this.sessions.length >= count, `session ${count} in the log`);
    return this.sessions[count - 1]!;
  }

  close(): void {
    this.engine.close();
    this.reactor.close();
  }
}

/** What an upstream keeps of each connection's bytes, give or take a chunk. */
const keptBytes = 65_536;

/** A TCP server whose connections are kept, with the beginning of what each sent. */
export class Upstream {
  readonly server: net.Server;
  readonly sockets: net.Socket[] = [];
  readonly received: Buffer[] = [];
  port = 0;

  /** @param onConnection what the member does with each connection */
  constructor(onConnection: (socket: net.Socket, index: number) => void = () => {}) {
    this.server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const index = this.sockets.length;
      this.sockets.push(socket);
      this.received.push(Buffer.alloc(0));
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        const before = this.received[index]!;
        if (before.length < keptBytes) this.received[index] = Buffer.concat([before, chunk]);
      });
      onConnection(socket, index);
    });
  }

  async listen(host = '127.0.0.1', port = 0): Promise<this> {
    this.server.listen(port, host);
    await once(this.server, 'listening');
    this.port = (this.server.address() as net.AddressInfo).port;
    return this;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** A server that answers each connection with `name` and its end. */
export function naming(name: string): Upstream {
  return new Upstream((socket) => socket.end(name));
}

/** What a client gets that only connects: all that came, or the code of the error. */
export async function ask(port: number, host = '127.0.0.1'): Promise<string> {
  const result = await outcome(net.connect(port, host));
  return result.code ?? result.data.toString();
}

/** An engine that ends with the test, and the members after it. */
export function harnessFor(t: Test, ...upstreams: readonly Upstream[]): Harness {
  const harness = new Harness();
  t.teardown(() => {
    harness.close();
    for (const upstream of upstreams) upstream.close();
  });
  return harness;
}

/** An engine that serves, and what its test needs to know. */
export interface Setup {
  harness: Harness;
  port: number;
  bind: string;
  /** Applies the same configuration with other members. */
  update: (members: readonly MemberSnapshot[]) => void;
}

/** One listener and one pool, until the test is over. */
export async function serve(
  t: Test,
  members: readonly MemberSnapshot[],
  more: {
    listener?: ListenerSettings;
    pool?: Partial<PoolSnapshot>;
    snapshot?: Partial<ProxySnapshot>;
    host?: string;
  } = {},
): Promise<Setup> {
  const host = more.host ?? '127.0.0.1';
  const port = await freePort(host);
  const bind = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const harness = harnessFor(t);
  const update = (list: readonly MemberSnapshot[]) =>
    harness.engine.apply(snapshot([listener(bind, more.listener)], [pool(list, more.pool)], more.snapshot));
  update(members);
  return { harness, port, bind, update };
}

/** A listening address that answers no SYN: its queue is full. With `accept` it comes to life. */
export async function silentPort(t: Test): Promise<{ port: number; accept: () => void }> {
  const port = await freePort();
  const fd = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), { backlog: 0, keepaliveSeconds: 0 });
  const filler = net.connect(port, '127.0.0.1');
  await once(filler, 'connect');
  t.teardown(() => {
    filler.destroy();
    closeFd(fd);
  });
  const accept = () => {
    const accepted = acceptTcp(fd, new SockaddrSlot());
    t.teardown(() => closeFd(accepted));
  };
  return { port, accept };
}

/** A port that answers no SYN. */
export async function blackHole(t: Test): Promise<number> {
  return (await silentPort(t)).port;
}

/** How a client's connection ended, with all it received. */
export interface Outcome {
  readonly data: Buffer;
  readonly code: string | undefined;
}

/** Collects what a socket receives until it closes. */
export async function outcome(socket: net.Socket): Promise<Outcome> {
  const chunks: Buffer[] = [];
  let code: string | undefined;
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code;
  });
  await new Promise((resolve) => socket.on('close', resolve));
  return { data: Buffer.concat(chunks), code };
}
