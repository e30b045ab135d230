/** How a pool picks the member for a session: one function an algorithm, in a table by configured name. */
import type { Random } from '../core/random.ts';
import type { BalanceAlgorithm } from './config.ts';

/** What balancing needs to know of a member. */
export interface Candidate {
  readonly weight: number;
  /** Sessions now, over all threads. */
  readonly active: number;
  /** Of the member's name: stays the same whatever other members come and go. */
  readonly hash: number;
  /** Smooth weighted round robin's running credit. */
  credit: number;
}

/** State of one pool's balancing in one thread. */
export interface BalanceContext {
  readonly random: Random;
  /** Hash of the client's address. */
  readonly client: number;
  /** Counts picks, so that ties go round. */
  readonly turn: number;
}

/** Picks one of `candidates`, which has at least one entry, all of weight 1 or more. */
export type Balance = <T extends Candidate>(candidates: readonly T[], context: BalanceContext) => T;

/** The table of algorithms. */
export const balances: Readonly<Record<BalanceAlgorithm, Balance>> = { roundrobin, leastconn, random2, source, first };

/** Smooth weighted round robin: each gains its weight in credit, the richest is taken and pays the total. */
function roundrobin<T extends Candidate>(candidates: readonly T[]): T {
  let best = candidates[0]!;
  let total = 0;
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!;
    candidate.credit += candidate.weight;
    total += candidate.weight;
    if (candidate.credit > best.credit) best = candidate;
  }
  best.credit -= total;
  return best;
}

/** Fewest sessions per weight; among equals the first from a starting place that moves on with each pick. */
function leastconn<T extends Candidate>(candidates: readonly T[], context: BalanceContext): T {
  const count = candidates.length;
  const start = context.turn % count;
  let best = candidates[start]!;
  let bestLoad = load(best);
  for (let i = 1; i < count; i++) {
    const candidate = candidates[(start + i) % count]!;
    const candidateLoad = load(candidate);
    if (candidateLoad < bestLoad) {
      best = candidate;
      bestLoad = candidateLoad;
    }
  }
  return best;
}

/** The less loaded of two that are drawn, each by its weight ("power of two choices"). */
function random2<T extends Candidate>(candidates: readonly T[], context: BalanceContext): T {
  const a = drawByWeight(candidates, context.random);
  const b = drawByWeight(candidates, context.random);
  return load(b) < load(a) ? b : a;
}

/**
 * Weighted rendezvous hashing of the client's address: a member that comes or goes moves only the clients that are its
 * own.
 */
function source<T extends Candidate>(candidates: readonly T[], context: BalanceContext): T {
  let best = candidates[0]!;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const candidate of candidates) {
    const uniform = (mix(context.client, candidate.hash) + 0.5) / 2 ** 32;
    const score = -candidate.weight / Math.log(uniform);
    if (score > bestScore) {
      best = candidate;
      bestScore = score;
    }
  }
  return best;
}

/** The first in the order of the configuration that has a place: the others are left alone until it is full. */
function first<T extends Candidate>(candidates: readonly T[]): T {
  return candidates[0]!;
}

/** Counts the session about to come, so that an idle heavy member comes before an idle light one. */
function load(candidate: Candidate): number {
  return (candidate.active + 1) / candidate.weight;
}

function drawByWeight<T extends Candidate>(candidates: readonly T[], random: Random): T {
  let total = 0;
  for (const candidate of candidates) total += candidate.weight;
  let left = random.fraction() * total;
  for (const candidate of candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate;
  }
  return candidates[candidates.length - 1]!;
}

/** FNV-1a over bytes, finished by murmur3's mixer: 32 bits, unsigned. */
export function hashBytes(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return mix(hash, 0);
}

function mix(a: number, b: number): number {
  let h = (a ^ Math.imul(b, 0x9e3779b1)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
