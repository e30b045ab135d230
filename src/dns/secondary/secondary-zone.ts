/**
 * One secondary zone: when its primaries are asked, and when its data are no longer good (RFC 1034 §4.3.5, RFC 1996 §3).
 *
 * It is idle, until `refresh` after the last contact, `retry` after a failure, or a NOTIFY; or it asks the primaries, one
 * after the other, until one has told what there is. Beside that runs `expire`: when nobody has confirmed the zone for so
 * long, its names are answered with SERVFAIL until somebody does.
 */
import { formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { TsigKey } from '../config.ts';
import { serialGreater, soaTimers } from '../soa.ts';
import type { Name } from '../wire/name.ts';
import type { Zone } from '../zone.ts';
import { PrimaryError } from './message-stream.ts';
import type { AskPrimary, PrimaryAnswer } from './transfer-client.ts';
import { type Transferred, transferredSoa } from './transfer-reader.ts';

type Content = Exclude<Transferred, { kind: 'current' }>;

/** Bounds on what a primary's SOA may ask of us, as BIND has them above: seconds. */
const MIN_REFRESH = 2;
const MAX_REFRESH = 2_419_200;
const MIN_RETRY = 1;
const MAX_RETRY = 1_209_600;
const MAX_EXPIRE = 14_515_200;
/** Without a zone, and so without its timers: 1 s, doubled up to 5 min. */
const MAX_FIRST_RETRY = 300;

/** NOTIFY has the primaries asked once in so long: whoever forges one must not have us open connections without end. */
const NOTIFY_PAUSE_MS = 1000;

/** What the configuration says. */
export interface SecondarySettings {
  readonly primaries: readonly InetEndpoint[];
  /** Signs what is asked. */
  readonly key: TsigKey | undefined;
}

/** What a secondary zone does to the world. */
export interface SecondaryHost {
  /**
   * Makes a transfer the zone: on disk, then in answers. Returns undefined if differences do not fit what we have.
   * @param at wall-clock milliseconds since when it is good: `expire` runs from there
   */
  take(transferred: Content, at: number): Promise<Zone | undefined>;
  /** Notes on disk that a primary confirmed the zone. @param at as for `take` */
  confirm(at: number): Promise<void>;
  /** Answers from the zone, or with SERVFAIL. */
  serve(zone: Zone | undefined): Promise<void>;
  /** Told when the zone expires, each time that is another moment: wall-clock milliseconds. */
  expires(at: number): void;
  /** Told of every contact. */
  onContact(contact: Contact): void;
}

/** What came of asking. */
export interface Contact {
  readonly kind: 'axfr' | 'ixfr' | 'current' | 'older' | 'failed';
  readonly primary: InetEndpoint;
  readonly octets: number;
  /** Before; undefined: there was no zone. */
  readonly from: number | undefined;
  readonly serial: number | undefined;
  readonly error: string | undefined;
}

export interface SecondaryContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly ask: AskPrimary;
  readonly host: SecondaryHost;
}

/** What it starts with. */
export interface SecondaryStart {
  readonly name: Name;
  readonly zone: Zone | undefined;
  /** Wall-clock milliseconds when a primary last confirmed the zone. */
  readonly refreshedAt: number | undefined;
  /** The data are not from these primaries: the first transfer is of the whole zone, whatever its serial. */
  readonly foreign: boolean;
}

/** How it is, for people. Times are wall-clock milliseconds. */
export interface SecondaryStatus {
  readonly state: 'loaded' | 'missing' | 'expired';
  readonly primaries: readonly string[];
  /** The one that last answered. */
  readonly primary: string | undefined;
  readonly asking: boolean;
  readonly lastRefresh: number | undefined;
  readonly nextRefresh: number | undefined;
  readonly expires: number | undefined;
  /** Of the last attempt; undefined: it went well. */
  readonly lastError: string | undefined;
}

