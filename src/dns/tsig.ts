/**
 * Transaction signatures (RFC 8945): verifies a signed request and signs its replies.
 *
 * `verifyRequest` follows §5.2: the key, the MAC, the time, the truncation, in this order. Of keys with one name each is
 * tried: while a secret is being replaced, clients sign with the old one or the new one. Whatever it finds, the outcome can
 * sign the reply as §5.3 wants it: with the key where the MAC was right, with an empty MAC where it was not.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { errorMessage, WireError } from '../core/errors.ts';
import type { TsigAlgorithm, TsigKey } from './config.ts';
import { copyBytes, writeUint16 } from './wire/bytes.ts';
import { type Name, type NameKey, nameFromText, nameKey, nameToText } from './wire/name.ts';
import {
  appendTsig,
  encodeSized,
  encodeTime,
  encodeTsigVariables,
  type LocatedTsig,
  locateTsig,
  stripTsig,
  type TsigRecord,
} from './wire/tsig.ts';
import { RCODE } from './wire/types.ts';

/** "The RECOMMENDED fudge value is 300 seconds" (RFC 8945 §10). */
const FUDGE_SECONDS = 300;
/** No MAC shorter than this is looked at, nor one shorter than half the digest (RFC 8945 §5.2.2.1). */
const MIN_MAC_LENGTH = 10;

interface Algorithm {
  /** Name on the wire (RFC 8945 §6). */
  readonly name: string;
  readonly hash: string;
  readonly length: number;
}

/** HMAC-MD5 is here for keys that name it; nothing chooses it (RFC 8945 §6: "MUST NOT be used" for new ones). */
export const TSIG_ALGORITHMS: Readonly<Record<TsigAlgorithm, Algorithm>> = {
  'hmac-md5': { name: 'hmac-md5.sig-alg.reg.int', hash: 'md5', length: 16 },
  'hmac-sha1': { name: 'hmac-sha1', hash: 'sha1', length: 20 },
  'hmac-sha224': { name: 'hmac-sha224', hash: 'sha224', length: 28 },
  'hmac-sha256': { name: 'hmac-sha256', hash: 'sha256', length: 32 },
  'hmac-sha384': { name: 'hmac-sha384', hash: 'sha384', length: 48 },
  'hmac-sha512': { name: 'hmac-sha512', hash: 'sha512', length: 64 },
};

interface WireKey {
  readonly key: TsigKey;
  readonly name: Name;
  readonly algorithm: Name;
  readonly hash: string;
  /** Made once: from octets, each HMAC would make one of its own, for five times what it costs itself. */
  readonly secret: KeyObject;
  /** Octets of a whole MAC, of those that are sent, and of the shortest that are taken. */
  readonly digestLength: number;
  readonly macLength: number;
}

/** The configured keys, by name. */
export class Keyring {
  readonly #keys = new Map<NameKey, WireKey[]>();

  constructor(keys: readonly TsigKey[]) {
    for (const key of keys) {
      const { name, hash, length } = TSIG_ALGORITHMS[key.algorithm];
      const keyName = nameFromText(key.name);
      const lengths = { digestLength: length, macLength: key.macLength ?? length };
      const secret = createSecretKey(key.secret);
      const wireKey = { key, name: keyName, algorithm: nameFromText(name), hash, secret, ...lengths };
      const same = this.#keys.get(nameKey(keyName));
      if (same === undefined) this.#keys.set(nameKey(keyName), [wireKey]);
      else same.push(wireKey);
    }
  }

  /** The keys that a record names, with its algorithm: no such name or algorithm is BADKEY (RFC 8945 §5.2.1). */
  find(record: TsigRecord): WireKey[] {
    const keys = this.#keys.get(nameKey(record.keyName)) ?? [];
    return keys.filter(({ algorithm }) => nameKey(algorithm) === nameKey(record.algorithm));
  }
}

