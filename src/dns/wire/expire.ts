/** The EXPIRE option of queries for SOA, AXFR and IXFR, and of their answers (RFC 7314 §2, §3). */
import { readUint32, writeUint32 } from './bytes.ts';
import type { Edns, EdnsOption } from './message.ts';

/** Option code (IANA, DNS EDNS0 Option Codes). */
export const EXPIRE_OPTION = 9;

/** The option of a query. */
export const ASK_EXPIRE: EdnsOption = { code: EXPIRE_OPTION, data: new Uint8Array(0) };

/** Whether a query asks how long the zone is good yet. */
export function asksExpire(edns: Edns | undefined): boolean {
  return edns?.options.some(({ code }) => code === EXPIRE_OPTION) === true;
}

/** The option of an answer. @param seconds until the zone expires */
export function encodeExpire(seconds: number): EdnsOption {
  const data = new Uint8Array(4);
  writeUint32(data, 0, seconds);
  return { code: EXPIRE_OPTION, data };
}

/** How many seconds an answer says; undefined: it has no such option, or none that can be read. */
export function readExpire(edns: Edns | undefined): number | undefined {
  const data = edns?.options.find(({ code }) => code === EXPIRE_OPTION)?.data;
  return data?.length === 4 ? readUint32(data, 0) : undefined;
}
