import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { ListenerCounter, listenerCounterBase } from '../../src/proxy/counters.ts';
import type { PoolSnapshot } from '../../src/proxy/snapshot.ts';
import { crc32c, parseTlvs, verifyCrc32c } from '../../src/proxy/wire/tlv.ts';
import { member, outcome, serve, Upstream } from './harness.ts';

t.test('PROXY headers out', async (t) => {
  const v2Signature = '0d0a0d0a000d0a515549540a';
  const hex4 = (port: number) => port.toString(16).padStart(4, '0');
  const loopback6 = '0'.repeat(31) + '1';

  for (const { name, version, host, expect } of [
    {
      name: 'v2 from an IPv4 client to an IPv6 member',
      version: 'v2',
      host: '127.0.0.1',
      expect: (client: number, port: number) => `${v2Signature}2111000c7f0000017f000001${hex4(client)}${hex4(port)}`,
    },
    {
      name: 'v2 from an IPv6 client',
      version: 'v2',
      host: '::1',
      expect: (client: number, port: number) =>
        `${v2Signature}21210024${loopback6}${loopback6}${hex4(client)}${hex4(port)}`,
    },
    {
      name: 'v1',
      version: 'v1',
      host: '::1',
      expect: (client: number, port: number) => Buffer.from(`PROXY TCP6 ::1 ::1 ${client} ${port}\r\n`).toString('hex'),
    },
  ] as const) {
    for (const wildcard of [false, true]) {
      t.test(`${name}${wildcard ? ', wildcard bind' : ''}`, async (t) => {
        const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('ok'))).listen('::1');
        t.teardown(() => upstream.close());
        const { port } = await serve(t, [member('m1', upstream.port, { address: '::1' })], {
          pool: { proxyProtocol: version },
          host: wildcard ? (host === '::1' ? '::' : '0.0.0.0') : host,
        });
        const client = net.connect(port, host);
        client.write('GET');
        await once(client, 'connect');
        const clientPort = client.localPort!;
        await outcome(client);
        t.equal(
          upstream.received[0]!.toString('hex'),
          `${expect(clientPort, port)}${Buffer.from('GET').toString('hex')}`,
        );
      });
    }
  }

  t.test('leaves at once for a client that says nothing', async (t) => {
    const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('220 ready'))).listen();
    t.teardown(() => upstream.close());
    const { harness, port } = await serve(t, [member('m1', upstream.port)], { pool: { proxyProtocol: 'v2' } });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('220 ready') });
    t.equal(upstream.received[0]!.length, 28);
    t.match(await harness.session(), { bytesIn: 0, bytesOut: 9 });
    t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.silent), 1);
  });
});

/** Sends `input` from in front and returns what the member got. */
async function passed(input: Buffer, more: Partial<PoolSnapshot>): Promise<Buffer> {
  const upstream = await new Upstream((socket) => socket.once('end', () => socket.end())).listen();
  const { harness, port } = await serve(t, [member('m1', upstream.port)], {
    listener: { acceptProxy: true, trusted: [parseCidr('127.0.0.1/32')] },
    pool: more,
  });
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end(input);
  await outcome(client);
  await harness.session();
  harness.close();
  upstream.close();
  return upstream.received[0] ?? Buffer.alloc(0);
}