/** What a request's signature came to. */
export type TsigOutcome =
  | { readonly kind: 'unsigned' }
  /** FORMERR, unsigned. */
  | { readonly kind: 'malformed'; readonly reason: string }
  /** NOTAUTH, with the TSIG error that `signer` puts in the reply. */
  | {
      readonly kind: 'failed';
      readonly error: number;
      readonly reason: string;
      /** The key that the message names, text. */
      readonly keyName: string;
      /** By how much the client's clock is behind ours; negative: ahead. With BADTIME alone. */
      readonly clockBehindSeconds?: number;
      readonly signer: ReplySigner;
    }
  | {
      readonly kind: 'verified';
      readonly key: TsigKey;
      /** The message as it was signed. */
      readonly message: Uint8Array;
      /** As above. */
      readonly clockBehindSeconds: number;
      readonly signer: ReplySigner;
    };

/** Verifies a request's TSIG, if it has one (RFC 8945 §5.2). */
export function verifyRequest(message: Uint8Array, keys: Keyring, clock: Clock): TsigOutcome {
  let located: LocatedTsig | undefined;
  try {
    located = locateTsig(message);
  } catch (error) {
    return { kind: 'malformed', reason: errorMessage(error) };
  }
  if (located === undefined) return { kind: 'unsigned' };
  const { record } = located;
  const keyText = nameToText(record.keyName);
  const fail = (error: number, key: WireKey | undefined, reason: string) => ({
    kind: 'failed' as const,
    error,
    reason,
    keyName: keyText,
    signer: new ReplySigner(record, key, error, clock),
  });

  const candidates = keys.find(record);
  const [first] = candidates;
  if (first === undefined) {
    return fail(RCODE.BADKEY, undefined, `no key "${keyText}" with algorithm ${nameToText(record.algorithm)}`);
  }
  const { mac } = record;
  if (mac.length > first.digestLength || mac.length < Math.max(MIN_MAC_LENGTH, first.digestLength / 2)) {
    // "MUST be dropped and RCODE 1 (FORMERR) MUST be returned" (§5.2.2.1); an empty MAC is a signature that is not there.
    if (mac.length > 0) return { kind: 'malformed', reason: `key "${keyText}": a MAC of ${mac.length} octets` };
    return fail(RCODE.BADSIG, undefined, `key "${keyText}": the MAC is empty`);
  }
  const signed = stripTsig(message, located);
  const variables = encodeTsigVariables(record);
  const key = candidates.find(({ hash, secret }) => {
    const expected = createHmac(hash, secret).update(signed).update(variables).digest();
    return timingSafeEqual(expected.subarray(0, mac.length), mac);
  });
  if (key === undefined) {
    return fail(RCODE.BADSIG, undefined, `key "${keyText}": the MAC is wrong, the secrets differ`);
  }
  const behind = Math.floor(clock.wall() / 1000) - record.timeSigned;
  if (Math.abs(behind) > record.fudge) {
    const seconds = Math.round(Math.abs(behind));
    const reason = `key "${keyText}": the client's clock is ${seconds} s ${behind > 0 ? 'behind' : 'ahead of'} ours`;
    return { ...fail(RCODE.BADTIME, key, reason), clockBehindSeconds: Math.round(behind) };
  }
  if (mac.length < key.macLength) {
    const reason = `key "${keyText}": the MAC is truncated to ${mac.length} octets, ${key.macLength} are wanted`;
    return fail(RCODE.BADTRUNC, key, reason);
  }
  const signer = new ReplySigner(record, key, 0, clock);
  return { kind: 'verified', key: key.key, message: signed, clockBehindSeconds: Math.round(behind), signer };
}

/** Signs the replies to one request, in order: from the second on as §5.3.1 says for streams of messages. */
export class ReplySigner {
  readonly #request: TsigRecord;
  readonly #key: WireKey | undefined;
  readonly #error: number;
  readonly #clock: Clock;
  #previousMac: Uint8Array;
  #first = true;

  /** @param key undefined: the reply's MAC stays empty (BADKEY and BADSIG, §5.3.2) */
  constructor(request: TsigRecord, key: WireKey | undefined, error: number, clock: Clock) {
    this.#request = request;
    this.#key = key;
    this.#error = error;
    this.#clock = clock;
    this.#previousMac = request.mac;
  }

