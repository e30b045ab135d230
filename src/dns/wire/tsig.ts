/** The TSIG record (RFC 8945 §4.2): where it stands in a message, its RDATA, its removal. */
import { WireError } from '../../core/errors.ts';
import { concatBytes, copyBytes, readUint16, readUint32, writeUint16, writeUint32 } from './bytes.ts';
import { lowerName, type Name, parseName, skipName } from './name.ts';
import { CLASS, TYPE } from './types.ts';

const HEADER_LENGTH = 12;
/** type + class + TTL + RDLENGTH */
const RR_FIXED_LENGTH = 2 + 2 + 4 + 2;

/** A TSIG record's fields (RFC 8945 §4.2). */
export interface TsigRecord {
  /** Key name, lower-cased: digests take it so (§4.3.3). */
  readonly keyName: Name;
  /** Algorithm name, lower-cased. */
  readonly algorithm: Name;
  /** Seconds since 1970; 48 bits. */
  readonly timeSigned: number;
  /** Seconds that clocks may differ. */
  readonly fudge: number;
  readonly mac: Uint8Array;
  readonly originalId: number;
  readonly error: number;
  readonly otherData: Uint8Array;
}

/** A signed message taken apart. */
export interface LocatedTsig {
  readonly record: TsigRecord;
  /** Where the record starts: what stands before it was signed. */
  readonly start: number;
}

/**
 * Finds the TSIG record of a message; undefined if it has none. What follows the last record is not looked at.
 * @throws {WireError} if the message is cut, or a TSIG is not the last record or no TSIG as RFC 8945 §4.2 wants it
 */
export function locateTsig(message: Uint8Array): LocatedTsig | undefined {
  if (message.length < HEADER_LENGTH) throw new WireError('V6_DNS_SHORT', 'message is shorter than a header');
  let offset = HEADER_LENGTH;
  for (let i = readUint16(message, 4); i > 0; i--)
    offset = skipRange(message, skipName(message, offset, message.length), 4);
  const before = readUint16(message, 6) + readUint16(message, 8);
  const records = before + readUint16(message, 10);
  for (let i = 0; i < records; i++) {
    const start = offset;
    const fixed = skipName(message, start, message.length);
    const rdata = skipRange(message, fixed, RR_FIXED_LENGTH);
    offset = skipRange(message, rdata, readUint16(message, rdata - 2));
    if (readUint16(message, fixed) !== TYPE.TSIG) continue;
    // "If multiple TSIG records are detected or a TSIG record is present in any other position, … FORMERR" (§5.2).
    if (i !== records - 1 || i < before) throw new WireError('V6_DNS_TSIG', 'a TSIG record is not the last record');
    if (readUint16(message, fixed + 2) !== CLASS.ANY || readUint32(message, fixed + 4) !== 0) {
      throw new WireError('V6_DNS_TSIG', 'the TSIG record has a class other than ANY or a TTL other than 0');
    }
    const keyName = lowerName(parseName(message, start, message.length).name);
    return { start, record: parseTsigRdata(message, rdata, offset, keyName) };
  }
  return undefined;
}

function skipRange(message: Uint8Array, offset: number, length: number): number {
  if (offset + length > message.length) throw new WireError('V6_DNS_SHORT', 'message ends inside a record');
  return offset + length;
}

/** @throws {WireError} */
function parseTsigRdata(message: Uint8Array, start: number, end: number, keyName: Name): TsigRecord {
  const { name, next } = parseName(message, start, end);
  // time signed 6 + fudge 2 + MAC size 2
  const mac = next + 10;
  if (mac > end) throw new WireError('V6_DNS_TSIG', 'TSIG RDATA is cut');
  const macEnd = mac + readUint16(message, next + 8);
  // original id 2 + error 2 + other length 2
  const other = macEnd + 6;
  if (other > end || other + readUint16(message, macEnd + 4) !== end) {
    throw new WireError('V6_DNS_TSIG', 'TSIG RDATA is cut or too long');
  }
  return {
    keyName,
    algorithm: lowerName(name),
    timeSigned: readUint16(message, next) * 2 ** 32 + readUint32(message, next + 2),
    fudge: readUint16(message, next + 6),
    mac: copyBytes(message, mac, macEnd),
    originalId: readUint16(message, macEnd),
    error: readUint16(message, macEnd + 2),
    otherData: copyBytes(message, other, end),
  };
}

/** The message as it was signed: without its TSIG record, ARCOUNT one less, the original id back in place (§5.2.2). */
export function stripTsig(message: Uint8Array, tsig: LocatedTsig): Uint8Array {
  const stripped = copyBytes(message, 0, tsig.start);
  writeUint16(stripped, 0, tsig.record.originalId);
  writeUint16(stripped, 10, readUint16(message, 10) - 1);
  return stripped;
}

/** The message with a TSIG record at its end; the names are written uncompressed. */
export function appendTsig(message: Uint8Array, record: TsigRecord): Uint8Array {
  const rdata = concatBytes([
    record.algorithm,
    encodeTime(record.timeSigned, record.fudge),
    encodeSized(record.mac),
    encodeWords(record.originalId, record.error),
    encodeSized(record.otherData),
  ]);
  const fixed = new Uint8Array(RR_FIXED_LENGTH);
  writeUint16(fixed, 0, TYPE.TSIG);
  writeUint16(fixed, 2, CLASS.ANY);
  writeUint16(fixed, 8, rdata.length);
  const whole = concatBytes([message, record.keyName, fixed, rdata]);
  writeUint16(whole, 10, readUint16(message, 10) + 1);
  return whole;
}

/** The TSIG variables that a digest covers (§4.3.3). */
export function encodeTsigVariables(record: TsigRecord): Uint8Array {
  const classAndTtl = new Uint8Array(6);
  writeUint16(classAndTtl, 0, CLASS.ANY);
  return concatBytes([
    record.keyName,
    classAndTtl,
    record.algorithm,
    encodeTime(record.timeSigned, record.fudge),
    encodeWords(record.error),
    encodeSized(record.otherData),
  ]);
}

/** Time signed and fudge: all that digests of a TCP stream's later messages cover (§5.3.1). */
export function encodeTime(timeSigned: number, fudge: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeUint16(bytes, 0, Math.floor(timeSigned / 2 ** 32));
  writeUint32(bytes, 2, timeSigned % 2 ** 32);
  writeUint16(bytes, 6, fudge);
  return bytes;
}

/** Bytes with their length in two octets before them. */
export function encodeSized(bytes: Uint8Array): Uint8Array {
  return concatBytes([encodeWords(bytes.length), bytes]);
}

function encodeWords(...words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * words.length);
  for (let i = 0; i < words.length; i++) writeUint16(bytes, 2 * i, words[i]!);
  return bytes;
}
