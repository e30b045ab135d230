/**
 * What is kept of tokens and nodes, in one file that is its owner's alone: tokens and the nodes' own secrets as SHA-256 digests
 * (they are random, so that a digest gives nothing away), TSIG secrets as they are (RFC 8945 needs them).
 */
import { errorMessage, V6edgeError } from '../../core/errors.ts';
import type { StateFile } from '../../core/state-file.ts';
import type { Material } from './material.ts';

export const roles = ['control-plane', 'worker'] as const;

/** What a node is in its cluster. */
export type NodeRole = (typeof roles)[number];

/** The first bundle request of a token binds it to a node and to where the request came from. */
export interface Claim {
  readonly name: string;
  /** As `formatAddress` writes it. */
  readonly source: string;
  /** Wall-clock milliseconds, as all times here. */
  readonly at: number;
}

export interface StoredToken {
  /** Short and no secret: what lists and revocations name. */
  readonly id: string;
  /** SHA-256, hexadecimal. */
  readonly digest: string;
  readonly role: NodeRole;
  /** The only name it is good for; undefined: the node says. */
  readonly name?: string | undefined;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly claim?: Claim | undefined;
  /** When the claimant said that it has all it needs. */
  readonly doneAt?: number | undefined;
}

export interface StoredNode {
  /** One label; the zone makes a domain name of it. */
  readonly name: string;
  readonly role: NodeRole;
  /** Whether it makes the cluster, or joins it. */
  readonly mode: 'init' | 'join';
  readonly joinedAt: number;
  /** Where it joined from. */
  readonly source: string;
  /** TSIG secret, base64. */
  readonly key: string;
  /** SHA-256 of what it proves later calls with, hexadecimal. */
  readonly secretDigest: string;
}

export interface JoinState {
  readonly tokens: readonly StoredToken[];
  readonly nodes: readonly StoredNode[];
  readonly material?: Material | undefined;
}

/** The file does not hold what it is to. */
export class JoinStateError extends V6edgeError {}

const empty: JoinState = { tokens: [], nodes: [] };

/** @throws {JoinStateError} code V6_JOIN_STATE */
export function readJoinState(file: StateFile): JoinState {
  try {
    const text = file.read();
    if (text === undefined) return empty;
    const state = JSON.parse(text) as JoinState & { version: unknown };
    if (state.version !== 1 || !Array.isArray(state.tokens) || !Array.isArray(state.nodes)) {
      throw new Error('it is of another version, or of another program');
    }
    const { tokens, nodes, material } = state;
    return { tokens, nodes, material };
  } catch (error) {
    throw new JoinStateError('V6_JOIN_STATE', `${file.path}: ${errorMessage(error)}`, { cause: error });
  }
}

/** On disk when it returns. @throws the file system's error */
export function writeJoinState(file: StateFile, state: JoinState): void {
  file.write(`${JSON.stringify({ version: 1, ...state })}\n`);
}
