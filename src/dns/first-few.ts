/** What log lines and events say of lists that a client makes long: an update has room for thousands of names. */

/** So many are told one by one. */
const MAX_TOLD = 20;

export interface FirstFew {
  readonly first: readonly string[];
  /** How many are left out; undefined: none. */
  readonly more: number | undefined;
}

/** The first of a list in words. */
export function firstFew<T>(list: readonly T[], inWords: (one: T) => string): FirstFew {
  const more = list.length > MAX_TOLD ? list.length - MAX_TOLD : undefined;
  return { first: list.slice(0, MAX_TOLD).map(inWords), more };
}
