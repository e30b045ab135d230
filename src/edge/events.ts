/**
 * What happens, as one numbered stream: members going up and down, zones changing, routers seen, reloads. The newest are
 * kept for readers who come back; readers are never waited for.
 */
import type { Clock } from '../core/clock.ts';
import type { ZoneEvent } from '../dns/control.ts';
import type { MemberEvent, MemberRemoved, MemberWarning, PoolEvent } from '../proxy/control.ts';
import type { RaEvent } from '../ra/context.ts';
import type { JoinEvent } from './join/events.ts';
import type { DiscoveryEvent, StoryEvent } from './story-text.ts';

/** A configuration was read again. */
export interface ReloadEvent {
  readonly kind: 'reload';
  /** Empty: it is in effect. */
  readonly errors: readonly string[];
  readonly overridden: readonly string[];
  readonly changed: readonly string[];
}

/** A zone's event with its `type` as `kind`. */
type ZoneEdgeEvent = {
  [E in ZoneEvent as E['type']]: { readonly kind: E['type'] } & Omit<E, 'type'>;
}[ZoneEvent['type']];

/** What is told, beside its number and time. */
export type EdgeEvent =
  | MemberEvent
  | MemberWarning
  | MemberRemoved
  | PoolEvent
  | DiscoveryEvent
  | StoryEvent
  | ZoneEdgeEvent
  | RaEvent
  | JoinEvent
  | ReloadEvent;

/** Each kind once: the compiler sees to it that none is missing. */
const kinds: Readonly<Record<EdgeEvent['kind'], true>> = {
  member: true,
  'member-warning': true,
  'member-removed': true,
  pool: true,
  discovery: true,
  story: true,
  'zone-updated': true,
  'zone-transferred': true,
  'zone-expired': true,
  'ra-state': true,
  'ra-router-seen': true,
  'ra-router-gone': true,
  'ra-contradiction': true,
  'node-joined': true,
  'node-removed': true,
  'join-material': true,
  reload: true,
};

/** Every kind of event. */
export const eventKinds = Object.keys(kinds) as EdgeEvent['kind'][];

/** An event as readers get it: numbers rise by one, also over what a reader missed. */
export interface NumberedEvent {
  readonly id: number;
  /** Wall-clock milliseconds. */
  readonly at: number;
  /** `zone/serial` of the change of a zone that it follows from, or is; undefined: of none that is known. */
  readonly cause: string | undefined;
  readonly event: EdgeEvent;
}

export type EventReader = (event: NumberedEvent) => void;

/** Events kept for readers that come back. */
const kept = 256;

export class EventStream {
  readonly #clock: Clock;
  readonly #readers = new Set<EventReader>();
  #recent: NumberedEvent[] = [];
  #id: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    // Numbers of an earlier run are smaller: a reader that comes back after a restart gets all there is.
    this.#id = clock.wall();
  }

  /** How many read. */
  get readers(): number {
    return this.#readers.size;
  }

  emit(event: EdgeEvent, cause?: string): void {
    const numbered = { id: ++this.#id, at: this.#clock.wall(), cause, event };
    this.#recent.push(numbered);
    if (this.#recent.length > kept) this.#recent.shift();
    for (const reader of [...this.#readers]) reader(numbered);
  }

  /** The kept events after `lastId`; all without one. */
  since(lastId = 0): readonly NumberedEvent[] {
    return this.#recent.filter(({ id }) => id > lastId);
  }

  /** Returns the function that ends it. */
  read(reader: EventReader): () => void {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }
}

/** A zone's event as one of the stream. */
export function zoneEvent({ type, ...event }: ZoneEvent): EdgeEvent {
  return { kind: type, ...event } as ZoneEdgeEvent;
}
