import t from 'tap';
import { formatAddress, parseAddress, parseCidr } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import type { Dns64Config } from '../../../src/dns/config.ts';
import type { Message, ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { Bench, settings as benchSettings, type EngineOptions, FakeUpstream, reply, type Seen, soa } from '../peers.ts';

const PREFIX = '2001:db8:64::/96';
const dns64 = (parts: Partial<Dns64Config> = {}): EngineOptions['settings'] => ({
  dns64: { mode: 'synthesize', prefix: parseCidr(PREFIX), exclude: [], force: [], exempt: [], ...parts },
});

const record = (name: string, type: number, rdata: Uint8Array, ttl = 300): ResourceRecord => ({
  name: nameFromText(name),
  type,
  class: CLASS.IN,
  ttl,
  rdata,
});
const address = (name: string, text: string, ttl = 300) => {
  const { family, bytes } = parseAddress(text);
  return record(name, family === 4 ? TYPE.A : TYPE.AAAA, bytes, ttl);
};
const alias = (name: string, target: string) => record(name, TYPE.CNAME, nameFromText(target));
const signature = (name: string, covered: number) =>
  record(name, TYPE.RRSIG, Uint8Array.of(0, covered, ...new Array(40).fill(0)));
const nodata: Partial<Message> = { authority: [soa('example', 300, 120)] };

type World = Record<string, Partial<Message> | 'silent'>;

/** Answers by `name type`; what is not there does not exist. */
function world(entries: World): (seen: Seen) => Uint8Array | undefined {
  return ({ message }) => {
    const { name, type } = message.questions[0]!;
    const entry = entries[`${nameToText(name).toLowerCase()} ${type}`];
    if (entry === 'silent') return undefined;
    return reply(message, entry ?? { rcode: RCODE.NXDOMAIN, ...nodata });
  };
}

const shown = ({ answers }: Message) =>
  answers.map(({ type, rdata, ttl }) =>
    type === TYPE.A || type === TYPE.AAAA
      ? `${ttl} ${formatAddress({ family: type === TYPE.A ? 4 : 6, bytes: rdata })}`
      : `${ttl} TYPE${type} ${type === TYPE.CNAME || type === TYPE.PTR ? nameToText(rdata) : ''}`.trim(),
  );

interface Case {
  readonly name: string;
  readonly world: World;
  readonly settings?: Partial<Dns64Config>;
  readonly flags?: number;
  readonly do?: boolean;
  readonly answers: readonly string[];
  readonly rcode?: number;
}

const a = TYPE.A;
const aaaa = TYPE.AAAA;
const cases: Case[] = [
  {
    name: 'A alone: made of it, as long as the absence of AAAA is known (§5.1.7)',
    world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] } },
    answers: ['120 2001:db8:64::c000:201'],
  },
  {
    name: 'a shorter TTL of the A record counts',
    world: {
      [`x.example ${aaaa}`]: nodata,
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1', 30)] },
    },
    answers: ['30 2001:db8:64::c000:201'],
  },
  {
    name: 'no SOA: ten minutes at most',
    world: { [`x.example ${aaaa}`]: {}, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1', 9000)] } },
    answers: ['600 2001:db8:64::c000:201'],
  },
  {
    name: 'AAAA of its own: nothing made',
    world: {
      [`x.example ${aaaa}`]: { answers: [address('x.example', '2001:db8::1')] },
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] },
    },
    answers: ['300 2001:db8::1'],
  },
  { name: 'a name that does not exist stays so (§5.1.2)', world: {}, answers: [], rcode: RCODE.NXDOMAIN },
  { name: 'neither: NODATA', world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: nodata }, answers: [] },
  {
    name: 'SERVFAIL for AAAA concerns AAAA alone (§5.1.2)',
    world: {
      [`x.example ${aaaa}`]: { rcode: RCODE.SERVFAIL },
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] },
    },
    answers: ['300 2001:db8:64::c000:201'],
  },
  {
    name: 'no answer for AAAA either (§5.1.3)',
    world: {
      [`x.example ${aaaa}`]: 'silent',
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] },
    },
    answers: ['300 2001:db8:64::c000:201'],
  },
  {
    name: 'SERVFAIL for both',
    world: { [`x.example ${aaaa}`]: { rcode: RCODE.SERVFAIL }, [`x.example ${a}`]: { rcode: RCODE.SERVFAIL } },
    answers: [],
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'aliases are kept whole (§5.1.5)',
    world: {
      [`x.example ${aaaa}`]: { answers: [alias('x.example', 'y.example')], ...nodata },
      [`x.example ${a}`]: { answers: [alias('x.example', 'y.example'), address('y.example', '192.0.2.1')] },
    },
    answers: ['300 TYPE5 y.example', '120 2001:db8:64::c000:201'],
  },
  {
    name: 'IPv4-mapped AAAA records do not count (§5.1.4)',
    world: {
      [`x.example ${aaaa}`]: { answers: [address('x.example', '::ffff:192.0.2.9')] },
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] },
    },
    answers: ['300 2001:db8:64::c000:201'],
  },
  {
    name: 'excluded AAAA beside a good one: left out',
    settings: { exclude: [parseCidr('2001:db8:bad::/48')] },
    world: {
      [`x.example ${aaaa}`]: {
        answers: [address('x.example', '2001:db8:bad::1'), address('x.example', '2001:db8::1')],
      },
    },
    answers: ['300 2001:db8::1'],
  },
  {
    name: 'excluded A records are not made into anything',
    settings: { exclude: [parseCidr('192.0.2.0/24')] },
    world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] } },
    answers: [],
  },
  {
    name: 'the well-known prefix takes no private address',
    settings: { prefix: parseCidr('64:ff9b::/96') },
    world: {
      [`x.example ${aaaa}`]: nodata,
      [`x.example ${a}`]: { answers: [address('x.example', '198.51.100.1'), address('x.example', '8.8.8.8')] },
    },
    answers: ['120 64:ff9b::808:808'],
  },
  {
    name: 'DO alone: made, without signatures of what is no longer there (§5.5)',
    do: true,
    world: {
      [`x.example ${aaaa}`]: nodata,
      [`x.example ${a}`]: {
        flags: FLAG.QR | FLAG.RA | FLAG.AD,
        answers: [address('x.example', '192.0.2.1'), signature('x.example', TYPE.A)],
      },
    },
    answers: ['120 2001:db8:64::c000:201'],
  },
  {
    name: 'DO and CD: a client that validates gets what there is (§5.5)',
    do: true,
    flags: FLAG.RD | FLAG.CD,
    world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] } },
    answers: [],
  },
  {
    name: 'forced: AAAA of its own is left aside',
    settings: { force: ['example'] },
    world: {
      [`x.example ${aaaa}`]: { answers: [address('x.example', '2001:db8::1')] },
      [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] },
    },
    answers: ['300 2001:db8:64::c000:201'],
  },
  {
    name: 'forced and without A: better its own than none',
    settings: { force: ['example'] },
    world: { [`x.example ${aaaa}`]: { answers: [address('x.example', '2001:db8::1')] }, [`x.example ${a}`]: nodata },
    answers: ['300 2001:db8::1'],
  },
  {
    name: 'exempt, nearer than forced',
    settings: { force: ['example'], exempt: ['x.example'] },
    world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] } },
    answers: [],
  },
  {
    name: 'mode upstream makes nothing',
    settings: { mode: 'upstream' },
    world: { [`x.example ${aaaa}`]: nodata, [`x.example ${a}`]: { answers: [address('x.example', '192.0.2.1')] } },
    answers: [],
  },
];

