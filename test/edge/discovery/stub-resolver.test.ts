import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import http2 from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { errorCode } from '../../../src/core/errors.ts';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { encodeMessage, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { askServers } from '../../../src/edge/discovery/stub-resolver.ts';
import { makeCertificate } from '../../dns/certificate.ts';

const query = encodeMessage({
  id: 77,
  flags: FLAG.RD,
  opcode: OPCODE.QUERY,
  rcode: 0,
  questions: [{ name: nameFromText('a.test'), type: TYPE.AAAA, class: CLASS.IN }],
  answers: [],
  authority: [],
  additional: [],
});

function reply(rcode: number, flags = 0): Uint8Array {
  return encodeMessage({ ...parseMessage(query), rcode, flags: FLAG.QR | flags });
}

/** Answers each UDP query with these datagrams, and each TCP connection with these bytes. */
async function server(t: Test, datagrams: readonly Uint8Array[], stream?: Uint8Array): Promise<UpstreamConfig> {
  const port = stream === undefined ? 0 : await listenTcp(t, stream);
  const udp = createSocket('udp6');
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject);
      udp.bind(port, '::1', resolve);
    });
  } catch (error) {
    // A port that is free for TCP may be taken for UDP: another one then.
    if (errorCode(error) === 'EADDRINUSE') return server(t, datagrams, stream);
    throw error;
  }
  udp.on('message', (_, from) => {
    for (const datagram of datagrams) udp.send(datagram, from.port, from.address);
  });
  t.teardown(() => udp.close());
  const endpoint = parseInetEndpoint(`[::1]:${udp.address().port}`);
  return { transport: 'udp', endpoint, serverName: undefined };
}

async function listenTcp(t: Test, stream: Uint8Array): Promise<number> {
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      // In two pieces, as a network may deliver it.
      const frame = Buffer.concat([Buffer.of(0, stream.length), stream]);
      socket.write(frame.subarray(0, 5));
      setImmediate(() => socket.write(frame.subarray(5)));
    });
  });
  tcp.listen(0, '::1');
  await once(tcp, 'listening');
  t.teardown(() => tcp.close());
  return (tcp.address() as AddressInfo).port;
}

function ask(...servers: UpstreamConfig[]): Promise<Uint8Array> {
  return askServers({ clock: systemClock, servers: () => servers }, query);
}

/** A port where nobody is. */
const nobody: UpstreamConfig = { transport: 'udp', endpoint: parseInetEndpoint('[::1]:1'), serverName: undefined };

t.test('no server, or none that answers', async (t) => {
  await t.rejects(ask(), { code: 'V6_LOOKUP' });
  await t.rejects(ask(nobody), { code: 'V6_LOOKUP', message: /\[::1\]:1: .*ECONNREFUSED/ });
});

t.test('the first good answer counts; forged and garbled ones are not heard', async (t) => {
  const otherId = Buffer.from(reply(RCODE.NXDOMAIN));
  otherId[1] = otherId[1]! ^ 1;
  const good = await server(t, [Buffer.alloc(3), otherId, query, reply(RCODE.NOERROR)]);
  const refusing = await server(t, [reply(RCODE.REFUSED)]);
  t.equal(parseMessage(await ask(nobody, refusing, good)).rcode, RCODE.NOERROR);
  t.equal(parseMessage(await ask(refusing)).rcode, RCODE.REFUSED, 'for want of a better one');
});

t.test('an answer that was cut short is asked for by TCP', async (t) => {
  const upstream = await server(t, [reply(RCODE.NOERROR, FLAG.TC)], reply(RCODE.NXDOMAIN));
  t.equal(parseMessage(await ask(upstream)).rcode, RCODE.NXDOMAIN);
});

t.test('TLS that is none', async (t) => {
  const upstream = await server(t, [], reply(RCODE.NOERROR));
  await t.rejects(ask({ ...upstream, transport: 'tls', serverName: 'dns.test' }), { code: 'V6_LOOKUP' });
});

t.test('TLS, known by an authority of its own', async (t) => {
  const { certificate, key } = makeCertificate(t, 'dns.test');
  const server = tls.createServer({ cert: certificate, key }, (socket) => {
    const answer = reply(RCODE.NXDOMAIN);
    socket.on('data', () => socket.end(Buffer.concat([Buffer.of(answer.length >> 8, answer.length), answer])));
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '::1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const endpoint = parseInetEndpoint(`[::1]:${(server.address() as AddressInfo).port}`);
  const servers = () => [{ transport: 'tls' as const, endpoint, serverName: 'dns.test' }];
  const answer = await askServers({ clock: systemClock, servers, ca: () => certificate }, query);
  t.equal(parseMessage(answer).rcode, RCODE.NXDOMAIN);
  await t.rejects(askServers({ clock: systemClock, servers }, query), { code: 'V6_LOOKUP', message: /self-signed/ });
});

t.test('HTTPS, known by an authority of its own; the answer has the id that was asked with', async (t) => {
  const { certificate, key } = makeCertificate(t, 'dns.test');
  const server = http2.createSecureServer({ cert: certificate, key });
  let status = 200;
  server.on('sessionError', () => {});
  server.on('stream', (stream) => {
    stream.resume().on('error', () => {});
    stream.respond({ ':status': status, 'content-type': 'application/dns-message' });
    stream.end(Buffer.from(reply(RCODE.NXDOMAIN)).fill(0, 0, 2));
  });
  server.listen(0, '::1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const endpoint = parseInetEndpoint(`[::1]:${(server.address() as AddressInfo).port}`);
  const servers = () => [{ transport: 'https' as const, endpoint, serverName: 'dns.test', path: '/dns-query' }];
  const context = { clock: systemClock, servers, ca: () => certificate };
  t.match(parseMessage(await askServers(context, query)), { id: 77, rcode: RCODE.NXDOMAIN });
  await t.rejects(askServers({ clock: systemClock, servers }, query), { code: 'V6_LOOKUP', message: /self-signed/ });
  status = 503;
  await t.rejects(askServers(context, query), { code: 'V6_LOOKUP', message: /HTTP status 503/ });
});