export class SecondaryZone {
  readonly #context: SecondaryContext;
  readonly #name: Name;
  #settings: SecondarySettings;
  /** The data, whether they are served or not. */
  #zone: Zone | undefined;
  #foreign: boolean;
  /** Wall-clock milliseconds from which `expire` runs: when a primary confirmed the zone, or itself had had it confirmed. */
  #refreshedAt: number | undefined;
  #heardAt: number | undefined;
  #expired = false;
  #asking: AbortController | undefined;
  /** Asked again when the round under way is over; who sent NOTIFY first. */
  #again: { readonly first: InetEndpoint | undefined } | undefined;
  #failures = 0;
  /** When they were last begun to be asked; monotonic. */
  #beganAt = Number.NEGATIVE_INFINITY;
  #primary: InetEndpoint | undefined;
  #lastError: string | undefined;
  #refreshTimer: Timer | undefined;
  #nextAt: number | undefined;
  #expireTimer: Timer | undefined;
  #expiresAt: number | undefined;
  #stopped = false;

  constructor(context: SecondaryContext, settings: SecondarySettings, start: SecondaryStart) {
    this.#context = context;
    this.#settings = settings;
    this.#name = start.name;
    this.#zone = start.zone;
    this.#foreign = start.foreign;
    this.#refreshedAt = this.#heardAt = start.refreshedAt;
    // What is too old must not be served for a moment even.
    if (start.zone !== undefined) this.#expired = this.#leftMs(start.zone) <= 0;
  }

  /** The zone that may be served. */
  get served(): Zone | undefined {
    return this.#expired ? undefined : this.#zone;
  }

  /** Whole seconds until the zone expires. */
  get secondsLeft(): number {
    return this.#zone === undefined ? 0 : Math.max(0, Math.floor(this.#leftMs(this.#zone) / 1000));
  }

  /** The data, served or not. */
  get data(): Zone | undefined {
    return this.#zone;
  }

  get settings(): SecondarySettings {
    return this.#settings;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get status(): SecondaryStatus {
    return {
      state: this.#zone === undefined ? 'missing' : this.#expired ? 'expired' : 'loaded',
      primaries: this.#settings.primaries.map(formatEndpoint),
      primary: this.#primary === undefined ? undefined : formatEndpoint(this.#primary),
      asking: this.#asking !== undefined,
      lastRefresh: this.#heardAt,
      nextRefresh: this.#nextAt,
      expires: this.#expiresAt,
      lastError: this.#lastError,
    };
  }

  /** Begins: the primaries are asked at once. */
  start(): void {
    this.#armExpiry();
    this.refresh();
  }

  /** Takes over other primaries or another key; they are asked at once. */
  apply(settings: SecondarySettings): void {
    this.#settings = settings;
    this.refresh();
  }

  stop(): void {
    this.#stopped = true;
    this.#asking?.abort();
    this.#refreshTimer?.cancel();
    this.#expireTimer?.cancel();
  }

  /** Asks the primaries now, or again when the round under way is over. @param whole transfers all, whatever the serial */
  refresh(options: { readonly first?: InetEndpoint; readonly whole?: boolean } = {}): void {
    if (options.whole === true) this.#foreign = true;
    if (this.#asking !== undefined) {
      this.#again = { first: options.first };
      return;
    }
    void this.#round(options.first);
  }