t.test('AAAA', async (t) => {
  for (const {
    name,
    world: entries,
    settings,
    flags = FLAG.RD,
    do: dnssecOk,
    answers,
    rcode = RCODE.NOERROR,
  } of cases) {
    const upstream = await FakeUpstream.start(t, world(entries));
    const bench = await Bench.start(t, { upstreams: [upstream.config], settings: dns64(settings)! });
    const edns = { udpSize: 1232, do: dnssecOk ?? false };
    for (const round of ['asked', 'cached']) {
      const got = await bench.ask('x.example', { flags, edns });
      // From the cache it may be a second older.
      const compare = (line: string) => (round === 'asked' ? line : line.replace(/^\d+ /, ''));
      t.strictSame(shown(got).map(compare), answers.map(compare), `${name}: ${round}`);
      t.equal(got.rcode, rcode);
      t.equal(got.flags & FLAG.AD, 0);
      t.equal(got.questions[0]!.type, TYPE.AAAA);
    }
  }
});

t.test('PTR of an address with IPv4 in it is an alias (§5.3.1)', async (t) => {
  const upstream = await FakeUpstream.start(
    t,
    world({
      [`4.4.8.8.in-addr.arpa ${TYPE.PTR}`]: {
        answers: [record('4.4.8.8.in-addr.arpa', TYPE.PTR, nameFromText('x.example'))],
      },
    }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: dns64()! });
  const nibbles = Buffer.from(parseAddress('2001:db8:64::808:404').bytes).toString('hex').split('').reverse();
  const got = await bench.ask(`${nibbles.join('.')}.ip6.arpa`, { type: TYPE.PTR });
  t.strictSame(shown(got), ['300 TYPE5 4.4.8.8.in-addr.arpa', '300 TYPE12 x.example']);
  nibbles[31] = '3';
  t.equal(
    (await bench.ask(`${nibbles.join('.')}.ip6.arpa`, { type: TYPE.PTR })).rcode,
    RCODE.NXDOMAIN,
    'others are asked',
  );
});

