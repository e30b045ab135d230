/** The PROXY header that introduces a session to its member: the client's addresses, and what came in with them. */
import { localAddress, SockaddrSlot } from '../linux/tcp.ts';
import type { PassedOn } from './preface.ts';
import type { Relay } from './relay.ts';
import type { PoolSnapshot } from './snapshot.ts';
import { spanAddress, spanOfSockaddr } from './span.ts';
import {
  type AddressSpan,
  encodeV2,
  maxHeaderBytes,
  tcpHead,
  type V2Head,
  v1Unknown,
  v2PrefixBytes,
  writeV1,
  writeV2,
} from './wire/header.ts';
import { parseTlvs, Tlv, tlvHeaderBytes, writeTlv } from './wire/tlv.ts';

/** For getsockname; used and read within one call. */
const local = new SockaddrSlot();
const nothing = new Uint8Array(0);

/** The session that is introduced. */
export interface Introduced {
  readonly client: Relay;
  readonly source: AddressSpan;
  readonly destination: AddressSpan | undefined;
  readonly passedOn: PassedOn | undefined;
  readonly serverName: string | undefined;
  readonly protocols: readonly string[];
  /** As the log has it. */
  readonly uniqueId: string;
}

/** Writes the header that the pool wants so that it ends at `end`. Returns its length. */
export function writeIntroduction(session: Introduced, pool: PoolSnapshot, bytes: Buffer, end: number): number {
  const { passedOn } = session;
  if (pool.proxyProtocol === 'v1') {
    // Version 1 has words for TCP alone (§2.1).
    if (passedOn?.unaddressed !== undefined) return bytes.write(v1Unknown, end - v1Unknown.length, 'latin1');
    const length = writeV1(bytes.subarray(end - maxHeaderBytes), session.source, destinationOf(session), spanAddress);
    bytes.copyWithin(end - length, end - maxHeaderBytes, end - maxHeaderBytes + length);
    return length;
  }
  if (passedOn === undefined && isPlain(pool)) {
    const length = session.source.family === 4 ? 28 : 52;
    return writeV2(bytes, session.source, destinationOf(session), end - length);
  }
  const start = head(session);
  const checksum = pool.proxyV2Options.includes('crc32c');
  const list = fields(session, pool);
  const length = v2PrefixBytes + start.block.length + sizeOf(list) + (checksum ? tlvHeaderBytes + 4 : 0);
  const header = encodeV2(start, [...list, ...padding(length, pool.proxyV2Align)], checksum);
  bytes.set(header, end - header.length);
  return header.length;
}

function head(session: Introduced): V2Head {
  return session.passedOn?.unaddressed ?? tcpHead(session.source, destinationOf(session));
}

/** What came in goes first and counts: an id or a name that those in front gave is not given anew. */
function fields(session: Introduced, pool: PoolSnapshot): Uint8Array[] {
  const passed = session.passedOn?.tlvs ?? nothing;
  const there = new Set(parseTlvs(passed, 0, passed.length)?.map(({ type }) => type));
  const list = [passed];
  const add = (type: number, value: Uint8Array) => {
    if (!there.has(type)) list.push(field(type, value));
  };
  if (pool.proxyV2Options.includes('authority') && session.serverName !== undefined) {
    add(Tlv.authority, Buffer.from(session.serverName, 'latin1'));
  }
  // Of several the member chooses one, which nobody knows yet.
  const [protocol, ...others] = session.protocols;
  if (pool.proxyV2Options.includes('alpn') && protocol !== undefined && others.length === 0) {
    add(Tlv.alpn, Buffer.from(protocol, 'latin1'));
  }
  if (pool.proxyV2Options.includes('unique-id')) add(Tlv.uniqueId, Buffer.from(session.uniqueId, 'latin1'));
  for (const { type, value } of pool.proxyV2Tlvs) add(type, value);
  return list;
}

function isPlain({ proxyV2Options, proxyV2Tlvs, proxyV2Align }: PoolSnapshot): boolean {
  return proxyV2Options.length === 0 && proxyV2Tlvs.length === 0 && proxyV2Align === 0;
}

function field(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(tlvHeaderBytes + value.length);
  writeTlv(bytes, 0, type, value);
  return bytes;
}

function sizeOf(list: readonly Uint8Array[]): number {
  return list.reduce((sum, { length }) => sum + length, 0);
}

/** A NOOP field that makes a header of `length` bytes a multiple of `align` long, if it is not (§2.2.4: 3 bytes at least). */
function padding(length: number, align: number): Uint8Array[] {
  if (align === 0 || length % align === 0) return [];
  let missing = align - (length % align);
  while (missing < tlvHeaderBytes) missing += align;
  return [field(Tlv.noop, new Uint8Array(missing - tlvHeaderBytes))];
}

function destinationOf(session: Introduced): AddressSpan {
  if (session.destination !== undefined) return session.destination;
  // A client that reset has no name any more; its header is of no use to anybody then.
  if (localAddress(session.client.fd, local) < 0) return session.source;
  return spanOfSockaddr(local.copy());
}
