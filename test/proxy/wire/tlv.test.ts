import t from 'tap';
import { crc32c, parseTlvs, verifyCrc32c, writeTlv } from '../../../src/proxy/wire/tlv.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

t.test('crc32c of what RFC 3720 §B.4 lists', async (t) => {
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  t.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  t.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});

t.test('fields that do not fill their place', async (t) => {
  for (const text of ['04', '0400', '040001', '04000100 05', '04 ffff 00']) {
    const input = hex(text);
    t.equal(parseTlvs(input, 0, input.length), undefined, text);
  }
  t.equal(parseTlvs(hex('04 0002 0000'), 0, 4), undefined, 'the end counts, not the length of the input');
});

t.test('what was written is read', async (t) => {
  const out = Buffer.alloc(64);
  let at = writeTlv(out, 8, 0x05, Buffer.from('id'));
  at = writeTlv(out, at, 0xe0, new Uint8Array(0));
  t.equal(out.toString('hex', 8, at), '0500026964e00000');
  t.strictSame(parseTlvs(out, 8, at), [
    { type: 0x05, from: 11, to: 13 },
    { type: 0xe0, from: 16, to: 16 },
  ]);
});

t.test('a checksum inside what it is the checksum of', async (t) => {
  const header = hex('0102 00000000 0304');
  header.writeUInt32BE(crc32c(header), 2);
  t.ok(verifyCrc32c(header, 2));
  header[7]! ^= 1;
  t.notOk(verifyCrc32c(header, 2));
});
