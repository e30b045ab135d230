import fc from 'fast-check';
import t from 'tap';
import { WireError } from '../../../src/core/errors.ts';
import {
  compareNames,
  equalNames,
  isSubdomainKey,
  MAX_POINTERS,
  nameFromKey,
  nameFromText,
  nameKey,
  nameToText,
  parentKey,
  parseName,
  ROOT,
  scanName,
  scanPlainName,
  skipName,
} from '../../../src/dns/wire/name.ts';

const seed = 20261123;
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const key = (text: string) => nameKey(nameFromText(text));
const label = (length: number) =>
  Buffer.from(String.fromCharCode(length) + 'a'.repeat(length), 'latin1').toString('hex');

/** Names stand behind a header; offsets are counted from there. */
const header = '00'.repeat(12);

const bad: Array<[name: string, message: string, offset?: number]> = [
  ['nothing', ''],
  ['no root label', '01 61'],
  ['a label cut off', '03 61 62'],
  ['label type 01', '41 61 00'],
  ['label type 10', '81 61 00'],
  ['half a pointer', '01 61 00 c0', 3],
  ['pointer to itself', 'c0 0c'],
  ['pointer into its own run: a loop of one jump', '01 61 c0 0c'],
  ['two pointers at each other', 'c0 0e c0 0c', 2],
  ['forward pointer', 'c0 0f 00 01 61 00'],
  ['pointer into the header', '01 61 00 c0 0b', 3],
  ['pointer beyond the message', '01 61 00 ff ff', 3],
  ['256 octets', `${label(63).repeat(4)}00`],
  ['256 octets by a pointer', `${label(63).repeat(3)} 3d ${'61'.repeat(61)} 00 01 61 c0 0c`, 255],
];

for (const [name, message, from = 0] of bad) {
  t.test(`bad name: ${name}`, (t) => {
    const bytes = hex(header + message);
    const offset = 12 + from;
    t.throws(() => parseName(bytes, offset, bytes.length), { code: 'V6_DNS_NAME' });
    t.throws(() => skipName(bytes, offset, bytes.length), { code: 'V6_DNS_NAME' });
    t.equal(scanName(bytes, offset, bytes.length), -1);
    t.equal(scanPlainName(bytes, offset, bytes.length), -1);
    t.end();
  });
}

const good: Array<[name: string, message: string, offset: number, text: string, next: number]> = [
  ['the root', '00', 0, '.', 1],
  ['plain', '03 777777 07 6578616d706c65 00', 0, 'www.example', 13],
  ['case kept', '02 4e53 00', 0, 'NS', 4],
  ['pointer alone', '01 61 00 c00c', 3, 'a', 5],
  ['label and pointer', '01 61 00 01 62 c00c', 3, 'b.a', 7],
  ['pointer to the root label', '01 61 00 c00e', 3, '.', 5],
  ['pointer to a pointer', '01 61 00 01 62 c00c 01 63 c00f', 7, 'c.b.a', 11],
  ['plain, last label ends in octet c0', '02 61c0 00', 0, 'a\\192', 4],
  ['255 octets', `${label(63).repeat(3)}${label(61)}00`, 0, `${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(61)}`, 255],
];

for (const [name, message, from, text, end] of good) {
  t.test(`name: ${name}`, (t) => {
    const bytes = hex(header + message);
    const offset = 12 + from;
    const next = 12 + end;
    const found = parseName(bytes, offset, bytes.length);
    t.equal(nameToText(found.name), text);
    t.equal(found.next, next);
    t.equal(scanName(bytes, offset, bytes.length), next);
    t.ok(equalNames(nameFromText(text), found.name));
    for (let end = offset; end < next; end++) t.equal(scanName(bytes, offset, end), -1, `cut at ${end}`);
    t.end();
  });
}

t.test('a parsed name shares no memory with the message, Buffer or not', (t) => {
  const message = Buffer.from(hex('01 61 00'));
  const { name } = parseName(message, 0, 3);
  message.fill(0);
  t.equal(nameToText(name), 'a');
  t.end();
});

t.test('text', (t) => {
  const origin = nameFromText('example.');
  t.strictSame(nameFromText('www', origin), nameFromText('www.example'));
  t.strictSame(nameFromText('www.', origin), nameFromText('www'));
  t.strictSame(nameFromText(''), hex('00'));
  t.strictSame(nameFromText('.', origin), hex('00'));
  t.strictSame(nameFromText('a\\.b.c'), hex('03 612e62 01 63 00'));
  t.strictSame(nameFromText('a\\000\\255\\\\'), hex('04 61 00 ff 5c 00'));
  t.equal(nameToText(hex('08 22 24 28 29 2e 3b 40 5c 00')), '\\"\\$\\(\\)\\.\\;\\@\\\\');
  for (const text of ['..', '.a', 'a..b', 'a\\', 'a\\25', 'a\\256', 'a b', 'ä', 'a'.repeat(64), 'a.'.repeat(128)]) {
    // `\25` is no \DDD escape but an escaped digit and a digit.
    if (text === 'a\\25') t.equal(nameToText(nameFromText(text)), 'a25');
    else t.throws(() => nameFromText(text), { code: 'V6_VALUE' }, text);
  }
  t.throws(() => nameFromText('', origin), { code: 'V6_VALUE' });
  t.throws(() => nameFromText('a'.repeat(60), nameFromText('b.'.repeat(120))), { code: 'V6_VALUE' });
  t.end();
});

