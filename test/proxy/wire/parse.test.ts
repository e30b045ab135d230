import fc from 'fast-check';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { spanOfAddress } from '../../../src/proxy/span.ts';
import { encodeV2, writeV2 } from '../../../src/proxy/wire/header.ts';
import { maxV2Bytes, parseProxyHeader } from '../../../src/proxy/wire/parse.ts';

const signature = '0d0a0d0a000d0a515549540a';
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const v4 = 'c0000201 c6336402 c738 01bb';

const bad: [name: string, input: Buffer][] = [
  ['TLS instead', hex('16030100a5')],
  ['HTTP instead', Buffer.from('GET / HTTP/1.1\r\n')],
  ['a POST, which begins like PROXY', Buffer.from('POST /')],
  ['lower case', Buffer.from('proxy TCP4')],
  ['v1 of a family there is not', Buffer.from('PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n')],
  ['v1 with a word too few', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n')],
  ['v1 with a word too many', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n')],
  ['v1 with two spaces', Buffer.from('PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n')],
  ['v1 with an IPv6 address in TCP4', Buffer.from('PROXY TCP4 ::1 ::2 1 2\r\n')],
  ['v1 with a zone id', Buffer.from('PROXY TCP6 fe80::1%1 fe80::2 1 2\r\n')],
  ['v1 with no address', Buffer.from('PROXY TCP4 example.com 5.6.7.8 1 2\r\n')],
  ['v1 with port 65536', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n')],
  ['v1 with port 01', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n')],
  ['v1 with port -1', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n')],
  ['v1 without an end', Buffer.alloc(107, 'PROXY TCP4 1.2.3.4 5.6.7.8 ')],
  ['v2 signature with one byte wrong', hex('0d0a0d0a000d0a515549540b 21 11 000c')],
  ['v2 of version 1', hex(`${signature} 11 11 000c ${v4}`)],
  ['v2 of version 3', hex(`${signature} 31 11 000c ${v4}`)],
  ['v2 with command 2', hex(`${signature} 22 11 000c ${v4}`)],
  ['v2 over UDP', hex(`${signature} 21 12 000c ${v4}`)],
  ['v2 of family 4', hex(`${signature} 21 41 000c ${v4}`)],
  ['v2 too short for IPv4 addresses', hex(`${signature} 21 11 000b ${v4}`)],
  ['v2 too short for IPv6 addresses', hex(`${signature} 21 21 000c ${v4}`)],
  ['v2 with a cut TLV', hex(`${signature} 21 11 000e ${v4} 0400`)],
  ['v2 with a TLV longer than the header', hex(`${signature} 21 11 0010 ${v4} 04000200`)],
  ['v2 of a UNIX socket without its paths', hex(`${signature} 21 31 000c ${v4}`)],
  ['v2 with a wrong checksum', hex(`${signature} 21 11 0013 ${v4} 03 0004 00000000`)],
  ['v2 with a checksum of three bytes', hex(`${signature} 21 11 0012 ${v4} 03 0003 000000`)],
  ['v2 longer than we take', hex(`${signature} 21 11 ffff ${v4}`)],
];

for (const [name, input] of bad) {
  t.test(`invalid: ${name}`, async (t) => t.match(parseProxyHeader(input), { kind: 'invalid', reason: String }));
}

const nothing = new Uint8Array(0);
const paths = Buffer.alloc(216, '/run/a.sock');
const unaddressed: [name: string, input: Buffer, local: boolean, transport: number, block: Uint8Array, tlvs: string][] =
  [
    ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), false, 0, nothing, ''],
    ['v1 UNKNOWN with addresses, to be ignored', Buffer.from('PROXY UNKNOWN ::1 nonsense\r\n'), false, 0, nothing, ''],
    ['v2 LOCAL with addresses, to be ignored', hex(`${signature} 20 11 000c ${v4}`), true, 0, nothing, ''],
    ['v2 PROXY of no family', hex(`${signature} 21 00 0000`), false, 0, nothing, ''],
    ['v2 PROXY of no family with a field', hex(`${signature} 21 00 0004 e0 0001 07`), false, 0, nothing, 'e0000107'],
    ['v2 PROXY of no family with nonsense', hex(`${signature} 21 00 0004 e0 0002 07`), false, 0, nothing, ''],
    ['v2 PROXY of a UNIX socket', Buffer.concat([hex(`${signature} 21 31 00d8`), paths]), false, 0x31, paths, ''],
    [
      'v2 PROXY of a UNIX socket with a field',
      Buffer.concat([hex(`${signature} 21 31 00dc`), paths, hex('05 0001 61')]),
      false,
      0x31,
      paths,
      '05000161',
    ],
  ];

for (const [name, input, local, transport, block, tlvs] of unaddressed) {
  t.test(`without addresses: ${name}`, async (t) => {
    const parsed = parseProxyHeader(input);
    if (parsed.kind !== 'unaddressed') throw new Error(parsed.kind);
    t.equal(parsed.bytes, input.length);
    t.equal(parsed.what.local, local);
    t.equal(parsed.what.transport, transport);
    t.equal(Buffer.compare(parsed.what.block, block), 0);
    t.equal(Buffer.from(parsed.tlvs).toString('hex'), tlvs);
  });
}

t.test('fields to pass on: all but padding and the checksum, which must be right', async (t) => {
  const head = { local: false, transport: 0x11, block: hex(v4) };
  const fields = [hex('01 0002 6832'), hex('04 0003 000000'), hex('e5 0000'), hex('05 0004 69643031')];
  const header = encodeV2(head, fields, true);
  t.match(parseProxyHeader(header), {
    kind: 'proxied',
    bytes: header.length,
    addresses: { source: parseAddress('192.0.2.1'), sourcePort: 51000, destinationPort: 443 },
    tlvs: hex('01 0002 6832 e5 0000 05 0004 69643031'),
  });
  for (let at = 16; at < header.length - 7; at++) {
    const wrong = Buffer.from(header);
    wrong[at]! ^= 1;
    t.equal(parseProxyHeader(wrong).kind, 'invalid', `byte ${at} changed`);
  }
});

t.test('every cut of a valid header is incomplete, and bytes after it are left alone', async (t) => {
  const headers = [
    Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n'),
    Buffer.from('PROXY UNKNOWN\r\n'),
    hex(`${signature} 21 11 000c ${v4}`),
    hex(`${signature} 21 11 0016 ${v4} e0 0004 00000000 04 0000`),
  ];
  for (const header of headers) {
    for (let length = 0; length < header.length; length++) {
      t.equal(parseProxyHeader(header.subarray(0, length)).kind, 'incomplete', `${length} of ${header.length} bytes`);
    }
    t.match(parseProxyHeader(Buffer.concat([header, header])), { bytes: header.length });
  }
});

t.test('an IPv4-mapped pair is an IPv4 pair', async (t) => {
  const mapped = (address: string, port: number) => spanOfAddress(parseAddress(address), port);
  const out = Buffer.alloc(52);
  writeV2(out, mapped('::ffff:192.0.2.1', 5), mapped('::ffff:192.0.2.2', 6));
  t.match(parseProxyHeader(out), {
    kind: 'proxied',
    addresses: { source: parseAddress('192.0.2.1'), destination: parseAddress('192.0.2.2') },
  });
});

t.test('any bytes get an answer within bounds', async () => {
  const prefix = fc.constantFrom(
    '',
    signature,
    `${signature}21`,
    `${signature}2111`,
    Buffer.from('PROXY TCP4 ').toString('hex'),
  );
  fc.assert(
    fc.property(prefix, fc.uint8Array({ maxLength: 300 }), (start, rest) => {
      const input = Buffer.concat([Buffer.from(start, 'hex'), rest]);
      const parsed = parseProxyHeader(input);
      if (parsed.kind === 'incomplete') return input.length < maxV2Bytes;
      return parsed.kind === 'invalid' || (parsed.bytes > 0 && parsed.bytes <= input.length);
    }),
    { seed: 20260101, numRuns: 2000 },
  );
});
