import dgram from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { COUNT, GAUGE } from '../../../src/dns/counters.ts';
import { parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { FLAG, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { Bench, FakeUpstream, query, reply, type Seen, settings } from '../peers.ts';
import { good, nsOf, silent } from './upstream-replies.ts';

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = value;
  return copy;
}

t.test('one upstream that misbehaves, another that does not: who asked never notices', async (t) => {
  const cases: { name: string; behaviour: (seen: Seen) => Uint8Array | Uint8Array[] | undefined }[] = [
    { name: 'silent', behaviour: silent },
    { name: 'SERVFAIL', behaviour: ({ message }) => reply(message, { rcode: RCODE.SERVFAIL }) },
    { name: 'REFUSED', behaviour: ({ message }) => reply(message, { rcode: RCODE.REFUSED }) },
    {
      name: 'a referral',
      behaviour: ({ message }) => reply(message, { flags: FLAG.QR, authority: [nsOf('test', 'ns.test')] }),
    },
    { name: 'wrong id', behaviour: (seen) => changed(good(seen), 0, good(seen)[0]! ^ 1) },
    { name: 'wrong question', behaviour: (seen) => changed(good(seen), 13, 0x7a) },
    { name: 'another type', behaviour: (seen) => changed(good(seen), 20, TYPE.TXT) },
    { name: 'not a response', behaviour: (seen) => changed(good(seen), 2, 1) },
    { name: 'cut off', behaviour: (seen) => good(seen).subarray(0, 30) },
    { name: 'broken after the question', behaviour: (seen) => changed(good(seen), 7, 9) },
    { name: 'three bytes', behaviour: () => Uint8Array.of(1, 2, 3) },
    { name: 'TC by TCP too', behaviour: ({ message }) => reply(message, { flags: FLAG.QR | FLAG.TC }) },
  ];
  for (const { name, behaviour } of cases) {
    const bad = await FakeUpstream.start(t, behaviour);
    const fine = await FakeUpstream.start(t, good);
    const bench = await Bench.start(t, { upstreams: [bad.config, fine.config] });
    t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] }, name);
    t.ok(bad.seen.length > 0, 'the first was asked');
    t.equal(fine.seen.length, 1);
    t.equal(bench.counters.gauge(GAUGE.IN_FLIGHT), 0);
  }
});

t.test('a forged reply before the true one is not believed', async (t) => {
  const upstream = await FakeUpstream.start(t, (seen) => [
    changed(good(seen), 0, good(seen)[0]! ^ 0xff),
    changed(good(seen), 13, 0x7a),
    good(seen),
  ]);
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.match(await bench.ask('a.test'), { answers: [{ type: TYPE.AAAA }] });
  t.equal(bench.counters.get(COUNT.UPSTREAM_UNMATCHED), 2);
});

t.test('nobody listens there: the next at once, and the port is not asked until a probe is answered', async (t) => {
  const fine = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, {
    upstreams: [await FakeUpstream.closedPort(t), fine.config],
    forward: { timeoutMs: 5000 },
  });
  const start = performance.now();
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  t.ok(performance.now() - start < 150, 'before any timeout');
  await bench.ask('b.test');
  t.match(bench.engine.upstreams(), [{ state: 'down', reason: 'connection refused', failures: 1 }, { state: 'up' }]);
  t.match(
    bench.log.lines.find(({ level }) => level === 'warn'),
    { message: 'upstream is down' },
  );
});

t.test('silence: SERVFAIL within the whole timeout; then at once; up again by a probe', async (t) => {
  const upstream = await FakeUpstream.start(t, silent);
  const bench = await Bench.start(t, { upstreams: [upstream.config], forward: { timeoutMs: 300 } });
  let start = performance.now();
  t.equal((await bench.ask('a.test')).rcode, RCODE.SERVFAIL);
  t.ok(performance.now() - start < 600, 'in time');
  for (const name of ['b.test', 'c.test', 'd.test']) {
    if (bench.engine.upstreams()[0]!.state !== 'down') await bench.ask(name);
  }
  t.match(bench.engine.upstreams(), [{ state: 'down', reason: 'no answers' }]);
  start = performance.now();
  t.equal((await bench.ask('e.test')).rcode, RCODE.SERVFAIL);
  t.ok(performance.now() - start < 100, 'no waiting while all are down');
  upstream.behaviour = good;
  while (bench.engine.upstreams()[0]!.state !== 'up') await new Promise((resolve) => setTimeout(resolve, 20));
  t.match(await bench.ask('f.test'), { rcode: RCODE.NOERROR });
  t.ok(
    upstream.seen.some(({ message }) => message.questions[0]!.type === TYPE.NS),
    'it was probed',
  );
});

t.test('a failure is remembered for a moment (RFC 9520)', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { rcode: RCODE.SERVFAIL }));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  for (let i = 0; i < 3; i++) t.equal((await bench.ask('a.test')).rcode, RCODE.SERVFAIL);
  t.equal(upstream.seen.length, 1);
});

