/** The Update Lease option of UPDATE messages (RFC 9664 §4). */
import { WireError } from '../../core/errors.ts';
import { readUint32, writeUint32 } from './bytes.ts';
import type { EdnsOption } from './message.ts';

/** Option code (IANA, DNS EDNS0 Option Codes). */
const UPDATE_LEASE_OPTION = 2;

/** How long records are to last, in seconds. */
export interface UpdateLease {
  readonly lease: number;
  /** Of KEY records; undefined: the option has its short form, and they last as long as the others. */
  readonly keyLease: number | undefined;
}

/** The first Update Lease among the options; undefined if there is none. @throws {WireError} its length is neither 4 nor 8 */
export function parseUpdateLease(options: readonly EdnsOption[]): UpdateLease | undefined {
  const data = options.find(({ code }) => code === UPDATE_LEASE_OPTION)?.data;
  if (data === undefined) return undefined;
  if (data.length !== 4 && data.length !== 8) {
    throw new WireError('V6_DNS_OPTION', `an Update Lease option has 4 or 8 octets, not ${data.length}`);
  }
  return { lease: readUint32(data, 0), keyLease: data.length === 8 ? readUint32(data, 4) : undefined };
}

export function encodeUpdateLease({ lease, keyLease }: UpdateLease): EdnsOption {
  const data = new Uint8Array(keyLease === undefined ? 4 : 8);
  writeUint32(data, 0, lease);
  if (keyLease !== undefined) writeUint32(data, 4, keyLease);
  return { code: UPDATE_LEASE_OPTION, data };
}
