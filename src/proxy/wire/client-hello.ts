/**
 * The server name and the protocols in a TLS ClientHello (RFC 8446 §4.1.2 and §5.1, RFC 6066 §3, RFC 7301 §3.1), read without a
 * word to the client.
 *
 * The input is what a connection has brought so far, from its first byte; nothing is kept between calls. A hello may be cut
 * anywhere: into segments (with a post-quantum key share it is longer than one) and into records.
 */

/** What the beginning of a connection says of the server that is wanted. */
export type ClientHello =
  | { readonly kind: 'incomplete' }
  /**
   * `name` in lower case; undefined when the hello has none that is a host name. `protocols` as the client offers them by ALPN, each
   * byte a character.
   */
  | { readonly kind: 'hello'; readonly name: string | undefined; readonly protocols: readonly string[] }
  /** No TLS, or TLS that no server would take. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Longest hello that is waited for, record headers included: some ten times what clients with two key shares send. */
export const maxHelloBytes = 16 * 1024;

/** Records a hello may be cut into: clients use one, or a few when they try what middleboxes do. */
const maxRecords = 16;
const recordHeaderBytes = 1 + 2 + 2;
const handshakeHeaderBytes = 1 + 3;
/** RFC 8446 §5.1: "The length MUST NOT exceed 2^14 bytes". */
const maxFragmentBytes = 2 ** 14;
const contentHandshake = 22;
const handshakeClientHello = 1;
const extensionServerName = 0;
const extensionAlpn = 16;
/** Protocols that are looked at: clients offer two or three. */
const maxProtocols = 16;
const nameTypeHost = 0;
const randomBytes = 32;
/** RFC 1035 §2.3.4, less the root label that a host name leaves out. */
const maxNameBytes = 253;

const incomplete: ClientHello = { kind: 'incomplete' };
const nameless: ClientHello = { kind: 'hello', name: undefined, protocols: [] };

function invalid(reason: string): Extract<ClientHello, { kind: 'invalid' }> {
  return { kind: 'invalid', reason };
}

/** Reads the ClientHello that `input` begins with; what follows it is not looked at. */
export function parseClientHello(input: Buffer): ClientHello {
  // What the records carry, put together. A hello in one record, as most are, is not copied.
  let message: Buffer = input.subarray(0, 0);
  let at = 0;
  for (let records = 0; records < maxRecords; records++) {
    if (at < input.length && input[at] !== contentHandshake) return invalid('no TLS handshake record');
    if (at + 1 < input.length && input[at + 1] !== 3) return invalid('no TLS version');
    const from = at + recordHeaderBytes;
    if (from > input.length) break;
    const length = input.readUInt16BE(at + 3);
    // RFC 8446 §5.1: "Implementations MUST NOT send zero-length fragments of Handshake types".
    if (length === 0 || length > maxFragmentBytes) return invalid('a record of a forbidden length');
    at = from + length;
    const fragment = input.subarray(from, Math.min(at, input.length));
    message = message.length === 0 ? fragment : Buffer.concat([message, fragment]);
    if (message.length > 0 && message[0] !== handshakeClientHello) return invalid('a handshake without a ClientHello');
    if (message.length >= handshakeHeaderBytes) {
      const end = handshakeHeaderBytes + message.readUIntBE(1, 3);
      if (end > maxHelloBytes) return invalid('a ClientHello longer than we take');
      if (message.length >= end) return readHello(message.subarray(handshakeHeaderBytes, end));
    }
    if (at > input.length) break;
    if (records === maxRecords - 1) return invalid('a ClientHello in too many records');
  }
  return input.length >= maxHelloBytes ? invalid('a ClientHello longer than we take') : incomplete;
}

function readHello(hello: Buffer): ClientHello {
  let at = 2 + randomBytes;
  // legacy_session_id<0..32>, cipher_suites<2..2^16-2>, legacy_compression_methods<1..2^8-1>, extensions<..2^16-1>
  for (const width of [1, 2, 1]) {
    if (at + width > hello.length) return invalid('a cut ClientHello');
    at += width + hello.readUIntBE(at, width);
  }
  if (at > hello.length) return invalid('a ClientHello with a field beyond its end');
  // TLS 1.2 clients may leave the extensions out altogether.
  if (at === hello.length) return nameless;
  if (at + 2 > hello.length || at + 2 + hello.readUInt16BE(at) !== hello.length) {
    return invalid('a ClientHello whose extensions do not fill it');
  }
  at += 2;
  let name: string | undefined;
  let protocols: readonly string[] = [];
  while (at < hello.length) {
    if (at + 4 > hello.length) return invalid('a cut extension');
    const type = hello.readUInt16BE(at);
    const end = at + 4 + hello.readUInt16BE(at + 2);
    if (end > hello.length) return invalid('an extension beyond the end');
    const value = hello.subarray(at + 4, end);
    if (type === extensionServerName) {
      const read = readServerName(value);
      if (typeof read === 'object') return read;
      name = read;
    } else if (type === extensionAlpn) {
      const read = readProtocols(value);
      if ('kind' in read) return read;
      protocols = read;
    }
    at = end;
  }
  return { kind: 'hello', name, protocols };
}

/** RFC 6066 §3: a list with, in practice, one name; "MUST NOT contain more than one name of the same name_type". */
function readServerName(list: Buffer): string | undefined | ClientHello {
  if (list.length < 2 || 2 + list.readUInt16BE(0) !== list.length)
    return invalid('a server name list of a wrong length');
  let at = 2;
  while (at < list.length) {
    if (at + 3 > list.length) return invalid('a cut server name');
    const type = list[at];
    const end = at + 3 + list.readUInt16BE(at + 1);
    if (end > list.length) return invalid('a server name beyond its list');
    if (type === nameTypeHost) return hostName(list.toString('latin1', at + 3, end));
    at = end;
  }
  return undefined;
}

/** RFC 7301 §3.1: a list of names of 1 to 255 bytes; "Empty strings MUST NOT be included". */
function readProtocols(list: Buffer): string[] | Extract<ClientHello, { kind: 'invalid' }> {
  if (list.length < 2 || 2 + list.readUInt16BE(0) !== list.length) return invalid('a protocol list of a wrong length');
  const protocols: string[] = [];
  let at = 2;
  while (at < list.length) {
    const end = at + 1 + list[at]!;
    if (list[at] === 0 || end > list.length) return invalid('a protocol beyond its list, or an empty one');
    if (protocols.length < maxProtocols) protocols.push(list.toString('latin1', at + 1, end));
    at = end;
  }
  return protocols;
}

/** The name as routes are written: lower case, no dot at the end; undefined for what is no host name. */
function hostName(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, '');
  return name.length <= maxNameBytes && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name) ? name : undefined;
}
