/** A story in words: what a change of a zone led to, in one line. */
import { formatDuration } from '../core/duration.ts';

/** What discovery changed in a pool: names of members. */
export interface PoolChange {
  readonly pool: string;
  /** The name that was looked up. */
  readonly name: string;
  readonly added: readonly string[];
  readonly gone: readonly string[];
}

/** Discovery changed a pool. */
export interface DiscoveryEvent extends PoolChange {
  readonly kind: 'discovery';
}

/** A change of a zone and all that followed from it. */
export interface StoryEvent {
  readonly kind: 'story';
  /** The whole of it in one line. */
  readonly text: string;
  readonly zone: string;
  readonly serial: number;
  /** As in `ZoneUpdated`; `axfr` or `ixfr` for what came from a primary. */
  readonly by: string | undefined;
  readonly client: string | undefined;
  /** As in `ZoneUpdated`. */
  readonly changed: readonly string[];
  readonly more?: number | undefined;
  readonly pools: readonly PoolChange[];
  /** Of members that went: those that have ended, and those that are there still. */
  readonly sessions: { readonly drained: number; readonly left: number };
  readonly advertisements: 'unchanged' | 'changed';
  /** Nothing of it is to come. */
  readonly settled: boolean;
  readonly tookMs: number;
}

/** More names of one list are summed up. */
const named = 4;

/** `node-key from [fd00::5]:4242 changed w1.cluster.test AAAA (cluster.test serial 7) → pool web: +w1 −w2 → …`. */
export function inWords(story: Omit<StoryEvent, 'kind' | 'text'>): string {
  const {
    zone,
    serial,
    by = 'somebody',
    client,
    changed,
    more,
    pools,
    sessions,
    advertisements,
    settled,
    tookMs,
  } = story;
  const who = client === undefined ? by : `${by} from ${client}`;
  const what = changed.length === 0 ? zone : few(changed, more);
  const parts = [
    `${who} changed ${what} (${zone} serial ${serial})`,
    ...pools.map(({ pool, added, gone }) => {
      const came = added.length === 0 ? [] : [`+${few(added)}`];
      const went = gone.length === 0 ? [] : [`−${few(gone)}`];
      return `pool ${pool}: ${[...came, ...went].join(' ')}`;
    }),
    sessionsInWords(sessions, settled, tookMs),
    `advertisements ${advertisements}`,
  ];
  return parts.filter((part) => part !== '').join(' → ');
}

function sessionsInWords({ drained, left }: StoryEvent['sessions'], settled: boolean, tookMs: number): string {
  if (drained + left === 0) return settled ? '' : 'not settled yet';
  const count = (n: number) => `${n} session${n === 1 ? '' : 's'}`;
  const took = formatDuration(tookMs < 1000 ? tookMs : Math.round(tookMs / 1000) * 1000);
  if (left === 0) return `${count(drained)} drained in ${took}`;
  return `${drained > 0 ? `${count(drained)} drained, ` : ''}${count(left)} left after ${took}`;
}

/** @param more how many there are beside these */
function few(words: readonly string[], more = 0): string {
  return words.length + more <= named
    ? words.join(', ')
    : `${words.slice(0, named - 1).join(', ')} and ${words.length + more - named + 1} more`;
}
