/** A pool as one data thread sees it: its members, the choice among them, and the sessions that wait for one. */
import { parseAddress } from '../core/address.ts';
import type { CounterStripe } from '../core/counters.ts';
import { ValueError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import { AF_INET, AF_INET6 } from '../linux/constants.ts';
import { encodeSockaddr } from '../linux/sockaddr.ts';
import { Memory } from '../linux/tcp.ts';
import { balances, type Candidate, hashBytes } from './balance.ts';
import { memberCounterBase, memberGaugeBase } from './counters.ts';
import { PoolQueue, type Queues, type Waiting } from './queue.ts';
import { type MemberSnapshot, type MemberState, type PoolSnapshot, takesSessions } from './snapshot.ts';
import { spanBytes } from './span.ts';
import type { AddressSpan } from './wire/header.ts';

/** A member; lives as long as a session of its does, even when its pool has let go of it. */
export class Member implements Candidate {
  readonly name: string;
  readonly slot: number;
  readonly counterBase: number;
  readonly family: number;
  readonly hash: number;
  readonly address: string;
  readonly port: number;
  credit = 0;
  weight = 0;
  maxConnections = 0;
  tier = 0;
  state: MemberState = 'up';
  /** It left a connect unanswered or refused it: until then it gets sessions only when no other does. */
  silentUntil = 0;
  /** When a failed connect was last reported. */
  reportedAt = Number.NEGATIVE_INFINITY;
  /** When it was last reported that none could begin. */
  shortAt = Number.NEGATIVE_INFINITY;
  /** When it was last reported that it may not read PROXY headers. */
  suspectedAt = Number.NEGATIVE_INFINITY;
  /** When the kernel was last asked how a connection to it fared. */
  sampledAt = Number.NEGATIVE_INFINITY;
  readonly #sockaddr: Memory | undefined;
  readonly #gauge: number;
  readonly #counters: CounterStripe;

  constructor(snapshot: MemberSnapshot, counters: CounterStripe) {
    const address = parseAddress(snapshot.address);
    this.name = snapshot.name;
    this.slot = snapshot.slot;
    this.address = snapshot.address;
    this.port = snapshot.port;
    this.counterBase = memberCounterBase(snapshot.slot);
    this.#gauge = memberGaugeBase(snapshot.slot);
    this.family = address.family === 4 ? AF_INET : AF_INET6;
    if (address.zone === undefined) this.#sockaddr = Memory.of(encodeSockaddr(address, snapshot.port));
    this.hash = hashBytes(Buffer.from(snapshot.name));
    this.#counters = counters;
    this.update(snapshot);
  }

  /** Whether the snapshot speaks of this very member, so that it can be updated in place. */
  is(snapshot: MemberSnapshot): boolean {
    return this.address === snapshot.address && this.port === snapshot.port && this.slot === snapshot.slot;
  }

  update(snapshot: MemberSnapshot): void {
    this.weight = snapshot.weight;
    this.maxConnections = snapshot.maxConnections;
    this.tier = snapshot.tier;
    this.state = snapshot.state;
  }

  /** Where to connect; undefined while there is no interface of the name in its zone id. */
  get sockaddr(): Memory | undefined {
    if (this.#sockaddr !== undefined) return this.#sockaddr;
    try {
      // Each time: an interface that is gone and comes back has another number.
      return Memory.of(encodeSockaddr(parseAddress(this.address), this.port));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      return undefined;
    }
  }

  get silent(): boolean {
    return this.silentUntil > 0;
  }

  get eligible(): boolean {
    return takesSessions(this);
  }

  /** Sessions over all threads, connects under way included. */
  get active(): number {
    return this.#counters.gauge(this.#gauge);
  }

  /** Takes a place; false, and nothing taken, when the member is at its limit: exact over all threads. */
  occupy(): boolean {
    if (this.maxConnections > 0) return this.#counters.gaugeTake(this.#gauge, this.maxConnections);
    this.#counters.gaugeAdd(this.#gauge, 1);
    return true;
  }

  vacate(): void {
    this.#counters.gaugeAdd(this.#gauge, -1);
  }
}

/** How long a member is passed over that leaves connects unanswered or refuses them; then one session tries it. */
const silenceMs = 1000;

/** Why there is no member: every one is down, tried already, or at its limit. */
export type NoMember = 'down' | 'tried' | 'full';

/** What a change of members meant for some of them. */
export interface Turned {
  /** Went down, or into maintenance. */
  readonly wentDown: readonly Member[];
  /** Are backups of one that came up, in a pool where their sessions end then. */
  readonly relieved: readonly Member[];
}

export class Backend {
  readonly name: string;
  settings: PoolSnapshot;
  members: Member[] = [];
  /** Members that get new sessions, by tier; the first are no backups, unless all are. */
  #tiers: Member[][] = [];
  #turn = 0;
  /** Members that left a connect unanswered or refused it, and have not answered one since. */
  #silent: readonly Member[] = [];
  readonly #queue: PoolQueue;
  /** Given back, and not offered to those who wait yet. */
  #places = 0;
  readonly #counters: CounterStripe;
  readonly #random: Random;
  readonly #now: () => number;

  /** @param now monotonic milliseconds */
  constructor(
    snapshot: PoolSnapshot,
    { counters, queues, random }: { counters: CounterStripe; queues: Queues; random: Random },
    now: () => number,
  ) {
    this.#now = now;
    this.name = snapshot.name;
    this.settings = snapshot;
    this.#counters = counters;
    this.#queue = new PoolQueue(queues, snapshot.slot, counters);
    this.#random = random;
    this.apply(snapshot);
  }

  /** Takes over new settings and members; a member that stays keeps its object. Returns whose sessions may be over by it. */
  apply(snapshot: PoolSnapshot): Turned {
    const tierBefore = this.#tier;
    const before = new Map(this.members.map((member) => [member.name, member]));
    const wentDown: Member[] = [];
    this.settings = snapshot;
    this.members = snapshot.members.map((each) => {
      const known = before.get(each.name);
      if (known === undefined || !known.is(each)) return new Member(each, this.#counters);
      if (isOut(each.state) && known.silent) this.hear(known);
      if (!isOut(known.state) && isOut(each.state)) wentDown.push(known);
      known.update(each);
      return known;
    });
    this.#silent = this.#silent.filter((member) => this.members.includes(member));
    const eligible = this.members.filter((member) => member.eligible);
    const tiers = [...new Set(eligible.map(({ tier }) => tier))].sort((a, b) => a - b);
    this.#tiers = tiers.map((tier) => eligible.filter((member) => member.tier === tier));
    const closes = snapshot.onMarkedUp === 'close-backups' && this.#tier < tierBefore;
    return { wentDown, relieved: closes ? this.members.filter(({ tier }) => tier > this.#tier) : [] };
  }

  /** The lowest tier of which any member gets new sessions. */
  get #tier(): number {
    return this.#tiers[0]?.[0]?.tier ?? Number.POSITIVE_INFINITY;
  }

  /** Whether any member gets new sessions. */
  get up(): boolean {
    return this.#tiers.length > 0;
  }

  /** Sessions that wait, over all threads. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** A connect to the member has no answer, or is refused: for a while sessions go to others, if there are any. */
  suspect(member: Member, now: number): void {
    if (!this.members.includes(member)) return;
    if (!member.silent) this.#silent = [...this.#silent, member];
    member.silentUntil = now + silenceMs;
  }

  /** The member has answered, or its checks speak for it now. */
  hear(member: Member): void {
    member.silentUntil = 0;
    this.#silent = this.#silent.filter((other) => other !== member);
  }

  /** Takes a place at a member that is not in `tried`: backup members only when no other will do. */
  take(client: AddressSpan, tried: readonly Member[]): Member | NoMember {
    if (!this.up) return 'down';
    if (this.#silent.length === 0) return this.#take(client, tried);
    const now = this.#now();
    const member = this.#take(client, [...tried, ...this.#silent.filter(({ silentUntil }) => silentUntil > now)]);
    if (member === 'down' || member === 'tried') return this.#take(client, tried);
    // The one session that tries a silent member: others wait for how it fares.
    if (typeof member !== 'string' && member.silent) member.silentUntil = now + silenceMs;
    return member;
  }

  #take(client: AddressSpan, tried: readonly Member[]): Member | NoMember {
    for (const tier of this.#tiers) {
      const member = this.#takeFrom(tier, client, tried);
      // Members that are full stay the choice: a backup stands in for members that fail, not for busy ones.
      if (member !== 'tried') return member;
    }
    return 'tried';
  }

  /** Gives a place back and lets whoever waits longest have it. */
  vacate(member: Member): void {
    member.vacate();
    this.#places++;
    // Whoever fails at once gives the place back from within: the next one's turn comes then, not inside of its own.
    if (this.#places > 1) return;
    for (; this.#places > 0; this.#places--) this.#queue.offer();
  }

  /** Queues a session; false when the queue is full. */
  enqueue(session: Waiting): boolean {
    return this.#queue.push(session, this.settings.queue.length);
  }

  dequeue(session: Waiting): void {
    this.#queue.remove(session);
  }

  /** Whether others wait before `session`, at whatever thread. */
  mustQueue(session: Waiting): boolean {
    return this.#queue.isBehind(session);
  }

  /** Lets all that wait try once more, in their order: after members came up or grew. */
  wake(): void {
    this.#queue.wake();
  }

  #takeFrom(members: readonly Member[], client: AddressSpan, tried: readonly Member[]): Member | 'tried' | 'full' {
    let candidates = members;
    if (tried.length > 0) candidates = members.filter((member) => !tried.includes(member));
    if (candidates.length === 0) return 'tried';
    const balance = balances[this.settings.balance];
    const context = {
      random: this.#random,
      client: this.settings.balance === 'source' ? hashBytes(spanBytes(client)) : 0,
      turn: this.#turn++,
    };
    for (;;) {
      const member = balance(candidates, context);
      if (member.occupy()) return member;
      candidates = candidates.filter((other) => other !== member);
      if (candidates.length === 0) return 'full';
    }
  }
}

/** Maintenance ends sessions as a failing check does (HAProxy's `on-marked-down` covers both); a drain lets them be. */
function isOut(state: MemberState): boolean {
  return state === 'down' || state === 'maint';
}
