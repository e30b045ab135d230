/** What goes wrong with either peer, stage by stage: the termination in the log, and no descriptor and no place left behind. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { listenerGaugeBase, memberGaugeBase, ProxyGauge } from '../../src/proxy/counters.ts';
import type { ListenerSnapshot, PoolSnapshot } from '../../src/proxy/snapshot.ts';
import {
  blackHole,
  freePort,
  Harness,
  listener,
  member,
  openDescriptors,
  pool,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

/** One session under test, both its ends in hand. */
interface Stage {
  readonly harness: Harness;
  readonly clock: FakeClock;
  readonly client: net.Socket;
  /** The member's end, once it is there. */
  readonly server: () => Promise<net.Socket>;
  /** The session has come this far. */
  readonly reached: (state: string) => Promise<void>;
  /** Bytes have gone through both ways. */
  readonly relaying: () => Promise<net.Socket>;
}

interface Fault {
  readonly name: string;
  readonly listener?: Partial<ListenerSnapshot>;
  readonly pool?: Partial<PoolSnapshot>;
  readonly member?: 'black hole' | 'refuses' | 'full';
  readonly run: (stage: Stage) => Promise<void>;
  readonly state: string;
  readonly cause: string;
}

const fromFront = { acceptProxy: true, trusted: [parseCidr('127.0.0.0/8')] };
const byName = { routes: [{ sni: 'a.example', alpn: [], pool: 'pool' }] };
const inPreface = { state: 'CR', cause: 'client aborted before it had said what it must' };
const inQueue = { state: 'CQ', cause: 'client aborted in the queue' };
const inConnect = { state: 'CC', cause: 'client aborted before a member was connected' };
const clientAborted = { state: 'CD', cause: 'client aborted' };
const memberAborted = { state: 'SD', cause: 'member aborted' };
const done = { state: '--', cause: 'done' };

