/** DNS messages as values (RFC 1035 §4.1): whole parse and whole encoding. The query path has scan.ts and writer.ts. */
import { WireError } from '../../core/errors.ts';
import { copyBytes, equalBytes, readUint16, readUint32 } from './bytes.ts';
import { type Name, parseName } from './name.ts';
import { expandRdata } from './rdata-names.ts';
import { FLAG, FLAG_MASK, SECTION, TYPE } from './types.ts';
import { MessageWriter } from './writer.ts';

export { MessageWriter } from './writer.ts';

/** An entry of the question section (RFC 1035 §4.1.2). */
export interface Question {
  readonly name: Name;
  readonly type: number;
  readonly class: number;
}

/** A resource record (RFC 1035 §4.1.3); names in `rdata` are not compressed. */
export interface ResourceRecord {
  readonly name: Name;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly rdata: Uint8Array;
}

/** A record as it stood in a message, with the offset it began at. */
export interface ParsedRecord extends ResourceRecord {
  readonly offset: number;
}

/** One EDNS option (RFC 6891 §6.1.2). */
export interface EdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** What the OPT record says (RFC 6891 §6.1). */
export interface Edns {
  readonly udpSize: number;
  /** The upper eight bits of the response code. */
  readonly extendedRcode: number;
  readonly version: number;
  readonly do: boolean;
  readonly options: readonly EdnsOption[];
}

/** A message; `flags` are the bits of `FLAG`, `rcode` has the upper bits of OPT in it. */
export interface Message {
  readonly id: number;
  readonly flags: number;
  readonly opcode: number;
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  /** Without OPT. */
  readonly additional: readonly ResourceRecord[];
  readonly edns?: Edns;
}

/** A message that came, with what a signature over its bytes needs (RFC 8945 §4.3.2: the message up to its TSIG). */
export interface ParsedMessage extends Message {
  readonly answers: readonly ParsedRecord[];
  readonly authority: readonly ParsedRecord[];
  readonly additional: readonly ParsedRecord[];
}

export const HEADER_LENGTH = 12;
/** Root name, type, class: the smallest question; and with TTL and rdata length the smallest record. */
const MIN_QUESTION = 1 + 2 + 2;
const MIN_RECORD = 1 + 2 + 2 + 4 + 2;

/**
 * Reads a whole message. Codes: V6_DNS_SHORT (cut off), V6_DNS_COUNT (more records promised than there are bytes for),
 * V6_DNS_NAME, V6_DNS_RDATA, V6_DNS_OPT (RFC 6891 §6.1.1), V6_DNS_TRAILING (bytes after the last record).
 * @throws {WireError}
 */
export function parseMessage(bytes: Uint8Array): ParsedMessage {
  if (bytes.length < HEADER_LENGTH) throw new WireError('V6_DNS_SHORT', 'shorter than a header');
  const word = readUint16(bytes, 2);
  const counts = [readUint16(bytes, 4), readUint16(bytes, 6), readUint16(bytes, 8), readUint16(bytes, 10)] as const;
  const least = counts[0] * MIN_QUESTION + (counts[1] + counts[2] + counts[3]) * MIN_RECORD;
  if (least > bytes.length - HEADER_LENGTH) {
    throw new WireError('V6_DNS_COUNT', `${counts.join('/')} records cannot be in ${bytes.length} octets`);
  }
  const cursor = { bytes, at: HEADER_LENGTH };
  const questions: Question[] = [];
  for (let i = 0; i < counts[0]; i++) questions.push(parseQuestion(cursor));
  const answers = parseSection(cursor, counts[1]);
  const authority = parseSection(cursor, counts[2]);
  const all = parseSection(cursor, counts[3]);
  if (cursor.at !== bytes.length) throw new WireError('V6_DNS_TRAILING', 'octets after the last record');

  const edns = takeEdns(answers, authority, all);
  const message = {
    id: readUint16(bytes, 0),
    flags: word & FLAG_MASK,
    opcode: (word >> 11) & 15,
    rcode: (word & 15) | ((edns?.extendedRcode ?? 0) << 4),
    questions,
    answers,
    authority,
    additional: edns === undefined ? all : all.filter((record) => record.type !== TYPE.OPT),
  };
  return edns === undefined ? message : { ...message, edns };
}