  /** Another for the same request: a reply that it signs, and that is not sent, does not count for the next of this one. */
  copy(): ReplySigner {
    const copy = new ReplySigner(this.#request, this.#key, this.#error, this.#clock);
    copy.#previousMac = this.#previousMac;
    copy.#first = this.#first;
    return copy;
  }

  /** Octets that `sign` adds to a message. */
  get overhead(): number {
    const other = this.#error === RCODE.BADTIME ? 6 : 0;
    const names = this.#request.keyName.length + this.#request.algorithm.length;
    return names + 10 + 8 + 2 + (this.#key?.macLength ?? 0) + 4 + 2 + other;
  }

  sign(reply: Uint8Array): Uint8Array {
    const now = Math.floor(this.#clock.wall() / 1000);
    const badTime = this.#error === RCODE.BADTIME;
    const unsigned: TsigRecord = {
      keyName: this.#request.keyName,
      algorithm: this.#request.algorithm,
      // "the response SHOULD include the client's current time in the time signed field and the server's current time in
      // the other data field" (§5.2.3)
      timeSigned: badTime ? this.#request.timeSigned : now,
      fudge: FUDGE_SECONDS,
      mac: new Uint8Array(0),
      originalId: (reply[0]! << 8) | reply[1]!,
      error: this.#error,
      otherData: badTime ? encodeTime(now, 0).subarray(0, 6) : new Uint8Array(0),
    };
    if (this.#key === undefined) return appendTsig(reply, unsigned);
    const hmac = createHmac(this.#key.hash, this.#key.secret);
    const mac = hmac
      .update(encodeSized(this.#previousMac))
      .update(reply)
      .update(this.#first ? encodeTsigVariables(unsigned) : encodeTime(unsigned.timeSigned, unsigned.fudge))
      .digest()
      .subarray(0, this.#key.macLength);
    this.#first = false;
    this.#previousMac = mac;
    return appendTsig(reply, { ...unsigned, mac });
  }
}

/** Signs a request, as a client does (RFC 8945 §5.1). */
export function signRequest(message: Uint8Array, key: TsigKey, clock: Clock, fudge = FUDGE_SECONDS): Uint8Array {
  const { name, hash } = TSIG_ALGORITHMS[key.algorithm];
  const unsigned: TsigRecord = {
    keyName: nameFromText(key.name.toLowerCase()),
    algorithm: nameFromText(name),
    timeSigned: Math.floor(clock.wall() / 1000),
    fudge,
    mac: new Uint8Array(0),
    originalId: (message[0]! << 8) | message[1]!,
    error: 0,
    otherData: new Uint8Array(0),
  };
  const mac = createHmac(hash, key.secret).update(message).update(encodeTsigVariables(unsigned)).digest();
  return appendTsig(message, { ...unsigned, mac: mac.subarray(0, key.macLength) });
}

/**
 * Whether a reply carries the right signature for a request that `signRequest` made; `requestMac` is that request's.
 * An unsigned reply is not right, nor is one with a TSIG error or a TSIG that does not parse.
 */
export function verifyReply(reply: Uint8Array, key: TsigKey, requestMac: Uint8Array): boolean {
  let located: LocatedTsig | undefined;
  try {
    located = locateTsig(reply);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  if (located === undefined) return false;
  const signed = stripTsig(copyBytes(reply), located);
  writeUint16(signed, 0, located.record.originalId);
  const mac = createHmac(TSIG_ALGORITHMS[key.algorithm].hash, key.secret)
    .update(encodeSized(requestMac))
    .update(signed)
    .update(encodeTsigVariables(located.record))
    .digest();
  return located.record.error === 0 && macMatches(key, mac, located.record.mac);
}

/** Whether a reply's MAC is the one that was worked out, whole or no shorter than the key has it (RFC 8945 §5.2.2.1). */
export function macMatches({ algorithm, macLength }: TsigKey, whole: Uint8Array, mac: Uint8Array): boolean {
  const { length } = TSIG_ALGORITHMS[algorithm];
  if (mac.length > length || mac.length < (macLength ?? length)) return false;
  return timingSafeEqual(whole.subarray(0, mac.length), mac);
}