const faults: readonly Fault[] = [
  {
    name: 'client: RST before its PROXY header',
    listener: fromFront,
    run: async ({ client, reached }) => {
      await reached('header');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: RST within its PROXY header',
    listener: fromFront,
    run: async ({ client, reached }) => {
      client.write('PROXY TCP4 1');
      await reached('header');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: FIN within its PROXY header',
    listener: fromFront,
    run: async ({ client }) => void client.end('PROXY TCP4 1'),
    ...inPreface,
  },
  ...['GET / HTTP/1.1\r\n\r\n', '\0', 'PROXY\t', '\r\n\r\n\0\r\nQUIX', `PROXY TCP4 ${'1'.repeat(200)}`].map(
    (garbage): Fault => ({
      name: `client: garbage ${JSON.stringify(garbage.slice(0, 16))} for a PROXY header`,
      listener: fromFront,
      run: async ({ client }) => void client.write(garbage),
      state: 'PR',
      cause: 'bad PROXY header',
    }),
  ),
  {
    name: 'client: no PROXY header',
    listener: fromFront,
    run: async ({ clock, reached }) => {
      await reached('header');
      clock.advance(timeouts.proxyHeaderMs + 100);
    },
    state: 'cR',
    cause: 'no PROXY header in time',
  },
  {
    name: 'client: RST within its TLS hello',
    listener: byName,
    run: async ({ client, reached }) => {
      client.write(Buffer.of(22, 3, 1));
      await reached('hello');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: RST in the queue',
    member: 'full',
    run: async ({ client, reached }) => {
      await reached('waiting');
      client.resetAndDestroy();
    },
    ...inQueue,
  },
  {
    name: 'client: FIN in the queue, not a byte before it',
    member: 'full',
    run: async ({ client, reached }) => {
      await reached('waiting');
      client.end();
    },
    ...inQueue,
  },
  {
    name: 'client: FIN in the queue behind a request, which may be answered yet',
    member: 'full',
    run: async ({ harness, client, clock, reached }) => {
      client.write('ping');
      await reached('waiting');
      client.end();
      await once(client, 'finish');
      clock.advance(4900);
      t.equal(harness.sessions.length, 0, 'it waits');
      clock.advance(200);
    },
    state: 'sQ',
    cause: 'queue timed out',
  },
  {
    name: 'client: RST while connecting',
    member: 'black hole',
    run: async ({ client, clock, reached }) => {
      await reached('connecting');
      client.resetAndDestroy();
      clock.advance(100);
    },
    ...inConnect,
  },
  {
    name: 'client: FIN while connecting, not a byte before it',
    member: 'black hole',
    run: async ({ client, clock, reached }) => {
      await reached('connecting');
      client.end();
      clock.advance(100);
    },
    ...inConnect,
  },
  {
    name: 'member: refuses',
    member: 'refuses',
    pool: { retries: 0 },
    run: async () => {},
    state: 'SC',
    cause: 'connect failed',
  },
  {
    name: 'member: silent to the connect',
    member: 'black hole',
    pool: { retries: 0 },
    run: async ({ clock, reached }) => {
      await reached('connecting');
      clock.advance(timeouts.connectMs + 100);
    },
    state: 'sC',
    cause: 'connect timed out',
  },
  {
    name: 'member: RST right after it accepted',
    run: async ({ server }) => void (await server()).resetAndDestroy(),
    ...memberAborted,
  },
  {
    name: 'client: RST while relaying',
    run: async ({ client, relaying }) => {
      await relaying();
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'member: RST while relaying',
    run: async ({ relaying }) => void (await relaying()).resetAndDestroy(),
    ...memberAborted,
  },
  {
    name: 'client: RST after its FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'member: RST after its FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      server.resetAndDestroy();
    },
    ...memberAborted,
  },
  {
    name: 'member: RST after the client’s FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      server.resetAndDestroy();
    },
    ...memberAborted,
  },
  {
    name: 'client: RST after the member’s FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'client: zero window, then RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      client.pause();
      server.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'client: zero window, then the member’s RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      client.pause();
      server.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      server.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.resume();
    },
    ...memberAborted,
  },
  {
    name: 'member: zero window, then the client’s RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      server.pause();
      client.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      client.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      server.resume();
    },
    ...clientAborted,
  },
  {
    name: 'FIN of the client first',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      server.end();
    },
    ...done,
  },
  {
    name: 'FIN of the member first',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      client.end();
    },
    ...done,
  },
  {
    name: 'half-open after the client’s FIN',
    run: async ({ client, clock, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      clock.advance(timeouts.serverFinMs - 200);
      server.write('still here');
      await once(client, 'data');
      clock.advance(timeouts.serverFinMs + 200);
    },
    state: 'sD',
    cause: 'client half-closed, member timeout',
  },
  {
    name: 'half-open after the member’s FIN',
    run: async ({ client, clock, relaying }) => {
      (await relaying()).end();
      await once(client, 'end');
      clock.advance(timeouts.clientFinMs + 100);
    },
    state: 'cD',
    cause: 'member half-closed, client timeout',
  },
  {
    name: 'both silent',
    run: async ({ clock, relaying }) => {
      await relaying();
      clock.advance(timeouts.idleMs + 100);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'silent after both have spoken: the time of tunnels, longer than that of others',
    pool: { timeouts: { ...timeouts, idleMs: 5_000, tunnelMs: 20_000 } },
    run: async ({ harness, clock, client, relaying }) => {
      const server = await relaying();
      clock.advance(19_800);
      t.equal(harness.sessions.length, 0);
      server.write('still here');
      await once(client, 'data');
      clock.advance(19_800);
      t.equal(harness.sessions.length, 0);
      clock.advance(300);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'silent after both have spoken: the time of tunnels, shorter than that of others',
    pool: { timeouts: { ...timeouts, idleMs: 60_000, tunnelMs: 5_000 } },
    run: async ({ harness, clock, server, relaying }) => {
      await server();
      clock.advance(30_000);
      t.equal(harness.sessions.length, 0, 'nobody has spoken yet');
      await relaying();
      clock.advance(5_200);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'one side alone has spoken: idle, by the time of its pool',
    pool: { timeouts: { ...timeouts, idleMs: 5_000, tunnelMs: 0 } },
    run: async ({ harness, clock, client, server }) => {
      (await server()).write('hello');
      await once(client, 'data');
      clock.advance(4_800);
      t.equal(harness.sessions.length, 0);
      clock.advance(300);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'older than may be, though bytes flow',
    pool: { maxAgeMs: 10_000 },
    run: async ({ harness, client, clock, relaying }) => {
      await relaying();
      clock.advance(8_900);
      t.equal(harness.sessions.length, 0, 'not before 0.9 of it');
      client.write('x');
      clock.advance(2_200);
    },
    state: 'KD',
    cause: 'maximum age',
  },
];

/** Nothing moves any more: buffers are full. */
async function stalled(harness: Harness): Promise<void> {
  const total = () => {
    const [session] = harness.engine.sessions();
    return session === undefined ? 0 : session.bytesIn + session.bytesOut;
  };
  for (let before = -1; before !== total() || before < 100_000; ) {
    before = total();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

for (const fault of faults) {
  t.test(fault.name, async (t) => {
    // The hole is the test's own and goes with it: opened before descriptors are counted.
    const hole = fault.member === 'black hole' ? await blackHole(t) : 0;
    // Before the count: the first port draws a descriptor that holds the process's block of ports.
    const port = await freePort();
    const before = openDescriptors();
    const clock = new FakeClock();
    const harness = new Harness(clock);
    const upstream = await new Upstream().listen();
    const refusing = fault.member === 'refuses' ? await freePort() : 0;
    const maxConnections = fault.member === 'full' ? 1 : 0;
    const members = [member('m1', hole || refusing || upstream.port, { maxConnections })];
    harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`, fault.listener)], [pool(members, fault.pool)]));
    const first = fault.member === 'full' ? net.connect(port, '127.0.0.1') : undefined;
    if (first !== undefined) await until(() => upstream.sockets.length === 1, 'the place to be taken');

    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => {});
    client.resume();
    const server = async () => {
      await until(() => upstream.sockets.length === 1, 'the member to have a connection');
      return upstream.sockets[0]!;
    };
    const reached = (state: string) =>
      until(() => harness.engine.sessions().some((session) => session.state === state), `a session to be ${state}`);
    const relaying = async () => {
      client.write('ping');
      const socket = await server();
      socket.write('pong');
      await Promise.all([once(client, 'data'), until(() => upstream.received[0]!.length === 4, 'the ping')]);
      return socket;
    };
    await fault.run({ harness, clock, client, server, reached, relaying });
    t.match(await harness.session(), { state: fault.state, cause: fault.cause });

    first?.destroy();
    client.destroy();
    upstream.close();
    await until(() => harness.engine.sessions().length === 0, 'no session');
    for (const gauge of [ProxyGauge.sessions, listenerGaugeBase(0), memberGaugeBase(1)]) {
      t.equal(harness.counters.gauge(gauge), 0);
    }
    harness.close();
    await until(() => openDescriptors() <= before, `no more than ${before} descriptors`);
  });
}
