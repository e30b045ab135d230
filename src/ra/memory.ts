/**
 * What has to outlive this process, by interface: what hosts were told, and kernel settings to put back. One small file,
 * written when something in it changed, once a second at most.
 */
import type { Clock, Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { StateFile } from '../core/state-file.ts';
import { memorySaveMs } from './constants.ts';
import { Told, type ToldJson } from './told.ts';

/** Of one interface. */
export class InterfaceMemory {
  told = new Told();
  /** What accept_ra was before we switched it off. */
  acceptRa: string | undefined;
}

interface FileJson {
  readonly version: 1;
  readonly interfaces: Readonly<Record<string, ToldJson & { readonly acceptRa?: string }>>;
}

export class RaMemory {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: StateFile | undefined;
  #interfaces: Map<string, InterfaceMemory> | undefined;
  #timer: Timer | undefined;
  #dirty = false;
  #failed = false;

  /** @param context.stateFile none = nothing outlives the process */
  constructor(context: { clock: Clock; log: Logger; stateFile?: StateFile | undefined }) {
    this.#clock = context.clock;
    this.#log = context.log;
    this.#file = context.stateFile;
  }

  /** What is known of an interface; its parts may be changed, `changed` saves them. */
  of(name: string): InterfaceMemory {
    this.#interfaces ??= this.#load();
    const known = this.#interfaces.get(name) ?? new InterfaceMemory();
    this.#interfaces.set(name, known);
    return known;
  }

  /** Saves soon: at once, unless that was done within the last second. */
  changed(): void {
    this.#dirty = true;
    if (this.#timer === undefined) this.#saveAndWait();
  }

  /** Saves what is not saved yet. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#save();
  }

  #saveAndWait(): void {
    this.#timer = undefined;
    if (!this.#dirty || this.#file === undefined) return;
    this.#save();
    this.#timer = this.#clock.after(memorySaveMs, () => this.#saveAndWait());
  }

  #save(): void {
    if (!this.#dirty || this.#file === undefined) return;
    this.#dirty = false;
    const interfaces = Object.fromEntries(
      [...(this.#interfaces ?? [])].map(([name, { told, acceptRa }]) => [
        name,
        { ...told.toJson(), ...(acceptRa !== undefined && { acceptRa }) },
      ]),
    );
    try {
      this.#file.write(`${JSON.stringify({ version: 1, interfaces } satisfies FileJson, undefined, 1)}\n`);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#log.warn(
          { file: this.#file.path, error: errorMessage(error) },
          'what hosts were told cannot be saved: after a restart, what the configuration lacks by then is not taken back',
        );
      }
      this.#failed = true;
    }
  }

  #load(): Map<string, InterfaceMemory> {
    try {
      const text = this.#file?.read();
      return text === undefined ? new Map() : readInterfaces(text, this.#clock.wall());
    } catch (error) {
      this.#log.warn(
        { file: this.#file?.path, error: errorMessage(error) },
        'what hosts were told before this start cannot be read, and is ignored',
      );
      return new Map();
    }
  }
}

/** @throws when anything in it is not as we write it */
function readInterfaces(text: string, now: number): Map<string, InterfaceMemory> {
  const { version, interfaces } = JSON.parse(text) as FileJson;
  if (version !== 1) throw new TypeError(`version ${version} is not known here`);
  return new Map(
    Object.entries(interfaces).map(([name, json]) => {
      const memory = new InterfaceMemory();
      memory.told = Told.fromJson(json, now);
      if (typeof json.acceptRa === 'string' && /^[012]$/.test(json.acceptRa)) memory.acceptRa = json.acceptRa;
      return [name, memory];
    }),
  );
}
