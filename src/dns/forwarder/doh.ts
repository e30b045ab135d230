/**
 * DNS over HTTPS as a client (RFC 8484), on Node's HTTP/2: one POST a query, its answer bounded in size. HTTP's caches are left
 * out: a POST is not kept by them, and an answer that is told to be old has its TTLs shortened all the same.
 */
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { formatAddress } from '../../core/address.ts';
import type { UpstreamConfig } from '../config.ts';
import { writeUint32 } from '../wire/bytes.ts';
import { scanRecords } from '../wire/scan.ts';
import { TYPE } from '../wire/types.ts';
import { matchesQuestion } from './exchange.ts';

/** RFC 8484 §6. */
const MEDIA_TYPE = 'application/dns-message';
const MAX_MESSAGE = 65535;
/** What a reply's headers may take, and how many there may be: a few hundred octets are common. */
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
/** Frames that nobody asked for (settings, pings): beyond that the connection is closed. */
const MAX_SETTINGS = 16;
const HTTPS_PORT = 443;
const STATUS_OK = 200;
/** Of a media type, to the operator. */
const MAX_TOLD = 64;
/** RFC 9113 §7. */
const CANCEL = 8;

/** A connection that HTTP/2 is spoken on. */
export interface DohSession {
  readonly session: ClientHttp2Session;
  readonly socket: TLSSocket;
}

/** A query under way. */
export interface Posted {
  /** Nobody waits for the answer any more. Returns whether it was still to come. */
  cancel(): boolean;
}

/**
 * Opens a connection. Requests may be made at once; what goes wrong is heard from `session`, which has to have listeners.
 * @param resume of an earlier connection (RFC 8446 §2.2)
 */
export function openSession(
  config: UpstreamConfig,
  secureContext: SecureContext,
  resume?: Buffer | undefined,
): DohSession {
  const { endpoint, serverName } = config;
  const socket = connect({
    host: formatAddress(endpoint.address),
    port: endpoint.port,
    ALPNProtocols: ['h2'],
    secureContext,
    // Without a name the certificate must be for the address.
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(resume === undefined ? {} : { session: resume }),
  });
  socket.once('secureConnect', () => {
    if (socket.alpnProtocol !== 'h2') socket.destroy(new Error('the server does not speak HTTP/2'));
  });
  // Only who has such an upstream pays for HTTP/2 in memory and in time to start.
  const http2 = process.getBuiltinModule('node:http2');
  const session = http2.connect(`https://${authority(config)}`, {
    createConnection: () => socket,
    maxHeaderListPairs: MAX_HEADERS,
    maxSettings: MAX_SETTINGS,
    settings: { enablePush: false, maxHeaderListSize: MAX_HEADER_BYTES },
  });
  return { session, socket };
}

/**
 * Sends a query, whose id is 0 (RFC 8484 §4.1). Unless it is cancelled, one of `replied`, with an answer to this question, and
 * `failed` is called, once.
 * @param failed `answered`: there was an answer, but it is no DNS message
 */
export function post(
  session: ClientHttp2Session,
  config: UpstreamConfig,
  query: Uint8Array,
  question: Uint8Array,
  replied: (reply: Uint8Array) => void,
  failed: (reason: string, answered: boolean) => void,
): Posted {
  let stream: ClientHttp2Stream | undefined;
  let settled = false;
  const cancel = () => {
    if (settled) return false;
    settled = true;
    if (stream !== undefined && !stream.closed && !stream.destroyed) stream.close(CANCEL);
    return true;
  };
  const fail = (reason: string, answered: boolean) => {
    if (cancel()) failed(reason, answered);
  };
  const reply = (message: Buffer, age: number) => {
    if (settled) return;
    settled = true;
    if (age > 0) shortenTtls(message, age);
    replied(message);
  };
  // Not from within the reactor's turn: what HTTP/2 puts off until the end of one of Node's own would be put off for long.
  setImmediate(() => {
    if (settled) return;
    if (session.closed || session.destroyed) {
      fail('connection closed', false);
      return;
    }
    stream = session.request(requestHeaders(config, query.length));
    listen(stream, question, reply, fail);
    stream.end(query);
  });
  return { cancel };
}

function listen(
  stream: ClientHttp2Stream,
  question: Uint8Array,
  replied: (reply: Buffer, ageSeconds: number) => void,
  fail: (reason: string, answered: boolean) => void,
): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  let age = 0;
  stream.on('response', (headers) => {
    const status = headers[':status'];
    const type = String(headers['content-type'] ?? '')
      .split(';', 1)[0]!
      .trim()
      .toLowerCase();
    if (status !== STATUS_OK) fail(`HTTP status ${status}`, true);
    else if (type !== MEDIA_TYPE) fail(`not a DNS message but "${type.slice(0, MAX_TOLD)}"`, true);
    else if (Number(headers['content-length'] ?? 0) > MAX_MESSAGE) fail('HTTP body longer than a DNS message', true);
    age = Number(headers.age ?? 0);
  });
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > MAX_MESSAGE) fail('HTTP body longer than a DNS message', true);
    else pieces.push(piece);
  });
  stream.on('end', () => {
    if (stream.aborted || stream.rstCode !== 0) return;
    const reply = Buffer.concat(pieces);
    if (reply.length >= 12 && reply[0] === 0 && reply[1] === 0 && matchesQuestion(reply, question)) replied(reply, age);
    else fail('an answer to something else', true);
  });
  stream.on('error', (error) => fail(error.message, false));
  stream.on('close', () => fail(`HTTP stream closed with code ${stream.rstCode}`, false));
}

function requestHeaders(config: UpstreamConfig, length: number): OutgoingHttpHeaders {
  return {
    ':method': 'POST',
    ':path': config.path ?? '/dns-query',
    ':authority': authority(config),
    accept: MEDIA_TYPE,
    'content-type': MEDIA_TYPE,
    'content-length': length,
  };
}

function authority({ endpoint, serverName }: UpstreamConfig): string {
  const { address, port } = endpoint;
  // A zone is a matter of this host (RFC 6874 §4).
  const bare = formatAddress(address).replace(/%.*/, '');
  const host = serverName ?? (address.family === 6 ? `[${bare}]` : bare);
  return port === HTTPS_PORT ? host : `${host}:${port}`;
}

/** RFC 8484 §5.1: what an HTTP cache kept for a while lives that much shorter. */
function shortenTtls(reply: Uint8Array, ageSeconds: number): void {
  scanRecords(reply, {
    record: (_section, type, _class, _owner, ttlOffset, ttl) => {
      if (type !== TYPE.OPT) writeUint32(reply, ttlOffset, ttl > ageSeconds ? ttl - Math.floor(ageSeconds) : 0);
    },
  });
}
