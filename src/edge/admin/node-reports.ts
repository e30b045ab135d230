/** Nodes and their tokens as the admin API shows them: times in wall-clock milliseconds, no secret but a new token's. */
import type { NewToken, NodeProgress } from '../join/join.ts';
import type { NodeRole, StoredNode } from '../join/state.ts';
import type { TokenState } from '../join/tokens.ts';

/** A pool that has the node as a member. */
export interface NodeMembership {
  readonly pool: string;
  readonly member: string;
  readonly port: number;
  /** Of the member: `up`, `down`, `drain` or `maint`. */
  readonly state: string;
  readonly reason: string;
}

export interface NodeReport {
  readonly name: string;
  readonly domain: string;
  readonly role: NodeRole;
  /** Whether it makes the cluster, or joins it. */
  readonly mode: StoredNode['mode'];
  readonly joinedAt: number;
  /** Where it joined from. */
  readonly source: string;
  /** `joining` until it has announced an address; `announced` while no pool has it, else how its members are. */
  readonly state: 'joining' | 'announced' | 'up' | 'down';
  readonly addresses: readonly string[];
  readonly pools: readonly NodeMembership[];
  /** Of its last DNS update; undefined: none since the start. */
  readonly lastUpdate: number | undefined;
  /** What its scripts last said; undefined: nothing since the start. */
  readonly progress: NodeProgress | undefined;
  /** When its address vanishes unless it is announced again; undefined: it stays. */
  readonly leaseUntil: number | undefined;
}

export interface TokenReport {
  readonly id: string;
  readonly role: NodeRole;
  readonly name: string | undefined;
  readonly state: TokenState;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** The node that it was used for. */
  readonly node: string | undefined;
  readonly source: string | undefined;
}

/** What is known of what `kubeadm join` needs; no secret of it. */
export interface MaterialReport {
  readonly by: string;
  readonly at: number;
  readonly tokenExpiresAt: number;
  readonly caCertHashes: readonly string[];
  readonly certificateKeyExpiresAt: number | undefined;
}

export interface TokenRequest {
  readonly role: NodeRole;
  readonly ttlMs: number | undefined;
  readonly name: string | undefined;
}

/** What the admin API needs of nodes. */
export interface NodeSource {
  /** Whether nodes can join at all. */
  readonly configured: boolean;
  list(): readonly NodeReport[];
  /** Withdraws its records and its key; false: there is no such node. @throws {ValueError} */
  remove(name: string, client: string): Promise<boolean>;
  tokens(): readonly TokenReport[];
  /** @throws {JoinError} @throws {ValueError} */
  createToken(order: TokenRequest): NewToken;
  /** False: there is no such token. */
  revokeToken(id: string): boolean;
  material(): MaterialReport | undefined;
  /** @throws {ValueError} */
  setMaterial(text: string): MaterialReport;
}
