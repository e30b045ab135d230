/** Tokens, nodes and join material: what may become of them. Every change is on disk before it counts. */
import type { Clock } from '../../core/clock.ts';
import { V6edgeError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import type { StateFile } from '../../core/state-file.ts';
import { type Material, materialFault } from './material.ts';
import {
  type JoinState,
  type NodeRole,
  readJoinState,
  type StoredNode,
  type StoredToken,
  writeJoinState,
} from './state.ts';
import { digestOf, drawToken, findByDigest, keptTokens, maxTokens, tokenFault, tokenState } from './tokens.ts';

/** An order that cannot be carried out; the message says why and what to do. */
export class JoinError extends V6edgeError {}

/** Nodes of one cluster: Kubernetes itself is tested with 5,000. */
const maxNodes = 5_000;
/** Of a TSIG key for hmac-sha256: as long as its digest (RFC 8945 §10). */
const keyOctets = 32;
const secretOctets = 24;

export interface TokenOrder {
  readonly role: NodeRole;
  readonly ttlMs: number;
  /** The only name it is good for. */
  readonly name: string | undefined;
}

/** The one time that a token is seen. */
export interface CreatedToken {
  readonly token: string;
  readonly stored: StoredToken;
}

/** A token looked up for a request: its claimant may go on, all others get one and the same refusal. */
export type LookedUp =
  | { readonly stored: StoredToken; readonly refused?: undefined }
  /** For our log alone. */
  | { readonly stored?: StoredToken | undefined; readonly refused: string };

export interface Claimed {
  readonly node: StoredNode;
  /** Whether it is the token's first claim. */
  readonly first: boolean;
  /** What the node proves later calls with; a new one each time, the ones before are void. */
  readonly secret: string;
}

export interface BookContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly file: StateFile;
  /** Why a node cannot have a name that no node has; undefined: it can. @param meant whether its token names it */
  readonly nameFault: (name: string, meant: boolean) => string | undefined;
}

export class JoinBook {
  readonly #context: BookContext;
  #state: JoinState;

  /** @throws {JoinStateError} */
  constructor(context: BookContext) {
    this.#context = context;
    this.#state = readJoinState(context.file);
  }

