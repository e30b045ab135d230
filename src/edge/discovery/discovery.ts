/**
 * Pools whose members DNS names (`discover`). Names in our own zones are looked at when the zone tells of a change, all
 * others when their TTL is over. A lookup that fails changes nothing: the last good answer stays, and the next try
 * follows soon.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { ZonePublication } from '../../dns/control.ts';
import { readUint16 } from '../../dns/wire/bytes.ts';
import { isSubdomainKey, type NameKey, nameKey, nameToText } from '../../dns/wire/name.ts';
import { TYPE } from '../../dns/wire/types.ts';
import type { DiscoverConfig, MemberConfig, PoolConfig } from '../../proxy/config.ts';
import type { PoolChange } from '../story-text.ts';
import { type Answer, LookupError } from './lookup.ts';
import { addressOf, discoveredMembers, maxDiscovered, place, type ServicePoint } from './members.ts';

/** However short or long a TTL is. */
const shortestMs = 1_000;
const longestMs = 300_000;
/** After a failure, doubling with each one more. */
const firstRetryMs = 1_000;
const longestRetryMs = 30_000;

export interface DiscoveryContext {
  readonly clock: Clock;
  readonly log: Logger;
  /** @throws {LookupError} */
  readonly lookup: (name: string, type: number) => Promise<Answer>;
  /** Members that the pool has from DNS already, be it from an earlier process: where they stay, they keep their names. */
  readonly known: (pool: string) => readonly Pick<MemberConfig, 'name' | 'address' | 'port'>[];
  /**
   * Takes over the members of a pool, in place of those given before.
   * @param change which of them are new, and which are gone
   * @param cause of the change of a zone that made us look, if one did
   * @throws {Error} if it cannot
   */
  readonly setDiscovered: (members: readonly MemberConfig[], change: PoolChange, cause: string | undefined) => void;
}

/** How discovery stands for one pool, for the admin API. */
export interface DiscoveryStatus {
  readonly pool: string;
  readonly name: string;
  readonly members: number;
  /** Wall-clock milliseconds of the last good answer. */
  readonly lastGood: number | undefined;
  /** Why the last lookup failed; undefined if it did not. */
  readonly error: string | undefined;
}

export class Discovery {
  readonly #context: DiscoveryContext;
  readonly #followers = new Map<string, Follower>();

  constructor(context: DiscoveryContext) {
    this.#context = context;
  }

