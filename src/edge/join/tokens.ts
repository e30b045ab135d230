/**
 * Join tokens. A token opens one node's way in: it is made for a role, lasts a while, and is bound to the first node that
 * asks for its bundle. That node may ask again, for a connection can be cut, until it says that it is done or ten minutes
 * have passed; then the token is used.
 *
 *   open ── bundle asked for ──▶ claimed ── done, or ten minutes ──▶ used
 *   open ── its time is over ──▶ expired
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Random } from '../../core/random.ts';
import type { StoredToken } from './state.ts';

export type TokenState = 'open' | 'claimed' | 'used' | 'expired';

/** How long the node that has a token may ask for its bundle again. */
export const claimMs = 10 * 60_000;
/** Tokens that are used or expired are listed for so long. */
export const keptMs = 86_400_000;
/** Tokens that wait for a node; beyond there is a mistake. */
export const maxTokens = 256;

/** 144 bits: nobody guesses one. */
const tokenOctets = 18;
const idOctets = 4;

/** A fresh token, and what it is known by. */
export function drawToken(random: Random): { token: string; id: string } {
  const draw = (octets: number) => Buffer.from(random.fill(new Uint8Array(octets)));
  return { token: draw(tokenOctets).toString('base64url'), id: draw(idOctets).toString('hex') };
}

/** SHA-256, hexadecimal. */
export function digestOf(secret: string | Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex');
}

/**
 * The one of `all` whose secret this is. Every one of them is compared, in constant time and by digest, so that how long it takes tells
 * nothing of how near a guess came.
 */
export function findByDigest<T>(all: readonly T[], digestIn: (each: T) => string, secret: string): T | undefined {
  const wanted = Buffer.from(digestOf(secret), 'hex');
  let found: T | undefined;
  for (const each of all) {
    const digest = Buffer.from(digestIn(each), 'hex');
    if (digest.length === wanted.length && timingSafeEqual(digest, wanted)) found = each;
  }
  return found;
}

/** @param now wall-clock milliseconds */
export function tokenState({ claim, doneAt, expiresAt }: StoredToken, now: number): TokenState {
  if (doneAt !== undefined) return 'used';
  if (claim !== undefined) return now < claim.at + claimMs ? 'claimed' : 'used';
  return now < expiresAt ? 'open' : 'expired';
}

/** Why a token cannot be used from an address, for our log alone; undefined: it can. */
export function tokenFault(token: StoredToken | undefined, source: string, now: number): string | undefined {
  if (token === undefined) return 'unknown';
  const state = tokenState(token, now);
  if (state === 'claimed') return token.claim!.source === source ? undefined : 'claimed by another node';
  return state === 'open' ? undefined : state;
}

/** The tokens that are to be kept: those that wait, and for a while those that are through. */
export function keptTokens(tokens: readonly StoredToken[], now: number): StoredToken[] {
  return tokens.filter((token) => {
    const end = Math.max(token.expiresAt, token.doneAt ?? 0, token.claim === undefined ? 0 : token.claim.at + claimMs);
    return now < end + keptMs;
  });
}
