/**
 * What follows from a change of a zone, as one story: an update moves a member, its sessions drain, advertisements stay as they
 * were. Each event of it carries the same `cause`, `zone/serial`; when all has followed, one event and one line of the log
 * sum it up.
 *
 * A story begins when a zone's change is handed to discovery, and is told of once something follows: an update that no pool
 * follows is its own event and nothing more. It is summed up when every member that came has been checked and every one that
 * went has lost its last session, or after `summaryMs` without that, and then once more at its end.
 */
import type { Clock, Timer } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import type { ZonePublication } from '../dns/control.ts';
import { soaSerial } from '../dns/soa.ts';
import { nameToText } from '../dns/wire/name.ts';
import { TYPE } from '../dns/wire/types.ts';
import type { MemberEvent, MemberRemoved, MemberWarning } from '../proxy/control.ts';
import type { EdgeEvent, EventStream } from './events.ts';
import { inWords, type PoolChange, type StoryEvent } from './story-text.ts';

export type { StoryEvent } from './story-text.ts';

/** A member whose sessions take longer is told of twice. */
const summaryMs = 5_000;
/** Stories that are not at their end; the oldest is closed when there are more. */
const maxOpen = 64;
/** Serials of a zone whose events may still come. */
const maxSerials = 64;

export interface StoriesContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stream: EventStream;
  /** Sessions of a member now. */
  readonly sessionsOf: (pool: string, member: string) => number;
  /** Anything that differs when advertisements do. */
  readonly advertisements: () => string;
}

type MemberNews = MemberEvent | MemberWarning | MemberRemoved;

interface Story {
  readonly cause: string;
  readonly at: number;
  readonly advertisements: string;
  readonly pools: PoolChange[];
  /** Sessions that members had when they went. */
  sessions: number;
  /** `pool/member` of members that came and are not checked yet, and of those that went and have sessions. */
  readonly coming: Set<string>;
  readonly going: Set<string>;
  /** The event it began with, once it was told. */
  origin: Extract<EdgeEvent, { kind: 'zone-updated' | 'zone-transferred' }> | undefined;
  timer: Timer | undefined;
}

export class Stories {
  readonly #context: StoriesContext;
  readonly #open = new Map<string, Story>();
  /** Serials that were handed to discovery, by zone, the newest last. */
  readonly #serials = new Map<string, number[]>();
  /** Events of changes that nothing follows from yet, by cause. */
  readonly #origins = new Map<string, NonNullable<Story['origin']>>();
  /** Set while a change is being applied: what members do meanwhile follows from it, and is told after it. */
  #during: { readonly story: Story; readonly held: MemberNews[] } | undefined;

  constructor(context: StoriesContext) {
    this.#context = context;
  }

  /** A zone changes; returns the cause of what follows from it. */
  published(publication: ZonePublication): string | undefined {
    if (publication.kind !== 'delta') return undefined;
    const { name, changes } = publication.delta;
    const soa = changes.find(({ type }) => type === TYPE.SOA)?.rrset?.rdata[0];
    if (soa === undefined) return undefined;
    const zone = nameToText(name);
    const serials = this.#serials.get(zone) ?? [];
    serials.push(soaSerial(soa));
    if (serials.length > maxSerials) serials.shift();
    this.#serials.set(zone, serials);
    return `${zone}/${serials.at(-1)}`;
  }

