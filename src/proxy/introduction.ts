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
  if (passedOn === undefined && pool.proxyV2Options.length === 0) {
    const length = session.source.family === 4 ? 28 : 52;
    return writeV2(bytes.subarray(end - length), session.source, destinationOf(session));
  }
  const header = encodeV2(head(session), fields(session, pool), pool.proxyV2Options.includes('crc32c'));
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
  const add = (type: number, text: string) => {
    if (there.has(type)) return;
    const field = new Uint8Array(tlvHeaderBytes + text.length);
    writeTlv(field, 0, type, Buffer.from(text, 'latin1'));
    list.push(field);
  };
  if (pool.proxyV2Options.includes('authority') && session.serverName !== undefined) {
    add(Tlv.authority, session.serverName);
  }
  if (pool.proxyV2Options.includes('unique-id')) add(Tlv.uniqueId, session.uniqueId);
  return list;
}

function destinationOf(session: Introduced): AddressSpan {
  if (session.destination !== undefined) return session.destination;
  // A client that reset has no name any more; its header is of no use to anybody then.
  if (localAddress(session.client.fd, local) < 0) return session.source;
  return spanOfSockaddr(Uint8Array.from(local.bytes));
}
