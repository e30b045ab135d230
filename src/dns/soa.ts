/** The SOA record's RDATA (RFC 1035 §3.3.13) and serial arithmetic (RFC 1982). */
import type { SoaConfig } from './config.ts';
import { concatBytes, copyBytes, readUint32, writeUint32 } from './wire/bytes.ts';
import { nameFromText } from './wire/name.ts';

/** serial, refresh, retry, expire, minimum: they follow the two names. */
const NUMBERS_LENGTH = 5 * 4;

export function soaSerial(rdata: Uint8Array): number {
  return readUint32(rdata, rdata.length - NUMBERS_LENGTH);
}

/** The SOA's timers, in seconds (RFC 1035 §3.3.13). */
export function soaTimers(rdata: Uint8Array): { refresh: number; retry: number; expire: number } {
  const at = rdata.length - NUMBERS_LENGTH;
  return { refresh: readUint32(rdata, at + 4), retry: readUint32(rdata, at + 8), expire: readUint32(rdata, at + 12) };
}

/** A copy with another serial. */
export function withSerial(rdata: Uint8Array, serial: number): Uint8Array {
  const copy = copyBytes(rdata);
  writeUint32(copy, copy.length - NUMBERS_LENGTH, serial);
  return copy;
}

export function encodeSoa(soa: SoaConfig, serial: number): Uint8Array {
  const numbers = new Uint8Array(NUMBERS_LENGTH);
  const fields = [serial, soa.refreshSeconds, soa.retrySeconds, soa.expireSeconds, soa.minimumSeconds];
  fields.forEach((value, i) => {
    writeUint32(numbers, 4 * i, value);
  });
  return concatBytes([nameFromText(soa.mname), nameFromText(soa.rname), numbers]);
}

/** Whether `a` is later than `b` (RFC 1982 §3.2); false where the RFC leaves it undefined. */
export function serialGreater(a: number, b: number): boolean {
  const distance = (a - b) >>> 0;
  return distance !== 0 && distance < 2 ** 31;
}

/** The next serial; never 0, which some secondaries take for "none" (BIND skips it as well). */
export function nextSerial(serial: number): number {
  return (serial + 1) >>> 0 || 1;
}