  /** Tells of an event of a zone, with the cause of what follows from it. */
  zoneEvent(event: EdgeEvent): void {
    if (event.kind !== 'zone-updated' && event.kind !== 'zone-transferred') {
      this.#context.stream.emit(event);
      return;
    }
    const cause = this.#causeOf(event.zone, event.serial);
    this.#context.stream.emit(event, cause);
    const story = this.#open.get(cause);
    this.#origins.set(cause, event);
    if (this.#origins.size > maxOpen) this.#origins.delete(this.#origins.keys().next().value!);
    if (story === undefined) return;
    story.origin = event;
    this.#look(story);
  }

  /** Runs a change of a pool's members that follows from `cause`; what its members do meanwhile and later is told with it. */
  discovered(change: PoolChange, cause: string | undefined, apply: () => void): void {
    const { stream, sessionsOf } = this.#context;
    const { pool, added, gone } = change;
    if (added.length + gone.length === 0) {
      apply();
      return;
    }
    if (cause === undefined) {
      apply();
      stream.emit({ kind: 'discovery', ...change });
      return;
    }
    const story = this.#story(cause);
    story.pools.push(change);
    story.sessions += gone.reduce((sum, member) => sum + sessionsOf(pool, member), 0);
    for (const member of added) story.coming.add(`${pool}/${member}`);
    for (const member of gone) story.going.add(`${pool}/${member}`);
    const held: MemberNews[] = [];
    this.#during = { story, held };
    try {
      apply();
      stream.emit({ kind: 'discovery', ...change }, cause);
    } catch (error) {
      // Nothing has changed; discovery tries again by itself.
      story.timer?.cancel();
      this.#open.delete(cause);
      throw error;
    } finally {
      this.#during = undefined;
      for (const event of held) this.#tell(event, story);
    }
    this.#look(story);
  }

  /** Tells of an event of a member, with its cause if it has one. */
  memberEvent(event: MemberNews): void {
    if (this.#during !== undefined) {
      this.#during.held.push(event);
      return;
    }
    const place = `${event.pool}/${event.member}`;
    const story = [...this.#open.values()].findLast(({ coming, going }) => coming.has(place) || going.has(place));
    this.#tell(event, story);
    if (story !== undefined) this.#look(story);
  }

  #tell(event: MemberNews, story: Story | undefined): void {
    this.#context.stream.emit(event, story?.cause);
    const place = `${event.pool}/${event.member}`;
    if (event.kind === 'member-removed') story?.going.delete(place);
    // A check that fails is an answer as well.
    if (event.kind === 'member' && event.to !== 'drain') story?.coming.delete(place);
  }

  stop(): void {
    for (const { timer } of this.#open.values()) timer?.cancel();
    this.#open.clear();
  }

  #story(cause: string): Story {
    const known = this.#open.get(cause);
    if (known !== undefined) return known;
    const { clock, advertisements } = this.#context;
    const story: Story = {
      cause,
      at: clock.now(),
      advertisements: advertisements(),
      pools: [],
      sessions: 0,
      coming: new Set(),
      going: new Set(),
      origin: this.#origins.get(cause),
      timer: clock.after(summaryMs, () => this.#sumUp(story, false)),
    };
    this.#open.set(cause, story);
    if (this.#open.size > maxOpen) this.#end(this.#open.values().next().value!);
    return story;
  }

  /** Ends the story if nothing of it is to come. */
  #look(story: Story): void {
    if (story.origin !== undefined && story.coming.size === 0 && story.going.size === 0) this.#end(story);
  }

  #end(story: Story): void {
    story.timer?.cancel();
    this.#open.delete(story.cause);
    this.#sumUp(story, story.coming.size === 0 && story.going.size === 0);
  }

  #sumUp(story: Story, settled: boolean): void {
    const { clock, log, stream, sessionsOf, advertisements } = this.#context;
    const left = [...story.going].reduce((sum, place) => {
      const at = place.indexOf('/');
      return sum + sessionsOf(place.slice(0, at), place.slice(at + 1));
    }, 0);
    const { origin } = story;
    const facts: Omit<StoryEvent, 'kind' | 'text'> = {
      zone: story.cause.slice(0, story.cause.lastIndexOf('/')),
      serial: Number(story.cause.slice(story.cause.lastIndexOf('/') + 1)),
      by: origin === undefined ? undefined : origin.kind === 'zone-updated' ? origin.by : origin.method,
      client: origin === undefined ? undefined : origin.kind === 'zone-updated' ? origin.client : origin.primary,
      changed: origin?.kind === 'zone-updated' ? origin.changed : [],
      more: origin?.kind === 'zone-updated' ? origin.more : undefined,
      pools: story.pools,
      sessions: { drained: Math.max(0, story.sessions - left), left },
      advertisements: advertisements() === story.advertisements ? 'unchanged' : 'changed',
      settled,
      tookMs: Math.round(clock.now() - story.at),
    };
    const event: StoryEvent = { kind: 'story', text: inWords(facts), ...facts };
    const { kind: _, text, ...fields } = event;
    log.info({ cause: story.cause, ...fields }, text);
    stream.emit(event, story.cause);
  }

  /** Changes of several updates go to discovery as one, with the serial of the last. */
  #causeOf(zone: string, serial: number): string {
    const serials = this.#serials.get(zone) ?? [];
    // RFC 1982: less or equal, over the wrap.
    const carrier = serials.find((each) => ((each - serial) | 0) >= 0) ?? serial;
    return `${zone}/${carrier}`;
  }
}
