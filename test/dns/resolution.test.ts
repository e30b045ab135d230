import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import type { DnsSettings } from '../../src/dns/snapshot.ts';
import { type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { CLASS, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { UdpSocket } from '../../src/linux/udp.ts';
import { aaaa, askedName, Bench, FakeUpstream, query, reply, type Seen, settings, soa, zone } from './peers.ts';

const edns = { udpSize: 1232 };
const EXTENDED_ERROR = 15;

/** The extended error of a reply (RFC 8914 §2). */
function errorOf({ edns: opt }: Message): number | undefined {
  const option = opt?.options.find(({ code }) => code === EXTENDED_ERROR);
  return option === undefined ? undefined : Buffer.from(option.data).readUInt16BE();
}

const good = ({ message }: Seen) => reply(message, { answers: [aaaa(askedName(message), 1)] });
const fixed = (text: string) => {
  const { family, bytes } = parseAddress(text);
  const record = { name: nameFromText('a.test'), type: family === 4 ? TYPE.A : TYPE.AAAA, class: CLASS.IN };
  return ({ message }: Seen) => reply(message, { answers: [{ ...record, ttl: 300, rdata: bytes }] });
};

t.test('private addresses from outside are refused (DNS rebinding)', async (t) => {
  const cases: { address: string; settings?: Partial<DnsSettings>; allow?: string[]; passes: boolean }[] = [
    { address: '10.0.0.1', passes: false },
    { address: '127.0.0.1', passes: false },
    { address: '192.168.1.1', passes: false },
    { address: '172.31.0.1', passes: false },
    { address: 'fd00::1', passes: false },
    { address: 'fe80::1', passes: false },
    { address: '::1', passes: false },
    { address: '::ffff:10.0.0.1', passes: false },
    { address: '172.32.0.1', passes: true },
    { address: '2001:db8::1', passes: true },
    { address: 'fd00::1', allow: ['test'], passes: true },
    { address: 'fd00::1', allow: ['b.test'], passes: false },
    {
      address: 'fd00:64::808:808',
      settings: { dns64: { mode: 'upstream', prefix: parseCidr('fd00:64::/96'), exclude: [], force: [], exempt: [] } },
      passes: true,
    },
  ];
  for (const { address, settings: extra = {}, allow = [], passes } of cases) {
    const upstream = await FakeUpstream.start(t, fixed(address));
    const forward = { rebind: { protect: true, allow } };
    const bench = await Bench.start(t, { upstreams: [upstream.config], forward, settings: extra });
    const type = address.includes(':') ? TYPE.AAAA : TYPE.A;
    const answer = await bench.ask('a.test', { type, edns });
    t.equal(answer.answers.length, passes ? 1 : 0, `${address} ${passes ? 'passes' : 'does not'}`);
    t.equal(errorOf(answer), passes ? undefined : 15, 'EDE 15, Blocked');
  }
  const upstream = await FakeUpstream.start(t, fixed('fd00::1'));
  const other = await FakeUpstream.start(t, fixed('fd00::2'));
  const bench = await Bench.start(t, {
    upstreams: [upstream.config],
    forward: { domains: [{ domain: 'test', upstreams: [other.config] }] },
  });
  t.equal((await bench.ask('a.test')).answers.length, 1, 'an upstream that is there for the domain may');
});

t.test('private addresses in service bindings too (RFC 9460)', async (t) => {
  const hint = (key: number, ...octets: number[]) => [0, key, 0, octets.length, ...octets];
  const cases: [name: string, rdata: number[], passes: boolean][] = [
    ['no hints', [0, 1, 0, ...hint(3, 1, 187)], true],
    ['a public one', [0, 1, 0, ...hint(4, 8, 8, 8, 8)], true],
    ['a private one', [0, 1, 0, ...hint(4, 10, 0, 0, 1)], false],
    ['a private one behind a public one', [0, 1, 0, ...hint(4, 8, 8, 8, 8, 10, 0, 0, 1)], false],
    ['a private IPv6 one', [0, 1, 0, ...hint(3, 1, 187), ...hint(6, 0xfd, ...new Array(15).fill(0))], false],
    ['cut off', [0, 1, 0, 0, 4, 0, 9, 8, 8, 8, 8], true],
    ['cut off behind a private one', [0, 1, 0, 0, 4, 0, 9, 10, 8, 8, 8], false],
    ['no target', [0, 1, 63], true],
  ];
  for (const [name, rdata, passes] of cases) {
    const record = { name: nameFromText('a.test'), type: TYPE.HTTPS, class: CLASS.IN, ttl: 60 };
    const upstream = await FakeUpstream.start(t, ({ message }) =>
      reply(message, { answers: [{ ...record, rdata: Uint8Array.from(rdata) }] }),
    );
    const bench = await Bench.start(t, { upstreams: [upstream.config] });
    t.equal((await bench.ask('a.test', { type: TYPE.HTTPS })).answers.length, passes ? 1 : 0, name);
  }
});

t.test('a name that does not exist has no records of any type (RFC 2308 §5)', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    askedName(message).length > 8
      ? reply(message, {
          rcode: RCODE.NXDOMAIN,
          answers: [
            { ...soa('x'), name: message.questions[0]!.name, type: TYPE.CNAME, rdata: nameFromText('no.test') },
          ],
          authority: [soa('test', 60, 60)],
        })
      : reply(message, { rcode: RCODE.NXDOMAIN, authority: [soa('test', 60, 60)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config] });
  await bench.ask('no.test', { type: TYPE.A });
  clock.advance(20_000);
  for (const type of [TYPE.AAAA, TYPE.HTTPS, TYPE.TXT]) {
    const answer = await bench.ask('NO.test', { type, edns });
    t.match(answer, { rcode: RCODE.NXDOMAIN, questions: [{ type }], authority: [{ ttl: 40 }] });
    t.strictSame(answer.questions[0]!.name, nameFromText('NO.test'));
  }
  t.equal(upstream.seen.length, 1);
  await bench.ask('no.test', { type: TYPE.AAAA, edns: { udpSize: 1232, do: true } });
  t.equal(upstream.seen.length, 2, 'a client that validates wants the proof');
  await bench.ask('below.no.test', { type: TYPE.A });
  t.equal(upstream.seen.length, 3, 'what is below is asked for: servers that get empty non-terminals wrong are about');
  await bench.ask('below.no.test', { type: TYPE.AAAA });
  t.equal(upstream.seen.length, 4, 'an alias to what does not exist does exist');
  clock.advance(41_000);
  await bench.ask('no.test', { type: TYPE.AAAA });
  t.equal(upstream.seen.length, 5, 'no longer than it is known');
});

t.test('conditional forwarding: the nearest domain counts', async (t) => {
  const named =
    (last: number) =>
    ({ message }: Seen) =>
      reply(message, { answers: [aaaa(askedName(message), last)] });
  const [all, office, deep] = await Promise.all([1, 2, 3].map((last) => FakeUpstream.start(t, named(last))));
  const bench = await Bench.start(t, {
    upstreams: [all!.config],
    forward: {
      domains: [
        { domain: 'office.test', upstreams: [office!.config] },
        { domain: 'deep.office.test', upstreams: [deep!.config] },
        { domain: '10.in-addr.arpa', upstreams: [office!.config] },
      ],
    },
  });
  const cases = { 'a.test': 1, 'notoffice.test': 1, 'OFFICE.test': 2, 'a.b.office.test': 2, 'x.deep.Office.test': 3 };
  for (const [name, last] of Object.entries(cases)) t.equal((await bench.ask(name)).answers[0]!.rdata[15], last, name);
  const seen = office!.seen.length;
  await bench.ask('1.0.0.10.in-addr.arpa', { type: TYPE.PTR });
  t.equal(office!.seen.length, seen + 1, 'a domain with upstreams of its own is no local zone');
  t.equal(bench.engine.upstreams().length, 3);
});

t.test('names nobody outside needs to hear of (RFC 6761, RFC 6303)', async (t) => {
  const upstream = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const gone = [
    'x.invalid',
    'x.onion',
    '1.0.0.10.in-addr.arpa',
    '1.1.168.192.in-addr.arpa',
    '1.0.20.172.in-addr.arpa',
    '5.6.7.100.100.in-addr.arpa',
    `${'0.'.repeat(28)}d.f.ip6.arpa`,
    'x.home.arpa',
  ];
  for (const name of gone) {
    const answer = await bench.ask(name, { type: TYPE.PTR });
    t.match(answer, { rcode: RCODE.NXDOMAIN, authority: [{ type: TYPE.SOA }] }, name);
  }
  for (const name of ['localhost', 'x.localhost']) {
    t.equal((await bench.ask(name)).answers[0]!.rdata[15], 1);
    t.strictSame([...(await bench.ask(name, { type: TYPE.A })).answers[0]!.rdata], [127, 0, 0, 1], name);
  }
  t.equal(upstream.seen.length, 0);
  await bench.ask('1.0.32.172.in-addr.arpa', { type: TYPE.PTR });
  t.equal(upstream.seen.length, 1, 'a public one is asked for');
  const rrset = { type: TYPE.PTR, ttl: 60, rdata: [nameFromText('n1.test')] };
  const owner = nameFromText('1.0.0.10.in-addr.arpa');
  const apex = soa('10.in-addr.arpa');
  bench.engine.setZone({
    name: apex.name,
    rrsets: [
      { owner: apex.name, rrset: { type: TYPE.SOA, ttl: 60, rdata: [apex.rdata] } },
      { owner, rrset },
    ],
  });
  t.match(
    await bench.ask('1.0.0.10.in-addr.arpa', { type: TYPE.PTR }),
    { answers: [{ type: TYPE.PTR }] },
    'a zone of ours',
  );
  bench.engine.apply(settings({ upstreams: [upstream.config] }));
  t.match(await bench.ask('1.0.0.10.in-addr.arpa', { type: TYPE.PTR }), { answers: [{}] }, 'new settings leave it');
  bench.engine.removeZone(apex.name);
  t.match(await bench.ask('1.0.0.10.in-addr.arpa', { type: TYPE.PTR }), { rcode: RCODE.NXDOMAIN }, 'local again');
});

t.test('hairpin: names of our ingress have the private address inside', async (t) => {
  const upstream = await FakeUpstream.start(t, good);
  const hairpin = { ingressDomains: ['example.org'], addresses: [parseAddress('fd00::8'), parseAddress('10.0.0.8')] };
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { hairpin } });
  for (const name of ['example.org', 'WWW.example.org']) {
    for (const round of ['made', 'cached']) {
      const answer = await bench.ask(name);
      t.strictSame(answer.answers[0]!.rdata, parseAddress('fd00::8').bytes, `${name} ${round}`);
      t.strictSame((await bench.ask(name, { type: TYPE.A })).answers[0]!.rdata, parseAddress('10.0.0.8').bytes);
      t.match(await bench.ask(name, { type: TYPE.HTTPS }), { rcode: RCODE.NOERROR, answers: [] }, 'no hints beside');
    }
  }
  const { name, rdata } = soa('own.test');
  const cname = { type: TYPE.CNAME, ttl: 60, rdata: [nameFromText('www.example.org')] };
  bench.engine.setZone({
    name,
    rrsets: [
      { owner: name, rrset: { type: TYPE.SOA, ttl: 60, rdata: [rdata] } },
      { owner: nameFromText('app.own.test'), rrset: cname },
    ],
  });
  const aliased = await bench.ask('app.own.test');
  t.match(aliased, { flags: 0x8580, answers: [{ type: TYPE.CNAME }, { type: TYPE.AAAA }] }, 'by an alias of ours too');
  t.equal(upstream.seen.length, 0);
  await bench.ask('_acme-challenge.example.org', { type: TYPE.TXT });
  await bench.ask('example.orgs');
  t.equal(upstream.seen.length, 2, 'everything else is asked for');
  bench.engine.apply(settings({ upstreams: [upstream.config] }));
  t.equal((await bench.ask('example.org')).answers[0]!.rdata[0], 0x20, 'as outside once it is switched off');
});