  /** Takes over the pools of a configuration; members found before stay where `discover` is the same. */
  apply(pools: readonly PoolConfig[]): void {
    const kept = new Set<string>();
    for (const pool of pools) {
      const { name, discover } = pool;
      if (discover === undefined) continue;
      kept.add(name);
      const old = this.#followers.get(name);
      if (old?.follows(discover)) {
        old.reconfigure(pool);
        continue;
      }
      old?.stop();
      const follower = new Follower(this.#context, pool, discover);
      this.#followers.set(name, follower);
      follower.look();
    }
    for (const [name, follower] of this.#followers) {
      if (kept.has(name)) continue;
      follower.stop();
      this.#followers.delete(name);
    }
  }

  /** A zone of ours changed: whoever rests on what changed looks again. @param cause what is told with what follows from it */
  zoneChanged(publication: ZonePublication, cause?: string): void {
    const changed = changedNames(publication);
    for (const follower of this.#followers.values()) if (follower.restsOn(changed)) follower.look(cause);
  }

  status(): DiscoveryStatus[] {
    return [...this.#followers.values()].map((follower) => follower.status());
  }

  stop(): void {
    for (const follower of this.#followers.values()) follower.stop();
    this.#followers.clear();
  }
}

class Follower {
  readonly #context: DiscoveryContext;
  readonly #discover: DiscoverConfig;
  #pool: PoolConfig;
  /** Member names by address and port. */
  readonly #names = new Map<string, string>();
  /** The last good addresses of each SRV target. */
  #targets = new Map<string, readonly string[]>();
  #points: readonly ServicePoint[] | undefined;
  #own = new Set<NameKey>();
  #looking = false;
  #again = false;
  #stopped = false;
  /** Of the look that is asked for. */
  #cause: string | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #error: string | undefined;
  #lastGood: number | undefined;

  constructor(context: DiscoveryContext, pool: PoolConfig, discover: DiscoverConfig) {
    this.#context = context;
    this.#pool = pool;
    this.#discover = discover;
    for (const member of context.known(pool.name)) this.#names.set(place(member), member.name);
  }

  /** Whether that is the same name; what is true of its members may be another thing. */
  follows(discover: DiscoverConfig): boolean {
    return question(discover) === question(this.#discover);
  }

  /** Static members may have come or gone, and zones and upstreams may be others now. */
  reconfigure(pool: PoolConfig): void {
    this.#pool = pool;
    try {
      if (this.#points !== undefined) this.#apply(this.#points);
    } catch (error) {
      // No reason to stop a reload half-way; the look says it again, or finds that there is room.
      this.#failed(error);
    }
    this.look();
  }

  /** A wildcard, a delegation or an empty name above counts as much as the name itself. */
  restsOn(changed: readonly NameKey[]): boolean {
    // What the look under way rests on is not known yet.
    if (this.#looking) return true;
    return changed.some((name) => [...this.#own].some((own) => isSubdomainKey(own, name) || isSubdomainKey(name, own)));
  }

  status(): DiscoveryStatus {
    return {
      pool: this.#pool.name,
      name: this.#discover.name,
      members: this.#names.size,
      lastGood: this.#lastGood,
      error: this.#error,
    };
  }

  /** Looks now; while a look is under way, again after it. */
  look(cause?: string): void {
    this.#timer?.cancel();
    this.#cause = cause ?? this.#cause;
    this.#again = true;
    if (!this.#looking) void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    this.#looking = true;
    let nextMs: number | undefined;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      nextMs = await this.#lookOnce();
    }
    this.#looking = false;
    if (nextMs !== undefined && !this.#stopped) this.#timer = this.#context.clock.after(nextMs, () => this.look());
  }

  /** Returns when to look again; undefined: when the zone says so. */
  async #lookOnce(): Promise<number | undefined> {
    const look: Look = { ttlMs: Number.POSITIVE_INFINITY, own: new Set(), failure: undefined };
    const cause = this.#cause;
    this.#cause = undefined;
    let points: readonly ServicePoint[];
    try {
      points = await this.#find(look);
    } catch (error) {
      // Names in our own zones that were asked before the failure count as well: a change of theirs may be the cure.
      this.#own = new Set([...this.#own, ...look.own]);
      return this.#failed(error);
    }
    if (this.#stopped) return undefined;
    this.#own = look.own;
    try {
      this.#apply(points, cause);
    } catch (error) {
      return this.#failed(error);
    }
    if (look.failure !== undefined) return this.#failed(look.failure);
    if (this.#error !== undefined) this.#context.log.info(this.#fields(), 'discovery works again');
    this.#failures = 0;
    this.#error = undefined;
    this.#lastGood = this.#context.clock.wall();
    return look.ttlMs === Number.POSITIVE_INFINITY ? undefined : clamp(look.ttlMs, shortestMs, longestMs);
  }

  #failed(error: unknown): number {
    const message = errorMessage(error);
    if (message !== this.#error)
      this.#context.log.warn({ ...this.#fields(), reason: message }, 'discovery failed; members stay');
    this.#error = message;
    return Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 10));
  }

  async #find(look: Look): Promise<readonly ServicePoint[]> {
    const discover = this.#discover;
    if (discover.kind !== 'srv') {
      const type = discover.kind === 'a' ? TYPE.A : TYPE.AAAA;
      const rdata = await this.#ask(look, discover.name, type);
      return rdata.map((each) => ({
        host: undefined,
        address: addressOf(each),
        port: discover.port,
        priority: 0,
        weight: 0,
      }));
    }
    const services = (await this.#ask(look, discover.name, TYPE.SRV)).flatMap(readSrv).slice(0, maxDiscovered);
    const targets = new Map<string, readonly string[]>();
    await Promise.all(
      [...new Set(services.map(({ host }) => host))].map(async (host) =>
        targets.set(host, await this.#addresses(look, host)),
      ),
    );
    this.#targets = targets;
    return services.flatMap((service) => (targets.get(service.host) ?? []).map((address) => ({ ...service, address })));
  }

  /** The addresses of an SRV target: IPv6, or IPv4 where there is none. One that cannot be looked up keeps those it had. */
  async #addresses(look: Look, host: string): Promise<readonly string[]> {
    try {
      const aaaa = await this.#ask(look, host, TYPE.AAAA);
      const found = aaaa.length > 0 ? aaaa : await this.#ask(look, host, TYPE.A);
      return found.map(addressOf);
    } catch (error) {
      if (!(error instanceof LookupError)) throw error;
      look.failure = error;
      return this.#targets.get(host) ?? [];
    }
  }

  async #ask(look: Look, name: string, type: number): Promise<readonly Uint8Array[]> {
    const { rdata, ttlMs, own } = await this.#context.lookup(name, type);
    for (const each of own) look.own.add(each);
    if (ttlMs !== undefined) look.ttlMs = Math.min(look.ttlMs, ttlMs);
    return rdata;
  }

  #apply(points: readonly ServicePoint[], cause?: string): void {
    const before = [...this.#names.values()];
    const members = discoveredMembers(this.#pool, points, this.#names);
    const after = members.map(({ name }) => name);
    const added = after.filter((name) => !before.includes(name));
    const gone = before.filter((name) => !after.includes(name));
    if (added.length > 0 || gone.length > 0)
      this.#context.log.info({ ...this.#fields(), added, gone, cause }, 'discovery changes the pool');
    this.#context.setDiscovered(members, { pool: this.#pool.name, name: this.#discover.name, added, gone }, cause);
    this.#points = points;
  }

  #fields(): Record<string, unknown> {
    return { pool: this.#pool.name, name: this.#discover.name };
  }
}

function question(discover: DiscoverConfig): string {
  return JSON.stringify([discover.kind, discover.name, discover.kind === 'srv' ? undefined : discover.port]);
}

/** What one look comes upon. */
interface Look {
  /** The shortest of all answers by forwarding. */
  ttlMs: number;
  readonly own: Set<NameKey>;
  /** A target that could not be looked up. */
  failure: LookupError | undefined;
}

/** RFC 2782; the target "." says that there is no such service. */
function readSrv(rdata: Uint8Array): { priority: number; weight: number; port: number; host: string }[] {
  if (rdata.length < 8 || readUint16(rdata, 4) === 0) return [];
  const host = nameToText(rdata.subarray(6));
  return [{ priority: readUint16(rdata, 0), weight: readUint16(rdata, 2), port: readUint16(rdata, 4), host }];
}

function changedNames(publication: ZonePublication): NameKey[] {
  if (publication.kind === 'zone') return [nameKey(publication.data.name)];
  if (publication.kind === 'zone-removed') return [nameKey(publication.name)];
  if (publication.kind === 'zone-expiry') return [];
  // Each transaction changes the SOA, which nobody looks up here.
  const changed = publication.delta.changes.filter(({ type }) => type !== TYPE.SOA);
  return changed.map(({ owner }) => withoutStar(nameKey(owner)));
}

/** What a wildcard covers is whatever lies below its parent. */
function withoutStar(key: NameKey): NameKey {
  return key.startsWith('\x01*') ? key.slice(2) : key;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
