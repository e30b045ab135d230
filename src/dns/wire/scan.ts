/**
 * Checks and walks messages without making objects of them: for the query path and the cache. Nothing here throws or
 * allocates; what is malformed is -1 or false.
 */
import { readUint16, readUint32 } from './bytes.ts';
import { scanName } from './name.ts';
import { firstNameOffset, rdataNames } from './rdata-names.ts';

const HEADER_LENGTH = 12;

/** Told of each record of a message. Offsets are of the TTL field and of the rdata; the owner's name begins at `owner`. */
export interface RecordVisitor {
  record(
    section: number,
    type: number,
    cls: number,
    owner: number,
    ttlOffset: number,
    ttl: number,
    rdataOffset: number,
    rdataLength: number,
  ): void;
}

/**
 * Walks a whole message: every name, length and count in it, names inside rdata included, OPT too.
 * @returns whether the message is well formed to its last octet
 */
export function scanRecords(message: Uint8Array, visitor: RecordVisitor): boolean {
  const end = message.length;
  if (end < HEADER_LENGTH) return false;
  let at = HEADER_LENGTH;
  for (let left = readUint16(message, 4); left > 0; left--) {
    at = scanName(message, at, end);
    if (at < 0 || at + 4 > end) return false;
    at += 4;
  }
  for (let section = 1; section <= 3; section++) {
    for (let left = readUint16(message, 4 + 2 * section); left > 0; left--) {
      const next = scanName(message, at, end);
      if (next < 0 || next + 10 > end) return false;
      const rdata = next + 10;
      const length = readUint16(message, next + 8);
      const type = readUint16(message, next);
      if (rdata + length > end || !scanRdata(type, message, rdata, rdata + length)) return false;
      const cls = readUint16(message, next + 2);
      visitor.record(section, type, cls, at, next + 4, readUint32(message, next + 4), rdata, length);
      at = rdata + length;
    }
  }
  return at === end;
}

/** Whether names inside rdata that may be compressed are sound; other rdata is taken as it is. */
function scanRdata(type: number, message: Uint8Array, offset: number, end: number): boolean {
  const layout = rdataNames(type);
  if (layout === undefined || offset === end) return true;
  let at = firstNameOffset(layout, message, offset, end);
  for (let i = 0; i < layout.names && at >= 0; i++) at = scanName(message, at, end);
  return at >= 0 && (layout.tail < 0 || end - at === layout.tail);
}