t.test('an alias of ours keeps its name while what it leads to is asked for', async (t) => {
  let asked = 0;
  const upstream = await FakeUpstream.start(t, (seen) => {
    // Meanwhile another message takes the place of the one with the question.
    if (++asked === 1) other.send(query('another-name.own.test'));
    return asked === 1 ? undefined : good(seen);
  });
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const other = UdpSocket.connect(parseAddress('127.0.0.1'), bench.port);
  t.teardown(() => other.close());
  const cname = { type: TYPE.CNAME, ttl: 60, rdata: [nameFromText('www.example.org')] };
  const own = zone('own.test', []);
  bench.engine.setZone({ ...own, rrsets: [...own.rrsets, { owner: nameFromText('app.own.test'), rrset: cname }] });
  const { answers } = await bench.ask('app.own.test');
  t.strictSame(
    answers.map(({ name }) => nameToText(name)),
    ['app.own.test', 'www.example.org'],
  );
});

t.test('an alias of ours leads to a stale answer when there is no other (RFC 8767)', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, (seen) =>
    askedName(seen.message).toLowerCase().startsWith('none')
      ? reply(seen.message, { rcode: RCODE.NXDOMAIN, authority: [soa('example.org', 10, 10)] })
      : good(seen),
  );
  const options = { clock, upstreams: [upstream.config], forward: { timeoutMs: 10_000 } };
  const bench = await Bench.start(t, { ...options, cache: { serveStaleSeconds: 3600 } });
  const own = zone('own.test', []);
  const aliases = ['www', 'none', 'new'].map((to) => ({
    owner: nameFromText(`${to}.own.test`),
    rrset: { type: TYPE.CNAME, ttl: 60, rdata: [nameFromText(`${to}.example.org`)] },
  }));
  bench.engine.setZone({ ...own, rrsets: [...own.rrsets, ...aliases] });
  await bench.ask('www.own.test');
  await bench.ask('none.own.test');
  clock.advance(301_000);
  upstream.behaviour = () => undefined;
  const asked = bench.exchange(query('www.own.test', { edns }));
  while (upstream.seen.length < 3) await nextTurn();
  clock.advance(1800);
  t.equal(errorOf(parseMessage(await asked)), 3, 'after 1.8 s of silence');
  await upstream.stop();
  const stale = await bench.ask('www.own.test', { edns });
  t.match(stale, {
    rcode: RCODE.NOERROR,
    answers: [
      { type: TYPE.CNAME, ttl: 60 },
      { type: TYPE.AAAA, ttl: 30 },
    ],
  });
  t.equal(errorOf(stale), 3, 'Stale Answer');
  const absent = await bench.ask('none.own.test', { edns });
  t.match(absent, { rcode: RCODE.NXDOMAIN, answers: [{ type: TYPE.CNAME }] });
  t.equal(errorOf(absent), 19, 'Stale NXDOMAIN');
  t.match(await bench.ask('new.own.test', { edns }), { rcode: RCODE.SERVFAIL, answers: [] }, 'never known');
  t.match(bench.engine.upstreams(), [{ state: 'down' }]);
  t.match(await bench.ask('www.own.test'), { rcode: RCODE.NOERROR }, 'and while all are known to be down');
});

