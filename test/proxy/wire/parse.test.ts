import fc from 'fast-check';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { spanOfAddress } from '../../../src/proxy/span.ts';
import { writeV2 } from '../../../src/proxy/wire/header.ts';
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
  ['v2 longer than we take', hex(`${signature} 21 11 ffff ${v4}`)],
];

for (const [name, input] of bad) {
  t.test(`invalid: ${name}`, async (t) => t.match(parseProxyHeader(input), { kind: 'invalid', reason: String }));
}

const local: [name: string, input: Buffer][] = [
  ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ['v1 UNKNOWN with addresses, to be ignored', Buffer.from('PROXY UNKNOWN ::1 nonsense\r\n')],
  ['v2 LOCAL with addresses, to be ignored', hex(`${signature} 20 11 000c ${v4}`)],
  ['v2 PROXY of no family', hex(`${signature} 21 00 0000`)],
  ['v2 PROXY of a UNIX socket', Buffer.concat([hex(`${signature} 21 31 00d8`), Buffer.alloc(216)])],
];

for (const [name, input] of local) {
  t.test(`local: ${name}`, async (t) => t.same(parseProxyHeader(input), { kind: 'local', bytes: input.length }));
}

t.test('every cut of a valid header is incomplete, and bytes after it are left alone', async (t) => {
  const headers = [
    Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n'),
    Buffer.from('PROXY UNKNOWN\r\n'),
    hex(`${signature} 21 11 000c ${v4}`),
    hex(`${signature} 21 11 0014 ${v4} 03 0004 00000000 04 0000`.replace('0014', '0016')),
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
