import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import t, { type Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET } from '../../src/linux/constants.ts';
import { getSocketInt } from '../../src/linux/libc.ts';
import type { ProxyTimeouts } from '../../src/proxy/config.ts';
import { MemberTcp, memberCounterBase, memberGaugeBase } from '../../src/proxy/counters.ts';
import type { PoolSnapshot } from '../../src/proxy/snapshot.ts';
import {
  freePort,
  Harness,
  listener,
  member,
  openDescriptors,
  outcome,
  pool,
  serve,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

const TCP_KEEPIDLE = 4;
const TCP_USER_TIMEOUT = 18;

t.test('timeouts', async (t) => {
  const cases = [
    { name: 'idle', limits: { ...timeouts, idleMs: 150 }, half: 'none', cause: 'idle timeout' },
    {
      name: 'client half-closed',
      limits: { ...timeouts, serverFinMs: 150 },
      half: 'client',
      cause: 'client half-closed, member timeout',
    },
    {
      name: 'member half-closed',
      limits: { ...timeouts, clientFinMs: 150 },
      half: 'member',
      cause: 'member half-closed, client timeout',
    },
  ] as const;
  for (const { name, limits, half, cause } of cases) {
    t.test(name, async (t) => {
      const upstream = await new Upstream((socket) => socket.write('hello')).listen();
      t.teardown(() => upstream.close());
      const { harness, port } = await serve(t, [member('m1', upstream.port)], { snapshot: { timeouts: limits } });
      const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(client, 'data');
      const started = performance.now();
      if (half === 'client') client.end();
      if (half === 'member') upstream.sockets[0]!.end();
      client.on('error', () => {});
      t.match(await harness.session(), { cause });
      const took = performance.now() - started;
      t.ok(took >= 90 && took < 500, `after ${took} ms`);
      client.destroy();
    });
  }

  t.test('bytes keep a session alive', async (t) => {
    const upstream = await new Upstream((socket) => socket.on('data', (chunk) => socket.write(chunk))).listen();
    t.teardown(() => upstream.close());
    const options = { snapshot: { timeouts: { ...timeouts, tunnelMs: 200 } } };
    const { harness, port } = await serve(t, [member('m1', upstream.port)], options);
    const client = net.connect(port, '127.0.0.1');
    for (let i = 0; i < 8; i++) {
      client.write('x');
      await once(client, 'data');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    t.equal(harness.sessions.length, 0);
    t.match(await harness.session(), { cause: 'idle timeout', bytesIn: 8, bytesOut: 8 });
    client.destroy();
  });

  t.test('maximum age, busy or not', async (t) => {
    const upstream = await new Upstream((socket) => socket.write('hello')).listen();
    t.teardown(() => upstream.close());
    const { harness, port } = await serve(t, [member('m1', upstream.port)], { pool: { maxAgeMs: 200 } });
    const end = await outcome(net.connect(port, '127.0.0.1'));
    t.match(end, { data: Buffer.from('hello'), code: 'ECONNRESET' });
    const line = await harness.session();
    t.match(line, { cause: 'maximum age' });
    t.ok((line.totalMs as number) > 170 && (line.totalMs as number) < 500, String(line.totalMs));
  });
});

/** A session through a pool that has nothing to wait for, an hour after both sides have said something. */
async function quietSession(t: Test) {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const clock = new FakeClock();
  const harness = new Harness(clock);
  t.teardown(() => harness.close());
  const port = await freePort();
  const apply = (more: Partial<ProxyTimeouts>, settings: Partial<PoolSnapshot> = {}) => {
    const limits = { ...timeouts, idleMs: 0, tunnelMs: 0, ...more };
    const pools = [pool([member('m1', upstream.port)], settings)];
    harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], pools, { timeouts: limits }));
  };
  apply({});
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => client.destroy());
  client.write('hi');
  await once(client, 'data');
  await until(() => upstream.received[0]!.length === 2, 'what the client said');
  clock.advance(timeouts.connectMs + 100);
  t.equal(clock.pending, 0, 'no timer runs for it');
  clock.advance(3_600_000);
  return { harness, clock, client, socket: upstream.sockets[0]!, apply };
}

t.test('a session that nothing is waited for', async (t) => {
  t.test('once half-closed it has all of the time for that', async (t) => {
    const { harness, clock, client, socket } = await quietSession(t);
    client.end();
    await once(socket, 'end');
    clock.advance(timeouts.serverFinMs - 100);
    socket.write('late');
    t.equal(String((await once(client, 'data'))[0]), 'late');
    clock.advance(timeouts.serverFinMs + 100);
    t.match(await harness.session(), { cause: 'client half-closed, member timeout' });
  });

  t.test('timeouts that a reload brings hold for it from then on', async (t) => {
    const { harness, clock, apply } = await quietSession(t);
    apply({ tunnelMs: 60_000 });
    clock.advance(59_000);
    t.equal(harness.sessions.length, 0, 'nobody kept the time before');
    apply({ tunnelMs: 30_000 });
    clock.advance(100);
    t.match(await harness.session(), { cause: 'idle timeout' });
  });

  t.test('a maximum age that a reload brings counts from its begin', async (t) => {
    const { harness, clock, apply } = await quietSession(t);
    apply({}, { maxAgeMs: 2 * 3_600_000 });
    clock.advance(0.7 * 3_600_000);
    apply({}, { maxAgeMs: 0 });
    clock.advance(24 * 3_600_000);
    t.equal(harness.sessions.length, 0, 'taken back in time');
    apply({}, { maxAgeMs: 100_000 });
    t.equal(harness.sessions.length, 0, 'too old already: not cut in one moment with all others');
    clock.advance(0.2 * 100_000 + 100);
    t.match(await harness.session(), { cause: 'maximum age', state: 'KD' });
  });
});