t.test('extended errors (RFC 8914) say why', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    message.questions[0]!.name.length > 8
      ? reply(message, { rcode: RCODE.NXDOMAIN, authority: [soa('test', 10, 10)] })
      : reply(message, { answers: [aaaa(askedName(message), 1, 10)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config], cache: { serveStaleSeconds: 3600 } });
  t.equal(errorOf(await bench.ask('a.test', { edns })), undefined);
  await bench.ask('nothing.test', { edns });
  t.equal(errorOf(await bench.ask('c.test', { edns, flags: 0 })), 20, 'Not Authoritative: RD=0');
  t.equal(errorOf(await bench.ask('version.bind', { edns, class: CLASS.CH, type: TYPE.TXT })), 21, 'Not Supported');
  upstream.behaviour = ({ message }) => reply(message, { rcode: RCODE.SERVFAIL });
  t.match(errorOf(await bench.ask('d.test', { edns })), 23, 'Network Error: an error from upstream');
  t.equal(errorOf(await bench.ask('d.test', { edns })), 13, 'Cached Error');
  await upstream.stop();
  clock.advance(11_000);
  t.equal(errorOf(await bench.ask('a.test', { edns })), 3, 'Stale Answer');
  t.equal(errorOf(await bench.ask('nothing.test', { edns })), 19, 'Stale NXDOMAIN');
  t.equal(errorOf(await bench.ask('e.test', { edns })), 22, 'No Reachable Authority: all are down');
  t.equal((await bench.ask('f.test')).edns, undefined, 'nothing for a client without EDNS');
  bench.engine.apply(settings({ settings: { allow: [] } }));
  t.equal(errorOf(await bench.ask('a.test', { edns })), 18, 'Prohibited');
});

