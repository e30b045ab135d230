/** Limits of the engine, its own and the machine's: who waits, who is refused, and that it goes on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import t from 'tap';
import { systemClock } from '../../src/core/clock.ts';
import { CounterTable } from '../../src/core/counters.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { Reactor } from '../../src/linux/reactor.ts';
import {
  ListenerCounter,
  listenerCounterBase,
  ProxyCounter,
  ProxyGauge,
  poolGaugeBase,
  proxyCounters,
  proxyGauges,
} from '../../src/proxy/counters.ts';
import { ProxyEngine } from '../../src/proxy/engine.ts';
import { newQueueTable } from '../../src/proxy/queue.ts';
import { waitFor } from '../lab/process.ts';
import {
  ask,
  freePort,
  harnessFor,
  listener,
  member,
  naming,
  outcome,
  pool,
  snapshot,
  Upstream,
  until,
} from './harness.ts';

t.test('new connections per source and window', async (t) => {
  const upstream = await naming('m1').listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  const rate = { perSource: 2, windowMs: 60_000 };
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`, { rate })], [pool([member('m1', upstream.port)])]));
  const answers = [];
  for (let i = 0; i < 4; i++) answers.push(await ask(port));
  t.same(answers, ['m1', 'm1', 'ECONNRESET', 'ECONNRESET']);
  t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.rateLimited), 2);
});

t.test('at maxConnections clients wait in the kernel until a session ends', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  const pools = [pool([member('m1', upstream.port)])];
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], pools, { maxConnections: 2 }));
  const clients = [1, 2, 3].map(() => net.connect(port, '127.0.0.1'));
  await until(() => upstream.sockets.length === 2, 'two sessions');
  await until(() => harness.counters.get(ProxyCounter.limitPauses) > 0, 'the pause');
  t.equal(harness.counters.gauge(ProxyGauge.sessions), 2);
  t.equal(upstream.sockets.length, 2, 'the third waits');
  clients[0]!.destroy();
  upstream.sockets[0]!.end();
  upstream.sockets[1]!.end();
  await until(() => upstream.sockets.length === 3, 'the third session');
  for (const client of clients) client.destroy();
});

t.test('leastconn and maxConnections are exact over threads', async (t) => {
  const [one, two] = [
    await new Upstream((s) => s.write('x')).listen(),
    await new Upstream((s) => s.write('x')).listen(),
  ];
  const ports = [await freePort(), await freePort()];
  const table = new CounterTable({ threads: 2, counters: proxyCounters, gauges: proxyGauges });
  const reactor = new Reactor();
  const engines = ports.map((port, thread) => {
    const engine = new ProxyEngine({
      reactor,
      clock: systemClock,
      random: new SeededRandom(thread),
      log: nullLogger,
      counters: table.stripe(thread),
      report: () => {},
    });
    const members = [member('m1', one.port, { maxConnections: 3 }), member('m2', two.port)];
    engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool(members, { balance: 'leastconn' })]));
    return engine;
  });
  const clients: net.Socket[] = [];
  for (let i = 0; i < 10; i++) {
    const client = net.connect(ports[i % 2]!, '127.0.0.1');
    clients.push(client);
    await once(client, 'data');
  }
  t.equal(one.sockets.length, 3, 'never more than its limit');
  t.equal(two.sockets.length, 7);
  t.equal(table.gauge(ProxyGauge.sessions), 10);
  for (const client of clients) client.destroy();
  for (const engine of engines) engine.close();
  t.equal(table.gauge(ProxyGauge.sessions), 0);
  reactor.close();
  one.close();
  two.close();
});

t.test('the queue is one over threads: its length, and who is next', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('x')).listen();
  const ports = [await freePort(), await freePort()];
  const counters = new CounterTable({ threads: 2, counters: proxyCounters, gauges: proxyGauges });
  const table = newQueueTable(2);
  const reactor = new Reactor();
  const engines = ports.map((port, thread) => {
    const engine = new ProxyEngine({
      reactor,
      clock: systemClock,
      random: new SeededRandom(thread),
      log: nullLogger,
      counters: counters.stripe(thread),
      queues: { table, thread },
      report: () => {},
    });
    const members = [member('m1', upstream.port, { maxConnections: 1 })];
    const queue = { timeoutMs: 60_000, length: 6 };
    engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool(members, { queue })]));
    return engine;
  });
  const queued = () => counters.gauge(poolGaugeBase(0));
  const served: number[] = [];
  const clients: net.Socket[] = [];
  t.teardown(() => {
    for (const client of clients) client.destroy();
    for (const engine of engines) engine.close();
    reactor.close();
    upstream.close();
  });
  const come = (who: number) => {
    const client = net.connect(ports[who % 2]!, '127.0.0.1').on('error', () => {});
    client.once('data', () => served.push(who));
    clients.push(client);
    return client;
  };
  come(0);
  await until(() => served.length === 1, 'the first one');
  // 0 1 1 0 0 1 by thread.
  for (const [at, who] of [1, 3, 2, 4, 5, 6].entries()) {
    come(who);
    await until(() => queued() === at + 1, `${who} waits`);
  }
  const late = come(7);
  await new Promise((resolve) => late.once('close', resolve));
  t.equal(queued(), 6, 'the seventh is turned away, at whatever thread');
  // One that waits gives up: those behind it keep their order.
  clients[3]!.resetAndDestroy();
  await until(() => queued() === 5, 'one goes');
  for (const count of [2, 3, 4, 5, 6]) {
    upstream.sockets.at(-1)!.end();
    await until(() => served.length === count, `served: ${served}`);
  }
  t.strictSame(served, [0, 1, 3, 4, 5, 6]);
  t.equal(queued(), 0);
  for (const client of clients) client.destroy();
  for (const engine of engines) engine.close();
  t.equal(counters.gauge(ProxyGauge.sessions), 0);
});

t.test('out of descriptors: accepting rests without a busy loop, and goes on', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const port = await freePort();
  const limited = new URL('limited.ts', import.meta.url).pathname;
  const command = `ulimit -n 60; exec "$0" "$@"`;
  const child = spawn('/bin/sh', ['-c', command, process.execPath, limited, String(port), String(upstream.port)]);
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const read = async () =>
    JSON.parse(String((await lines.next()).value)) as { pauses: number; cpuMs: number; logged: number };
  await read();

  const clients = Array.from({ length: 80 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  /** What the proxy says once it has rested `times`. */
  const rested = async (times: number) => {
    let told = { pauses: 0, cpuMs: 0, logged: 0 };
    const asked = async () => {
      child.stdin.write('\n');
      told = await read();
      return told.pauses >= times;
    };
    await waitFor(`${times} rests`, asked, { everyMs: 50 });
    return told;
  };
  const first = await rested(1);
  const second = await rested(first.pauses + 5);
  t.ok(second.cpuMs - first.cpuMs < 150, `${second.cpuMs - first.cpuMs} ms of CPU in five rests of 100 ms`);

  for (const client of clients) client.destroy();
  for (const socket of upstream.sockets) socket.end();
  let served = false;
  for (let i = 0; i < 50 && !served; i++) {
    const client = net.connect(port, '127.0.0.1').on('error', () => {});
    served = await Promise.race([
      once(client, 'data').then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 100)),
    ]);
    client.destroy();
    for (const socket of upstream.sockets) socket.end();
  }
  t.ok(served, 'served again');
});

