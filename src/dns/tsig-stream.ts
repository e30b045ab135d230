/** The client's side of TSIG over several messages (RFC 8945 §5.3.1): the answers to one request, in order. */
import { createHmac, type Hmac } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { TsigKey } from './config.ts';
import { macMatches, TSIG_ALGORITHMS } from './tsig.ts';
import { readUint16, readUint32 } from './wire/bytes.ts';
import { equalNames, nameFromText } from './wire/name.ts';
import {
  encodeSized,
  encodeTime,
  encodeTsigVariables,
  type LocatedTsig,
  locateTsig,
  stripTsig,
  type TsigRecord,
} from './wire/tsig.ts';
import { RCODE, rcodeToText } from './wire/types.ts';

/** "every 100th message at least" is signed (RFC 8945 §5.3.1). */
const MAX_UNSIGNED = 99;

/** Verifies the answers to one signed request. */
export class StreamVerifier {
  readonly #key: TsigKey;
  readonly #clock: Clock;
  /** What has come since the last signature. */
  #hmac: Hmac;
  #first = true;
  #unsigned = 0;

  /** @param requestMac the MAC of the request that is being answered */
  constructor(key: TsigKey, requestMac: Uint8Array, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
    this.#hmac = this.#begin(requestMac);
  }

  /** Whether the last message was signed: the last of all must be. */
  get settled(): boolean {
    return !this.#first && this.#unsigned === 0;
  }

  /** Takes the next answer. Returns what is wrong with its signature; undefined = nothing. */
  check(message: Uint8Array): string | undefined {
    let located: LocatedTsig | undefined;
    try {
      located = locateTsig(message);
    } catch (error) {
      return errorMessage(error);
    }
    if (located === undefined) {
      if (this.#first) return unsignedText(message);
      if (++this.#unsigned > MAX_UNSIGNED) return `more than ${MAX_UNSIGNED} messages without a signature`;
      this.#hmac.update(message);
      return undefined;
    }
    const { record } = located;
    const { name } = TSIG_ALGORITHMS[this.#key.algorithm];
    if (
      !equalNames(record.keyName, nameFromText(this.#key.name)) ||
      !equalNames(record.algorithm, nameFromText(name))
    ) {
      return 'it is signed with another key or algorithm than was asked with';
    }
    if (record.error !== 0) return this.#errorText(record);
    const mac = this.#hmac
      .update(stripTsig(message, located))
      .update(this.#first ? encodeTsigVariables(record) : encodeTime(record.timeSigned, record.fudge))
      .digest();
    if (!macMatches(this.#key, mac, record.mac)) return 'its signature is wrong';
    const behind = Math.floor(this.#clock.wall() / 1000) - record.timeSigned;
    if (Math.abs(behind) > record.fudge) return clockText(behind);
    this.#hmac = this.#begin(record.mac);
    this.#first = false;
    this.#unsigned = 0;
    return undefined;
  }

  #begin(previousMac: Uint8Array): Hmac {
    return createHmac(TSIG_ALGORITHMS[this.#key.algorithm].hash, this.#key.secret).update(encodeSized(previousMac));
  }

  #errorText({ error, otherData }: TsigRecord): string {
    if (error === RCODE.BADTIME && otherData.length === 6) {
      const theirs = readUint16(otherData, 0) * 2 ** 32 + readUint32(otherData, 2);
      return `BADTIME: ${clockText(this.#clock.wall() / 1000 - theirs)}`;
    }
    if (error === RCODE.BADKEY) return `BADKEY: the server has no key "${this.#key.name}" with this algorithm`;
    if (error === RCODE.BADSIG) return `BADSIG: the server has another secret for the key "${this.#key.name}"`;
    return `the server says ${rcodeToText(error)}`;
  }
}

function unsignedText(message: Uint8Array): string {
  const rcode = message[3]! & 15;
  return rcode === 0 ? 'it is not signed' : `it is not signed, and says ${rcodeToText(rcode)}`;
}

function clockText(behind: number): string {
  return `the server's clock is ${Math.round(Math.abs(behind))} s ${behind > 0 ? 'behind' : 'ahead of'} ours`;
}