t.test('a stale answer after 1.8 s of silence (RFC 8767 §5)', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, good);
  const options = { clock, upstreams: [upstream.config], forward: { timeoutMs: 10_000 } };
  const bench = await Bench.start(t, { ...options, cache: { serveStaleSeconds: 3600 } });
  await bench.ask('a.test');
  clock.advance(301_000);
  upstream.behaviour = () => undefined;
  const asked = bench.exchange(query('a.test', { edns }));
  while (upstream.seen.length < 2) await nextTurn();
  clock.advance(1799);
  for (let i = 0; i < 20; i++) await nextTurn();
  let answered = false;
  void asked.then(() => {
    answered = true;
  });
  t.equal(answered, false);
  clock.advance(1);
  t.ok(await asked);
});

t.test('settings that change leave upstreams that stay, and questions under way, alone', async (t) => {
  const slow = await FakeUpstream.start(t, () => undefined);
  const fine = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { upstreams: [fine.config, slow.config], forward: { timeoutMs: 5000 } });
  await bench.ask('a.test');
  const before = bench.engine.upstreams()[0]!;
  bench.engine.apply(settings({ upstreams: [slow.config, fine.config], forward: { timeoutMs: 4000 } }));
  t.match(bench.engine.upstreams()[1], { name: before.name, state: 'up', rttMs: before.rttMs, answered: 1 });
  const asked = bench.ask('b.test');
  while (slow.seen.length === 0) await nextTurn();
  bench.engine.apply(settings({ upstreams: [fine.config] }));
  t.equal((await asked).rcode, RCODE.NOERROR, 'asked of the upstream that is left');
  t.equal(bench.engine.upstreams().length, 1);
});

