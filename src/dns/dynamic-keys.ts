/** Keys that come and go while the server runs, each with rules of its own: no rule of the configuration is about them. */
import type { TsigKey, UpdateRule, ZoneConfig } from './config.ts';
import { UpdatePolicy } from './policy.ts';
import { Keyring } from './tsig.ts';
import { nameFromText, nameKey } from './wire/name.ts';

/** A key and what it may do. */
export interface DynamicKey {
  readonly key: TsigKey;
  /** By zone: absolute, lower case, without the final dot. */
  readonly rules: ReadonlyMap<string, readonly UpdateRule[]>;
}

/** The keys of the configuration and the dynamic ones together. */
export class Keys {
  #configured: readonly TsigKey[] = [];
  #dynamic: readonly DynamicKey[] = [];
  #ring = new Keyring([]);
  /** By key name, wall-clock milliseconds. */
  readonly #lastUpdates = new Map<string, number>();

  get ring(): Keyring {
    return this.#ring;
  }

  configure(keys: readonly TsigKey[]): void {
    this.#configured = keys;
    this.#rebuild();
  }

  /** Replaces the dynamic keys. */
  set(dynamic: readonly DynamicKey[]): void {
    this.#dynamic = dynamic;
    this.#rebuild();
    const names = new Set(dynamic.map(({ key }) => key.name));
    for (const name of this.#lastUpdates.keys()) if (!names.has(name)) this.#lastUpdates.delete(name);
  }

  /**
   * A zone's rules, and those that dynamic keys have in it.
   * @throws {ValueError} if a rule cannot be
   */
  policyOf({ name, update }: ZoneConfig): UpdatePolicy {
    const own = this.#usable().map(
      ({ key, rules }) => [nameKey(nameFromText(key.name)), rules.get(name) ?? []] as const,
    );
    return new UpdatePolicy(nameKey(nameFromText(name)), update, new Map(own));
  }

  /** A key made an update that was good; only of dynamic ones it is kept. */
  noteUpdate(key: string, at: number): void {
    if (this.#dynamic.some((each) => each.key.name === key)) this.#lastUpdates.set(key, at);
  }

  lastUpdateBy(key: string): number | undefined {
    return this.#lastUpdates.get(key);
  }

  /**
   * Those that can be had beside the configured keys: two keys of one name would be taken for each other, and the one given at run time
   * would have the rights of the one that is configured.
   */
  #usable(): DynamicKey[] {
    const names = new Set(this.#configured.map(({ name }) => name));
    return this.#dynamic.filter(({ key }) => !names.has(key.name));
  }

  #rebuild(): void {
    this.#ring = new Keyring([...this.#configured, ...this.#usable().map(({ key }) => key)]);
  }
}
