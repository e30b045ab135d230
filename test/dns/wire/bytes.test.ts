import fc from 'fast-check';
import t from 'tap';
import {
  compareBytes,
  concatBytes,
  copyBytes,
  equalBytes,
  readUint16,
  readUint32,
  writeUint16,
  writeUint32,
} from '../../../src/dns/wire/bytes.ts';

const seed = 20261123;

t.test('a copy shares nothing, not even with a Buffer', (t) => {
  const source = Buffer.from([1, 2, 3, 4]);
  const copy = copyBytes(source, 1, 3);
  source.fill(9);
  t.strictSame(copy, Uint8Array.of(2, 3));
  t.strictSame(concatBytes([]), new Uint8Array(0));
  t.strictSame(concatBytes([copy, new Uint8Array(0), copy]), Uint8Array.of(2, 3, 2, 3));
  t.end();
});

t.test('order is that of unsigned octets, a prefix first', (t) => {
  const bytes = fc.uint8Array({ maxLength: 6, max: 3 });
  t.ok(compareBytes(Uint8Array.of(0x80), Uint8Array.of(0x7f)) > 0);
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const order = Buffer.compare(a, b);
      return Math.sign(compareBytes(a, b)) === order && equalBytes(a, b) === (order === 0);
    }),
    { seed, numRuns: 500 },
  );
  t.end();
});

t.test('integers at any offset', (t) => {
  const room = Buffer.alloc(12);
  fc.assert(
    fc.property(fc.nat(8), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (offset, value) => {
      writeUint32(room, offset, value);
      const whole = readUint32(room, offset) === value && room.readUInt32BE(offset) === value;
      writeUint16(room, offset, value & 0xffff);
      return whole && readUint16(room, offset) === (value & 0xffff) && room.readUInt16BE(offset) === (value & 0xffff);
    }),
    { seed, numRuns: 500 },
  );
  t.end();
});
