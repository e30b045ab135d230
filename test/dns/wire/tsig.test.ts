import fc from 'fast-check';
import t from 'tap';
import { WireError } from '../../../src/core/errors.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import {
  appendTsig,
  encodeSized,
  encodeTime,
  encodeTsigVariables,
  locateTsig,
  stripTsig,
  type TsigRecord,
} from '../../../src/dns/wire/tsig.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const header = (...counts: number[]) => `0007 0000 ${counts.map((n) => n.toString(16).padStart(4, '0')).join(' ')}`;
const question = '01 61 00 0001 0001';
const owner = '01 6b 00';
const fixed = '00fa 00ff 00000000';
const rdata =
  '04 686d6163 00' + // algorithm: hmac.
  '0000 6b04b9cf' + // time signed
  '012c' + // fudge
  '0002 abcd' + // MAC
  '0007' + // original id
  '0012' + // error: BADTIME
  '0006 00006b04babb'; // other data
const length = (text: string) => hex(text).length.toString(16).padStart(4, '0');
const tsig = `${owner} ${fixed} ${length(rdata)} ${rdata}`;

const record: TsigRecord = {
  keyName: nameFromText('k'),
  algorithm: nameFromText('hmac'),
  timeSigned: 0x6b04b9cf,
  fudge: 300,
  mac: hex('abcd'),
  originalId: 7,
  error: 18,
  otherData: hex('00006b04babb'),
};

t.test('messages with no TSIG to be found', (t) => {
  const a = '01 61 00 0001 0001 00000000 0004 c0000201';
  const bad: [name: string, text: string, code: string][] = [
    ['shorter than a header', '0007 0000', 'V6_DNS_SHORT'],
    ['question cut', `${header(1, 0, 0, 0)} 01 61 00 00`, 'V6_DNS_SHORT'],
    ['record promised', header(0, 0, 0, 1), 'V6_DNS_NAME'],
    ['record cut before its RDATA', `${header(0, 0, 0, 1)} ${owner} ${fixed}`, 'V6_DNS_SHORT'],
    ['RDATA longer than the message', `${header(0, 0, 0, 1)} ${owner} ${fixed} 0040 ${rdata}`, 'V6_DNS_SHORT'],
    ['in the answer section', `${header(0, 1, 0, 0)} ${tsig}`, 'V6_DNS_TSIG'],
    ['in the authority section', `${header(0, 0, 1, 0)} ${tsig}`, 'V6_DNS_TSIG'],
    ['not the last', `${header(0, 0, 0, 2)} ${tsig} ${a}`, 'V6_DNS_TSIG'],
    ['two of them', `${header(0, 0, 0, 2)} ${tsig} ${tsig}`, 'V6_DNS_TSIG'],
    ['class IN', `${header(0, 0, 0, 1)} ${owner} 00fa 0001 00000000 ${length(rdata)} ${rdata}`, 'V6_DNS_TSIG'],
    ['a TTL', `${header(0, 0, 0, 1)} ${owner} 00fa 00ff 00000001 ${length(rdata)} ${rdata}`, 'V6_DNS_TSIG'],
    ['empty RDATA', `${header(0, 0, 0, 1)} ${owner} ${fixed} 0000`, 'V6_DNS_NAME'],
    [
      'RDATA an octet too long',
      `${header(0, 0, 0, 1)} ${owner} ${fixed} ${length(`${rdata}00`)} ${rdata} 00`,
      'V6_DNS_TSIG',
    ],
    [
      'a MAC longer than the RDATA',
      `${header(0, 0, 0, 1)} ${owner} ${fixed} ${length(rdata)} ${rdata.replace('0002 abcd', 'fff0 abcd')}`,
      'V6_DNS_TSIG',
    ],
  ];
  for (const [name, text, code] of bad) t.throws(() => locateTsig(hex(text)), { code }, name);
  t.equal(locateTsig(hex(header(0, 0, 0, 0))), undefined, 'an empty message');
  t.equal(locateTsig(hex(`${header(1, 0, 0, 1)} ${question} ${a}`)), undefined, 'another record at the end');
  t.end();
});

t.test('every cut of a signed message is an error, never a record', (t) => {
  const whole = hex(`${header(1, 0, 0, 1)} ${question} ${tsig}`);
  for (let end = 0; end < whole.length; end++) t.throws(() => locateTsig(whole.subarray(0, end)), WireError, `${end}`);
  t.end();
});

t.test('located, stripped, appended again', (t) => {
  const whole = hex(`${header(1, 0, 0, 1)} ${question} ${tsig}`);
  const found = locateTsig(whole)!;
  t.same(found, { start: 12 + 7, record });
  const plain = stripTsig(whole, found);
  t.same(plain, hex(`${header(1, 0, 0, 0)} ${question}`));
  t.same(appendTsig(plain, record), whole);
  const forwarded = Uint8Array.from(whole);
  forwarded[1] = 99;
  t.same(stripTsig(forwarded, found), plain, 'the original id comes back (RFC 8945 §5.2.2)');
  t.end();
});

t.test('names of keys and algorithms are read in lower case, a key name may be compressed', (t) => {
  const upper = locateTsig(
    hex(`${header(0, 0, 0, 1)} 01 4b 00 ${fixed} ${length(rdata)} ${rdata.replace('686d6163', '484d4143')}`),
  );
  t.same(upper?.record, record);
  const pointer = `${header(1, 0, 0, 1)} 01 6b 00 0001 0001 c00c ${fixed} ${length(rdata)} ${rdata}`;
  t.same(locateTsig(hex(pointer))?.record.keyName, record.keyName);
  t.end();
});

t.test('what digests cover (RFC 8945 §4.3.3, §5.3.1)', (t) => {
  t.same(
    encodeTsigVariables(record),
    hex(`${owner} 00ff 00000000 04 686d6163 00 0000 6b04b9cf 012c 0012 0006 00006b04babb`),
  );
  t.same(encodeTime(2 ** 40 + 5, 300), hex('0100 00000005 012c'), '48 bits of time');
  t.same(encodeSized(hex('abcd')), hex('0002 abcd'));
  t.end();
});

t.test('any record comes back as it was written', (t) => {
  const seed = 8945;
  const uint = (max: number) => fc.integer({ min: 0, max });
  fc.assert(
    fc.property(
      fc.record({
        keyName: fc.constantFrom('', 'k', 'a.long-key.example').map((text) => nameFromText(text)),
        algorithm: fc.constantFrom('hmac-sha256', 'hmac-md5.sig-alg.reg.int').map((text) => nameFromText(text)),
        timeSigned: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        fudge: uint(65535),
        mac: fc.uint8Array({ maxLength: 64 }),
        originalId: uint(65535),
        error: uint(65535),
        otherData: fc.uint8Array({ maxLength: 8 }),
      }),
      (any) => {
        const whole = appendTsig(hex(`${header(1, 0, 0, 0)} ${question}`), any);
        t.same(locateTsig(whole)?.record, any);
      },
    ),
    { seed, numRuns: 100 },
  );
  t.end();
});