t.test(
  'the case of letters: drawn at random, demanded once it is known to be kept, left alone where it is not',
  async (t) => {
    const name = 'some.long.name.test';
    const keeping = await FakeUpstream.start(t, good);
    const bench = await Bench.start(t, { upstreams: [keeping.config] });
    for (let i = 0; i < 10; i++) await bench.ask(`n${i}.${name}`);
    const texts = new Set(keeping.seen.map(({ bytes }) => bytes.subarray(15, 15 + name.length).toString('latin1')));
    t.ok(texts.size > 5, `${texts.size} ways to write it`);
    // A forger who knows everything but the case.
    keeping.behaviour = (seen) => {
      const forged = Buffer.from(good(seen));
      for (let i = 12; i < 12 + name.length; i++) if (forged[i]! > 0x40) forged[i]! ^= 0x20;
      return [forged, reply(seen.message, { answers: [aaaa(askedName(seen.message), 7)] })];
    };
    t.equal((await bench.ask(`forged.${name}`)).answers[0]!.rdata[15], 7, 'the true one is taken');
    const lowering = await FakeUpstream.start(t, (seen) => {
      const lower = Buffer.from(good(seen));
      for (let i = 12; i < 12 + name.length; i++) if (lower[i]! > 0x40) lower[i]! |= 0x20;
      return lower;
    });
    const other = await Bench.start(t, { upstreams: [lowering.config] });
    for (let i = 0; i < 5; i++) t.equal((await other.ask(`n${i}.${name}`)).rcode, RCODE.NOERROR);
    t.equal(lowering.seen.length, 5, 'none asked twice');
    t.strictSame(
      (await other.ask(`X.${name}`)).questions[0]!.name,
      nameFromText(`X.${name}`),
      'the client sees what it wrote',
    );
  },
);

t.test('a loop ends by itself', async (t) => {
  const bench = await Bench.start(t, { upstreams: [] });
  const endpoint = bench.engine.listening[0]!.bound!;
  const upstreams = [{ transport: 'udp' as const, endpoint, serverName: undefined }];
  bench.engine.apply(settings({ upstreams, forward: { timeoutMs: 500 } }));
  t.equal((await bench.ask('a.test')).rcode, RCODE.SERVFAIL);
  t.ok(bench.engine.upstreams()[0]!.sent <= 8, 'after a few tries');
});