t.test('what Unbound’s own DNS64 scenario asks, and expects', async (t) => {
  const zone: Partial<Message> = { authority: [soa('example.com', 300, 5)] };
  const entries: World = {
    [`www.example.com ${a}`]: { answers: [address('www.example.com', '10.20.30.40')] },
    [`ip4.example.com ${aaaa}`]: zone,
    [`ip4.example.com ${a}`]: { answers: [address('ip4.example.com', '5.6.7.8')] },
    [`ip6.example.com ${aaaa}`]: { answers: [address('ip6.example.com', '1:2:3::4')] },
    [`ip6ignore.example.com ${aaaa}`]: { answers: [address('ip6ignore.example.com', '1:2:3::4')] },
    [`ip6ignore.example.com ${a}`]: { answers: [address('ip6ignore.example.com', '5.6.7.8')] },
    [`broken.example.com ${aaaa}`]: zone,
    [`broken.example.com ${a}`]: {
      answers: [address('broken.example.com', '5.6.7.8'), record('broken.example.com', a, Uint8Array.of(3, 4, 5))],
    },
    [`8.7.6.5.in-addr.arpa ${TYPE.PTR}`]: {
      answers: [record('8.7.6.5.in-addr.arpa', TYPE.PTR, nameFromText('ip4.example.com'))],
    },
  };
  const upstream = await FakeUpstream.start(t, world(entries));
  const rebind = { protect: true, allow: ['www.example.com'] };
  const settings = dns64({ prefix: parseCidr('64:ff9b::/96'), force: ['ip6ignore.example.com'] })!;
  const bench = await Bench.start(t, { upstreams: [upstream.config], forward: { rebind }, settings });
  const reverse = '8.0.7.0.6.0.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa';
  const steps: [what: string, name: string, type: number, answers: readonly string[]][] = [
    ['A as ever', 'www.example.com', a, ['300 10.20.30.40']],
    ['AAAA made of A', 'ip4.example.com', aaaa, ['5 64:ff9b::506:708']],
    ['AAAA of its own', 'ip6.example.com', aaaa, ['300 1:2:3::4']],
    [
      'PTR (Unbound gives the record alone)',
      reverse,
      TYPE.PTR,
      ['300 TYPE5 8.7.6.5.in-addr.arpa', '300 TYPE12 ip4.example.com'],
    ],
    ['A records one of which is broken: nothing is made of any', 'broken.example.com', aaaa, []],
    ['AAAA of its own, to be ignored', 'ip6ignore.example.com', aaaa, ['300 64:ff9b::506:708']],
  ];
  for (const [what, name, type, answers] of steps) {
    const got = await bench.ask(name, { type });
    t.equal(got.rcode, RCODE.NOERROR, what);
    t.strictSame(shown(got), answers);
    t.equal(got.flags, FLAG.QR | FLAG.RD | FLAG.RA);
    if (answers.length === 0) t.match(got.authority, [{ type: TYPE.SOA }], 'NODATA says for how long');
  }
});

