import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import {
  ListenerCounter,
  listenerCounterBase,
  MemberCounter,
  memberCounterBase,
  memberGaugeBase,
} from '../../src/proxy/counters.ts';
import type { MemberSnapshot } from '../../src/proxy/snapshot.ts';
import { blackHole, freePort, member, naming, outcome, serve, timeouts, Upstream, until } from './harness.ts';

t.test('retries', async (t) => {
  t.test('a refused connect costs the client nothing', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const refusing = await freePort();
    const members = [member('m1', refusing), member('m2', upstream.port)];
    const { harness, port } = await serve(t, members);
    const since = performance.now();
    for (let i = 0; i < 20; i++) {
      const client = net.connect(port, '127.0.0.1');
      client.write('early bytes');
      t.match(await outcome(client), { data: Buffer.from('m2'), code: undefined });
    }
    await until(() => harness.sessions.length === 20, '20 log lines');
    t.ok(
      upstream.received.every((bytes) => bytes.toString() === 'early bytes'),
      'the early bytes arrived',
    );
    t.ok(harness.sessions.some((line) => line.retries === 1 && line.member === 'm2'));
    t.match(
      harness.events.filter((event) => event.kind === 'connect-failed'),
      [{ kind: 'connect-failed', pool: 'pool', member: 'm1', code: 'ECONNREFUSED' }],
    );
    const tries = harness.counters.get(memberCounterBase(1) + MemberCounter.connectErrors);
    const seconds = (performance.now() - since) / 1000;
    t.ok(
      tries >= 1 && tries <= 1 + seconds,
      `${tries} tries in ${seconds} s: it is passed over, but for one session a second`,
    );
    t.equal(harness.counters.gauge(memberGaugeBase(1)), 0, 'no place is held');
    t.equal(harness.counters.gauge(memberGaugeBase(2)), 0);
  });

  t.test('a member on an interface that is not there', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const absent = member('m1', 80, { address: 'fe80::1%absent0' });
    const members = [absent, member('m2', upstream.port)];
    const { harness, port } = await serve(t, members);
    for (let i = 0; i < 4; i++) {
      t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('m2'), code: undefined });
    }
    const failed = harness.events.filter(({ kind }) => kind === 'connect-failed');
    t.match(failed, [{ member: 'm1', code: 'ENODEV' }]);
    t.equal(harness.counters.gauge(memberGaugeBase(1)), 0);
  });

  t.test('a black hole costs the connect timeout', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const members = [member('m1', await blackHole(t)), member('m2', upstream.port)];
    const { harness, port } = await serve(t, members, { snapshot: { timeouts: { ...timeouts, connectMs: 200 } } });
    const started = performance.now();
    t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('m2') });
    const took = performance.now() - started;
    t.ok(took >= 190 && took < 600, `took ${took} ms`);
    t.match(await harness.session(), { retries: 1, member: 'm2', cause: 'done' });
    t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.connectTimeouts), 1);
  });

  t.test('the only member is tried again after a moment', async (t) => {
    const memberPort = await freePort();
    const options = { snapshot: { timeouts: { ...timeouts, connectMs: 150 } } };
    const { harness, port } = await serve(t, [member('m1', memberPort)], options);
    const client = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.events.some((event) => event.kind === 'connect-failed'), 'the first failure');
    const upstream = await naming('back').listen('127.0.0.1', memberPort);
    t.teardown(() => upstream.close());
    t.match(await client, { data: Buffer.from('back') });
    const { connectMs } = await harness.session();
    t.ok((connectMs as number) >= 140, `${connectMs} ms, not in a busy loop`);
  });

  t.test('all refused: the client is reset after the retries', async (t) => {
    const members = [member('m1', await freePort()), member('m2', await freePort())];
    const { harness, port } = await serve(t, members, { pool: { retries: 1 } });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(), { retries: 1, cause: 'connect failed', state: 'SC', member: 'm2' });
  });

  t.test('several members, all refusing: each is tried once, then the client is told', async (t) => {
    const members = [member('m1', await freePort()), member('m2', await freePort())];
    const { harness, port } = await serve(t, members, { pool: { retries: 5 } });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(), { retries: 2, cause: 'connect failed', state: 'SC' });
    t.equal(harness.events.filter((event) => event.kind === 'connect-failed').length, 2);
  });

  t.test('a member marked down while connects to it hang', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const hanging = member('m1', await blackHole(t));
    const { harness, port, update } = await serve(t, [hanging, member('m2', upstream.port, { weight: 0 })]);
    const client = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.counters.gauge(memberGaugeBase(1)) === 1, 'the connect');
    update([{ ...hanging, state: 'down' }, member('m2', upstream.port)]);
    t.match(await client, { data: Buffer.from('m2') });
    t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.connectErrors), 0, 'not held against it');
    t.strictSame(
      harness.events.filter((event) => event.kind === 'connect-failed'),
      [],
    );
  });

  t.test('a client that gives up while a connect hangs is noticed', async (t) => {
    const { harness, port } = await serve(t, [member('m1', await blackHole(t))]);
    const client = net.connect(port, '127.0.0.1');
    await until(() => harness.counters.gauge(memberGaugeBase(1)) === 1, 'the connect');
    client.resetAndDestroy();
    const line = await harness.session();
    t.match(line, { cause: 'client aborted before a member was connected', state: 'CC' });
    t.ok((line.totalMs as number) < 1000, `noticed after ${line.totalMs} ms`);
    t.equal(harness.counters.gauge(memberGaugeBase(1)), 0);
  });

  t.test('what a client said and its end, before a slow connect is done, arrive', async (t) => {
    const upstream = await new Upstream((socket) => socket.once('end', () => socket.end('heard'))).listen();
    t.teardown(() => upstream.close());
    const members = [member('m1', await blackHole(t)), member('m2', upstream.port)];
    const { port } = await serve(t, members, { snapshot: { timeouts: { ...timeouts, connectMs: 200 } } });
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const end = outcome(client);
    client.end('last words');
    t.match(await end, { data: Buffer.from('heard'), code: undefined });
    t.equal(upstream.received[0]!.toString(), 'last words');
  });

  t.test('a place that came late still gets the whole connect timeout', async (t) => {
    const hole = await blackHole(t);
    const options = { pool: { retries: 0 }, snapshot: { timeouts: { ...timeouts, connectMs: 300 } } };
    const { harness, port } = await serve(t, [member('m1', hole, { maxConnections: 1 })], options);
    for (let i = 0; i < 2; i++) net.connect(port, '127.0.0.1').on('error', () => {});
    const [first, second] = [await harness.session(1), await harness.session(2)];
    t.match(first, { cause: 'connect timed out' });
    t.match(second, { cause: 'connect timed out' });
    t.ok((second.totalMs as number) >= 590, `the second took ${second.totalMs} ms`);
  });
});

