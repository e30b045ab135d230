/** Keys that come and go while the server runs, each with rules of its own: no rule of the configuration is about them. */
import type { TsigKey, UpdateRule } from './config.ts';

/** A key and what it may do. */
export interface DynamicKey {
  readonly key: TsigKey;
  /** By zone: absolute, lower case, without the final dot. */
  readonly rules: ReadonlyMap<string, readonly UpdateRule[]>;
}

/**
 * Those of `dynamic` that can be had beside the configured keys: two keys of one name would be taken for each other, and the one
 * given at run time would have the rights of the one that is configured.
 */
export function usableKeys(dynamic: readonly DynamicKey[], configured: readonly TsigKey[]): DynamicKey[] {
  const names = new Set(configured.map(({ name }) => name));
  return dynamic.filter(({ key }) => !names.has(key.name));
}
