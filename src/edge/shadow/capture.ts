/**
 * Packets of a capture file: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), as tcpdump, dumpcap and tshark
 * write them, of either byte order. Reads forward in bounded pieces: captures are larger than memory.
 *
 *   pcap     magic 4 · version 4 · zone 4 · accuracy 4 · snap length 4 · link type 4; then a packet: time 8 · captured 4 · length 4 · data
 *   pcapng   blocks: type 4 · total length 4 · body · total length 4; bodies are padded to 4
 */
import { ValueError } from '../../core/errors.ts';

/** Gives the next `octets` of a file; undefined when it has no more, or not as many. */
export type Take = (octets: number) => Buffer | undefined;

export interface CapturedPacket {
  /** LINKTYPE_ value (tcpdump.org/linktypes.html). */
  readonly linkType: number;
  readonly bytes: Buffer;
}

const MAGIC_OCTETS = 4;
const PCAP_MICROSECONDS = 0xa1b2c3d4;
const PCAP_NANOSECONDS = 0xa1b23c4d;
const PCAP_HEADER_REST = 20;
const PCAP_LINK_TYPE_AT = 16;
const PCAP_RECORD = 16;

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const BLOCK_FRAME = 12;
const PACKET_FIELDS = 20;

/** tcpdump's largest packet; more says that a file is damaged. */
const maxPacketOctets = 262_144;
/** A packet with its options, or a section's description: nobody writes more. */
const maxBlockOctets = 1024 * 1024;
const maxInterfaces = 4096;

type Read32 = (bytes: Buffer, at: number) => number;
const little: Read32 = (bytes, at) => bytes.readUInt32LE(at);
const big: Read32 = (bytes, at) => bytes.readUInt32BE(at);

/** Whether a file that begins so is a capture. */
export function isCapture(start: Uint8Array): boolean {
  if (start.length < MAGIC_OCTETS) return false;
  const first = Buffer.from(start.buffer, start.byteOffset, MAGIC_OCTETS);
  return first.readUInt32BE(0) === SECTION_HEADER || pcapOrder(first) !== undefined;
}

/**
 * The packets in their order. A file that ends within a packet, as that of a tcpdump that was killed, ends before it.
 * @throws {ValueError} it is no capture, or damaged
 */
export function* readCapture(take: Take): Generator<CapturedPacket> {
  const magic = take(MAGIC_OCTETS);
  if (magic === undefined || !isCapture(magic)) throw new ValueError('it is no capture: neither pcap nor pcapng');
  const order = pcapOrder(magic);
  if (order === undefined) yield* readBlocks(take);
  else yield* readPcap(take, order);
}

function pcapOrder(magic: Buffer): Read32 | undefined {
  const isMagic = (value: number) => value === PCAP_MICROSECONDS || value === PCAP_NANOSECONDS;
  return isMagic(little(magic, 0)) ? little : isMagic(big(magic, 0)) ? big : undefined;
}

function* readPcap(take: Take, read32: Read32): Generator<CapturedPacket> {
  const header = take(PCAP_HEADER_REST);
  if (header === undefined) return;
  // The upper bits tell of a frame check sequence.
  const linkType = read32(header, PCAP_LINK_TYPE_AT) & 0xffff;
  for (let record = take(PCAP_RECORD); record !== undefined; record = take(PCAP_RECORD)) {
    const captured = read32(record, 8);
    if (captured > maxPacketOctets) throw damaged(`a packet of ${captured} octets`);
    const bytes = take(captured);
    if (bytes === undefined) return;
    yield { linkType, bytes };
  }
}

/** From behind the type of the first block. */
function* readBlocks(take: Take): Generator<CapturedPacket> {
  let read32 = little;
  let interfaces: { readonly linkType: number; readonly snapLength: number }[] = [];
  for (let type: Buffer | undefined = Buffer.from('0a0d0d0a', 'hex'); type !== undefined; type = take(MAGIC_OCTETS)) {
    const isSection = big(type, 0) === SECTION_HEADER;
    const lengthBytes = take(4);
    // A section says its byte order behind its length.
    const order = isSection && lengthBytes !== undefined ? take(4) : Buffer.alloc(0);
    if (lengthBytes === undefined || order === undefined) return;
    if (isSection) {
      if (little(order, 0) !== BYTE_ORDER_MAGIC && big(order, 0) !== BYTE_ORDER_MAGIC) {
        throw damaged('a section without byte order');
      }
      read32 = little(order, 0) === BYTE_ORDER_MAGIC ? little : big;
      interfaces = [];
    }
    const length = read32(lengthBytes, 0);
    if (length < BLOCK_FRAME + order.length || length % 4 !== 0 || length > maxBlockOctets) {
      throw damaged(`a block of ${length} octets`);
    }
    const rest = take(length - 8 - order.length);
    if (rest === undefined) return;
    const body = rest.subarray(0, rest.length - 4);
    if (isSection) continue;
    const kind = read32(type, 0);
    if (kind === INTERFACE_DESCRIPTION) {
      if (body.length < 8 || interfaces.length === maxInterfaces) throw damaged('an interface without a description');
      const linkType = read32 === little ? body.readUInt16LE(0) : body.readUInt16BE(0);
      interfaces.push({ linkType, snapLength: read32(body, 4) });
      continue;
    }
    const packet = packetOf(kind, body, read32, interfaces);
    if (packet !== undefined) yield packet;
  }
}

/** The packet in a block; undefined in one of another kind. */
function packetOf(
  kind: number,
  body: Buffer,
  read32: Read32,
  interfaces: readonly { readonly linkType: number; readonly snapLength: number }[],
): CapturedPacket | undefined {
  if (kind === SIMPLE_PACKET) {
    const [first] = interfaces;
    if (first === undefined || body.length < 4) throw damaged('a packet of no interface');
    const most = first.snapLength === 0 ? body.length : first.snapLength;
    return { linkType: first.linkType, bytes: body.subarray(4, 4 + Math.min(read32(body, 0), most, body.length - 4)) };
  }
  if (kind !== ENHANCED_PACKET && kind !== OBSOLETE_PACKET) return undefined;
  if (body.length < PACKET_FIELDS) throw damaged('a packet without its fields');
  const short = read32 === little ? body.readUInt16LE(0) : body.readUInt16BE(0);
  const on = interfaces[kind === ENHANCED_PACKET ? read32(body, 0) : short];
  const captured = read32(body, 12);
  if (on === undefined) throw damaged('a packet of no interface');
  if (captured > body.length - PACKET_FIELDS) throw damaged(`a packet of ${captured} octets in a block of fewer`);
  return { linkType: on.linkType, bytes: body.subarray(PACKET_FIELDS, PACKET_FIELDS + captured) };
}

function damaged(what: string): ValueError {
  return new ValueError(`the capture is damaged: it has ${what}`);
}