  get tokens(): readonly StoredToken[] {
    return keptTokens(this.#state.tokens, this.#now);
  }

  get nodes(): readonly StoredNode[] {
    return this.#state.nodes;
  }

  get material(): Material | undefined {
    return this.#state.material;
  }

  node(name: string): StoredNode | undefined {
    return this.#state.nodes.find((each) => each.name === name);
  }

  /** @throws {JoinError} code V6_JOIN_TOKENS */
  create({ role, ttlMs, name }: TokenOrder): CreatedToken {
    const now = this.#now;
    const tokens = this.tokens;
    if (tokens.filter((each) => tokenState(each, now) === 'open').length >= maxTokens) {
      throw new JoinError('V6_JOIN_TOKENS', `${maxTokens} tokens wait for a node; revoke some: v6edge node token list`);
    }
    const { token, id } = drawToken(this.#context.random);
    const stored = { id, digest: digestOf(token), role, name, createdAt: now, expiresAt: now + ttlMs };
    this.#change({ tokens: [...tokens, stored] });
    return { token, stored };
  }

  /** Whether there was such a token. */
  revoke(id: string): boolean {
    const tokens = this.tokens.filter((each) => each.id !== id);
    if (tokens.length === this.tokens.length) return false;
    this.#change({ tokens });
    return true;
  }

  /** The token for a request from `source`. */
  lookUp(token: string, source: string): LookedUp {
    const stored = findByDigest(this.#state.tokens, ({ digest }) => digest, token);
    const refused = tokenFault(stored, source, this.#now);
    return stored !== undefined && refused === undefined ? { stored } : { stored, refused: refused ?? 'unknown' };
  }

  /**
   * Binds a token to a node, or gives the node that has it what it needs once more.
   * @throws {JoinError} the token stays as it is
   */
  claim(token: StoredToken, name: string, source: string): Claimed {
    const known = this.node(name);
    const again = token.claim !== undefined;
    if (again && token.claim.name !== name) {
      throw new JoinError('V6_JOIN_NAME', `this token is that of the node "${token.claim.name}" by now`);
    }
    if (!again) this.#checkName(token, name, known);
    const mode = again && known !== undefined ? known.mode : this.#mode(token.role, name);
    const now = this.#now;
    const secret = this.#draw(secretOctets).toString('base64url');
    const node: StoredNode = {
      name,
      role: token.role,
      mode,
      joinedAt: again && known !== undefined ? known.joinedAt : now,
      source,
      key: again && known !== undefined ? known.key : this.#draw(keyOctets).toString('base64'),
      secretDigest: digestOf(secret),
    };
    const claim = token.claim ?? { name, source, at: now };
    this.#change({
      tokens: this.tokens.map((each) => (each.id === token.id ? { ...each, claim } : each)),
      nodes: [...this.nodes.filter((each) => each.name !== name), node],
    });
    return { node, secret, first: !again };
  }

  /** The claimant has all it needs. */
  done(token: StoredToken): void {
    const doneAt = this.#now;
    this.#change({ tokens: this.tokens.map((each) => (each.id === token.id ? { ...each, doneAt } : each)) });
  }

  nodeOf(secret: string): StoredNode | undefined {
    return findByDigest(this.#state.nodes, ({ secretDigest }) => secretDigest, secret);
  }

  setMaterial(material: Material): void {
    this.#change({ material });
  }

  /** Returns the node as it was; undefined: there is none of this name. */
  remove(name: string): StoredNode | undefined {
    const node = this.node(name);
    if (node === undefined) return undefined;
    const nodes = this.nodes.filter((each) => each !== node);
    // With its last control plane goes the cluster that the material was of; what an operator gave stays.
    const last = node.role === 'control-plane' && !nodes.some(({ role }) => role === 'control-plane');
    const material = last && this.material?.by !== 'api' ? undefined : this.material;
    // A token that it still holds would bring it back.
    const tokens = this.tokens.filter((each) => each.doneAt !== undefined || each.claim?.name !== name);
    this.#change({ nodes, material, tokens });
    return node;
  }

  #checkName(token: StoredToken, name: string, known: StoredNode | undefined): void {
    const fail = (reason: string): never => {
      throw new JoinError('V6_JOIN_NAME', reason);
    };
    if (token.name !== undefined && token.name !== name) fail(`this token is for a node named "${token.name}" alone`);
    const meant = token.name === name;
    if (known !== undefined && !meant) {
      fail(
        `there is a node "${name}": give this one another name (--name NAME), or make a token with --name ${name} to replace it`,
      );
    }
    const reason = known === undefined ? this.#context.nameFault(name, meant) : undefined;
    if (reason !== undefined) fail(reason);
    if (known === undefined && this.nodes.length >= maxNodes)
      fail(`${maxNodes} nodes have joined; remove some: v6edge node remove NAME`);
  }

  /** What the node is to do: the first control-plane node makes the cluster. */
  #mode(role: NodeRole, name: string): StoredNode['mode'] {
    if (role === 'control-plane' && this.material === undefined) {
      const first = this.nodes.find((each) => each.mode === 'init' && each.name !== name);
      if (first === undefined) return 'init';
      throw new JoinError(
        'V6_JOIN_MATERIAL',
        `the node "${first.name}" is making the cluster; wait for it, or if it failed: v6edge node remove ${first.name}`,
      );
    }
    const fault = materialFault(this.material, role, this.#now);
    if (fault !== undefined) throw new JoinError('V6_JOIN_MATERIAL', fault);
    return 'join';
  }

  #draw(octets: number): Buffer {
    return Buffer.from(this.#context.random.fill(new Uint8Array(octets)));
  }

  get #now(): number {
    return this.#context.clock.wall();
  }

  #change(change: Partial<JoinState>): void {
    const state = { ...this.#state, ...change };
    writeJoinState(this.#context.file, state);
    this.#state = state;
  }
}
