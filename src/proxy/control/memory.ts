/**
 * What outlives the process (HAProxy's `server-state-file`): states, the operator's word and last check results of all
 * members, members added by API, members of the configuration that the API removed, and the operator's word on members that DNS
 * names no more. A file that cannot be read or written costs the memory, not the service.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { MemberConfig } from '../config.ts';
import type { MemberOrigin } from './member.ts';
import { checkMember, type Server } from './member-config.ts';
import type { AdminState, LastCheck } from './status.ts';

/** A member as it was. */
export interface SavedMember {
  readonly pool: string;
  readonly config: MemberConfig;
  readonly origin: MemberOrigin;
  readonly admin: AdminState;
  readonly adminWeight: number | undefined;
  /** Why the operator's word is as it is. */
  readonly orderReason: string;
  readonly up: boolean;
  readonly since: number;
  readonly reason: string;
  readonly lastCheck: LastCheck | undefined;
  /** How far its slow start had come; absent: there was none. */
  readonly slowStartElapsedMs?: number | undefined;
}

/** A member of the configuration that the API took out. */
export interface RemovedMember extends Server {
  readonly pool: string;
}

export interface Saved {
  readonly members: readonly SavedMember[];
  readonly removed: readonly RemovedMember[];
  /** Members that DNS names no more, and that the operator's word counts for if it does again. */
  readonly absent: readonly SavedMember[];
}

/** Where it is kept: whole at any time, on disk when `write` returns; both throw what the file system says. */
export interface Keep {
  read(): string | undefined;
  write(text: string): void;
}

/** Changes of one moment are one write. */
const writeDelayMs = 1_000;
const nothing: Saved = { members: [], removed: [], absent: [] };

export class Memory {
  readonly #keep: Keep | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #collect: () => Saved;
  #timer: Timer | undefined;
  #failed = false;

  /** @param collect what is to be kept now */
  constructor(keep: Keep | undefined, context: { clock: Clock; log: Logger }, collect: () => Saved) {
    this.#keep = keep;
    this.#clock = context.clock;
    this.#log = context.log;
    this.#collect = collect;
  }

  /** Whether changes by API outlive a reload. */
  get lasts(): boolean {
    return this.#keep !== undefined && !this.#failed;
  }

  read(): Saved {
    if (this.#keep === undefined) return nothing;
    try {
      const text = this.#keep.read();
      return text === undefined ? nothing : parseSaved(text);
    } catch (error) {
      this.#log.warn({ reason: errorMessage(error) }, 'states of members from before cannot be read');
      return nothing;
    }
  }

  /** Something changed: it is written within a second. */
  touch(): void {
    if (this.#keep !== undefined) this.#timer ??= this.#clock.after(writeDelayMs, () => this.write());
  }

  /** Writes now: what an operator was told is done is on disk. */
  write(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#keep === undefined) return;
    try {
      this.#keep.write(`${JSON.stringify({ version: 1, ...this.#collect() })}\n`);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#log.warn({ reason: errorMessage(error) }, 'states of members cannot be kept');
      this.#failed = true;
    }
  }

  stop(): void {
    this.write();
  }
}

/**
 * Reads what `Memory` wrote; entries that cannot be used are left out.
 * @throws {SyntaxError} it is no JSON
 */
export function parseSaved(text: string): Saved {
  const raw = JSON.parse(text) as Partial<Record<keyof Saved | 'version', unknown>> | null;
  if (raw === null || raw.version !== 1) return nothing;
  return {
    members: entries(raw.members).filter(isSavedMember),
    removed: entries(raw.removed).filter(isRemovedMember),
    absent: entries(raw.absent).filter(isSavedMember),
  };
}

function entries(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'object' && each !== null) : [];
}

function isSavedMember(value: Record<string, unknown>): value is Record<string, unknown> & SavedMember {
  const { pool, config, origin, admin, adminWeight, up, since, reason, orderReason, slowStartElapsedMs } = value;
  return (
    [pool, reason, orderReason].every((each) => typeof each === 'string') &&
    typeof up === 'boolean' &&
    typeof since === 'number' &&
    ['config', 'api', 'discovered'].includes(origin as string) &&
    ['ready', 'drain', 'maint'].includes(admin as string) &&
    (adminWeight === undefined || typeof adminWeight === 'number') &&
    (slowStartElapsedMs === undefined || (typeof slowStartElapsedMs === 'number' && slowStartElapsedMs >= 0)) &&
    isMemberConfig(config)
  );
}

function isMemberConfig(value: unknown): value is MemberConfig {
  if (typeof value !== 'object' || value === null) return false;
  const config = value as MemberConfig;
  if (typeof config.name !== 'string' || typeof config.address !== 'string') return false;
  if (typeof config.backup !== 'boolean') return false;
  if (config.tier !== undefined && !Number.isInteger(config.tier)) return false;
  if (![config.maxConnections, config.slowStartMs].every((each) => Number.isInteger(each) && each >= 0)) return false;
  try {
    checkMember(config);
    return true;
  } catch {
    return false;
  }
}

function isRemovedMember(value: Record<string, unknown>): value is Record<string, unknown> & RemovedMember {
  const { pool, name, address, port } = value;
  return [pool, name, address].every((each) => typeof each === 'string') && typeof port === 'number';
}
