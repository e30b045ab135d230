/** Data threads as the control thread sees them: with threads that misbehave, and in a daemon whose threads fail. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { CounterTable } from '../../src/core/counters.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { DataThreads } from '../../src/edge/threads.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, descriptors, freePort, logged } from './daemon-process.ts';

interface Setup {
  readonly threads: DataThreads;
  readonly clock: FakeClock;
  readonly log: MemoryLogger;
  readonly counters: CounterTable;
}

function setup(t: Test, mood: string): Setup {
  process.env.V6EDGE_TEST_MOOD = mood;
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const counters = new CounterTable({ threads: 2, counters: 1, gauges: 1 });
  const threads = new DataThreads({
    clock,
    log,
    counters,
    logSettings: { level: 'info', format: 'json' },
    initial: () => [{ kind: 'zone-removed', name: nameFromText('a.test') }],
    handoff: () => Promise.resolve([]),
    sockets: () => [],
    onProxyEvent: () => undefined,
    program: new URL('./odd-worker.ts', import.meta.url),
  });
  t.teardown(async () => {
    const stopped = threads.stop(0);
    clock.advance(10_000);
    await stopped;
  });
  return { threads, clock, log, counters };
}

const states = (threads: DataThreads) => threads.list().map(({ state }) => state);

t.test('a thread that cannot run at all ends the start', async (t) => {
  const { threads } = setup(t, 'never');
  await t.rejects(threads.start(), { code: 'V6_THREAD', message: /data thread \d ended with code 7 before it served/ });
});

t.test('a thread that ends again and again is started again after longer and longer pauses', async (t) => {
  const { threads, clock, log, counters } = setup(t, 'well');
  await threads.start();
  t.strictSame(states(threads), ['running', 'running']);
  const other = counters.stripe(1);
  other.gaugeAdd(0, 1);
  const pauses = [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
  for (const [i, pauseMs] of pauses.entries()) {
    counters.stripe(0).gaugeAdd(0, 5);
    threads.broadcast({ kind: 'flush-cache', name: undefined });
    await waitFor('its end', () => threads.alive === 1, { everyMs: 2 });
    t.equal(log.lines.at(-1)?.fields.pauseMs, pauseMs);
    t.equal(counters.gauge(0), 1, 'what it counted as present is gone');
    if (pauseMs > 0) clock.advance(pauseMs - 1);
    t.strictSame(states(threads), ['restarting', 'running']);
    clock.advance(1);
    t.strictSame(states(threads), ['starting', 'running']);
    await waitFor('the next', () => threads.alive === 2, { everyMs: 2 });
    t.equal(threads.restarts, i + 1);
    const reports = await threads.reports();
    t.strictSame(
      reports.map(({ cache }) => cache.entries),
      [1, 1],
      'it has the present state',
    );
  }
  clock.advance(10_001);
  threads.broadcast({ kind: 'flush-cache', name: undefined });
  await waitFor('its end', () => threads.alive === 1, { everyMs: 2 });
  t.equal(log.lines.at(-1)?.fields.pauseMs, 0, 'after a steady time it is forgiven');
  t.strictSame(threads.list()[0], { name: 'data-0', state: 'restarting', restarts: pauses.length + 1 });
});

t.test('a question to threads that end is answered', async (t) => {
  const { threads } = setup(t, 'well');
  await threads.start();
  t.strictSame(await threads.sessions({ pool: undefined, member: undefined, limit: 1 }), []);
  t.equal(threads.alive, 0);
  t.strictSame(await threads.reports(), []);
  t.equal(await threads.closeSession('00000000-1'), false);
});

t.test('a thread that does not answer is left out, then silent, and does not hold the stop up', async (t) => {
  const { threads, clock } = setup(t, 'mute');
  await threads.start();
  const moment = () => new Promise((resolve) => setTimeout(resolve, 100));
  // The answers to the start's own question are in, then those to this one.
  await moment();
  const reports = threads.reports();
  await moment();
  clock.advance(1_000);
  t.strictSame(
    (await reports).map(({ thread }) => thread),
    [1],
  );
  t.strictSame(states(threads), ['running', 'running'], 'late is not hung');
  clock.advance(4_000);
  t.strictSame(states(threads), ['silent', 'running']);
  const stopped = threads.stop(60_000);
  clock.advance(1);
  await stopped;
  t.equal(threads.alive, 0);
});

/** A daemon of two threads with faults on demand, and sessions through it until both threads have some. */
async function faulty(t: Test) {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const member = (server.address() as AddressInfo).port;
  const port = await freePort();
  const home = new DaemonHome(t);
  home.configure(
    [
      'proxy:',
      `  listeners: [{ name: a, bind: ["127.0.0.1:${port}"], pool: p }]`,
      `  pools: { p: { check: { type: none }, members: [{ name: m, address: 127.0.0.1, port: ${member} }] } }`,
    ].join('\n'),
  );
  const daemon = await home.start({
    env: { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'fault.ts')}` },
  });
  return { home, daemon, port };
}

async function openSession(t: Test, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write('hello');
  await once(socket, 'data');
  return socket;
}

t.test('a thread that throws: its sockets are closed, the other goes on, the next one serves', async (t) => {
  const { home, daemon, port } = await faulty(t);
  const before = descriptors(daemon.pid);
  const sessions: Socket[] = [];
  for (let i = 0; i < 24; i++) sessions.push(await openSession(t, port));
  daemon.kill('SIGWINCH');
  const restarts = async () => (await home.metrics()).get('v6edge_thread_restarts_total');
  await waitFor('a restart', async () => (await restarts()) === 1 && home.isReady());
  await waitFor('the sessions of that thread closed', () => sessions.some(({ closed }) => closed));
  const left = sessions.filter(({ closed }) => !closed);
  t.ok(left.length > 0 && left.length < 24, `${left.length} of 24 sessions go on`);
  const metrics = await home.metrics();
  t.equal(metrics.get('v6edge_proxy_sessions'), left.length);
  t.equal(metrics.get('v6edge_proxy_member_sessions{pool="p",member="m"}'), left.length);
  t.equal(metrics.get('v6edge_proxy_sessions_total{listener="a"}'), 24, 'what was counted stays');
  for (const socket of left) {
    socket.write('still?');
    t.match(String((await once(socket, 'data'))[0]), 'still?');
  }
  for (let i = 0; i < 12; i++) (await openSession(t, port)).destroy();
  for (const socket of left) socket.destroy();
  await waitFor('descriptors as before', () => descriptors(daemon.pid) <= before, {
    why: () => `${descriptors(daemon.pid)}, ${before} before`,
  });
  const [failure] = logged(daemon, /^data thread throws/);
  t.match(failure, { thread: 0, err: { message: 'a fault on demand' } });

  for (let i = 2; i <= 4; i++) {
    daemon.kill('SIGWINCH');
    await waitFor('a restart', async () => (await restarts()) === i && home.isReady());
  }
  t.strictSame(
    logged(daemon, /^data thread ended/).map(({ pauseMs }) => pauseMs),
    [0, 100, 200, 400],
  );
  t.ok(descriptors(daemon.pid) <= before, 'nothing is left behind');
  daemon.kill('SIGTERM');
  t.equal((await daemon.exited).code, 0);
});

t.test('a thread that hangs is noticed, and does not hold the stop up', async (t) => {
  const { home, daemon } = await faulty(t);
  daemon.kill('SIGURG');
  const { body } = await waitFor('readyz', async () => {
    const answer = await home.api('GET', '/readyz');
    return answer.status === 503 && answer;
  });
  t.match(body, 'thread data-0 is silent');
  const started = performance.now();
  daemon.kill('SIGTERM');
  t.equal((await daemon.exited).code, 0, daemon.output);
  t.ok(performance.now() - started < 5_000);
});

t.test('a fault in the control thread ends the process, with a line that says why', async (t) => {
  const { daemon } = await faulty(t);
  daemon.kill('SIGIO');
  t.equal((await daemon.exited).code, 1);
  t.match(logged(daemon, /^a fault of v6edge/), [
    { origin: 'unhandledRejection', err: { message: 'a fault on demand' } },
  ]);
});

t.test('a thread that ends with its sockets open takes the process with it: nobody would answer them', async (t) => {
  const { daemon, port } = await faulty(t);
  await openSession(t, port);
  daemon.kill('SIGPWR');
  t.equal((await daemon.exited).code, 1);
  t.match(logged(daemon, /^a fault of v6edge/), [
    { err: { code: 'V6_THREAD_LOST', message: /^data thread 0 ended with code 1 and its sockets open/ } },
  ]);
});