t.test('what came in goes on', async (t) => {
  const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
  const signature = '0d0a0d0a000d0a515549540a';
  const addresses = 'c0000201 c6336402 c738 01bb';
  const paths = Buffer.alloc(216, '/run/a.sock').toString('hex');
  const text = (line: string) => Buffer.from(line).toString('hex');
  const cases = [
    [
      'fields, padding apart',
      `${signature} 21 11 0017 ${addresses} 04 0001 00 e5 0004 01020304`,
      'v2',
      [],
      `${signature} 21 11 0013 ${addresses} e5 0004 01020304`,
    ],
    [
      'fields have no place in v1',
      `${signature} 21 11 0011 ${addresses} e5 0002 0102`,
      'v1',
      [],
      text('PROXY TCP4 192.0.2.1 198.51.100.2 51000 443\r\n'),
    ],
    ['LOCAL', `${signature} 20 00 0000`, 'v2', [], `${signature} 20 00 0000`],
    ['LOCAL to v1', `${signature} 20 00 0000`, 'v1', [], text('PROXY UNKNOWN\r\n')],
    ['UNSPEC with a field', `${signature} 21 00 0004 e0 0001 07`, 'v2', [], `${signature} 21 00 0004 e0 0001 07`],
    ['UNKNOWN', text('PROXY UNKNOWN ::1\r\n'), 'v2', [], `${signature} 21 00 0000`],
    ['UNIX', `${signature} 21 31 00d8 ${paths}`, 'v2', [], `${signature} 21 31 00d8 ${paths}`],
    ['UNIX to v1', `${signature} 21 31 00d8 ${paths}`, 'v1', [], text('PROXY UNKNOWN\r\n')],
    [
      'an id that came in is kept',
      `${signature} 21 11 0011 ${addresses} 05 0002 6964`,
      'v2',
      ['unique-id'],
      `${signature} 21 11 0011 ${addresses} 05 0002 6964`,
    ],
  ] as const;
  for (const [name, input, version, options, expected] of cases) {
    const got = await passed(Buffer.concat([hex(input), Buffer.from('data')]), {
      proxyProtocol: version,
      proxyV2Options: options,
    });
    t.equal(got.toString('hex'), `${hex(expected).toString('hex')}${text('data')}`, name);
  }
  const long = Buffer.concat([hex(`${signature} 21 11 0800 ${addresses} e5 07f1`), Buffer.alloc(0x7f1, 'x')]);
  const got = await passed(Buffer.concat([long, Buffer.from('data')]), {
    proxyProtocol: 'v2',
    proxyV2Options: ['crc32c'],
  });
  t.equal(got.length, long.length + 7 + 4, 'as much as may come in, and a checksum');
});

t.test('fields of the operator, and padding', async (t) => {
  const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
  const signature = '0d0a0d0a000d0a515549540a';
  const addresses = 'c0000201 c6336402 c738 01bb';
  const plain = hex(`${signature} 21 11 000c ${addresses}`);
  const tlvs = [
    { type: 0xe0, value: Buffer.from('edge-1') },
    { type: 0xef, value: Buffer.from('00ff', 'hex') },
  ];
  const own = 'e0 0006 656467652d31 ef 0002 00ff';
  const v2 = 'v2' as const;
  const cases = [
    ['fields', plain, { proxyV2Tlvs: tlvs }, `${signature} 21 11 001a ${addresses} ${own}`],
    [
      'one that came in is not given anew',
      hex(`${signature} 21 11 0010 ${addresses} e0 0001 41`),
      { proxyV2Tlvs: tlvs },
      `${signature} 21 11 0015 ${addresses} e0 0001 41 ef 0002 00ff`,
    ],
    ['padding', plain, { proxyV2Align: 32 }, `${signature} 21 11 0010 ${addresses} 04 0001 00`],
    ['no padding', plain, { proxyV2Align: 28 }, `${signature} 21 11 000c ${addresses}`],
    // 28 + 2 is less than a field takes.
    [
      'less than a field',
      plain,
      { proxyV2Align: 30 },
      `${signature} 21 11 002c ${addresses} 04 001d ${'00'.repeat(29)}`,
    ],
  ] as const;
  for (const [name, input, more, expected] of cases) {
    const got = await passed(input, { proxyProtocol: v2, ...more });
    t.equal(got.toString('hex'), hex(expected).toString('hex'), name);
  }
  const checked = await passed(plain, { proxyProtocol: v2, proxyV2Align: 64, proxyV2Options: ['crc32c'] });
  t.equal(checked.length, 64, 'the checksum counts');
  const fields = parseTlvs(checked, 28, checked.length)!;
  t.strictSame(
    fields.map(({ type }) => type),
    [4, 3],
    'and is the last',
  );
  t.ok(verifyCrc32c(checked, fields[1]!.from));
});

t.test('fields of our own: the id in the log, and a checksum over all', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('data', () => socket.end())).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port)], {
    pool: { proxyProtocol: 'v2', proxyV2Options: ['unique-id', 'authority', 'crc32c'] },
  });
  await outcome(net.connect(port, '127.0.0.1'));
  const line = await harness.session();
  const header = Buffer.from(upstream.received[0]!);
  const fields = parseTlvs(header, 28, header.length)!;
  t.strictSame(
    fields.map(({ type }) => type),
    [5, 3],
    'no name is known without routes',
  );
  t.equal(header.toString('latin1', fields[0]!.from, fields[0]!.to), line.id);
  const { from } = fields[1]!;
  const sum = header.readUInt32BE(from);
  header.fill(0, from, from + 4);
  t.equal(sum, crc32c(header));
});
