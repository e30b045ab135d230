/**
 * One pool member in the control thread: what the operator says (ready, drain, maint, weight), what its checks say, and
 * the state that comes of both. `unknown` health counts as down, but is not announced: it lasts one check.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { Probe } from '../check/probe.ts';
import type { CheckResult, CheckTarget } from '../check/result.ts';
import { CheckSchedule } from '../check/schedule.ts';
import { type Health, nextHealth, unknownHealth } from '../check/state.ts';
import type { MemberConfig, PoolConfig } from '../config.ts';
import type { MemberSnapshot, MemberState } from '../snapshot.ts';
import { CheckFigures } from './check-figures.ts';
import { checkTarget } from './check-target.ts';
import type { SavedMember } from './memory.ts';
import { shortageWords } from './shortage.ts';
import { SlowStart } from './slow-start.ts';
import type { AdminState, LastCheck, MemberEvent, MemberStatus, MemberWarning } from './status.ts';

/** Who named the member: the configuration, the admin API, or DNS. */
export type MemberOrigin = 'config' | 'api' | 'discovered';

/** How often live traffic may have a member asked whether it can read the PROXY header. */
const inquiryMs = 10_000;
/** A shortage that keeps connects to a member from beginning is told of this often, and stands in its status for so long. */
const shortageMs = 60_000;

export interface MemberContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly probe: Probe;
  readonly emit: (event: MemberEvent | MemberWarning) => void;
  /** Something that stands in the snapshot has changed. */
  readonly changed: () => void;
  /** Milliseconds to the first check of a member whose state is to be found out; at most those given. */
  readonly firstCheckMs: (longestMs: number) => number;
}

export class Member {
  readonly slot: number;
  origin: MemberOrigin;
  readonly #context: MemberContext;
  #config: MemberConfig;
  #pool: PoolConfig;
  #admin: AdminState = 'ready';
  /** The operator's word from before it was to leave. */
  #orderBefore: { readonly admin: AdminState; readonly reason: string } | undefined;
  #adminWeight: number | undefined;
  #health: Health = unknownHealth;
  #schedule: CheckSchedule | undefined;
  #lastCheck: LastCheck | undefined;
  /** That it is up is an earlier process's word, and no check has been planned yet. */
  #recalled = false;
  #inquiry: { cancel(): void } | undefined;
  #inquiredAt = Number.NEGATIVE_INFINITY;
  #warning: string | undefined;
  #shortage: string | undefined;
  #shortAt = Number.NEGATIVE_INFINITY;
  #announced: MemberState | 'unknown' = 'unknown';
  #since: number;
  #reason = 'not checked yet';
  #orderReason = '';
  readonly #figures = new CheckFigures();
  readonly #slowStart: SlowStart;
  #joins = false;

  constructor(context: MemberContext, pool: PoolConfig, config: MemberConfig, slot: number, origin: MemberOrigin) {
    this.#context = context;
    this.#pool = pool;
    this.#config = config;
    this.slot = slot;
    this.origin = origin;
    this.#since = context.clock.wall();
    this.#slowStart = new SlowStart(context.clock, context.changed);
  }

  get config(): MemberConfig {
    return this.#config;
  }

  /** Takes no new sessions and goes when the last one has ended. */
  get leaving(): boolean {
    return this.#orderBefore !== undefined;
  }