t.test("dead peers are looked for on both sides, the member's once the session has lasted", async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const { port } = await serve(t, [member('m1', upstream.port)], { pool: { keepaliveMs: 300, userTimeoutMs: 1234 } });
  const before = new Set(readdirSync('/proc/self/fd'));
  const client = net.connect(port, '127.0.0.1');
  await once(client, 'data');
  const sockets = readdirSync('/proc/self/fd')
    .filter((fd) => !before.has(fd))
    .map(Number);
  const guarded = () =>
    sockets.filter(
      (fd) =>
        getSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE) === 1 && getSocketInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) === 1234,
    ).length;
  t.equal(guarded(), 1, 'inherited by the accepted socket');
  await until(() => guarded() === 2, 'the other to have it too');
  client.destroy();
});

t.test('how dead peers are looked for follows a reload, on both sides', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const harness = new Harness();
  t.teardown(() => harness.close());
  const port = await freePort();
  const apply = (keepaliveMs: number, userTimeoutMs: number) =>
    harness.engine.apply(
      snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)], { keepaliveMs, userTimeoutMs })]),
    );
  apply(0, 0);
  const before = new Set(readdirSync('/proc/self/fd'));
  const client = net.connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  await once(client, 'data');
  // The client's end and the member's are plain sockets, which nobody guards.
  const sockets = readdirSync('/proc/self/fd').filter((fd) => !before.has(fd));
  const guard = (fd: string) =>
    [
      getSocketInt(Number(fd), SOL_SOCKET, SO_KEEPALIVE),
      getSocketInt(Number(fd), IPPROTO_TCP, TCP_KEEPIDLE),
      getSocketInt(Number(fd), IPPROTO_TCP, TCP_USER_TIMEOUT),
    ].join(' ');
  const guarded = (as: string) => sockets.filter((fd) => guard(fd) === as).length;
  t.equal(guarded('1 7 1234'), 0);
  apply(7000, 1234);
  await until(() => guarded('1 7 1234') === 2, 'both to be guarded');
  apply(9000, 1234);
  await until(() => guarded('1 9 1234') === 2, 'both to have the other time');
  apply(0, 0);
  await until(() => guarded('0 9 0') === 2, 'both to be left alone');
});

t.test('no descriptor is left after sessions of every kind', async (t) => {
  const before = openDescriptors();
  const upstream = await new Upstream((socket, index) => {
    if (index % 3 === 0) socket.resetAndDestroy();
    else if (index % 3 === 1) socket.end('bye');
    else socket.once('data', () => socket.resetAndDestroy());
  }).listen();
  const harness = new Harness();
  const port = await freePort();
  const members = [member('m1', upstream.port), member('m2', await freePort())];
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool(members)]));
  for (let round = 0; round < 60; round++) {
    const client = net.connect(port, '127.0.0.1');
    const end = outcome(client);
    if (round % 4 === 0) client.resetAndDestroy();
    if (round % 4 === 1) client.end('hello');
    if (round % 4 === 2) client.once('connect', () => client.resetAndDestroy());
    if (round % 4 === 3) client.write('hello');
    await end;
  }
  await until(() => harness.engine.sessions().length === 0, 'all sessions ended');
  harness.close();
  upstream.close();
  await until(() => openDescriptors() <= before, `${before} descriptors, not ${openDescriptors()}`);
  t.equal(harness.counters.gauge(memberGaugeBase(1)), 0);
  t.equal(harness.counters.gauge(memberGaugeBase(2)), 0);
});

t.test('how its connection fared is counted for the member as a session ends', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('ok'))).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port)]);
  const read = (offset: number) => harness.counters.get(memberCounterBase(1) + offset);
  const client = net.connect(port, '127.0.0.1');
  client.write('GET');
  await outcome(client);
  await harness.session();
  t.equal(read(MemberTcp.samples), 1);
  t.ok(read(MemberTcp.rttSeconds) > 0 && read(MemberTcp.rttSeconds) < 10, `${read(MemberTcp.rttSeconds)} s`);
  t.ok(read(MemberTcp.segments) >= 3, 'SYN, data, FIN');
  t.equal(read(MemberTcp.retransmits), 0);
});