t.test('who synthesizes answers ipv4only.arpa himself (RFC 8880)', async (t) => {
  const upstream = await FakeUpstream.start(t, world({}));
  const options = { upstreams: [upstream.config], settings: dns64()! };
  const bench = await Bench.start(t, options);
  t.strictSame(shown(await bench.ask('ipv4only.arpa', { type: a })), ['86400 192.0.0.170', '86400 192.0.0.171']);
  t.strictSame(shown(await bench.ask('IPv4only.arpa')), ['600 2001:db8:64::c000:aa', '600 2001:db8:64::c000:ab']);
  t.equal((await bench.ask('x.ipv4only.arpa')).rcode, RCODE.NXDOMAIN);
  t.strictSame(shown(await bench.ask('170.0.0.192.in-addr.arpa', { type: TYPE.PTR })), ['86400 TYPE12 ipv4only.arpa']);
  t.equal(upstream.seen.length, 0, 'nobody is asked');
  bench.engine.apply(benchSettings({ ...options, settings: dns64({ prefix: parseCidr('fd00:64::/96') })! }));
  t.strictSame(shown(await bench.ask('ipv4only.arpa')), ['600 fd00:64::c000:aa', '600 fd00:64::c000:ab']);
  bench.engine.apply(benchSettings({ ...options, settings: dns64({ mode: 'upstream' })! }));
  while (bench.engine.dns64Status().upstreams === 'unknown') await new Promise((r) => setImmediate(r));
  t.equal((await bench.ask('ipv4only.arpa')).rcode, RCODE.NXDOMAIN, 'who does not, asks those who do');
});

t.test('PTR of an address with a private IPv4 one in it: nothing leaves the house', async (t) => {
  const upstream = await FakeUpstream.start(t, world({}));
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: dns64()! });
  const reverse = (ipv6: string) =>
    `${Buffer.from(parseAddress(ipv6).bytes).toString('hex').split('').reverse().join('.')}.ip6.arpa`;
  const gone = await bench.ask(reverse('2001:db8:64::a00:1'), { type: TYPE.PTR });
  t.strictSame(shown(gone), ['600 TYPE5 1.0.0.10.in-addr.arpa']);
  t.match(gone, { rcode: RCODE.NXDOMAIN, authority: [{ type: TYPE.SOA }] });
  const known = await bench.ask(reverse('2001:db8:64::192.0.0.170'), { type: TYPE.PTR });
  t.strictSame(shown(known), ['600 TYPE5 170.0.0.192.in-addr.arpa', '86400 TYPE12 ipv4only.arpa']);
  t.equal(upstream.seen.length, 0);
});

t.test('the prefix is found, followed when it changes, and kept while nobody answers (RFC 7050)', async (t) => {
  const clock = new FakeClock();
  const entries: World = {
    [`ipv4only.arpa ${aaaa}`]: {
      answers: [
        address('ipv4only.arpa', '64:ff9b::192.0.0.170', 90),
        address('ipv4only.arpa', '64:ff9b::192.0.0.171', 90),
      ],
    },
    [`x.example ${aaaa}`]: nodata,
    [`x.example ${a}`]: { answers: [address('x.example', '8.8.8.8')] },
  };
  const upstream = await FakeUpstream.start(t, world(entries));
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config], settings: dns64({ prefix: 'auto' })! });
  const until = async (prefixes: readonly string[]) => {
    while (bench.engine.dns64Status().prefixes.join() !== prefixes.join()) await new Promise((r) => setImmediate(r));
  };
  t.match(bench.engine.dns64Status(), { mode: 'synthesize', upstreams: 'unknown', prefixes: [] });
  await until(['64:ff9b::/96']);
  t.equal(bench.engine.dns64Status().upstreams, 'yes');
  t.strictSame(shown(await bench.ask('x.example')), ['120 64:ff9b::808:808']);
  entries[`ipv4only.arpa ${aaaa}`] = {
    answers: [address('ipv4only.arpa', 'fd00::192.0.0.170'), address('ipv4only.arpa', 'fd00::192.0.0.171')],
  };
  clock.advance(90_000);
  await until(['fd00::/96']);
  t.strictSame(shown(await bench.ask('x.example')), ['120 fd00::808:808'], 'what was cached with the old one is gone');
  await upstream.stop();
  clock.advance(300_000);
  while (bench.engine.dns64Status().upstreams !== 'unanswered') await new Promise((r) => setImmediate(r));
  t.strictSame(bench.engine.dns64Status().prefixes, ['fd00::/96']);
});

t.test('mode upstream: whether they do is known', async (t) => {
  const upstream = await FakeUpstream.start(t, world({ [`ipv4only.arpa ${aaaa}`]: nodata }));
  const bench = await Bench.start(t, {
    upstreams: [upstream.config],
    settings: dns64({ mode: 'upstream', prefix: 'auto' })!,
  });
  while (bench.engine.dns64Status().upstreams === 'unknown') await new Promise((r) => setImmediate(r));
  t.match(bench.engine.dns64Status(), { upstreams: 'no', prefixes: [] });
});