  get state(): MemberState {
    if (this.#admin === 'maint') return 'maint';
    if (this.#health.status !== 'up') return 'down';
    return this.#admin === 'drain' ? 'drain' : 'up';
  }

  /** Whether its state waits for a first check. */
  get pending(): boolean {
    return this.#admin !== 'maint' && this.#health.status === 'unknown';
  }

  /** What is kept of it over a restart. */
  saved(): SavedMember {
    return {
      pool: this.#pool.name,
      config: this.#config,
      origin: this.origin,
      admin: this.#orderBefore?.admin ?? this.#admin,
      adminWeight: this.#adminWeight,
      orderReason: this.#orderBefore?.reason ?? this.#orderReason,
      up: this.#health.status === 'up',
      since: this.#since,
      reason: this.#reason,
      lastCheck: this.#lastCheck,
      slowStartElapsedMs: this.#slowStart.elapsedMs,
    };
  }

  /**
   * Goes on, before `start`, where an earlier process ended. Who was up is up until its checks fail; of who was down the
   * first check decides alone. An operator's weight holds if the configured one is still the same.
   */
  restore(saved: SavedMember): void {
    const { admin, adminWeight, orderReason, up, since, reason, lastCheck, config } = saved;
    this.#admin = admin;
    this.#adminWeight = config.weight === this.#config.weight ? adminWeight : undefined;
    this.#orderReason = orderReason;
    this.#lastCheck = lastCheck;
    this.#since = since;
    this.#reason = reason;
    this.#recalled = up && admin !== 'maint';
    if (this.#recalled) this.#health = { status: 'up', streak: 0 };
    // As if no time had passed: in the meantime nobody warmed it up.
    if (this.state === 'up' && saved.slowStartElapsedMs !== undefined) {
      this.#slowStart.begin(this.#config.slowStartMs, saved.slowStartElapsedMs);
    }
    this.#announced = this.state;
    this.#figures.onState(this.#announced, this.#announced, this.#context.clock.now());
  }

  /** Takes the operator's word over, before `start`, from when it was here last. As in `restore`, his weight holds if the configured one does. */
  obey({ admin, adminWeight, orderReason, config }: SavedMember): void {
    this.#admin = admin;
    this.#adminWeight = config.weight === this.#config.weight ? adminWeight : undefined;
    this.#orderReason = orderReason;
    if (admin === 'maint') this.#update(orderReason);
  }

  /**
   * Starts the checks; without any the member is up from now on.
   * @param joins whether it is new among others that serve: it begins slowly then, as one that came back does
   */
  start(joins = false): void {
    this.#joins = joins;
    this.#schedule?.stop();
    this.#schedule = undefined;
    const { check } = this.#pool;
    if (check.type === 'none') {
      this.#health = { status: 'up', streak: 0 };
      this.#update('no check is configured');
    } else if (this.#admin !== 'maint') {
      this.#schedule = new CheckSchedule(
        { ...this.#context, onResult: (result) => this.#onResult(result), intervalMs: () => this.#interval() },
        this.#target(),
      );
      this.#schedule.start(this.#firstCheckMs());
    }
  }

  stop(): void {
    this.#schedule?.stop();
    this.#inquiry?.cancel();
    this.#slowStart.end();
  }

  /**
   * Takes over new settings; state, health and the operator's word stay.
   * @returns what the settings overrode of the operator's word
   */
  reconfigure(pool: PoolConfig, config: MemberConfig): string[] {
    const overridden: string[] = [];
    if (this.#adminWeight !== undefined && config.weight !== this.#config.weight) {
      overridden.push(`${pool.name}/${config.name}: weight ${this.#adminWeight} is ${config.weight} again`);
      this.#adminWeight = undefined;
    }
    const before = this.#target();
    const checkBefore = this.#pool.check;
    if (pool.proxyProtocol !== this.#pool.proxyProtocol) this.#warning = undefined;
    this.#pool = pool;
    this.#config = config;
    if (!isDeepStrictEqual(checkBefore, pool.check) || !isDeepStrictEqual(before, this.#target())) this.start();
    return overridden;
  }

  /** Carries out the operator's word; `reason` says whose it was. */
  order(admin: AdminState | undefined, weight?: number, reason = `set to ${admin} by the operator`): void {
    if (weight !== undefined) this.#adminWeight = weight;
    if (admin !== undefined && admin !== this.#admin) {
      this.#orderReason = reason;
      const wasMaint = this.#admin === 'maint';
      this.#admin = admin;
      if (admin === 'maint') {
        this.#schedule?.stop();
        this.#schedule = undefined;
      } else if (wasMaint) {
        // What was known before maintenance is stale: the next check decides alone, as at the start.
        this.#health = unknownHealth;
        this.start();
      }
      this.#update(reason);
    }
    this.#context.changed();
  }

  /** It takes no new sessions, and goes when the last has ended. */
  leave(): void {
    this.#orderBefore ??= { admin: this.#admin, reason: this.#orderReason };
    const reason = 'is being removed';
    this.order('drain', undefined, reason);
    // It may have drained already, by the operator's word.
    this.#orderReason = reason;
    if (this.#announced === 'drain') this.#reason = reason;
  }

  /** It does not leave after all. @param fresh whether what the operator said before is forgotten */
  stay(fresh: boolean): void {
    const { admin, reason } = this.#orderBefore!;
    this.#orderBefore = undefined;
    if (fresh) this.#adminWeight = undefined;
    if (fresh || admin === 'ready') {
      this.order('ready', undefined, 'is wanted again');
      return;
    }
    this.order(admin, undefined, reason);
    this.#orderReason = reason;
    if (this.#announced === admin) this.#reason = reason;
  }

  /** A connect of live traffic failed: the check is asked at once. */
  connectFailed(code: string): void {
    if (this.#health.status !== 'up' || this.#schedule === undefined) return;
    this.#context.log.debug(this.#fields({ code }), 'connect failed; checking now');
    this.#schedule.soon();
  }

  /** A connect of live traffic could not begin, for want of something of this host's: not the member's fault, so it is not checked. */
  connectShort(code: string): void {
    const { clock, log, emit } = this.#context;
    if (clock.now() - this.#shortAt < shortageMs) return;
    this.#shortAt = clock.now();
    const { name, address, port } = this.#config;
    const reason = shortageWords(code, address, port);
    this.#shortage = reason;
    log.warn(this.#fields({ code, reason }), 'cannot connect to the member, through no fault of its own');
    emit({ kind: 'member-warning', pool: this.#pool.name, member: name, reason, at: clock.wall() });
  }

  /** A session ended as one does whose member cannot read the PROXY header, for that or another reason: the member is asked. */
  headerSuspected(): void {
    const { clock, probe } = this.#context;
    const { proxyProtocol } = this.#pool;
    if (proxyProtocol === 'none' || clock.now() - this.#inquiredAt < inquiryMs) return;
    this.#inquiredAt = clock.now();
    const { address, port } = this.#config;
    this.#inquiry?.cancel();
    this.#inquiry = probe(
      { ...this.#target(), type: 'tcp', steps: [], address, port, proxyProtocol },
      clock,
      (result) => {
        if (result.inconclusive === true) return;
        this.#warn(result.refusesHeader === true ? result.reason : undefined);
      },
    );
  }

  snapshot(): MemberSnapshot {
    const { name, address, port, maxConnections, backup, tier = 1, slowStartMs } = this.#config;
    const full = this.#adminWeight ?? this.#config.weight;
    const part = this.#slowStart.part(slowStartMs);
    return {
      name,
      slot: this.slot,
      address,
      port,
      // Of small weights hundredths count, too: else a member of weight 1 would begin with all of it.
      weight: Math.round(full * part * 100) / 100,
      maxConnections: maxConnections === 0 ? 0 : Math.max(1, Math.round(maxConnections * part)),
      backup,
      tier: backup ? tier : 0,
      state: this.state,
    };
  }

  status(): MemberStatus {
    return {
      ...this.snapshot(),
      configuredWeight: this.#config.weight,
      full: { weight: this.#adminWeight ?? this.#config.weight, maxConnections: this.#config.maxConnections },
      admin: this.#admin,
      health: this.#health.status,
      origin: this.origin,
      leaving: this.leaving,
      since: this.#since,
      inStateMs: Math.max(0, this.#context.clock.wall() - this.#since),
      reason: this.#reason,
      lastCheck: this.#lastCheck,
      checks: this.#figures.totals(this.#context.clock.now()),
      warning: this.#warning ?? (this.#context.clock.now() - this.#shortAt < shortageMs ? this.#shortage : undefined),
    };
  }

  /** Who was up before a restart is checked as if nothing had been, some time within the interval; of others it is to be found out. */
  #firstCheckMs(): number {
    const { random, firstCheckMs } = this.#context;
    const { intervalMs } = this.#pool.check;
    const recalled = this.#recalled;
    this.#recalled = false;
    return recalled ? intervalMs * random.fraction() : firstCheckMs(intervalMs);
  }

  /** HAProxy's rule of inter, fastinter and downinter. */
  #interval(): number {
    const { intervalMs, fastIntervalMs, downIntervalMs } = this.#pool.check;
    const { status, streak } = this.#health;
    if (status === 'unknown' || streak > 0) return fastIntervalMs;
    return status === 'down' ? downIntervalMs : intervalMs;
  }

  #onResult(result: CheckResult): void {
    const { check } = this.#pool;
    this.#lastCheck = { ...result, at: this.#context.clock.wall() };
    // Whoever takes members down because it cannot look at them ends all of its sessions when descriptors run out.
    if (result.inconclusive === true) {
      this.#context.log.debug(this.#fields({ code: result.code, reason: result.reason }), 'check says nothing');
      return;
    }
    this.#figures.onResult(result.ok);
    if (result.refusesHeader) this.#warn(result.reason);
    else if (result.ok && this.#target().proxyProtocol !== 'none') this.#warn(undefined);
    this.#health = nextHealth(this.#health, result.ok, check);
    if (this.#health.streak > 0) {
      const of = result.ok ? check.rise : check.fall;
      this.#context.log.debug(
        this.#fields({ code: result.code, reason: result.reason }),
        `check ${result.ok ? 'succeeded' : 'failed'}, ${this.#health.streak} of ${of}`,
      );
    }
    // It is down for what its checks say now, which may be another thing than what took it down.
    if (!result.ok && this.#announced === 'down' && this.state === 'down') this.#reason = result.reason;
    this.#update(result.reason, result.code);
  }

  /** Tells what is wrong with the settings, once. */
  #warn(reason: string | undefined): void {
    if (reason === this.#warning) return;
    this.#warning = reason;
    if (reason === undefined) return;
    this.#context.log.warn(this.#fields({ reason }), 'member refuses the PROXY header');
    const { clock, emit } = this.#context;
    emit({ kind: 'member-warning', pool: this.#pool.name, member: this.#config.name, reason, at: clock.wall() });
  }

  /** Tells of the state if it is another than was told last. */
  #update(because: string, code?: string): void {
    const to = this.state;
    const reason = to === 'drain' || to === 'maint' ? this.#orderReason : because;
    const from = this.#announced;
    if (to === from || (to === 'down' && this.#health.status === 'unknown')) return;
    this.#announced = to;
    this.#figures.onState(from, to, this.#context.clock.now());
    this.#since = this.#context.clock.wall();
    this.#reason = reason;
    if (to === 'up' && from !== 'drain' && (from !== 'unknown' || this.#joins))
      this.#slowStart.begin(this.#config.slowStartMs);
    else this.#slowStart.end();
    const fields = this.#fields({ state: to, from, reason, ...(code === undefined ? {} : { code }) });
    if (to === 'down') this.#context.log.warn(fields, 'member is down');
    else
      this.#context.log.info(
        fields,
        { up: 'member is up', drain: 'member drains', maint: 'member is in maintenance' }[to],
      );
    this.#context.emit({
      kind: 'member',
      pool: this.#pool.name,
      member: this.#config.name,
      from,
      to,
      reason,
      at: this.#since,
    });
    this.#context.changed();
  }

  #target(): CheckTarget {
    return checkTarget(this.#pool, this.#config);
  }

  #fields(more: Record<string, unknown>): Record<string, unknown> {
    return { pool: this.#pool.name, member: this.#config.name, ...more };
  }
}
