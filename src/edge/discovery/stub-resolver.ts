/**
 * A stub resolver for the few names the daemon itself follows: servers in turn, by UDP, by TCP where the answer is cut
 * short, by TLS or HTTPS where an upstream is configured so. Traffic of clients never comes this way.
 */
import { createSocket } from 'node:dgram';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { formatAddress, formatEndpoint } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { UpstreamConfig } from '../../dns/config.ts';
import { openSession, post } from '../../dns/forwarder/doh.ts';
import { matchesQuestion } from '../../dns/forwarder/exchange.ts';
import { skipName } from '../../dns/wire/name.ts';
import { RCODE } from '../../dns/wire/types.ts';
import { LookupError } from './lookup.ts';

/** How long one server may take; then the next is asked. */
const tryMs = 1_500;
/** How often each server is asked before the lookup fails. */
const rounds = 2;
const headerLength = 12;

export interface StubContext {
  readonly clock: Clock;
  /** Asked anew for each lookup: a reload may have changed them. */
  readonly servers: () => readonly UpstreamConfig[];
  /** Certificates (PEM) that theirs are checked against; undefined = the runtime's own. */
  readonly ca?: () => string | undefined;
}

/**
 * Asks the servers until one gives an answer other than SERVFAIL and REFUSED.
 * @throws {LookupError} none did
 */
export async function askServers(context: StubContext, query: Uint8Array): Promise<Uint8Array> {
  const list = context.servers();
  if (list.length === 0) throw new LookupError('there is no DNS server to ask');
  let last: Uint8Array | undefined;
  let reason = '';
  for (let round = 0; round < rounds; round++) {
    for (const server of list) {
      try {
        const reply = await askServer(context, server, query);
        const rcode = reply[3]! & 15;
        if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) return reply;
        last = reply;
      } catch (error) {
        reason = `${formatEndpoint(server.endpoint)}: ${errorMessage(error)}`;
      }
    }
  }
  if (last !== undefined) return last;
  throw new LookupError(reason);
}

async function askServer(context: StubContext, server: UpstreamConfig, query: Uint8Array): Promise<Uint8Array> {
  if (server.transport === 'https') return await askByHttps(context, server, query);
  if (server.transport !== 'udp') return await askByStream(context, server, query);
  const reply = await askByUdp(context.clock, server, query);
  const truncated = (reply[2]! & 2) !== 0;
  return truncated ? await askByStream(context, server, query) : reply;
}

function askByUdp(clock: Clock, { endpoint }: UpstreamConfig, query: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  // A socket a query: its random source port is what makes a reply hard to forge (RFC 5452 §9.2).
  const socket = createSocket(endpoint.address.family === 4 ? 'udp4' : 'udp6');
  const timer = clock.after(tryMs, () => reject(new Error(`no answer within ${tryMs} ms`)));
  socket.on('error', reject);
  socket.on('message', (message) => {
    if (isReply(message, query)) resolve(message);
  });
  socket.connect(endpoint.port, formatAddress(endpoint.address), () => socket.send(query));
  return promise.finally(() => {
    timer.cancel();
    socket.close();
  });
}

function askByStream({ clock, ca }: StubContext, server: UpstreamConfig, query: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const socket = openStream(server, ca?.());
  const timer = clock.after(tryMs, () => reject(new Error(`no answer within ${tryMs} ms`)));
  let received: Buffer = Buffer.alloc(0);
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the connection was closed without an answer')));
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const reply = received.subarray(2, 2 + received.readUInt16BE(0));
    if (isReply(reply, query)) resolve(reply);
    else reject(new Error('the answer is to another question'));
  });
  // Length and message in one write (RFC 7766 §8).
  const frame = Buffer.alloc(2 + query.length);
  frame.writeUInt16BE(query.length, 0);
  frame.set(query, 2);
  socket.write(frame);
  return promise.finally(() => {
    timer.cancel();
    socket.destroy();
  });
}

function askByHttps({ clock, ca }: StubContext, server: UpstreamConfig, query: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const trusted = ca?.();
  const secureContext = createSecureContext({
    minVersion: 'TLSv1.2',
    ...(trusted === undefined ? {} : { ca: trusted }),
  });
  const { session, socket } = openSession(server, secureContext);
  const timer = clock.after(tryMs, () => reject(new Error(`no answer within ${tryMs} ms`)));
  socket.on('error', reject);
  session.on('error', reject);
  session.on('close', () => reject(new Error('the connection was closed without an answer')));
  // The id is of no use there (RFC 8484 §4.1), and the caller's own in what it gets back.
  const anonymous = Uint8Array.from(query).fill(0, 0, 2);
  const replied = (reply: Uint8Array) => {
    reply.set(query.subarray(0, 2));
    resolve(reply);
  };
  post(session, server, anonymous, questionOf(query), replied, (reason) => reject(new Error(reason)));
  return promise.finally(() => {
    timer.cancel();
    session.destroy();
  });
}

function openStream({ transport, endpoint, serverName }: UpstreamConfig, ca: string | undefined): Socket {
  const host = formatAddress(endpoint.address);
  const { port } = endpoint;
  if (transport !== 'tls') return connectTcp({ host, port });
  // Without a name the certificate must be for the address.
  const name = serverName === undefined ? {} : { servername: serverName };
  return connectTls({ host, port, ALPNProtocols: ['dot'], minVersion: 'TLSv1.2', ...name, ...(ca && { ca }) });
}

function isReply(reply: Uint8Array, query: Uint8Array): boolean {
  const sameId = reply.length >= headerLength && reply[0] === query[0] && reply[1] === query[1];
  return sameId && matchesQuestion(reply, questionOf(query));
}

function questionOf(query: Uint8Array): Uint8Array {
  return query.subarray(headerLength, skipName(query, headerLength, query.length) + 4);
}
