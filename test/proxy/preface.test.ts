import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { ListenerCounter, listenerCounterBase } from '../../src/proxy/counters.ts';
import { parseTlvs, Tlv } from '../../src/proxy/wire/tlv.ts';
import {
  freePort,
  Harness,
  listener,
  member,
  outcome,
  pool,
  serve,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

t.test('PROXY headers in', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('end', () => socket.end('ok'))).listen();
  t.teardown(() => upstream.close());
  const accepting = { acceptProxy: true, trusted: [parseCidr('127.0.0.0/8')] };
  const send = async (port: number, ...parts: Buffer[]) => {
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const end = outcome(client);
    for (const part of parts) {
      client.write(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.end();
    return end;
  };
  const header = Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::8 1234 443\r\n');

  t.test('passes the addresses on and the bytes after it', async (t) => {
    const { harness, port } = await serve(t, [member('m1', upstream.port)], {
      listener: { ...accepting, allow: [parseCidr('2001:db8::/64')] },
      pool: { proxyProtocol: 'v1' },
    });
    const count = upstream.received.length;
    t.match(await send(port, Buffer.concat([header, Buffer.from('payload')])), { data: Buffer.from('ok') });
    t.equal(upstream.received[count]!.toString(), `${header}payload`);
    t.match(await harness.session(), { client: '[2001:db8::7]:1234', bytesIn: 7 });
    t.match(await send(port, ...[...header].map((byte) => Buffer.of(byte)), Buffer.from('payload')), {
      data: Buffer.from('ok'),
    });
    t.equal(upstream.received[count + 1]!.toString(), `${header}payload`, 'byte by byte');
  });

  t.test('an IPv4 client beside an IPv6 destination is the IPv4 client to allow and deny', async (t) => {
    const { harness, port } = await serve(t, [member('m1', upstream.port)], {
      listener: { ...accepting, deny: [parseCidr('192.0.2.0/24')] },
    });
    const from = (client: string) => Buffer.from(`PROXY TCP6 ::ffff:${client} 2001:db8::8 1234 443\r\n`);
    t.match(await send(port, from('192.0.2.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(), { cause: 'denied' });
    t.match(await send(port, from('198.51.100.1')), { data: Buffer.from('ok') });
  });

  t.test('refuses what is no header, who is not trusted, and who is too slow', async (t) => {
    const { harness, port } = await serve(t, [member('m1', upstream.port)], {
      listener: accepting,
      snapshot: { timeouts: { ...timeouts, proxyHeaderMs: 100 } },
    });
    t.match(await send(port, Buffer.from('GET / HTTP/1.1\r\n\r\n')), { code: 'ECONNRESET' });
    t.match(await harness.session(1), { cause: 'bad PROXY header', state: 'PR' });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(2), { cause: 'no PROXY header in time', state: 'cR' });
    t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.headerErrors), 2);

    const distrusting = await serve(t, [member('m1', upstream.port)], {
      listener: { ...accepting, trusted: [parseCidr('10.0.0.0/8')] },
    });
    t.match(await send(distrusting.port, header), { code: 'ECONNRESET' });
    t.match(await distrusting.harness.session(), { cause: 'denied' });
  });
});

// server_name api.example.org, session id and cipher suites as short as they may be.
const hello = Buffer.from(
  `1603010047010000430303${'11'.repeat(32)}000002130101000018` +
    '0000001400120000' +
    '0f6170692e6578616d706c652e6f7267',
  'hex',
);

/** Two pools by name and one by default; each member says its name and what it got before the end. */
async function routing(t: Test, clock?: FakeClock) {
  const say = (name: string) =>
    new Upstream((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(`${name} ${Buffer.concat(chunks).toString('hex')}`));
    }).listen();
  const [api, wild, rest] = [await say('api'), await say('wild'), await say('rest')];
  const harness = new Harness(clock);
  t.teardown(() => {
    harness.close();
    for (const each of [api, wild, rest]) each.close();
  });
  const port = await freePort();
  const routes = [
    { sni: '*.example.org', alpn: [], pool: 'wild' },
    { sni: 'api.example.org', alpn: [], pool: 'api' },
  ];
  harness.engine.apply(
    snapshot(
      [listener(`127.0.0.1:${port}`, { routes })],
      [
        pool([member('m1', api.port)], { name: 'api' }),
        pool([member('m2', wild.port)], { name: 'wild' }),
        pool([member('m3', rest.port)]),
      ],
    ),
  );
  const send = async (...parts: Buffer[]) => {
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const end = outcome(client);
    for (const part of parts) {
      client.write(part);
      if (parts.length > 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    client.end();
    return (await end).data.toString();
  };
  return { harness, port, send };
}

t.test('routes by server name', async (t) => {
  const { harness, port, send } = await routing(t);
  const other = Buffer.from(hello);
  other.write('www', hello.indexOf('api'), 'latin1');
  const foreign = Buffer.from(hello);
  foreign.write('net', hello.length - 3, 'latin1');
  t.equal(await send(hello), `api ${hello.toString('hex')}`);
  t.match(await harness.session(), { pool: 'api', serverName: 'api.example.org' });
  t.equal(await send(other), `wild ${other.toString('hex')}`);
  t.equal(await send(foreign), `rest ${foreign.toString('hex')}`);
  t.match(await harness.session(3), { pool: 'pool', serverName: 'api.example.net' });
  t.equal(await send(...[...hello].map((byte) => Buffer.of(byte))), `api ${hello.toString('hex')}`, 'byte by byte');
  t.equal(await send(Buffer.from('SSH-2.0-x\r\n')), `rest ${Buffer.from('SSH-2.0-x\r\n').toString('hex')}`, 'no TLS');
  t.equal(await send(hello.subarray(0, 40)), `rest ${hello.toString('hex', 0, 40)}`, 'cut by the end');
  await outcome(net.connect(port, '127.0.0.1').end());
  t.match(
    await harness.session(7),
    { cause: 'client aborted before it had said what it must', state: 'CR' },
    'nothing at all',
  );
});

t.test('a silent client holds its socket only, until its time is over', async (t) => {
  const clock = new FakeClock();
  const { harness, port } = await routing(t, clock);
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.write(hello.subarray(0, 10));
  await until(() => harness.engine.sessions()[0]?.state === 'hello', 'the session');
  clock.advance(timeouts.clientHelloMs - 100);
  t.equal(harness.engine.sessions()[0]?.state, 'hello');
  clock.advance(200);
  await until(() => harness.engine.sessions()[0]?.state === 'relaying', 'the default pool');
  t.match(harness.engine.sessions(), [{ pool: 'pool', member: 'm3' }]);
  client.destroy();
});

t.test('a real TLS session goes through untouched, and its name to the member', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-sni-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const [key, cert] = [join(dir, 'key'), join(dir, 'cert')];
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=x',
  ];
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
    socket.end(`hello ${socket.servername}`);
    socket.on('error', () => {});
  });
  // Takes the PROXY header off, as an ingress does.
  let header: Buffer | undefined;
  const front = net.createServer((socket) => {
    socket.once('readable', () => {
      const start = socket.read(16) as Buffer;
      header = Buffer.concat([start, socket.read(start.readUInt16BE(14)) as Buffer]);
      server.emit('connection', socket);
    });
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.teardown(() => front.close());
  const { port } = await serve(t, [member('m1', (front.address() as net.AddressInfo).port)], {
    listener: { routes: [{ sni: '*.example.org', alpn: [], pool: 'pool' }] },
    pool: { proxyProtocol: 'v2', proxyV2Options: ['authority', 'alpn'] },
  });
  const ask = (ALPNProtocols: string[]) => {
    const more = { servername: 'www.example.org', rejectUnauthorized: false, ALPNProtocols };
    return outcome(connectTls({ port, host: '127.0.0.1', ...more }));
  };
  const types = () => parseTlvs(header!, 28, header!.length)!.map(({ type }) => type);
  await ask(['http/1.1']);
  t.strictSame(types(), [Tlv.authority, Tlv.alpn]);
  const alpn = parseTlvs(header!, 28, header!.length)![1]!;
  t.equal(header!.toString('latin1', alpn.from, alpn.to), 'http/1.1');
  const { data } = await ask(['h2', 'http/1.1']);
  t.strictSame(types(), [Tlv.authority], 'which of two it will be is not known');
  t.equal(data.toString(), 'hello www.example.org');
  const [field] = parseTlvs(header!, 28, header!.length)!;
  t.equal(field!.type, Tlv.authority);
  t.equal(header!.toString('latin1', field!.from, field!.to), 'www.example.org');
});