t.test('keys', (t) => {
  t.equal(key('WWW.Example'), key('www.example'));
  t.equal(key('@[`{'.replace('@', '\\@')), '\x04@[`{\x00', 'only letters have a case');
  t.strictSame(nameFromKey(key('A.b')), nameFromText('a.b'));
  t.equal(parentKey(key('a.b')), key('b'));
  t.equal(parentKey(key('b')), key(''));
  t.equal(parentKey(key('')), undefined);
  t.ok(isSubdomainKey(key('a.b'), key('b')));
  t.ok(isSubdomainKey(key('b'), key('b')));
  t.ok(isSubdomainKey(key('b'), key('')));
  t.notOk(isSubdomainKey(key('b'), key('a.b')));
  t.notOk(isSubdomainKey(key('ab'), key('b')));
  // The octets of "b" end those of "a\001b", but there is no label boundary.
  t.notOk(isSubdomainKey(key('a\\001b'), key('b')));
  t.end();
});

t.test('canonical order: the example of RFC 4034 §6.1', (t) => {
  const sorted = ['example', 'a.example', 'yljkjljk.a.example', 'Z.a.example', 'zABC.a.EXAMPLE', 'z.example'];
  sorted.push('\\001.z.example', '*.z.example', '\\200.z.example');
  const names = sorted.map((text) => nameFromText(text));
  t.strictSame([...names].reverse().sort(compareNames), names);
  t.equal(compareNames(nameFromText('A.b'), nameFromText('a.B')), 0);
  t.end();
});

const names = fc.array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 10 }).map((labels) => {
  const octets: number[] = [];
  for (const one of labels) if (octets.length + one.length + 2 <= 255) octets.push(one.length, ...one);
  return Uint8Array.from([...octets, 0]);
});

t.test('any name survives text, key and wire', (t) => {
  fc.assert(
    fc.property(names, fc.nat(20), (name, offset) => {
      t.strictSame(nameFromText(`${nameToText(name)}.`.replace(/^\.\.$/, '.')), name);
      t.equal(nameKey(nameFromKey(nameKey(name))), nameKey(name));
      const message = new Uint8Array(offset + name.length);
      message.set(name, offset);
      t.strictSame(parseName(message, offset, message.length), { name, next: message.length });
    }),
    { seed, numRuns: 300 },
  );
  t.end();
});

t.test('random octets give a name or a WireError, and scan and parse agree', (t) => {
  const octet = fc.oneof(fc.nat(255), fc.nat(4), fc.constant(0xc0));
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 300 }), fc.nat(300), (octets, offset) => {
      const bytes = Uint8Array.from(octets);
      const next = scanName(bytes, offset, bytes.length);
      try {
        const found = parseName(bytes, offset, bytes.length);
        t.equal(found.next, next);
        t.ok(found.name.length <= 255 && scanPlainName(found.name, 0, found.name.length) === found.name.length);
      } catch (error) {
        t.type(error, WireError);
        t.equal(next, -1);
      }
    }),
    { seed, numRuns: 3000 },
  );
  t.end();
});

t.test('a name has at most as many pointers as it can have labels', (t) => {
  // Each pointer jumps to the one before it; the first to the root label at 12.
  const bytes = new Uint8Array(0x4000);
  bytes.set([0xc0, 12], 13);
  for (let at = 15; at + 1 < bytes.length; at += 2) bytes.set([0xc0 | ((at - 2) >> 8), (at - 2) & 255], at);
  const nth = (pointers: number) => 13 + 2 * (pointers - 1);
  t.equal(scanName(bytes, nth(1), bytes.length), nth(1) + 2);
  t.equal(scanName(bytes, nth(MAX_POINTERS), bytes.length), nth(MAX_POINTERS) + 2);
  t.strictSame(parseName(bytes, nth(MAX_POINTERS), bytes.length).name, ROOT);
  for (const pointers of [MAX_POINTERS + 1, 1000, 8185]) t.equal(scanName(bytes, nth(pointers), bytes.length), -1);
  t.end();
});

t.test('a name of 127 labels, each of which is pointed at, is read', (t) => {
  // 01 61 c00c, 01 61 c00e …: the most that a writer of names makes of them.
  const parts = [Uint8Array.of(...new Uint8Array(12), 1, 0x61, 0)];
  let last = 12;
  for (let labels = 2, at = 15; labels <= 127; labels++, at += 4) {
    parts.push(Uint8Array.of(1, 0x61, 0xc0 | (last >> 8), last & 255));
    last = at;
  }
  const bytes = Uint8Array.from(Buffer.concat(parts));
  t.equal(parseName(bytes, last, bytes.length).name.length, 255);
  t.end();
});
