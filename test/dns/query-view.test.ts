import fc from 'fast-check';
import t from 'tap';
import { KEY_CD, KEY_DO } from '../../src/dns/cache.ts';
import { COUNT } from '../../src/dns/counters.ts';
import { QueryView } from '../../src/dns/query-view.ts';
import { Query, VERDICT } from '../../src/dns/wire/query.ts';
import { FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { query } from './peers.ts';

const START = 64;
const view = new QueryView(Buffer.alloc(4096));

function read(bytes: Uint8Array): number {
  view.bytes.fill(0xff);
  view.bytes.set(bytes, START);
  return view.read(START, bytes.length);
}

t.test('what is wrong is counted by what it is', async (t) => {
  const plain = query('a.test');
  const cases: [string, Uint8Array, number, number][] = [
    ['empty', new Uint8Array(0), VERDICT.DROP, COUNT.SHORT],
    ['eleven octets', plain.subarray(0, 11), VERDICT.DROP, COUNT.SHORT],
    ['a response', query('a.test', { flags: FLAG.QR }), VERDICT.DROP, COUNT.RESPONSE],
    ['a header alone', plain.subarray(0, 12), RCODE.FORMERR, COUNT.NAME],
    ['type and class missing', plain.subarray(0, plain.length - 4), RCODE.FORMERR, COUNT.NAME],
    ['half an OPT', query('a.test', { edns: { udpSize: 512 } }).subarray(0, -3), RCODE.FORMERR, COUNT.RECORDS],
  ];
  for (const [name, bytes, verdict, counter] of cases) {
    t.equal(read(bytes), verdict, name);
    t.equal(view.faultCounter(), counter, 'its counter');
  }
});

t.test('a plain query', async (t) => {
  t.equal(read(query('a.test', { flags: FLAG.RD | FLAG.CD | FLAG.AD })), RCODE.NOERROR);
  t.match(view, { questionLength: 12, class: 1, key: KEY_CD, recursionDesired: true, wantsAuthenticData: true });
  t.match(view, { edns: false, udpLimit: 512 });
  t.strictSame(view.copyQuestion(), query('a.test').subarray(12));
});

t.test('EDNS: the size within what everyone takes and what crosses any link', async (t) => {
  for (const [udpSize, limit] of [
    [0, 512],
    [512, 512],
    [1000, 1000],
    [1232, 1232],
    [65535, 1232],
  ] as const) {
    t.equal(read(query('a.test', { edns: { udpSize, do: true } })), RCODE.NOERROR);
    t.match(view, { edns: true, udpLimit: limit, key: KEY_DO, dnssecOk: true });
  }
});

t.test('without a question: a cookie is asked for, or nothing (RFC 7873 §5.4)', async (t) => {
  const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
  const header = '0001 0100 0000 0000 0000 0001';
  const opt = (options: string, ttl = '00000000') => {
    const length = hex(options).length.toString(16).padStart(4, '0');
    return `00 0029 04d0 ${ttl} ${length} ${options}`;
  };
  const cookie = '000a 0008 0102030405060708';
  t.equal(read(hex(header + opt(cookie))), RCODE.NOERROR);
  t.match(view, { questionLength: 0, edns: true, cookieLength: 8, udpLimit: 512 });
  const refused: [string, string][] = [
    ['no OPT', '0001 0100 0000 0000 0000 0000'],
    ['OPT without a cookie', header + opt('')],
    ['a cookie of seven octets', header + opt('000a 0007 01020304050607')],
    ['octets behind it', `${header}${opt(cookie)}00`],
    ['version 1', header + opt(cookie, '00010000')],
    ['cut off', (header + opt(cookie)).slice(0, -2)],
    ['an answer promised', '0001 0100 0000 0001 0000 0001' + opt(cookie)],
    ['two records promised', '0001 0100 0000 0000 0000 0002' + opt(cookie)],
  ];
  for (const [name, bytes] of refused) {
    t.equal(read(hex(bytes)), RCODE.FORMERR, name);
    t.equal(view.cookie, 0, 'and no cookie is made');
  }
});

t.test('names as long as they may be, and longer', async (t) => {
  const label = 'x'.repeat(63);
  t.equal(read(query(`${label}.${label}.${label}.${'x'.repeat(61)}`)), RCODE.NOERROR);
  t.equal(view.questionLength, 255 + 4);
  const long = Buffer.concat([
    query('.').subarray(0, 12),
    ...new Array<Buffer>(4).fill(Buffer.concat([Buffer.of(63), Buffer.alloc(63, 'x')])),
    Buffer.of(0, 0, 1, 0, 1),
  ]);
  t.equal(read(long), RCODE.FORMERR);
});

t.test('the short way reads as the long one does, whatever the bytes', async (t) => {
  const bases = [
    query('a.test'),
    query('www.example.test', { type: TYPE.A, edns: { udpSize: 1232, do: true } }),
    query('.', { type: TYPE.NS, flags: FLAG.CD }),
    query('test', { type: TYPE.AXFR }),
    Buffer.concat([query('a.test'), Buffer.from('00002904d000000000000800030004deadbeef', 'hex')]),
  ];
  bases[4]![11] = 1;
  const slow = new Query();
  const change = fc.tuple(fc.nat(60), fc.nat(255));
  const arbitrary = fc.record({
    base: fc.constantFrom(...bases),
    changes: fc.array(change, { maxLength: 3 }),
    cut: fc.nat(4),
  });
  let plain = 0;
  fc.assert(
    fc.property(arbitrary, ({ base, changes, cut }) => {
      const bytes = Uint8Array.from(base.subarray(0, base.length - (cut === 4 ? 1 : 0)));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const verdict = slow.read(bytes);
      if (read(bytes) !== verdict) return false;
      if (verdict === VERDICT.DROP) return true;
      if (verdict === RCODE.NOERROR) plain++;
      const key = ((slow.flags & FLAG.CD) !== 0 ? KEY_CD : 0) | (slow.dnssecOk ? KEY_DO : 0);
      return (
        view.questionLength === Math.max(0, slow.questionEnd - 12) &&
        view.class === slow.class &&
        view.key === key &&
        view.edns === slow.hasEdns &&
        view.udpLimit === slow.udpLimit &&
        view.recursionDesired === ((slow.flags & FLAG.RD) !== 0)
      );
    }),
    { seed: 20261123, numRuns: 20_000 },
  );
  t.ok(plain > 2000, `${plain} of them were plain queries`);
});
