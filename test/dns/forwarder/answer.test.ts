import fc from 'fast-check';
import t from 'tap';
import { readAnswer } from '../../../src/dns/forwarder/answer.ts';
import { encodeMessage, type Message, parseMessage, type ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { FLAG, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { aaaa, query, reply, soa } from '../peers.ts';

const bounds = { minTtlSeconds: 0, maxTtlSeconds: 86400, maxNegativeTtlSeconds: 3600 };
const asked = parseMessage(query('a.test', { edns: { udpSize: 1232 } }));
const questionLength = query('a.test').length - 12;
const cname = (ttl: number): ResourceRecord => ({
  ...aaaa('a.test', 0, ttl),
  type: TYPE.CNAME,
  rdata: nameFromText('b.test'),
});

function read(parts: Partial<Message>, own = bounds) {
  return readAnswer(reply(asked, parts), questionLength, own);
}

t.test('how long an answer is kept', async (t) => {
  const cases: { name: string; parts: Partial<Message>; own?: typeof bounds; ttl: number; ttls: number[] }[] = [
    {
      name: 'the smallest TTL',
      parts: { answers: [aaaa('a.test', 1, 300), aaaa('a.test', 2, 20)] },
      ttl: 20,
      ttls: [300, 20],
    },
    { name: 'TTL 0', parts: { answers: [aaaa('a.test', 1, 0)] }, ttl: 0, ttls: [0] },
    { name: 'top bit set is 0 (RFC 2181 §8)', parts: { answers: [aaaa('a.test', 1, 0x80000001)] }, ttl: 0, ttls: [0] },
    { name: 'maxTtl', parts: { answers: [aaaa('a.test', 1, 1e6)] }, ttl: 86400, ttls: [86400] },
    {
      name: 'minTtl',
      parts: { answers: [aaaa('a.test', 1, 1)] },
      own: { ...bounds, minTtlSeconds: 30 },
      ttl: 30,
      ttls: [30],
    },
    {
      name: 'NXDOMAIN by the SOA minimum',
      parts: { rcode: RCODE.NXDOMAIN, authority: [soa('test', 300, 60)] },
      ttl: 60,
      ttls: [60],
    },
    { name: 'NODATA by the SOA TTL', parts: { authority: [soa('test', 40, 60)] }, ttl: 40, ttls: [40] },
    { name: 'maxNegativeTtl', parts: { authority: [soa('test', 9999, 9999)] }, ttl: 3600, ttls: [3600] },
    { name: 'negative without SOA (RFC 2308 §5)', parts: { rcode: RCODE.NXDOMAIN }, ttl: 0, ttls: [] },
    { name: 'empty', parts: {}, ttl: 0, ttls: [] },
    {
      name: 'alias to nothing',
      parts: { answers: [cname(300)], authority: [soa('test', 300, 60)] },
      ttl: 60,
      ttls: [60, 60],
    },
    { name: 'alias to elsewhere', parts: { answers: [cname(50)] }, ttl: 50, ttls: [50] },
  ];
  for (const { name, parts, own, ttl, ttls } of cases) {
    const answer = read(parts, own)!;
    t.equal(answer.ttl, ttl, name);
    const message = Buffer.from(answer.message);
    t.strictSame(
      answer.ttlOffsets.map((at) => message.readUInt32BE(at)),
      ttls,
      'TTLs in the message',
    );
  }
});

t.test('our header, no OPT', async (t) => {
  const flags = FLAG.QR | FLAG.AA | FLAG.RD | FLAG.AD | FLAG.CD;
  const message = parseMessage(read({ flags, answers: [aaaa('a.test', 1)] })!.message);
  t.equal(message.id, 0);
  t.equal(message.flags, FLAG.QR | FLAG.RA | FLAG.AD);
  t.equal(message.edns, undefined);
  t.equal(message.answers.length, 1);
});

t.test('OPT before other records', async (t) => {
  const plain = parseMessage(query('a.test'));
  const records = encodeMessage({
    ...plain,
    flags: FLAG.QR,
    answers: [aaaa('a.test', 1)],
    additional: [aaaa('b.test', 2)],
  });
  // The additional record is its name (8 octets), ten more and the address.
  const at = records.length - (2 + 2 + 10 + 16);
  const opt = Buffer.from('00002904d0000000000000', 'hex');
  const bytes = Buffer.concat([records.subarray(0, at), opt, records.subarray(at)]);
  bytes[11] = 2;
  t.equal(parseMessage(bytes).additional.length, 1, 'the test says what it means');
  const message = parseMessage(readAnswer(bytes, questionLength, bounds)!.message);
  t.match(message, { edns: undefined, answers: [{ name: nameFromText('a.test'), ttl: 300 }] });
  t.strictSame(message.additional, [], 'an address nobody asked for');
  const broken = Buffer.from(bytes);
  broken[at + 10] = 1;
  t.equal(readAnswer(broken, questionLength, bounds), undefined, 'OPT that swallows what follows');
});

t.test('a name that points into the header, which is ours afterwards: none', async (t) => {
  // Found by the fuzz: the counts spelled the root's name.
  const bytes = Buffer.from(
    '5a1400000001000000010001076578616d706c6504746573800000fb0001c002000600010000000000160000000000010000000000000000000000000000000000002904d000000000000c000a000886e5ecd1d6f5000a',
    'hex',
  );
  t.equal(readAnswer(bytes, 18, bounds), undefined);
});

t.test('malformed: none', async (t) => {
  const whole = reply(asked, { answers: [aaaa('a.test', 1)] });
  for (let length = 12 + questionLength; length < whole.length; length++) {
    if (readAnswer(whole.subarray(0, length), questionLength, bounds) !== undefined) t.fail(`cut at ${length}`);
  }
  const twoOpts = Buffer.concat([whole, Buffer.from('00002904d0000000000000', 'hex')]);
  twoOpts[11] = 2;
  t.equal(readAnswer(twoOpts, questionLength, bounds), undefined, 'two OPT records');
});

t.test('no bytes make it throw', async (t) => {
  const whole = reply(asked, { answers: [cname(3), aaaa('b.test', 1)], authority: [soa('test')] });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length - 1), fc.nat(255), (a, x, b, y) => {
      const bytes = Uint8Array.from(whole);
      if (a >= 12 + questionLength || a < 4) bytes[a] = x;
      if (b >= 12 + questionLength || b < 4) bytes[b] = y;
      readAnswer(bytes, questionLength, bounds);
    }),
    { seed: 20261123, numRuns: 5000 },
  );
  t.pass('holds');
});
