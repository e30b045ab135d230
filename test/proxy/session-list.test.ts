import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import type { TcpInfo } from '../../src/linux/tcp-info.ts';
import { quietMs } from '../../src/proxy/session-list.ts';
import { freePort, harnessFor, listener, member, pool, snapshot, Upstream, until } from './harness.ts';

const healthy = { rttMicros: 100, retransmits: 0, lost: 0, segments: 9, timeouts: 0 } as const;
const end = (sinceReceivedMs: number, sinceSentMs: number, timeouts = 0): TcpInfo => ({
  ...healthy,
  sinceReceivedMs,
  sinceSentMs,
  timeouts,
});

/** What the kernel says of the client's socket and of the member's → how long nothing has passed. */
const cases: [name: string, ends: (TcpInfo | undefined)[], quiet: number][] = [
  ['nothing known', [undefined, undefined], Number.POSITIVE_INFINITY],
  ['no sockets', [], Number.POSITIVE_INFINITY],
  ['one that says nothing', [undefined, end(7, 9)], 7],
  ['before there is a member', [end(300, 500)], 300],
  ['the client spoke last', [end(5, 90), end(80, 70)], 5],
  ['the member spoke last', [end(80, 70), end(6, 90)], 6],
  ['what was kept went to the client', [end(80, 7), end(90, 95)], 7],
  ['what was kept went to the member', [end(80, 90), end(95, 8)], 8],
  ['what is sent again to a client that is gone', [end(800, 3, 4), end(600, 700)], 600],
  ['what is sent again to a member that is gone', [end(600, 700), end(800, 3, 4)], 600],
];
for (const [name, ends, quiet] of cases) t.test(name, async (t) => t.equal(quietMs(ends), quiet));

t.test('sessions by pool and member, the oldest first', async (t) => {
  const upstreams = [await new Upstream().listen(), await new Upstream().listen()];
  const ports = [await freePort(), await freePort()];
  const harness = harnessFor(t, ...upstreams);
  const bind = ports.map((port) => `127.0.0.1:${port}`);
  const members = upstreams.map(({ port }, i) => member(`m${i}`, port));
  const others = { name: 'other', slot: 1 };
  harness.engine.apply(
    snapshot(
      [listener(bind[0]!), listener(bind[1]!, { name: 'back', slot: 1, pool: 'other' })],
      [pool(members), pool([member('m1', upstreams[1]!.port, { slot: 2 })], others)],
    ),
  );
  const clients: net.Socket[] = [];
  for (const port of [ports[0], ports[0], ports[1], ports[0]]) {
    const client = net.connect(port!, '127.0.0.1').on('error', () => {});
    t.teardown(() => client.destroy());
    await once(client, 'connect');
    clients.push(client);
    await until(() => harness.engine.sessions()[clients.length - 1]?.state === 'relaying', 'the session');
  }
  const of = (query: { pool?: string; member?: string; limit?: number }) =>
    harness.engine
      .sessions({ pool: undefined, member: undefined, limit: 10, ...query })
      .map((session) => clients.findIndex((client) => session.client === `127.0.0.1:${client.localPort}`));
  t.strictSame(of({}), [0, 1, 2, 3]);
  t.strictSame(of({ limit: 2 }), [0, 1]);
  t.strictSame(of({ pool: 'pool' }), [0, 1, 3]);
  t.strictSame(of({ pool: 'other', limit: 1 }), [2]);
  t.strictSame(of({ member: 'm1' }), [1, 2]);
  t.strictSame(of({ pool: 'pool', member: 'm1' }), [1]);
  t.strictSame(of({ pool: 'none' }), []);
  t.ok(harness.engine.closeSession(harness.engine.sessions()[0]!.id));
  t.strictSame(of({}), [1, 2, 3], 'the last took the place of the first');
});

t.test('how long nothing passed: a byte from either end begins it anew', async (t) => {
  const upstream = await new Upstream().listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const client = net.connect(port, '127.0.0.1');
  await until(() => upstream.sockets.length === 1, 'the member to be connected');
  const look = () => harness.engine.sessions()[0]!;
  const ends = [
    ['client', client, upstream.sockets[0]!],
    ['member', upstream.sockets[0]!, client],
  ] as const;
  for (const [name, from, to] of ends) {
    await until(() => look().idleMs >= 150, 'the session to be idle');
    from.write('x');
    await once(to, 'data');
    const { ageMs, idleMs } = look();
    // The kernel counts in ticks, of up to 10 ms.
    t.ok(ageMs - idleMs >= 140, `${name}: ${idleMs} ms idle at an age of ${ageMs} ms`);
  }
  client.destroy();
});
