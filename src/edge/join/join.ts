/**
 * Nodes that join from the edge. An operator makes a token; the one command that it is printed in makes a node fetch its bundle here
 * (stage-one.ts). From the bundle request on the node has a key that is good for its own records alone (node-grants.ts), until it
 * is removed.
 */
import { formatAddress, formatEndpoint } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import { errorMessage, ValueError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { StateFile } from '../../core/state-file.ts';
import type { DynamicKey } from '../../dns/dynamic-keys.ts';
import { JoinBook, JoinError, type TokenOrder } from './book.ts';
import { encodeBundle, readScripts, scriptsDigest, sharedEntries } from './bundle.ts';
import { edgeEnv } from './env-file.ts';
import type { JoinEvent } from './events.ts';
import { type Material, materialFault, parseMaterial } from './material.ts';
import { nodeDomain, nodeGrant } from './node-grants.ts';
import { JoinRate } from './rate.ts';
import { type JoinAnswer, type JoinRequest, JoinServer } from './server.ts';
import type { JoinConfig } from './settings.ts';
import { stageOne } from './stage-one.ts';
import type { NodeRole, StoredNode, StoredToken } from './state.ts';
import type { TarEntry } from './tar.ts';
import { digestOf } from './tokens.ts';

export interface JoinContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Window for `joinCounters`. */
  readonly counters: CounterStripe;
  readonly file: StateFile;
  /** Replaces the keys of nodes. */
  readonly setKeys: (keys: readonly DynamicKey[]) => void;
  /** Why a domain name cannot be a node's that has none: someone else has it. @param meant whether an operator named it */
  readonly nameFault: (domain: string, meant: boolean) => string | undefined;
  /** The zone of ours that answers for a domain name, and has nothing of it. */
  readonly missingIn: (domain: string) => string | undefined;
  readonly emit: (event: JoinEvent) => void;
}

/** A token as an operator gets it, this once. */
export interface NewToken {
  readonly id: string;
  readonly token: string;
  readonly role: NodeRole;
  readonly name: string | undefined;
  readonly expiresAt: number;
  /** What to run on the node. */
  readonly command: string;
  /** SHA-256, hexadecimal, of the script that the command fetches. */
  readonly scriptSha256: string;
  /** Why a node could not join with it now, and what to do. */
  readonly warning: string | undefined;
}

/** What a node's scripts last said of themselves. */
export interface NodeProgress {
  /** `begun`, `failed` or `done`, and at which step. */
  readonly state: string;
  readonly step: string | undefined;
  readonly at: number;
}

/** One refusal for all: what a token was once is nobody's business. */
const refusal = 'no such token\n';

/** Lives only while `join` is configured. */
export class Join {
  readonly book: JoinBook;
  readonly #context: JoinContext;
  readonly #server: JoinServer;
  readonly #rate: JoinRate;
  readonly #progress = new Map<string, NodeProgress>();
  /** Nodes that are being removed. */
  readonly #leaving = new Set<string>();
  #config: JoinConfig | undefined;
  #shared: readonly TarEntry[] = [];
  #digest = '';