/** As `parseMessage`; undefined when there is anything wrong with it. */
export function tryParseMessage(bytes: Uint8Array): ParsedMessage | undefined {
  try {
    return parseMessage(bytes);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Its buffer and tables cost more to make than most messages. */
const writer = new MessageWriter();

/** Writes a whole message; what does not fit into `limit` octets is left out by whole RRsets with TC set (RFC 2181 §9). */
export function encodeMessage(message: Message, limit = 65535): Uint8Array {
  const { edns } = message;
  writer.begin(Math.min(limit, plainLength(message)));
  if (edns !== undefined) writer.reserve(ednsLength(edns));
  for (const question of message.questions) writer.question(question.name, question.type, question.class);
  const complete =
    encodeSection(writer, SECTION.ANSWER, message.answers) &&
    encodeSection(writer, SECTION.AUTHORITY, message.authority) &&
    encodeSection(writer, SECTION.ADDITIONAL, message.additional);
  if (edns !== undefined) {
    writer.reserve(0);
    writer.opt(edns.udpSize, message.rcode, edns.version, edns.do, edns.options);
  }
  writer.header(message.id, message.flags | (complete ? 0 : FLAG.TC), message.opcode, message.rcode);
  return copyBytes(writer.finish());
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function parseQuestion(cursor: Cursor): Question {
  const { bytes } = cursor;
  const { name, next } = parseName(bytes, cursor.at, bytes.length);
  if (next + 4 > bytes.length) throw new WireError('V6_DNS_SHORT', 'cut off in the question section');
  cursor.at = next + 4;
  return { name, type: readUint16(bytes, next), class: readUint16(bytes, next + 2) };
}

function parseSection(cursor: Cursor, count: number): ParsedRecord[] {
  const records: ParsedRecord[] = [];
  for (let i = 0; i < count; i++) records.push(parseRecord(cursor));
  return records;
}

function parseRecord(cursor: Cursor): ParsedRecord {
  const { bytes, at: offset } = cursor;
  const { name, next } = parseName(bytes, offset, bytes.length);
  if (next + 10 > bytes.length) throw new WireError('V6_DNS_SHORT', 'cut off in a record');
  const type = readUint16(bytes, next);
  const start = next + 10;
  const end = start + readUint16(bytes, next + 8);
  if (end > bytes.length) throw new WireError('V6_DNS_SHORT', 'cut off in rdata');
  cursor.at = end;
  return {
    name,
    type,
    class: readUint16(bytes, next + 2),
    ttl: readUint32(bytes, next + 4),
    rdata: expandRdata(type, bytes, start, end),
    offset,
  };
}

/** RFC 6891 §6.1.1: one OPT at most, in the additional section, with the root as its owner. */
function takeEdns(
  answers: readonly ParsedRecord[],
  authority: readonly ParsedRecord[],
  additional: readonly ParsedRecord[],
): Edns | undefined {
  let edns: Edns | undefined;
  for (const records of [answers, authority, additional]) {
    for (const record of records) {
      if (record.type !== TYPE.OPT) continue;
      if (edns !== undefined || records !== additional || record.name.length !== 1) {
        throw new WireError('V6_DNS_OPT', 'an OPT record where it must not be');
      }
      edns = parseEdns(record);
    }
  }
  return edns;
}

function parseEdns(record: ResourceRecord): Edns {
  const { rdata, ttl } = record;
  const options: EdnsOption[] = [];
  for (let at = 0; at < rdata.length; ) {
    const end = at + 4 <= rdata.length ? at + 4 + readUint16(rdata, at + 2) : Number.POSITIVE_INFINITY;
    if (end > rdata.length) throw new WireError('V6_DNS_OPT', 'an EDNS option longer than its record');
    options.push({ code: readUint16(rdata, at), data: rdata.subarray(at + 4, end) });
    at = end;
  }
  return {
    udpSize: record.class,
    extendedRcode: ttl >>> 24,
    version: (ttl >>> 16) & 255,
    do: (ttl & 0x8000) !== 0,
    options,
  };
}

/** Length of a message without compression: none is longer. */
function plainLength(message: Message): number {
  let length = HEADER_LENGTH + (message.edns === undefined ? 0 : ednsLength(message.edns));
  for (const { name } of message.questions) length += name.length + 4;
  for (const section of [message.answers, message.authority, message.additional]) {
    for (const { name, rdata } of section) length += name.length + 10 + rdata.length;
  }
  return length;
}

function ednsLength(edns: Edns): number {
  let length = MIN_RECORD;
  for (const option of edns.options) length += 4 + option.data.length;
  return length;
}

function encodeSection(writer: MessageWriter, section: number, records: readonly ResourceRecord[]): boolean {
  for (let i = 0; i < records.length; ) {
    const first = records[i]!;
    const mark = writer.mark();
    for (; i < records.length && sameSet(records[i]!, first); i++) {
      const { name, type, class: cls, ttl, rdata } = records[i]!;
      if (writer.record(section, name, type, cls, ttl, rdata)) continue;
      writer.rollback(mark);
      return false;
    }
  }
  return true;
}

function sameSet(a: ResourceRecord, b: ResourceRecord): boolean {
  return a.type === b.type && a.class === b.class && equalBytes(a.name, b.name);
}
