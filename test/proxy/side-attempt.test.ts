/** Connects beside one that has no answer: who gets the session, and what is left when it is over. */
import net from 'node:net';
import t from 'tap';
import { MemberCounter, memberCounterBase, memberGaugeBase } from '../../src/proxy/counters.ts';
import {
  blackHole,
  freePort,
  type Harness,
  member,
  naming,
  openDescriptors,
  outcome,
  serve,
  silentPort,
  timeouts,
  until,
} from './harness.ts';

t.test('a connect that has no answer', async (t) => {
  const slow = { snapshot: { timeouts: { ...timeouts, connectMs: 5000, attemptDelayMs: 100 } } };
  const place = (harness: Harness, slot: number) => harness.counters.gauge(memberGaugeBase(slot));

  await t.test(
    'another member is tried beside it; others pass the silent one over, but for one at a time',
    async (t) => {
      const upstream = await naming('m2').listen();
      t.teardown(() => upstream.close());
      const members = [member('m1', await blackHole(t)), member('m2', upstream.port)];
      const { harness, port, update } = await serve(t, members, slow);
      const ask = async () => t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('m2') });
      await Promise.all(Array.from({ length: 10 }, ask));
      await until(() => harness.sessions.length === 10, '10 log lines');
      const late = harness.sessions.filter(({ retries }) => retries === 1);
      t.equal(late.length, 5, 'those whose turn it was');
      t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.connectTimeouts), 5);
      t.match(harness.events.at(-1), { kind: 'connect-failed', member: 'm1', code: 'ETIMEDOUT' });
      const since = performance.now();
      for (let i = 0; i < 20; i++) await ask();
      await until(() => harness.sessions.length === 30, '30 log lines');
      const waited = harness.sessions.slice(10).filter(({ retries }) => retries !== 0);
      t.ok(waited.length <= (performance.now() - since) / 1000, `${waited.length} waited`);
      t.same([place(harness, 1), place(harness, 2)], [0, 0]);

      update([{ ...members[0]!, state: 'down' }, members[1]!]);
      const back = await naming('m1').listen();
      t.teardown(() => back.close());
      update([member('m1', back.port), members[1]!]);
      const names = new Set<string>();
      for (let i = 0; i < 4; i++) names.add((await outcome(net.connect(port, '127.0.0.1'))).data.toString());
      t.same([...names].sort(), ['m1', 'm2'], 'as its checks say: it is used at once');
    },
  );

  await t.test('the one that was silent answers first after all', async (t) => {
    const first = await silentPort(t);
    const { harness, port } = await serve(t, [member('m1', first.port), member('m2', await blackHole(t))], slow);
    const client = net.connect(port, '127.0.0.1');
    t.teardown(() => client.destroy());
    await until(() => place(harness, 1) === 1 && place(harness, 2) === 1, 'both to be tried');
    first.accept();
    await until(() => harness.engine.sessions()[0]?.state === 'relaying', 'the kernel to try again');
    t.match(harness.engine.sessions(), [{ member: 'm1' }]);
    t.same([place(harness, 1), place(harness, 2)], [1, 0], 'the other is let go');
    t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.connectTimeouts), 0);
  });

  await t.test('the next beside it refuses: the one after that is tried at once', async (t) => {
    const upstream = await naming('m3').listen();
    t.teardown(() => upstream.close());
    const members = [member('m1', await blackHole(t)), member('m2', await freePort()), member('m3', upstream.port)];
    const { harness, port } = await serve(t, members, slow);
    t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('m3') });
    t.match(await harness.session(), { retries: 2, member: 'm3', cause: 'done' });
    t.equal(harness.counters.get(memberCounterBase(2) + MemberCounter.connectErrors), 1);
    t.same([place(harness, 1), place(harness, 2), place(harness, 3)], [0, 0, 0]);
  });

  await t.test('the first goes down: the one beside it takes its place', async (t) => {
    const second = await silentPort(t);
    const members = [member('m1', await blackHole(t)), member('m2', second.port)];
    const { harness, port, update } = await serve(t, members, slow);
    const client = net.connect(port, '127.0.0.1');
    t.teardown(() => client.destroy());
    await until(() => place(harness, 1) === 1 && place(harness, 2) === 1, 'both to be tried');
    update([{ ...members[0]!, state: 'down' }, members[1]!]);
    t.match(harness.engine.sessions(), [{ member: 'm2', state: 'connecting' }]);
    t.equal(place(harness, 1), 0);
    second.accept();
    await until(() => harness.engine.sessions()[0]?.state === 'relaying', 'the kernel to try again');
  });

  for (const how of ['down', 'maint', 'removed by force', 'down, with the first'] as const) {
    await t.test(`the one beside it is ${how}: it gets nobody any more`, async (t) => {
      const second = await silentPort(t);
      const members = [member('m1', await blackHole(t)), member('m2', second.port)];
      // Longer than the kernel takes to send a SYN again, which is answered then.
      const short = { snapshot: { timeouts: { ...timeouts, connectMs: 1500, attemptDelayMs: 100 } } };
      const { harness, port, update } = await serve(t, members, { ...short, pool: { retries: 1 } });
      const client = net.connect(port, '127.0.0.1');
      t.teardown(() => client.destroy());
      client.on('error', () => {});
      await until(() => place(harness, 1) === 1 && place(harness, 2) === 1, 'both to be tried');
      if (how === 'removed by force') {
        update([members[0]!]);
        t.equal(harness.engine.closeSessionsOf('pool', 'm2'), 0, 'the session is not with it');
      } else if (how === 'down, with the first') update(members.map((each) => ({ ...each, state: 'down' })));
      else update([members[0]!, { ...members[1]!, state: how }]);
      t.equal(place(harness, 2), 0, 'its place is given back at once');
      second.accept();
      const line = await harness.session();
      t.match(line, { member: 'm1', connectMs: undefined, state: how === 'down, with the first' ? 'SC' : 'sC' });
      t.equal(harness.counters.get(memberCounterBase(2) + MemberCounter.connectErrors), 0, 'no failure of its own');
      t.same([place(harness, 1), place(harness, 2)], [0, 0]);
    });
  }

  await t.test('all are silent, or the client goes: nothing is held', async (t) => {
    const members = [member('m1', await blackHole(t)), member('m2', await blackHole(t))];
    const short = { snapshot: { timeouts: { ...timeouts, connectMs: 300, attemptDelayMs: 100 } } };
    const { harness, port } = await serve(t, members, short);
    const before = openDescriptors();
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(), { retries: 2, cause: 'connect timed out', state: 'sC' });
    const gone = net.connect(port, '127.0.0.1');
    await until(() => place(harness, 1) === 1 && place(harness, 2) === 1, 'both to be tried');
    gone.resetAndDestroy();
    t.match(await harness.session(2), { state: 'CC' });
    t.same([place(harness, 1), place(harness, 2)], [0, 0]);
    await until(() => openDescriptors() <= before, 'every descriptor to be closed');
  });

  await t.test('no other member, no retries left, or told not to: it is waited for', async (t) => {
    for (const [name, more] of [
      ['alone', {}],
      ['no retries', { pool: { retries: 0 } }],
      [
        'told not to',
        { snapshot: { timeouts: { ...timeouts, connectMs: 300, attemptDelayMs: 0 } }, pool: { retries: 1 } },
      ],
    ] as const) {
      const hole = member('m1', await blackHole(t));
      const members = name === 'alone' ? [hole] : [hole, member('m2', await blackHole(t))];
      const short = { snapshot: { timeouts: { ...timeouts, connectMs: 300, attemptDelayMs: 50 } } };
      const { harness, port } = await serve(t, members, { ...short, ...more });
      const client = outcome(net.connect(port, '127.0.0.1'));
      await until(() => harness.events.some(({ kind }) => kind === 'connect-failed'), `${name}: that it is reported`);
      t.ok(place(harness, 1) + place(harness, 2) <= 1, `${name}: one at a time`);
      if (name !== 'alone') t.match(await client, { code: 'ECONNRESET' });
    }
  });
});
