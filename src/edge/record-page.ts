/** Records of a zone a page at a time, in canonical order (RFC 4034 §6.1), without sorting the whole zone for each. */
import type { OwnedRRset } from '../dns/snapshot.ts';
import { compareNames, type Name, nameToText } from '../dns/wire/name.ts';

export interface PageWish {
  /** Part of the name's text. */
  readonly search: string | undefined;
  /** The last name of the page before. */
  readonly after: Name | undefined;
  /** RRsets; a page may have a few more, since names are not cut in two. */
  readonly limit: number;
}

export interface Page {
  readonly sets: readonly OwnedRRset[];
  /** The last name of this page, when there is another page. */
  readonly next: Name | undefined;
}

/** One name and what it has. */
interface Entry {
  readonly owner: Name;
  readonly sets: OwnedRRset[];
}

/** The first `limit` RRsets behind `after`. Sets of one name follow one another in `all`. */
export function recordPage(all: Iterable<OwnedRRset>, { search, after, limit }: PageWish): Page {
  // The smallest names seen so far, sorted; more than `limit` of them are never needed.
  const entries: Entry[] = [];
  let current: Entry | undefined;
  let more = false;
  const wanted = search?.toLowerCase();
  for (const set of all) {
    if (current !== undefined && compareNames(current.owner, set.owner) === 0) {
      current.sets.push(set);
      continue;
    }
    if (after !== undefined && compareNames(set.owner, after) <= 0) continue;
    if (wanted !== undefined && !nameToText(set.owner).toLowerCase().includes(wanted)) continue;
    const last = entries.at(-1);
    if (entries.length === limit && compareNames(set.owner, last!.owner) > 0) {
      more = true;
      continue;
    }
    current = { owner: set.owner, sets: [set] };
    entries.splice(placeOf(entries, set.owner), 0, current);
    if (entries.length > limit) {
      entries.pop();
      more = true;
    }
  }
  const sets: OwnedRRset[] = [];
  for (const [index, entry] of entries.entries()) {
    sets.push(...entry.sets);
    const rest = more || index < entries.length - 1;
    if (sets.length >= limit && rest) return { sets, next: entry.owner };
  }
  return { sets, next: undefined };
}

/** Where a name belongs among sorted ones. */
function placeOf(entries: readonly Entry[], owner: Name): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareNames(entries[middle]!.owner, owner) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