t.test('members', async (t) => {
  t.test('only members that are up, backups when no other is', async (t) => {
    const [one, two, spare] = [
      await naming('m1').listen(),
      await naming('m2').listen(),
      await naming('spare').listen(),
    ];
    t.teardown(() => {
      for (const each of [one, two, spare]) each.close();
    });
    const list = (first: MemberSnapshot['state'], second: MemberSnapshot['state']) => [
      member('m1', one.port, { state: first }),
      member('m2', two.port, { state: second }),
      member('m3', spare.port, { backup: true }),
    ];
    const { port, update } = await serve(t, list('up', 'up'));
    const ask = async () => (await outcome(net.connect(port, '127.0.0.1'))).data.toString();
    const asks = async () => [...new Set([await ask(), await ask(), await ask(), await ask()])].sort();
    t.same(await asks(), ['m1', 'm2']);
    update(list('down', 'up'));
    t.same(await asks(), ['m2']);
    update(list('drain', 'up'));
    t.same(await asks(), ['m2']);
    update(list('maint', 'down'));
    t.same(await asks(), ['spare']);
  });

  t.test('sessions of backups, when a member comes up that goes before them', async (t) => {
    const names = ['m1', 'near', 'far'];
    const upstreams = await Promise.all(names.map((name) => new Upstream((socket) => socket.write(name)).listen()));
    t.teardown(() => {
      for (const upstream of upstreams) upstream.close();
    });
    const list = (...states: MemberSnapshot['state'][]) =>
      names.map((name, i) => member(name, upstreams[i]!.port, { slot: i, state: states[i]!, backup: i > 0, tier: i }));
    for (const onMarkedUp of ['close-backups', 'keep'] as const) {
      const { harness, port, update } = await serve(t, list('down', 'down', 'up'), { pool: { onMarkedUp } });
      const begin = async () => {
        const client = net.connect(port, '127.0.0.1');
        const end = outcome(client);
        const [name] = (await once(client, 'data')) as [Buffer];
        t.teardown(() => client.destroy());
        return { name: name.toString(), end };
      };
      const far = await begin();
      update(list('down', 'up', 'up'));
      const near = await begin();
      update(list('up', 'up', 'up'));
      const first = await begin();
      update(list('up', 'down', 'up'));
      update(list('up', 'up', 'up'));
      t.strictSame([far.name, near.name, first.name], ['far', 'near', 'm1']);
      t.equal((await near.end).code, 'ECONNRESET', 'it went down at last');
      if (onMarkedUp === 'close-backups') {
        t.equal((await far.end).code, 'ECONNRESET');
        t.match(await harness.session(2), { cause: 'a member came up before this backup', state: 'UD' });
      }
      t.strictSame(
        harness.engine.sessions().map((session) => session.member),
        onMarkedUp === 'keep' ? ['far', 'm1'] : ['m1'],
        onMarkedUp,
      );
    }
  });

  t.test('sessions of a member marked down, drained, or in maintenance', async (t) => {
    for (const { state, onMarkedDown, code } of [
      { state: 'down', onMarkedDown: 'close', code: 'ECONNRESET' },
      { state: 'down', onMarkedDown: 'keep', code: undefined },
      { state: 'maint', onMarkedDown: 'close', code: 'ECONNRESET' },
      { state: 'maint', onMarkedDown: 'keep', code: undefined },
      { state: 'drain', onMarkedDown: 'close', code: undefined },
    ] as const) {
      const upstream = await new Upstream((socket) => socket.write('hello')).listen();
      const one = member('m1', upstream.port);
      const { harness, port, update } = await serve(t, [one], { pool: { onMarkedDown } });
      const client = net.connect(port, '127.0.0.1');
      await once(client, 'data');
      update([{ ...one, state }]);
      upstream.sockets[0]!.end();
      t.equal((await outcome(client)).code, code, `${state} ${onMarkedDown}`);
      t.match(await harness.session(), { cause: code === undefined ? 'done' : 'member marked down' });
      upstream.close();
    }
  });

  t.test('sessions of a member removed by force', async (t) => {
    const upstream = await new Upstream((socket) => socket.write('hello')).listen();
    t.teardown(() => upstream.close());
    const { harness, port, update } = await serve(t, [member('m1', upstream.port)]);
    const client = net.connect(port, '127.0.0.1');
    await once(client, 'data');
    update([]);
    t.equal(harness.engine.sessions().length, 1, 'the removal itself leaves them');
    t.equal(harness.engine.closeSessionsOf('pool', 'm2'), 0);
    t.equal(harness.engine.closeSessionsOf('pool', 'm1'), 1);
    t.equal((await outcome(client)).code, 'ECONNRESET');
    t.match(await harness.session(), { cause: 'closed by the operator', state: 'KD' });
  });

  t.test('none is up', async (t) => {
    for (const { whenEmpty, code } of [
      { whenEmpty: 'reset', code: 'ECONNRESET' },
      { whenEmpty: 'close', code: undefined },
    ] as const) {
      const { harness, port } = await serve(t, [member('m1', 1, { state: 'down' })], { listener: { whenEmpty } });
      t.same(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.alloc(0), code }, whenEmpty);
      t.match(await harness.session(), { cause: 'no member is up' });
      t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.noMember), 1);
    }
  });
});
