import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT } from '../../src/dns/counters.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { dig } from './engine-queries.ts';
import {
  aaaa,
  askedName,
  Bench,
  FakeUpstream,
  frame,
  query,
  readFrames,
  reply,
  settings,
  soa,
  txt,
  zone,
} from './peers.ts';

t.test(
  'rate limit: names that do not exist are one answer, however many they are; who is exempt has no limit',
  async (t) => {
    const upstream = await FakeUpstream.start(t, ({ message }) =>
      reply(message, { rcode: RCODE.NXDOMAIN, authority: [soa('away.test')] }),
    );
    const clock = new FakeClock();
    const limited = { responsesPerSecond: 10, slip: 1 };
    const options = { clock, upstreams: [upstream.config], settings: { rateLimit: limited } };
    const bench = await Bench.start(t, options);
    const made = [
      aaaa('*.one.own.test', 1),
      aaaa('*.two.own.test', 2),
      { ...aaaa('d.own.test', 0), type: TYPE.DNAME, rdata: nameFromText('elsewhere.example') },
    ];
    bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), ...made]));
    const truncated = async (name: string, flags: number = FLAG.RD) =>
      ((await bench.ask(name, { flags })).flags & FLAG.TC) !== 0;
    const random = async (below: string, count: number, flags?: number) => {
      let slipped = 0;
      for (let i = 0; i < count; i++) if (await truncated(`r${i}.${below}`, flags)) slipped++;
      return slipped;
    };
    t.equal(await random('own.test', 30), 20, 'anew');
    t.equal(await random('own.test', 30), 30, 'from the cache');
    t.equal(await truncated('a.own.test'), false, 'a name that exists has its own share');
    t.equal(await random('one.own.test', 30), 20, 'what a wildcard makes is one answer');
    t.equal(await random('one.own.test', 30), 30, 'from the cache too');
    t.equal(await random('two.own.test', 30), 20, 'that of another is another');
    t.equal(await random('d.own.test', 30, 0), 20, 'and what a DNAME makes');
    t.equal(await random('away.test', 30), 0, 'what upstreams say only goes to who may ask them: name by name');
    bench.engine.apply(
      settings({ ...options, settings: { rateLimit: { ...limited, exempt: [parseCidr('127.0.0.0/8')] } } }),
    );
    t.equal(await random('own.test', 60), 0, 'exempt');
  },
);

t.test('rate limit: the rate is answered, then every second comes back truncated', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock, settings: { rateLimit: { responsesPerSecond: 10, slip: 2 } } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const got: number[] = [];
  for (let i = 0; i < 10; i++) got.push((await bench.ask('a.own.test')).answers.length);
  t.strictSame(got, new Array(10).fill(1));
  const slipped = [];
  for (let i = 0; i < 3; i++) {
    bench.send(query('a.own.test'));
    slipped.push((await bench.ask('a.own.test')).flags & FLAG.TC);
  }
  t.strictSame(slipped, new Array(3).fill(FLAG.TC), 'of two one is dropped, one sent to TCP');
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), aaaa('b.own.test', 2)]));
  t.equal((await bench.ask('b.own.test')).answers.length, 1, 'another name has its own share');
  t.match([bench.counters.get(COUNT.RATE_LIMITED), bench.counters.get(COUNT.SLIPPED)], [3, 3]);
  clock.advance(1000);
  t.equal((await bench.ask('a.own.test')).answers.length, 1);
  t.match(await dig(bench, '+tcp', '+short', 'a.own.test', 'AAAA'), /2001:db8::1/, 'TCP is not limited');
});

t.test('a client that asks too much: dropped by UDP, refused by TCP', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock, settings: { clientLimit: { queriesPerSecond: 2 } } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  for (let i = 0; i < 2; i++) t.equal((await bench.ask('a.own.test')).answers.length, 1);
  bench.send(query('a.own.test'));
  const socket = await bench.connect(t);
  const answer = new Promise<Buffer>((resolve) => readFrames(socket, (bytes) => resolve(Buffer.from(bytes))));
  socket.write(frame(query('a.own.test', { edns: { udpSize: 1232 } })));
  t.match(parseMessage(await answer), { rcode: RCODE.REFUSED, edns: { options: [{ code: 15 }] } });
  t.equal(bench.counters.get(COUNT.CLIENT_LIMITED), 2);
  clock.advance(1000);
  t.equal((await bench.ask('a.own.test')).answers.length, 1);
});

