/** Sessions that wait: for the first checks, for a member that is up, for a place. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { memberGaugeBase } from '../../src/proxy/counters.ts';
import type { MemberSnapshot } from '../../src/proxy/snapshot.ts';
import {
  freePort,
  Harness,
  harnessFor,
  listener,
  member,
  naming,
  outcome,
  pool,
  serve,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

t.test('before the first check has ended clients wait for it', async (t) => {
  const upstream = await naming('m1').listen();
  t.teardown(() => upstream.close());
  for (const [state, result] of [
    ['up', { data: Buffer.from('m1'), code: undefined }],
    ['down', { data: Buffer.alloc(0), code: 'ECONNRESET' }],
  ] as const) {
    const port = await freePort();
    const harness = new Harness();
    t.teardown(() => harness.close());
    const apply = (now: MemberSnapshot['state'], pending: boolean) =>
      harness.engine.apply(
        snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port, { state: now })], { pending })]),
      );
    apply('down', true);
    const end = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.engine.sessions()[0]?.state === 'waiting', 'the client to wait');
    apply(state, false);
    t.match(await end, result, state);
  }
});

t.test('waiting until one is up', async (t) => {
  const upstream = await naming('m1').listen();
  t.teardown(() => upstream.close());
  const down = member('m1', upstream.port, { state: 'down' });
  const { harness, port, update } = await serve(t, [down], { listener: { whenEmpty: 'wait' } });
  const client = net.connect(port, '127.0.0.1');
  client.write('patient');
  const end = outcome(client);
  const gone = net.connect(port, '127.0.0.1');
  await until(() => harness.engine.sessions().filter(({ state }) => state === 'waiting').length === 2, 'both waiting');
  gone.resetAndDestroy();
  t.match(await harness.session(), { cause: 'client aborted in the queue', state: 'CQ' });
  update([{ ...down, state: 'up' }]);
  t.match(await end, { data: Buffer.from('m1') });
  t.equal(upstream.received[0]!.toString(), 'patient');
});

t.test('who waits until one is up holds nobody up who is to be told at once', async (t) => {
  const upstream = await naming('m1').listen();
  t.teardown(() => upstream.close());
  const patient = await freePort();
  const hasty = await freePort();
  const harness = harnessFor(t);
  const apply = (state: MemberSnapshot['state'], more: Partial<MemberSnapshot> = {}) =>
    harness.engine.apply(
      snapshot(
        [
          listener(`127.0.0.1:${patient}`, { name: 'patient', whenEmpty: 'wait' }),
          listener(`127.0.0.1:${hasty}`, { name: 'hasty', slot: 1 }),
        ],
        [pool([member('m1', upstream.port, { state, ...more })])],
      ),
    );
  apply('down');
  const waits = [outcome(net.connect(patient, '127.0.0.1')), outcome(net.connect(patient, '127.0.0.1'))];
  await until(() => harness.engine.sessions().length === 2, 'both to wait');
  t.equal((await outcome(net.connect(hasty, '127.0.0.1'))).code, 'ECONNRESET');
  t.match(await harness.session(), { listener: 'hasty', cause: 'no member is up' });
  apply('up');
  for (const end of waits) t.match(await end, { data: Buffer.from('m1') });
});

t.test('whoever waits for a place is told at once when no member is left', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const m1 = member('m1', upstream.port, { maxConnections: 1 });
  const { harness, port, update } = await serve(t, [m1], { pool: { onMarkedDown: 'keep' } });
  const first = net.connect(port, '127.0.0.1');
  t.teardown(() => first.destroy());
  await once(first, 'data');
  const ends = Array.from({ length: 3 }, () => outcome(net.connect(port, '127.0.0.1')));
  await until(() => harness.engine.sessions().filter(({ state }) => state === 'waiting').length === 3, 'three to wait');
  update([{ ...m1, state: 'down' }]);
  for (const end of ends) t.equal((await end).code, 'ECONNRESET');
  t.strictSame(
    harness.sessions.map(({ cause }) => cause),
    Array(3).fill('no member is up'),
  );
});

t.test('who waits in vain for a member is told that none was up, whoever waited before', async (t) => {
  const { harness, port } = await serve(t, [member('m1', 1, { state: 'down' })], {
    listener: { whenEmpty: 'wait' },
    pool: { queue: { timeoutMs: 200, length: 10 } },
  });
  await Promise.all([1, 2, 3].map(() => outcome(net.connect(port, '127.0.0.1'))));
  t.strictSame(
    harness.sessions.map(({ cause, state }) => `${cause} ${state}`),
    Array(3).fill('no member is up SC'),
  );
});

t.test('a member whose connect failed is tried again by whoever waits for another', async (t) => {
  const busy = await new Upstream((socket) => socket.write('busy')).listen();
  const port1 = await freePort();
  t.teardown(() => busy.close());
  // m1 restarts: it refuses at first.
  const { harness, port } = await serve(t, [member('m1', port1), member('m2', busy.port, { maxConnections: 1 })], {
    pool: { balance: 'first' },
  });
  const holder = net.connect(port, '127.0.0.1');
  t.teardown(() => holder.destroy());
  await once(holder, 'data');
  const second = outcome(net.connect(port, '127.0.0.1'));
  const third = outcome(net.connect(port, '127.0.0.1'));
  await until(() => harness.engine.sessions().filter(({ state }) => state === 'waiting').length === 2, 'two to wait');
  const back = await naming('m1').listen('127.0.0.1', port1);
  t.teardown(() => back.close());
  t.match(await second, { data: Buffer.from('m1') });
  t.match(await third, { data: Buffer.from('m1') });
});

t.test('a crowd that waits, and a member that cannot even be connected to', async (t) => {
  // The kernel refuses it at once: a group has no TCP (tcp_v4_connect, ENETUNREACH).
  const nobody = member('m1', 80, { address: '224.0.0.1', state: 'down' });
  const crowd = 300;
  const { harness, port, update } = await serve(t, [nobody], {
    listener: { whenEmpty: 'wait', backlog: crowd },
    snapshot: { timeouts: { ...timeouts, connectMs: 100 } },
  });
  const ends = Array.from({ length: crowd }, () => outcome(net.connect(port, '127.0.0.1')));
  await until(() => harness.engine.sessions().length === crowd, 'the crowd');
  await until(() => harness.engine.sessions().every(({ state }) => state === 'waiting'), 'all of it to wait');
  update([{ ...nobody, state: 'up' }]);
  await Promise.all(ends);
  t.equal(harness.sessions.filter(({ cause, retries }) => cause === 'connect failed' && retries === 3).length, crowd);
  t.equal(harness.counters.gauge(memberGaugeBase(1)), 0, 'no place is held');
});

t.test('those who wait behind one whose connect failed have their own tries', async (t) => {
  const refusing = member('m1', await freePort(), { maxConnections: 1 });
  const { harness, port, update } = await serve(t, [{ ...refusing, state: 'down' }], {
    listener: { whenEmpty: 'wait' },
    snapshot: { timeouts: { ...timeouts, connectMs: 100 } },
  });
  const ends = Array.from({ length: 6 }, () => outcome(net.connect(port, '127.0.0.1')));
  await until(() => harness.engine.sessions().length === 6, 'all of them');
  update([refusing]);
  await Promise.all(ends);
  t.strictSame(
    harness.sessions.map(({ cause, retries }) => `${cause} ${retries}`),
    Array(6).fill('connect failed 3'),
  );
});

t.test('waiting for a place, in turn, with a bounded queue and time', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port, { maxConnections: 1 })], {
    pool: { queue: { timeoutMs: 300, length: 2 } },
  });
  const first = net.connect(port, '127.0.0.1');
  await once(first, 'data');
  const second = net.connect(port, '127.0.0.1');
  await until(() => harness.engine.sessions().length === 2, 'the second');
  const third = outcome(net.connect(port, '127.0.0.1'));
  await until(() => harness.engine.sessions().length === 3, 'the third');
  t.equal((await outcome(net.connect(port, '127.0.0.1'))).code, 'ECONNRESET');
  t.match(await harness.session(), { cause: 'queue full' });
  first.destroy();
  upstream.sockets[0]!.end();
  await once(second, 'data');
  t.equal(upstream.sockets.length, 2);
  t.equal((await third).code, 'ECONNRESET', 'waited too long');
  t.match(await harness.session(3), { cause: 'queue timed out', state: 'sQ' });
  second.destroy();
});