t.test('an upstream that forwards to us: our own query is known when it comes back', async (t) => {
  const fine = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { upstreams: [fine.config] });
  const own = { transport: 'udp' as const, endpoint: bench.engine.listening[0]!.bound!, serverName: undefined };
  bench.engine.apply(settings({ upstreams: [own, fine.config], forward: { timeoutMs: 2000 } }));
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR, answers: [{}] }, 'the other upstream answers');
  const looped = () => bench.counters.get(COUNT.UPSTREAM_LOOPED);
  // On a busy machine the other one may have been asked, and have answered, before.
  while (looped() === 0) await new Promise((resolve) => setImmediate(resolve));
  const before = looped();
  // The kernel may have given the port of our UDP socket to somebody's TCP, which is an error of its own.
  t.match(
    bench.log.lines.find(({ message }) => /came back/.test(message)),
    { level: 'error', fields: { name: /^a\.test$/i } },
  );
  // One that takes the cookie away and gives its own, but leaves the letters as they are.
  const relay = await FakeUpstream.start(t, ({ bytes }) => {
    const without = Buffer.from(bytes.subarray(0, bytes.length - 12 - 11));
    without[11] = 0;
    bench.send(without);
    return undefined;
  });
  bench.engine.apply(settings({ upstreams: [relay.config], forward: { timeoutMs: 2000 } }));
  const name = 'long.enough.to.be.known.by.its.letters.test';
  t.equal((await bench.ask(name)).rcode, RCODE.SERVFAIL);
  t.ok(looped() > before, 'known by the case of its letters');
});

t.test('an upstream that goes while questions wait for it twice: each is answered once', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, silent);
  const fine = await FakeUpstream.start(t, good);
  const options = { clock, forward: { timeoutMs: 20_000 } };
  const bench = await Bench.start(t, { ...options, upstreams: [upstream.config] });
  const sent = async (count: number) => {
    while (bench.counters.get(COUNT.UPSTREAM_SENT) < count) await nextTurn();
  };
  const first = bench.ask('a.test');
  await sent(1);
  clock.advance(200);
  const second = bench.ask('b.test');
  await sent(2);
  // The first has no answer for the first time and then again, the second once between: the upstream is down.
  for (let passed = 0; bench.engine.upstreams()[0]!.state !== 'down'; passed += 10) {
    t.ok(passed < 5000);
    clock.advance(10);
  }
  t.equal((await first).rcode, RCODE.SERVFAIL);
  t.equal(bench.counters.gauge(GAUGE.IN_FLIGHT), 1, 'the second, asked twice, waits on');
  bench.engine.apply(settings({ ...options, upstreams: [] }));
  t.equal((await second).rcode, RCODE.SERVFAIL);
  t.equal(bench.counters.gauge(GAUGE.IN_FLIGHT), 0);
  bench.engine.apply(settings({ ...options, upstreams: [fine.config] }));
  t.match(await bench.ask('c.test'), { rcode: RCODE.NOERROR }, 'who waited may ask again');
});

t.test('more questions than may wait: the oldest that had its chance makes room', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, silent);
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config], forward: { timeoutMs: 5000 } });
  // One client alone may not have so many waiting.
  const clients = await Promise.all(
    [2, 3, 4, 5, 6].map(async (last) => {
      const socket = dgram.createSocket('udp4');
      t.teardown(() => void socket.close());
      const got: Buffer[] = [];
      socket.on('message', (bytes) => void got.push(bytes));
      socket.bind(0, `127.0.0.${last}`);
      await once(socket, 'listening');
      return { socket, got };
    }),
  );
  const bursts = 41;
  for (let burst = 0; burst < bursts; burst++) {
    for (const [i, { socket }] of clients.entries()) {
      for (let j = 0; j < 20; j++) socket.send(query(`n${burst}.${i}.${j}.test`, { id: j }), bench.port, '127.0.0.1');
    }
    while (bench.counters.get(COUNT.UDP) < (burst + 1) * 100) await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(bench.counters.gauge(GAUGE.IN_FLIGHT), 4096);
  t.equal(bench.counters.get(COUNT.OVERLOAD), bursts * 100 - 4096, 'none had its chance yet');
  t.equal(bench.counters.get(COUNT.UPSTREAM_GIVEN_UP), 0);
  clock.advance(200);
  upstream.behaviour = good;
  t.match(await bench.ask('new.test'), { rcode: RCODE.NOERROR });
  t.equal(bench.counters.get(COUNT.UPSTREAM_GIVEN_UP), 1);
  const told = clients[0]!.got.map((bytes) => parseMessage(bytes));
  t.match(told[0], { id: 0, rcode: RCODE.SERVFAIL, questions: [{ name: nameFromText('n0.0.0.test') }] }, 'the oldest');
});

t.test('policies', async (t) => {
  const make = async () => [await FakeUpstream.start(t, good), await FakeUpstream.start(t, good)] as const;
  for (const [policy, shares] of [
    ['ordered', [40, 0]],
    ['roundrobin', [20, 20]],
  ] as const) {
    const [a, b] = await make();
    const bench = await Bench.start(t, { upstreams: [a.config, b.config], forward: { policy } });
    for (let i = 0; i < 40; i++) await bench.ask(`n${i}.test`);
    t.strictSame([a.seen.length, b.seen.length], shares, policy);
  }
  const [, fast] = await make();
  const slow = await FakeUpstream.start(t, silent);
  const bench = await Bench.start(t, { upstreams: [slow.config, fast.config], forward: { policy: 'fastest' } });
  for (let i = 0; i < 40; i++) await bench.ask(`n${i}.test`);
  t.equal(fast.seen.length, 40);
  t.ok(slow.seen.length <= 10, `the one that does not answer got ${slow.seen.length}`);
});
