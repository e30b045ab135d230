/** Keeps answers from outside from pointing inside (DNS rebinding): private addresses come from our zones, not from upstreams. */
import { type Cidr, cidrContains, parseCidr } from '../core/address.ts';
import { DomainSet } from './domain-set.ts';
import type { ForwardAnswer } from './forwarder/answer.ts';
import { HEADER_LENGTH } from './query-view.ts';
import { readUint16 } from './wire/bytes.ts';
import { scanPlainName } from './wire/name.ts';
import { type RecordVisitor, scanRecords } from './wire/scan.ts';
import { SECTION, TYPE } from './wire/types.ts';

/** Keys of service bindings (RFC 9460 §14.3.2). */
const IPV4_HINT = 4;
const IPV6_HINT = 6;

const privateRanges = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::/128',
  '::1/128',
  '::ffff:0:0/96',
  'fc00::/7',
  'fe80::/10',
].map(parseCidr);

/** Judges answers from upstreams. */
export class RebindGuard {
  #protect = false;
  #allowed = new DomainSet([]);

  apply(settings: { readonly protect: boolean; readonly allow: readonly string[] }): void {
    this.#protect = settings.protect;
    this.#allowed = new DomainSet(settings.allow);
  }

  /** @param nat64 prefixes whose addresses are the Internet's, private as they may look */
  accepts(answer: ForwardAnswer, nat64: readonly Cidr[]): boolean {
    if (!this.#protect) return true;
    const scan = new PrivateScan(answer.message, nat64);
    scanRecords(answer.message, scan);
    if (!scan.found) return true;
    return this.#allowed.has(answer.message.subarray(HEADER_LENGTH, HEADER_LENGTH + answer.questionLength));
  }
}

class PrivateScan implements RecordVisitor {
  found = false;
  readonly #message: Uint8Array;
  readonly #nat64: readonly Cidr[];

  constructor(message: Uint8Array, nat64: readonly Cidr[]) {
    this.#message = message;
    this.#nat64 = nat64;
  }

  record(
    section: number,
    type: number,
    _class: number,
    _owner: number,
    _ttlOffset: number,
    _ttl: number,
    rdata: number,
    length: number,
  ): void {
    if (section !== SECTION.ANSWER) return;
    if (type === TYPE.A || type === TYPE.AAAA) this.#address(this.#message.subarray(rdata, rdata + length));
    else if (type === TYPE.HTTPS || type === TYPE.SVCB) this.#hints(rdata, rdata + length);
  }

  /** Addresses that clients may take from a service binding instead of asking for them (RFC 9460 §7.3). */
  #hints(rdata: number, end: number): void {
    const message = this.#message;
    let at = scanPlainName(message, rdata + 2, end);
    while (at >= 0 && at + 4 <= end) {
      const key = readUint16(message, at);
      const next = at + 4 + readUint16(message, at + 2);
      const size = key === IPV4_HINT ? 4 : key === IPV6_HINT ? 16 : 0;
      for (let from = at + 4; size > 0 && from + size <= Math.min(next, end); from += size) {
        this.#address(message.subarray(from, from + size));
      }
      at = next;
    }
  }

  #address(address: Uint8Array): void {
    const inside = (range: Cidr) => cidrContains(range, address);
    this.found ||= privateRanges.some(inside) && !this.#nat64.some(inside);
  }
}