  /** @throws {JoinStateError} */
  constructor(context: JoinContext) {
    this.#context = context;
    this.#rate = new JoinRate(context.clock);
    this.book = new JoinBook({
      ...context,
      nameFault: (name, meant) => context.nameFault(nodeDomain(name, this.#config!.zone), meant),
    });
    this.#server = new JoinServer({ ...context, handle: (request) => this.handle(request) });
  }

  get config(): JoinConfig | undefined {
    return this.#config;
  }

  /**
   * Takes over a configuration, scripts and keys; without one, nodes lose their keys and nobody joins. `listen` follows.
   * @throws {ValueError} the scripts cannot be read; nothing has changed then
   */
  prepare(config: JoinConfig | undefined): void {
    const shared = config === undefined ? [] : this.#read(config);
    this.#config = config;
    this.#shared = shared;
    this.#digest = scriptsDigest(shared);
    this.#applyKeys();
  }

  /** Answers where the configuration says. */
  listen(): Promise<void> {
    return this.#server.apply(this.#config ?? { listen: [], allow: [] });
  }

  /** Endpoints, and why one cannot be listened on. */
  listening(): { readonly endpoint: string; readonly error: string | undefined }[] {
    return this.#server.status();
  }

  stop(): Promise<void> {
    return this.#server.close();
  }

  /** Undefined: it said nothing since the start. */
  progress(name: string): NodeProgress | undefined {
    return this.#progress.get(name);
  }

  /** @throws {JoinError} @throws {ValueError} */
  createToken({ role, ttlMs, name }: Omit<TokenOrder, 'ttlMs'> & { readonly ttlMs: number | undefined }): NewToken {
    const config = this.#config!;
    if (name !== undefined) checkName(name);
    const { token, stored } = this.book.create({ role, ttlMs: ttlMs ?? config.ttlMs, name });
    const url = tokenUrl(`http://${formatEndpoint(config.listen[0]!)}`, token);
    const { id, expiresAt } = stored;
    this.#context.log.info({ id, role, name, expiresAt: new Date(expiresAt).toISOString() }, 'join token made');
    return {
      id,
      token,
      role,
      name,
      expiresAt,
      command: `curl -fsSg '${url}' | bash -s`,
      scriptSha256: digestOf(stageOne({ url, name, digest: this.#digest })),
      warning: this.#warning(role),
    };
  }

  /** @throws {ValueError} */
  setMaterial(text: string, by: string): Material {
    const material = parseMaterial(text, by, this.#context.clock.wall());
    this.book.setMaterial(material);
    this.#context.log.info(
      { by, tokenExpiresAt: new Date(material.tokenExpiresAt).toISOString() },
      'join material taken',
    );
    this.#context.emit({ kind: 'join-material', by });
    return material;
  }

  /**
   * Takes a node's key away, then its records, then the node itself: whatever stops it on the way, it can be done again.
   * @returns the node as it was; undefined: there is none of this name
   */
  async remove(name: string, by: string, withdraw: (domain: string) => Promise<void>): Promise<StoredNode | undefined> {
    const config = this.#config;
    if (config === undefined || this.book.node(name) === undefined) return undefined;
    this.#leaving.add(name);
    try {
      this.#applyKeys();
      await withdraw(nodeDomain(name, config.zone));
      const node = this.book.remove(name);
      if (node === undefined) return undefined;
      this.#progress.delete(name);
      this.#context.log.info({ node: name, by }, 'node removed');
      this.#context.emit({ kind: 'node-removed', node: name });
      return node;
    } finally {
      this.#leaving.delete(name);
      this.#applyKeys();
    }
  }

  #read(config: JoinConfig): TarEntry[] {
    try {
      return sharedEntries(readScripts(config.scripts), edgeEnv(config));
    } catch (error) {
      throw new ValueError(`join.scripts: ${errorMessage(error)}`, { cause: error });
    }
  }

  #applyKeys(): void {
    const config = this.#config;
    const nodes = this.book.nodes.filter(({ name }) => !this.#leaving.has(name));
    this.#context.setKeys(config === undefined ? [] : nodes.map((node) => nodeGrant(node, config)));
  }

  #warning(role: NodeRole): string | undefined {
    const { zone, cluster } = this.#config!;
    const edgeName = cluster.edgeName ?? `edge.${zone}`;
    const missingIn = this.#context.missingIn(edgeName);
    if (missingIn !== undefined) {
      const record = `v6edge record ${missingIn} add ${edgeName} 300 AAAA ${formatAddress(cluster.edgeAddress)}`;
      return `nodes reach the API server as ${edgeName}, which has no address: ${record}`;
    }
    const { material, nodes } = this.book;
    if (role === 'worker' || material !== undefined) return materialFault(material, role, this.#context.clock.wall());
    const first = nodes.find(({ mode }) => mode === 'init');
    return first && `the node "${first.name}" is making the cluster; others can join once it has`;
  }

  /** Answers one request of a node. */
  handle(request: JoinRequest): JoinAnswer {
    const { source } = request;
    if (!this.#rate.take(source)) {
      return { result: 'limited', status: 429, headers: { 'retry-after': '10' }, body: 'too many requests\n' };
    }
    const answer = this.#route(request);
    if (answer.result === 'refused') this.#rate.punish(source);
    return answer;
  }

  #route(request: JoinRequest): JoinAnswer {
    const { method, url } = request;
    if (method === 'PUT' && url === '/join/material') return this.#material(request);
    if (method === 'POST' && url === '/join/report') return this.#report(request);
    const [, token, part, query] = /^\/join\/([\w-]{1,64})(\/bundle|\/done)?(?:\?(.{0,256}))?$/.exec(url) ?? [];
    if (token === undefined) return this.#refuse(request, 'there is no such path');
    const wanted = part === '/done' ? 'POST' : 'GET';
    if (method !== wanted) return this.#refuse(request, `${method} where ${wanted} is wanted`);
    const { stored, refused } = this.book.lookUp(token, request.source);
    if (refused !== undefined) return this.#refuse(request, refused, stored?.id);
    switch (part) {
      case '/bundle':
        return this.#bundle(request, stored, new URLSearchParams(query).get('name') ?? '');
      case '/done':
        return this.#done(request, stored);
      default:
        return this.#script(request, token, stored);
    }
  }

  #script({ base, source }: JoinRequest, token: string, { id, name }: StoredToken): JoinAnswer {
    this.#context.log.info({ source, id }, 'join script handed out');
    const body = stageOne({ url: tokenUrl(base, token), name, digest: this.#digest });
    return { result: 'script', status: 200, type: 'text/x-shellscript; charset=utf-8', body };
  }

  #bundle({ base, source }: JoinRequest, stored: StoredToken, name: string): JoinAnswer {
    const { log } = this.#context;
    const config = this.#config!;
    try {
      checkName(name);
      const { node, secret, first } = this.book.claim(stored, name, source);
      this.#applyKeys();
      const material = node.mode === 'init' ? undefined : this.book.material;
      const reportUrl = `${base}/join/report`;
      const body = encodeBundle(this.#shared, { node, zone: config.zone, material, reportUrl, secret });
      log.info(
        { source, id: stored.id, node: name, role: node.role, mode: node.mode },
        first ? 'node joins' : 'node fetches its bundle again',
      );
      if (first) this.#context.emit({ kind: 'node-joined', node: name, role: node.role, source });
      return {
        result: 'bundle',
        status: 200,
        type: 'application/gzip',
        headers: { 'v6edge-sha256': digestOf(body) },
        body,
      };
    } catch (error) {
      if (!(error instanceof JoinError) && !(error instanceof ValueError)) throw error;
      log.warn({ source, id: stored.id, name: name.slice(0, 64), reason: error.message }, 'node cannot join');
      const status = error instanceof ValueError ? 400 : 409;
      return { result: 'conflict', status, body: `${error.message}\n` };
    }
  }

  #done({ source }: JoinRequest, stored: StoredToken): JoinAnswer {
    if (stored.claim === undefined) return { result: 'conflict', status: 409, body: 'nothing was fetched yet\n' };
    this.book.done(stored);
    this.#context.log.info(
      { source, id: stored.id, node: stored.claim.name },
      'node has its bundle: the token is used',
    );
    return { result: 'done', status: 200, body: 'done\n' };
  }

  #material(request: JoinRequest): JoinAnswer {
    const node = this.#nodeOf(request);
    if (node?.role !== 'control-plane') return this.#refuse(request, 'no secret of a control-plane node');
    try {
      this.setMaterial(request.body, node.name);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.#context.log.warn({ node: node.name, reason: error.message }, 'join material refused');
      return { result: 'conflict', status: 400, body: `${error.message}\n` };
    }
    return { result: 'material', status: 200, body: 'taken\n' };
  }

  #report(request: JoinRequest): JoinAnswer {
    const node = this.#nodeOf(request);
    if (node === undefined) return this.#refuse(request, 'no secret of a node');
    const [, state, step] = /^STATE=([a-z]{1,20})\n(?:STEP=([a-z-]{0,30})\n)?$/.exec(request.body) ?? [];
    if (state === undefined) {
      return { result: 'malformed', status: 400, body: 'a report is STATE=… and STEP=…, a line each\n' };
    }
    const progress = { state, step: step || undefined, at: this.#context.clock.wall() };
    this.#progress.set(node.name, progress);
    this.#context.log.info({ node: node.name, state, step: progress.step }, 'node reports');
    return { result: 'report', status: 200, body: 'thanks\n' };
  }

  #nodeOf({ secret }: JoinRequest): StoredNode | undefined {
    return secret === undefined ? undefined : this.book.nodeOf(secret);
  }

  #refuse({ source, method }: JoinRequest, reason: string, id?: string): JoinAnswer {
    // Not the path: it may be a token that is good, with a slip behind it.
    this.#context.log.warn({ source, method, id, reason }, 'join request refused');
    return { result: 'refused', status: 404, body: refusal };
  }
}

function tokenUrl(base: string, token: string): string {
  return `${base}/join/${token}`;
}

/** A node's name is one label of a host name (RFC 1123 §2.1). @throws {ValueError} */
function checkName(name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) || name === 'localhost') {
    throw new ValueError(
      `${JSON.stringify(name.slice(0, 80))} cannot be a node's name: lower-case letters, digits and hyphens, 63 at most`,
    );
  }
}