t.test('the machine is out of descriptors, or of memory: as if we were', async (t) => {
  const upstream = await naming('m1').listen();
  t.teardown(() => upstream.close());
  const limited = new URL('limited.ts', import.meta.url).pathname;
  for (const code of ['ENFILE', 'ENOBUFS', 'ENOMEM']) {
    const port = await freePort();
    // Nobody but the kernel can be out of them for real: the first three accepts are told so.
    const faults = ['-e', 'trace=accept4', '-e', `inject=accept4:error=${code}:when=1..3`];
    const program = [process.execPath, limited, String(port), String(upstream.port)];
    const child = spawn('strace', ['-f', '-qq', '-o', '/dev/null', ...faults, ...program]);
    const ended = once(child, 'exit');
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const read = async () => JSON.parse(String((await lines.next()).value)) as { pauses: number; logged: number };
    t.equal((await read()).pauses, 0);
    const client = outcome(net.connect(port, '127.0.0.1'));
    t.match(await client, { data: Buffer.from('m1'), code: undefined }, `${code}: the client waits, and is served`);
    child.stdin.write('\n');
    t.match(
      await read(),
      { pauses: 3, logged: 3 },
      'a rest for each; lines: listening, one for all three, the session',
    );
    // The end of its input is that of the program; strace passes no signal on.
    child.stdin.end();
    await ended;
  }
});

t.test('a listener at its limit leaves clients in the queue; others go on', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  const [one, two] = [await freePort(), await freePort()];
  const harness = harnessFor(t, upstream);
  const apply = (maxConnections: number) =>
    harness.engine.apply(
      snapshot(
        [
          listener(`127.0.0.1:${one}`, { name: 'one', maxConnections }),
          listener(`127.0.0.1:${two}`, { name: 'two', slot: 1 }),
        ],
        [pool([member('m1', upstream.port)])],
      ),
    );
  apply(2);
  const clients = Array.from({ length: 5 }, () => net.connect(one, '127.0.0.1'));
  const served = clients.map((client) => once(client, 'data'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const other = net.connect(two, '127.0.0.1');
  t.teardown(() => [...clients, other].map((client) => client.destroy()));
  await once(other, 'data');
  await until(() => upstream.sockets.length === 3, 'those who have a place');
  t.equal(harness.engine.sessions().filter((session) => session.listener === 'one').length, 2);
  t.ok(harness.counters.get(ProxyCounter.listenerLimitPauses) >= 1);
  upstream.sockets[0]!.destroy();
  await until(() => upstream.sockets.length === 4, 'the next');
  t.equal(harness.engine.sessions().filter((session) => session.listener === 'one').length, 2);
  apply(0);
  await Promise.all(served);
});
