/** Questions from capture files: each link type, both formats, byte orders, what tcpdump's family writes, and damage. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { ValueError } from '../../../src/core/errors.ts';
import { type CapturedPacket, isCapture, readCapture, type Take } from '../../../src/edge/shadow/capture.ts';
import { capturedQuestions, questionIn } from '../../../src/edge/shadow/captured-questions.ts';
import { query } from '../../dns/peers.ts';
import { ethernet, framed, ipv4, ipv6, ordered, pcap, tcp, u16, u32, udp, vlan, zeros } from './packets.ts';

const ask = (name: string) => query(name);
const plain = ipv6(17, udp(ask('A.test')));

t.test('the question in a packet', (t) => {
  const answer = Uint8Array.from(ask('a.test'));
  answer[2]! |= 0x80;
  const update = Uint8Array.from(ask('a.test'));
  update[2] = 5 << 3;
  const rows: [name: string, linkType: number, bytes: Buffer, asked: string | undefined][] = [
    ['empty', 1, zeros(0), undefined],
    ['an unknown link type', 147, plain, undefined],
    ['a frame without a packet', 1, zeros(14), undefined],
    ['ARP', 1, ethernet(0x0806, zeros(28)), undefined],
    ['an address cut off', 1, ethernet(0x86dd, plain.subarray(0, 30)), undefined],
    ['a message cut off', 1, ethernet(0x86dd, plain.subarray(0, 60)), undefined],
    ['to another port', 101, ipv6(17, udp(ask('a.test'), 54)), undefined],
    ['an answer', 101, ipv6(17, udp(answer)), undefined],
    ['an UPDATE', 101, ipv6(17, udp(update)), undefined],
    ['the first of two fragments', 101, ipv4(17, udp(ask('a.test')), 0x2000), undefined],
    ['the last of two', 101, ipv4(17, udp(ask('a.test')), 3), undefined],
    [
      'an IPv6 fragment',
      101,
      ipv6(44, Buffer.concat([Buffer.from([17, 0, 0, 1]), u32(9), udp(ask('a.test'))])),
      undefined,
    ],
    ['a segment of a longer message', 101, ipv6(6, tcp(Buffer.concat([u16(500), ask('a.test')]))), undefined],
    ['a segment of nothing', 101, ipv6(6, tcp(zeros(0))), undefined],
    ['BSD loopback', 0, Buffer.concat([u32(0x1e00_0000), plain]), 'a.test AAAA'],
    ['Ethernet, IPv6', 1, ethernet(0x86dd, plain), 'a.test AAAA'],
    [
      'Ethernet, IPv4, filled up',
      1,
      ethernet(0x0800, Buffer.concat([ipv4(17, udp(ask('b.test'))), zeros(9)])),
      'b.test AAAA',
    ],
    ['a VLAN', 1, ethernet(0x86dd, plain, vlan), 'a.test AAAA'],
    ['a VLAN in a VLAN', 1, ethernet(0x86dd, plain, vlan, vlan), 'a.test AAAA'],
    ['raw', 101, plain, 'a.test AAAA'],
    ['raw IPv4', 228, ipv4(17, udp(ask('a.test')), 0x4000), 'a.test AAAA'],
    ['raw IPv6', 229, plain, 'a.test AAAA'],
    ['Linux any', 113, Buffer.concat([zeros(14), u16(0x86dd), plain]), 'a.test AAAA'],
    ['Linux any, second version', 276, Buffer.concat([u16(0x86dd), zeros(18), plain]), 'a.test AAAA'],
    ['TCP', 101, ipv6(6, tcp(framed(ask('tcp.test')))), 'tcp.test AAAA'],
    [
      'behind extension headers',
      101,
      ipv6(0, Buffer.concat([Buffer.from([60, 0]), zeros(6), Buffer.from([17, 1]), zeros(14), udp(ask('a.test'))])),
      'a.test AAAA',
    ],
  ];
  for (const [name, linkType, bytes, asked] of rows) {
    const found = questionIn({ linkType, bytes });
    t.equal(found && `${found.name} ${found.type}`, asked, name);
  }
  t.end();
});

function pcapng(isBig: boolean, packets: readonly Buffer[]): Buffer {
  const word = ordered(isBig);
  const block = (type: number, ...body: Buffer[]) => {
    const whole = Buffer.concat(body);
    const padded = Buffer.concat([whole, zeros(-whole.length & 3)]);
    const length = word(4, padded.length + 12);
    return Buffer.concat([word(4, type), length, padded, length]);
  };
  const section = block(0x0a0d0d0a, word(4, 0x1a2b3c4d), word(2, 1), word(2, 0), Buffer.alloc(8, 0xff));
  const on = (linkType: number) => block(1, word(2, linkType), word(2, 0), word(4, 0));
  const sizes = (each: Buffer) => [word(4, each.length), word(4, each.length)];
  const kinds = [
    (each: Buffer) => block(6, word(4, 1), word(8 - 4, 0), word(4, 9), ...sizes(each), each),
    (each: Buffer) => block(2, word(2, 1), word(2, 0), word(4, 0), word(4, 9), ...sizes(each), each),
    // Of the section's first interface.
    (each: Buffer) => block(3, word(4, each.length + 14), ethernet(0x86dd, each)),
  ];
  const blocks = packets.map((each, i) => kinds[i % kinds.length]!(each));
  return Buffer.concat([section, on(1), on(101), block(5, zeros(12)), ...blocks]);
}

const takeFrom = (bytes: Buffer): Take => {
  let at = 0;
  return (octets) => {
    if (at + octets > bytes.length) return undefined;
    at += octets;
    return bytes.subarray(at - octets, at);
  };
};
const packetsIn = (bytes: Buffer): CapturedPacket[] => [...readCapture(takeFrom(bytes))];
const askedIn = (bytes: Buffer) => packetsIn(bytes).map((packet) => questionIn(packet)?.name);
const names = ['a.test', 'b.test', 'c.test', 'd.test'];
const packets = names.map((name) => ipv6(17, udp(ask(name))));
const files: [name: string, file: Buffer][] = [
  ['pcap, little-endian', pcap(false, packets)],
  ['pcap, big-endian', pcap(true, packets)],
  ['pcap, nanoseconds', pcap(false, packets, 0xa1b23c4d)],
  ['pcapng, little-endian', pcapng(false, packets)],
  ['pcapng, big-endian', pcapng(true, packets)],
  [
    'pcapng, sections of either order',
    Buffer.concat([pcapng(true, packets.slice(0, 2)), pcapng(false, packets.slice(2))]),
  ],
];

t.test('the packets in a file, and what is left of it when it is cut anywhere', (t) => {
  for (const [name, file] of files) {
    t.strictSame(askedIn(file), names, name);
    const counts = Array.from({ length: file.length - 4 }, (_, i) => packetsIn(file.subarray(0, i + 4)).length);
    t.ok(
      counts.every((count, i) => count <= 4 && count >= (counts[i - 1] ?? 0)),
      `${name}: cut at each octet`,
    );
  }
  t.end();
});

t.test('no capture, and damage', (t) => {
  const word = ordered(false);
  for (const [name, bytes, message] of [
    ['empty', zeros(0), /no capture/],
    ['a log', Buffer.from('client @0x1 query: a.test'), /no capture/],
    [
      'a packet of 256 MiB',
      Buffer.concat([pcap(false, []), zeros(8), word(4, 2 ** 28), word(4, 1)]),
      /268435456 octets/,
    ],
    ['a block of 4 GiB', Buffer.concat([pcapng(false, []), word(4, 6), word(4, 0xffff_fffc)]), /a block of/],
    ['a block of nothing', Buffer.concat([pcapng(false, []), word(4, 6), word(4, 0)]), /a block of 0 octets/],
    ['no byte order', Buffer.concat([u32(0x0a0d0d0a), word(4, 28), zeros(20)]), /without byte order/],
    [
      'a packet of no interface',
      Buffer.concat([pcapng(false, []), word(4, 6), word(4, 32), word(4, 9), zeros(20)]),
      /no interface/,
    ],
    [
      'more captured than there',
      Buffer.concat([pcapng(false, []), word(4, 6), word(4, 32), zeros(12), word(4, 99), zeros(8)]),
      /in a block of fewer/,
    ],
  ] as const) {
    t.throws(() => packetsIn(Buffer.from(bytes)), { code: new ValueError('').code, message }, name);
  }
  t.equal(isCapture(Buffer.from('a1')), false);
  t.end();
});

t.test('any octets changed: packets, or a word about the damage', (t) => {
  const seed = 20_261_125;
  const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  const property = fc.property(
    fc.nat(files.length - 1),
    fc.array(change, { minLength: 1, maxLength: 8 }),
    (which, changes) => {
      const file = Buffer.from(files[which]![1]);
      for (const [at, value] of changes) file[at % file.length] = value;
      try {
        for (const packet of packetsIn(file)) questionIn(packet);
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
      }
    },
  );
  fc.assert(property, { seed, numRuns: 3_000 });
  t.pass(`seed ${seed}`);
  t.end();
});

t.test('what the tools of others write and read', async (t: Test) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-capture-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const from = join(folder, 'from.pcap');
  const many = Array.from({ length: 3_000 }, (_, i) => ipv6(17, udp(ask(`n${i % 1_500}.test`))));
  writeFileSync(from, pcap(true, many));
  const read = (file: string) =>
    execFileSync('tshark', ['-n', '-r', file, '-T', 'fields', '-e', 'dns.qry.name'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  const expected = [...new Set(read(from).trim().split('\n'))];
  t.equal(expected.length, 1_500, 'tshark reads ours');
  for (const format of ['pcap', 'pcapng', 'nsecpcap']) {
    const file = join(folder, format);
    execFileSync('editcap', ['-F', format, from, file], { stdio: 'ignore' });
    t.strictSame(
      capturedQuestions(file, 10_000)?.map(({ name }) => name),
      expected,
      format,
    );
  }
  t.equal(capturedQuestions(from, 7)?.length, 7, 'as many as wanted');
  const log = join(folder, 'log');
  writeFileSync(log, 'a.test AAAA\n');
  t.equal(capturedQuestions(log, 7), undefined, 'another kind of file');
  t.ok(readFileSync(from).length > 256 * 1024, 'more than is read at once');
});
