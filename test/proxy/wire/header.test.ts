import {
  INETProtocol,
  IPv4ProxyAddress,
  IPv6ProxyAddress,
  Peer,
  V1ProxyProtocol,
  V2ProxyProtocol,
} from 'proxy-protocol-js';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { encodeSockaddr } from '../../../src/linux/sockaddr.ts';
import { spanAddress, spanOfAddress, spanOfSockaddr } from '../../../src/proxy/span.ts';
import {
  type AddressSpan,
  maxHeaderBytes,
  v1Unknown,
  v2Local,
  writeV1,
  writeV2,
} from '../../../src/proxy/wire/header.ts';
import { parseProxyHeader } from '../../../src/proxy/wire/parse.ts';

const signature = '0d0a0d0a000d0a515549540a';
const span = (address: string, port: number) => spanOfAddress(parseAddress(address), port);
const accepted = (address: string, port: number) => spanOfSockaddr(encodeSockaddr(parseAddress(address), port));

interface Case {
  name: string;
  source: AddressSpan;
  destination: AddressSpan;
  v1: string;
  v2: string;
}

const cases: Case[] = [
  {
    name: 'IPv4',
    source: accepted('192.0.2.1', 51000),
    destination: accepted('198.51.100.2', 443),
    v1: 'PROXY TCP4 192.0.2.1 198.51.100.2 51000 443\r\n',
    // version+PROXY · TCP over IPv4 · 12 bytes · source · destination · ports
    v2: `${signature} 21 11 000c c0000201 c6336402 c738 01bb`,
  },
  {
    name: 'IPv6',
    source: accepted('2001:db8::1', 51000),
    destination: accepted('2001:db8:1::2', 80),
    v1: 'PROXY TCP6 2001:db8::1 2001:db8:1::2 51000 80\r\n',
    // version+PROXY · TCP over IPv6 · 36 bytes · source · destination · ports
    v2: `${signature} 21 21 0024 20010db8000000000000000000000001 20010db8000100000000000000000002 c738 0050`,
  },
  {
    name: 'IPv4-mapped, as a dual-stack socket reports it',
    source: accepted('::ffff:192.0.2.1', 1),
    destination: accepted('::ffff:198.51.100.2', 65535),
    v1: 'PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n',
    v2: `${signature} 21 11 000c c0000201 c6336402 0001 ffff`,
  },
  {
    name: 'the longest',
    source: span('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65535),
    destination: span('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65535),
    v1: 'PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n',
    v2: `${signature} 21 21 0024 ${'ff'.repeat(32)} ffff ffff`,
  },
];

for (const { name, source, destination, v1, v2 } of cases) {
  t.test(name, async (t) => {
    const out = Buffer.alloc(maxHeaderBytes + 8, 0xee);
    const line = out.toString('latin1', 0, writeV1(out, source, destination, spanAddress));
    t.equal(line, v1);
    const length = writeV2(out, source, destination);
    t.equal(out.toString('hex', 0, length), v2.replaceAll(' ', ''));
    t.equal(
      out[length],
      Buffer.concat([Buffer.from(v1), Buffer.alloc(99, 0xee)])[length],
      'nothing is written past the end',
    );

    for (const bytes of [Buffer.from(v1, 'latin1'), out.subarray(0, length)]) {
      const parsed = parseProxyHeader(Buffer.concat([bytes, Buffer.from('GET /')]));
      t.match(parsed, {
        kind: 'proxied',
        bytes: bytes.length,
        addresses: { sourcePort: source.port, destinationPort: destination.port },
      });
      if (parsed.kind !== 'proxied') return;
      t.equal(spanAddress(spanOfAddress(parsed.addresses.source, 0)), spanAddress(source));
      t.equal(spanAddress(spanOfAddress(parsed.addresses.destination, 0)), spanAddress(destination));
    }

    const from = new Peer(spanAddress(source), source.port);
    const to = new Peer(spanAddress(destination), destination.port);
    const protocol = source.family === 4 ? INETProtocol.TCP4 : INETProtocol.TCP6;
    t.equal(new V1ProxyProtocol(protocol, from, to).build(), v1, 'the library writes the same line');
    const theirs = V2ProxyProtocol.parse(out.subarray(0, length));
    t.equal(theirs.proxyAddress.constructor, source.family === 4 ? IPv4ProxyAddress : IPv6ProxyAddress);
    t.equal(
      Buffer.from(theirs.build()).toString('hex'),
      v2.replaceAll(' ', ''),
      'and reads and writes the same header',
    );
  });
}

t.test('headers of our own connections', async (t) => {
  t.equal(Buffer.from(v2Local).toString('hex'), `${signature}20000000`);
  t.match(parseProxyHeader(Buffer.from(v2Local)), { kind: 'unaddressed', bytes: 16, what: { local: true } });
  t.match(parseProxyHeader(Buffer.from(v1Unknown)), { kind: 'unaddressed', bytes: v1Unknown.length });
});
