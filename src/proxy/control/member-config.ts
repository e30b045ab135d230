/** What a member's settings must be, and when two are of the same server. */
import { parseAddress } from '../../core/address.ts';
import { errorMessage } from '../../core/errors.ts';
import type { MemberConfig } from '../config.ts';
import { ProxyError } from '../errors.ts';

/** HAProxy's range of `weight` is 0 to 256; 0 takes no new sessions. */
export const maxWeight = 256;

/** What makes two members one: who moves to another address is another. */
export type Server = Pick<MemberConfig, 'name' | 'address' | 'port'>;

export function sameServer(a: Server, b: Server): boolean {
  return a.name === b.name && a.address === b.address && a.port === b.port;
}

/** @throws {ProxyError} code V6_MEMBER_INVALID */
export function checkMember({ name, address, port, weight }: MemberConfig): void {
  if (!/^[\w.-]{1,253}$/.test(name)) {
    throw new ProxyError(
      'V6_MEMBER_INVALID',
      `"${name}" is no name for a member: letters, digits, dot, dash and underscore`,
    );
  }
  try {
    parseAddress(address);
  } catch (cause) {
    throw new ProxyError('V6_MEMBER_INVALID', `member ${name}: ${errorMessage(cause)}`, { cause });
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new ProxyError('V6_MEMBER_INVALID', `member ${name}: port ${port} is not between 1 and 65535`);
  }
  checkWeight(weight);
}

/** @throws {ProxyError} code V6_MEMBER_INVALID */
export function checkWeight(weight: number): void {
  if (!Number.isInteger(weight) || weight < 0 || weight > maxWeight) {
    throw new ProxyError('V6_MEMBER_INVALID', `weight ${weight} is no whole number from 0 to ${maxWeight}`);
  }
}

/** A member's name among those of all pools. */
export function memberKey(pool: string, member: string): string {
  return `${pool}/${member}`;
}
