/**
 * The octets of a write-ahead log's file: a header, then records, one a commit, each at a multiple of 16.
 *
 * Header (48, the rest of its 4096 is zero): magic 8, version 4, reserved 4, session 16, reserved 12, CRC-32 4 of all
 * before it. Record: magic 4, length of the payload 4, sequence number 8, CRC-32 4, reserved 4, payload. The CRC is of
 * the header's CRC, the record's first 16 octets and the payload: what an earlier session left is no record of this one,
 * and as the session is random nobody can put a record into the data of another.
 *
 * Files are written over, so behind the newest record stand older ones of the same session: a run ends where the sequence
 * number is not the next.
 */
import { crc32 } from 'node:zlib';

export const WAL_VERSION = 1;
export const HEADER_OCTETS = 4096;
export const SESSION_OCTETS = 16;
/** A larger commit goes past the log. */
export const MAX_PAYLOAD = 128 * 1024;
const ALIGNMENT = 16;
const HEADER_MAGIC = Buffer.from('v6edgewl', 'latin1');
const VERSION_AT = 8;
const SESSION_AT = 16;
const HEADER_CRC_AT = 44;
const RECORD_MAGIC = 0x7636_7265;
const RECORD_HEAD = 24;
/** What of a record's head its CRC covers. */
const RECORD_COVERED = 16;

export interface WalHeader {
  readonly version: number;
  readonly session: Buffer;
  /** Begins the CRC of each record. */
  readonly seed: number;
}

/** One commit. */
export interface WalRecord {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** What a file has. */
export interface WalRun {
  /** From the file's beginning, of sequence numbers without a gap. */
  readonly records: readonly WalRecord[];
  /** The highest sequence number of a record behind the run; 0 = none. */
  readonly strayed: number;
  /** Whether the run is followed by the beginning of the next record, and no more: a write was cut off. */
  readonly torn: boolean;
}

export function encodeHeader(session: Uint8Array, version = WAL_VERSION): Buffer {
  const header = Buffer.alloc(HEADER_OCTETS);
  HEADER_MAGIC.copy(header);
  header.writeUInt32BE(version, VERSION_AT);
  header.set(session, SESSION_AT);
  header.writeUInt32BE(crc32(header.subarray(0, HEADER_CRC_AT)), HEADER_CRC_AT);
  return header;
}

/** undefined if it is no header, or damaged. */
export function parseHeader(file: Buffer): WalHeader | undefined {
  if (file.length < HEADER_OCTETS || !file.subarray(0, HEADER_MAGIC.length).equals(HEADER_MAGIC)) return undefined;
  const seed = file.readUInt32BE(HEADER_CRC_AT);
  if (seed !== crc32(file.subarray(0, HEADER_CRC_AT))) return undefined;
  const session = file.subarray(SESSION_AT, SESSION_AT + SESSION_OCTETS);
  return { version: file.readUInt32BE(VERSION_AT), session, seed };
}

/** Octets that a record takes in a file. */
export function recordOctets(payload: number): number {
  return Math.ceil((RECORD_HEAD + payload) / ALIGNMENT) * ALIGNMENT;
}

/** A record, filled up to a multiple of 16. */
export function encodeRecord(seed: number, sequence: number, payload: Uint8Array): Buffer {
  const record = Buffer.alloc(recordOctets(payload.length));
  record.writeUInt32BE(RECORD_MAGIC, 0);
  record.writeUInt32BE(payload.length, 4);
  record.writeBigUInt64BE(BigInt(sequence), 8);
  record.set(payload, RECORD_HEAD);
  record.writeUInt32BE(crc32(payload, crc32(record.subarray(0, RECORD_COVERED), seed)), RECORD_COVERED);
  return record;
}

/** Reads the records of a file whose header is right. */
export function readRun(file: Buffer, seed: number): WalRun {
  const records: WalRecord[] = [];
  let at = HEADER_OCTETS;
  for (;;) {
    const record = recordAt(file, at, seed);
    const last = records.at(-1);
    if (record === undefined || (last !== undefined && record.sequence !== last.sequence + 1)) break;
    records.push(record);
    at += recordOctets(record.payload.length);
  }
  const head = headAt(file, at);
  const next = (records.at(-1)?.sequence ?? Number.NaN) + 1;
  return { records, strayed: newestBehind(file, at, seed), torn: head?.sequence === next };
}

function newestBehind(file: Buffer, from: number, seed: number): number {
  let newest = 0;
  for (let at = from; at + RECORD_HEAD <= file.length; at += ALIGNMENT) {
    const record = recordAt(file, at, seed);
    if (record === undefined) continue;
    newest = Math.max(newest, record.sequence);
    at += recordOctets(record.payload.length) - ALIGNMENT;
  }
  return newest;
}

function recordAt(file: Buffer, at: number, seed: number): WalRecord | undefined {
  const head = headAt(file, at);
  if (head === undefined) return undefined;
  const payload = file.subarray(at + RECORD_HEAD, at + RECORD_HEAD + head.length);
  const crc = crc32(payload, crc32(file.subarray(at, at + RECORD_COVERED), seed));
  return file.readUInt32BE(at + RECORD_COVERED) === crc ? { sequence: head.sequence, payload } : undefined;
}

/** The head of what may be a record. */
function headAt(file: Buffer, at: number): { readonly length: number; readonly sequence: number } | undefined {
  if (at + RECORD_HEAD > file.length || file.readUInt32BE(at) !== RECORD_MAGIC) return undefined;
  const length = file.readUInt32BE(at + 4);
  // Payloads are what clients sent: what looks like a head in them must not make the search long.
  if (length > MAX_PAYLOAD || at + RECORD_HEAD + length > file.length) return undefined;
  return { length, sequence: Number(file.readBigUInt64BE(at + 8)) };
}