t.test('version and identity: what is configured, to who may ask', async (t) => {
  const bench = await Bench.start(t, { settings: { identity: { version: 'v6edge', id: '' } } });
  const chaos = { class: CLASS.CH, type: TYPE.TXT };
  const told = await bench.ask('VERSION.bind', { ...chaos, edns: { udpSize: 1232 } });
  t.match(told, { rcode: RCODE.NOERROR, flags: FLAG.QR | FLAG.AA | FLAG.RD, answers: [{ class: CLASS.CH, ttl: 0 }] });
  t.equal(Buffer.from(told.answers[0]!.rdata).toString('latin1'), '\x06v6edge');
  t.equal((await bench.ask('version.server', { ...chaos, type: TYPE.ANY })).answers.length, 1);
  t.match(await bench.ask('version.bind', { ...chaos, type: TYPE.A }), { rcode: RCODE.NOERROR, answers: [] });
  t.equal((await bench.ask('id.server', chaos)).rcode, RCODE.REFUSED, 'not configured');
  t.equal(
    (await bench.ask('version.bind', { type: TYPE.TXT })).rcode,
    RCODE.REFUSED,
    'in class IN it is a name like others',
  );
  t.match(await dig(bench, '+short', 'version.bind', 'TXT', 'CH'), /^"v6edge"$/m);
  bench.engine.apply(settings({ settings: { identity: { version: 'v6edge', id: 'edge-1' }, allow: [] } }));
  t.equal((await bench.ask('id.server', chaos)).rcode, RCODE.REFUSED, 'nor to others');
});

t.test('cookies (RFC 7873): given to who asks, and who shows one is not limited', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const rateLimit = { responsesPerSecond: 2, slip: 0 };
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { rateLimit } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('fits.own.test', 450)]));
  const withCookie = (name: string, cookie: string, type: number = TYPE.AAAA) =>
    Buffer.concat([query(name, { type, edns: { udpSize: 512 } }).subarray(0, -2), optionOf(cookie)]);
  const client = '0102030405060708';
  const cookieOf = (bytes: Uint8Array) => {
    const { edns } = parseMessage(bytes);
    return Buffer.from(edns!.options.find(({ code }) => code === 10)!.data).toString('hex');
  };
  const given = cookieOf(await bench.exchange(withCookie('a.own.test', client)));
  t.match(given, new RegExp(`^${client}01000000[0-9a-f]{24}$`));
  t.equal(cookieOf(await bench.exchange(withCookie('a.test', client))).length, 48, 'with an answer that took its time');
  for (let i = 0; i < 10; i++) await bench.exchange(withCookie('a.own.test', given));
  t.equal(bench.counters.get(COUNT.RATE_LIMITED), 0, 'ten, at two a second');
  const malformed = parseMessage(await bench.exchange(withCookie('b.own.test', `${client}00`)));
  t.equal(malformed.rcode, RCODE.FORMERR, 'of nine octets');
  const long = await bench.exchange(withCookie('fits.own.test', given, TYPE.TXT));
  t.ok(long.length <= 512, 'room for the cookie is kept');
  t.equal(parseMessage(long).flags & FLAG.TC, FLAG.TC);
  const wrong = given.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  for (let i = 0; i < 5; i++) bench.send(withCookie('a.own.test', wrong));
  t.match(await dig(bench, '+cookie', 'other.own.test', 'AAAA'), /COOKIE: [0-9a-f]{48} \(good\)/, 'dig checks it');
  const alone = await dig(bench, '+header-only', '+cookie');
  t.match(
    alone,
    /status: NOERROR[\s\S]*QUERY: 0, ANSWER: 0[\s\S]*COOKIE: [0-9a-f]{48} \(good\)/,
    'without a question (§5.4)',
  );
  t.ok(bench.counters.get(COUNT.RATE_LIMITED) >= 2, 'one that is wrong counts for nothing');
});

/** The end of an OPT record: its length, and a cookie. */
function optionOf(cookie: string): Buffer {
  const data = Buffer.from(cookie, 'hex');
  const bytes = Buffer.from([0, data.length + 4, 0, 10, 0, data.length]);
  return Buffer.concat([bytes, data]);
}
