/** DNS questions in captured packets: what clients asked a server on port 53, over UDP or TCP, IPv4 or IPv6. */
import { closeSync, openSync, readSync } from 'node:fs';
import { tryParseMessage } from '../../dns/wire/message.ts';
import { nameToText } from '../../dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, typeToText } from '../../dns/wire/types.ts';
import { type CapturedPacket, isCapture, readCapture, type Take } from './capture.ts';
import type { Question } from './dns.ts';

const DNS_PORT = 53;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** IEEE 802.1Q and 802.1ad. */
const VLAN_TAGS: readonly number[] = [0x8100, 0x88a8];
const MAX_TAGS = 2;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
/** Hop-by-hop, routing, destination options (RFC 8200 §4): each says its length in units of 8 octets without the first. */
const EXTENSIONS: readonly number[] = [0, 43, 60];
const MAX_EXTENSIONS = 8;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** The files a shadow reads at once hold a piece of this size. */
const pieceOctets = 256 * 1024;

/**
 * The IP packet in a captured one; undefined where there is none. LINKTYPE_ values: 0 BSD loopback, 1 Ethernet, 101 raw (12 and
 * 14 of some systems), 113 and 276 Linux "any", 228 IPv4, 229 IPv6.
 */
function ipPacket({ linkType, bytes }: CapturedPacket): Buffer | undefined {
  switch (linkType) {
    case 0:
      return bytes.subarray(4);
    case 1: {
      let at = 12;
      for (let tags = 0; tags < MAX_TAGS && bytes.length >= at + 2; tags++) {
        if (!VLAN_TAGS.includes(bytes.readUInt16BE(at))) break;
        at += 4;
      }
      return typed(bytes, at, at + 2);
    }
    case 12:
    case 14:
    case 101:
    case 228:
    case 229:
      return bytes;
    case 113:
      return typed(bytes, 14, 16);
    case 276:
      return typed(bytes, 0, 20);
    default:
      return undefined;
  }
}

function typed(bytes: Buffer, typeAt: number, packetAt: number): Buffer | undefined {
  if (bytes.length < Math.max(typeAt + 2, packetAt)) return undefined;
  const type = bytes.readUInt16BE(typeAt);
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? bytes.subarray(packetAt) : undefined;
}

/** What an IP packet carries that is whole: no fragment but for one that is all (RFC 6946). */
function payloadOf(packet: Buffer): { protocol: number; payload: Buffer } | undefined {
  const version = packet.length === 0 ? 0 : packet[0]! >> 4;
  if (version === 4) {
    if (packet.length < IPV4_HEADER || (packet.readUInt16BE(6) & 0x3fff) !== 0) return undefined;
    const from = (packet[0]! & 15) * 4;
    // Ethernet fills short frames up.
    return { protocol: packet[9]!, payload: packet.subarray(Math.max(from, IPV4_HEADER), packet.readUInt16BE(2)) };
  }
  if (version !== 6 || packet.length < IPV6_HEADER) return undefined;
  const end = IPV6_HEADER + packet.readUInt16BE(4);
  let protocol = packet[6]!;
  let at = IPV6_HEADER;
  for (let i = 0; i < MAX_EXTENSIONS && EXTENSIONS.includes(protocol); i++) {
    if (packet.length < at + 8) return undefined;
    protocol = packet[at]!;
    at += 8 * (packet[at + 1]! + 1);
  }
  return { protocol, payload: packet.subarray(at, end) };
}

/** The DNS message in a datagram, or in a segment that has all of one, to a server. */
function messageOf({ protocol, payload }: { protocol: number; payload: Buffer }): Buffer | undefined {
  if (payload.length < 8 || payload.readUInt16BE(2) !== DNS_PORT) return undefined;
  if (protocol === PROTOCOL_UDP) return payload.subarray(8);
  if (protocol !== PROTOCOL_TCP || payload.length < 20) return undefined;
  const data = payload.subarray((payload[12]! >> 4) * 4);
  // RFC 1035 §4.2.2: its length stands before it.
  return data.length > 2 && data.readUInt16BE(0) <= data.length - 2
    ? data.subarray(2, 2 + data.readUInt16BE(0))
    : undefined;
}

/** The question of a captured packet; undefined: it is no query, or not all of it was captured. */
export function questionIn(captured: CapturedPacket): Question | undefined {
  const packet = ipPacket(captured);
  const carried = packet === undefined ? undefined : payloadOf(packet);
  const bytes = carried === undefined ? undefined : messageOf(carried);
  const message = bytes === undefined ? undefined : tryParseMessage(bytes);
  if (message === undefined || (message.flags & FLAG.QR) !== 0 || message.opcode !== OPCODE.QUERY) return undefined;
  const [question, another] = message.questions;
  if (question === undefined || another !== undefined || question.class !== CLASS.IN) return undefined;
  return { name: nameToText(question.name).toLowerCase(), type: typeToText(question.type) };
}

/**
 * The questions in a capture file, each once, `most` of them; undefined when the file is no capture.
 * @throws {ValueError} the capture is damaged
 */
export function capturedQuestions(file: string, most: number): Question[] | undefined {
  const fd = openSync(file, 'r');
  try {
    const start = Buffer.alloc(4);
    if (!isCapture(start.subarray(0, readSync(fd, start, 0, start.length, 0)))) return undefined;
    const found = new Map<string, Question>();
    for (const packet of readCapture(fileReader(fd))) {
      const question = questionIn(packet);
      if (question !== undefined) found.set(`${question.name} ${question.type}`, question);
      if (found.size === most) break;
    }
    return [...found.values()];
  } finally {
    closeSync(fd);
  }
}

/** Reads a file from its beginning. */
function fileReader(fd: number): Take {
  let piece = Buffer.alloc(pieceOctets);
  let [from, to, position] = [0, 0, 0];
  return (octets) => {
    if (to - from < octets) {
      const grown = octets > piece.length ? Buffer.alloc(octets) : piece;
      piece.copy(grown, 0, from, to);
      [piece, from, to] = [grown, 0, to - from];
      for (let got = -1; to < octets && got !== 0; to += got, position += got) {
        got = readSync(fd, piece, to, piece.length - to, position);
      }
      if (to < octets) return undefined;
    }
    from += octets;
    return Buffer.from(piece.subarray(from - octets, from));
  };
}