  /** A primary says that the zone has changed (RFC 1996 §3.11); `serial` is its hint. */
  notified(from: InetEndpoint, serial: number | undefined): void {
    const known = !this.#foreign && !this.#expired && this.#zone !== undefined;
    if (known && serial !== undefined && !serialGreater(serial, this.#zone!.serial)) return;
    const first = this.#settings.primaries.find(({ address }) => sameBytes(address.bytes, from.address.bytes));
    this.#hasten(first);
  }

  /** Asks now, or as soon as the pause after the last time is over. */
  #hasten(first: InetEndpoint | undefined): void {
    const wait = this.#beganAt + NOTIFY_PAUSE_MS - this.#context.clock.now();
    if (this.#asking === undefined && wait > 0) this.#askAfter(wait, first);
    else this.refresh(first === undefined ? {} : { first });
  }

  async #round(first: InetEndpoint | undefined): Promise<void> {
    const { log } = this.#context;
    this.#refreshTimer?.cancel();
    this.#nextAt = undefined;
    this.#again = undefined;
    const asking = new AbortController();
    this.#asking = asking;
    this.#beganAt = this.#context.clock.now();
    let reached = false;
    const { primaries } = this.#settings;
    const order = first === undefined ? primaries : [first, ...primaries.filter((one) => one !== first)];
    for (const primary of order) {
      try {
        reached = await this.#askOne(primary, asking.signal);
      } catch (error) {
        if (this.#stopped) return;
        this.#lastError = `${formatEndpoint(primary)}: ${errorMessage(error)}`;
        log.warn({ primary: formatEndpoint(primary), reason: errorMessage(error) }, 'primary does not give the zone');
        this.#told('failed', primary, { error: errorMessage(error) });
      }
      if (this.#stopped) return;
      if (reached) break;
    }
    this.#asking = undefined;
    this.#failures = reached ? 0 : this.#failures + 1;
    const again = this.#again as { first: InetEndpoint | undefined } | undefined;
    this.#again = undefined;
    // Those that fail are not asked over and over: NOTIFY waits for its turn as well then.
    if (again !== undefined && reached) this.#hasten(again.first);
    else this.#schedule(reached);
  }

  /** Returns whether the primary told what there is; one that has less than we does not count. */
  async #askOne(primary: InetEndpoint, signal: AbortSignal): Promise<boolean> {
    const { ask, host, clock, log } = this.#context;
    const { key } = this.#settings;
    const at = clock.wall();
    const from = this.#zone?.serial;
    const request = { primary, zone: this.#name, key, signal };
    const soa = this.#foreign ? undefined : this.#zone?.soa.set.rrset.rdata[0];
    let answer = await ask({ ...request, soa });
    let good = at;
    if (answer.kind === 'ixfr' || answer.kind === 'axfr') {
      good = goodAt(at, answer, () => transferredSoa(answer as Content));
      let zone = signal.aborted ? undefined : await host.take(answer, good);
      if (zone === undefined && !signal.aborted) {
        log.warn({ primary: formatEndpoint(primary) }, 'the differences do not fit the zone we have: taking all of it');
        const whole = (await ask({ ...request, soa: undefined })) as Content & PrimaryAnswer;
        answer = whole;
        good = goodAt(at, whole, () => transferredSoa(whole));
        if (!signal.aborted) zone = await host.take(whole, good);
      }
      if (zone === undefined || this.#stopped) return false;
      this.#zone = zone;
      this.#foreign = false;
    } else if (answer.kind === 'older') {
      this.#lastError = `${formatEndpoint(primary)} has serial ${answer.serial}, we have ${from}`;
      log.warn(
        { primary: formatEndpoint(primary), serial: answer.serial, ours: from },
        'the primary has an older zone',
      );
      this.#told('older', primary, { serial: answer.serial });
      return false;
    } else {
      // Another primary may have had later word of it; but no clock that was set back since.
      const known = Math.min(this.#refreshedAt ?? Number.NEGATIVE_INFINITY, at);
      good = Math.max(
        known,
        goodAt(at, answer, () => this.#zone!.soa.set.rrset.rdata[0]!),
      );
      await host.confirm(good);
      if (this.#stopped) return false;
    }
    this.#primary = primary;
    this.#refreshedAt = good;
    this.#heardAt = at;
    this.#lastError = undefined;
    if (this.#expired || answer.kind !== 'current') {
      this.#expired = false;
      await host.serve(this.#zone);
    }
    this.#armExpiry();
    this.#told(answer.kind, primary, { octets: answer.octets, from, serial: answer.serial });
    return true;
  }

  #told(kind: Contact['kind'], primary: InetEndpoint, more: Partial<Contact>): void {
    const nothing = { octets: 0, from: this.#zone?.serial, serial: undefined, error: undefined };
    this.#context.host.onContact({ ...nothing, ...more, kind, primary });
  }

  #schedule(reached: boolean): void {
    const { random } = this.#context;
    const { refresh, retry } = this.#timers();
    const seconds = reached
      ? Math.min(refresh, this.#hurry)
      : this.#zone === undefined
        ? Math.min(2 ** Math.min(this.#failures - 1, 10), MAX_FIRST_RETRY)
        : retry;
    // Not all zones and secondaries at the same moment: up to a quarter earlier, as BIND does.
    const ms = seconds * 1000 * (1 - random.fraction() / 4);
    this.#askAfter(ms, undefined);
  }

  /** Seconds after which it is asked again of primaries that have had no word of it themselves: half of what is left. */
  get #hurry(): number {
    if (this.#refreshedAt === this.#heardAt || this.#zone === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(MIN_REFRESH, this.secondsLeft / 2);
  }

  #askAfter(ms: number, first: InetEndpoint | undefined): void {
    const { clock } = this.#context;
    this.#refreshTimer?.cancel();
    this.#nextAt = clock.wall() + ms;
    this.#refreshTimer = clock.after(ms, () => void this.#round(first));
  }

  #armExpiry(): void {
    this.#expireTimer?.cancel();
    this.#expiresAt = undefined;
    if (this.#zone === undefined || this.#expired) return;
    const left = this.#leftMs(this.#zone);
    this.#expiresAt = this.#context.clock.wall() + left;
    this.#expireTimer = this.#context.clock.after(left, () => void this.#expire());
    this.#context.host.expires(this.#expiresAt);
  }

  async #expire(): Promise<void> {
    this.#expired = true;
    this.#expiresAt = undefined;
    const lastRefresh = this.#refreshedAt === undefined ? undefined : new Date(this.#refreshedAt).toISOString();
    this.#context.log.error(
      { lastRefresh, reason: this.#lastError },
      'secondary zone has expired: SERVFAIL for its names',
    );
    await this.#context.host.serve(undefined);
  }

  /** A clock set back must not keep a zone alive for years. */
  #leftMs(zone: Zone): number {
    const age = Math.max(0, this.#context.clock.wall() - (this.#refreshedAt ?? 0));
    return this.#timers(zone).expire * 1000 - age;
  }

  #timers(zone = this.#zone): { refresh: number; retry: number; expire: number } {
    if (zone === undefined) return { refresh: MIN_REFRESH, retry: MIN_RETRY, expire: 0 };
    return boundTimers(zone.soa.set.rrset.rdata[0]!);
  }
}

function boundTimers(rdata: Uint8Array): { refresh: number; retry: number; expire: number } {
  const soa = soaTimers(rdata);
  const refresh = clamp(soa.refresh, MIN_REFRESH, MAX_REFRESH);
  const retry = clamp(soa.retry, MIN_RETRY, MAX_RETRY);
  // Shorter than a refresh and a try more, it would expire while all is well (RFC 1912 §2.2).
  return { refresh, retry, expire: clamp(soa.expire, refresh + retry, MAX_EXPIRE) };
}

/**
 * Since when what was confirmed at `at` is good: since then, or since so much earlier as the primary has had no word of it
 * (RFC 7314 §4; the SOA's own time is the most there is).
 * @throws {PrimaryError} nothing is left: it is no better than no answer
 */
function goodAt(at: number, { expire }: PrimaryAnswer, soaOf: () => Uint8Array): number {
  if (expire === undefined) return at;
  const soa = soaOf();
  if (expire === 0 && soaTimers(soa).expire > 0) throw new PrimaryError('its zone has expired');
  return expire >= soaTimers(soa).expire ? at : at - Math.max(0, boundTimers(soa).expire - expire) * 1000;
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(value, max));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
