/** A zone with changes laid over it: an update works here, so its cost does not depend on the zone's size. */
import type { OwnedRRset, RRset, ZoneChange } from './snapshot.ts';
import { equalBytes } from './wire/bytes.ts';
import { type Name, type NameKey, nameKey } from './wire/name.ts';

/** What an update needs to see of a zone. */
export interface ZoneView {
  /** The RRsets of a name, none if it is not in use. */
  rrsets(owner: NameKey): readonly OwnedRRset[];
  rrset(owner: NameKey, type: number): OwnedRRset | undefined;
}

/** One RRset before and after a transaction. */
export interface RRsetChange extends ZoneChange {
  readonly before: OwnedRRset | undefined;
}

interface Entry {
  readonly owner: Name;
  readonly rrset: RRset | undefined;
}

/** A `ZoneView` that can be written; what it lies over stays as it is. */
export class Overlay implements ZoneView {
  #base: ZoneView;
  readonly #entries = new Map<NameKey, Map<number, Entry>>();

  constructor(base: ZoneView) {
    this.#base = base;
  }

  rrset(owner: NameKey, type: number): OwnedRRset | undefined {
    const entry = this.#entries.get(owner)?.get(type);
    if (entry === undefined) return this.#base.rrset(owner, type);
    return entry.rrset === undefined ? undefined : { owner: entry.owner, rrset: entry.rrset };
  }

  rrsets(owner: NameKey): readonly OwnedRRset[] {
    const below = this.#base.rrsets(owner);
    const own = this.#entries.get(owner);
    if (own === undefined) return below;
    const sets = below.filter(({ rrset }) => !own.has(rrset.type));
    for (const { owner: name, rrset } of own.values()) if (rrset !== undefined) sets.push({ owner: name, rrset });
    return sets;
  }

  /** Puts an RRset in place of what was there; undefined deletes it. */
  set(owner: Name, type: number, rrset: RRset | undefined): void {
    const key = nameKey(owner);
    let own = this.#entries.get(key);
    if (own === undefined) {
      own = new Map();
      this.#entries.set(key, own);
    }
    own.set(type, { owner, rrset });
  }

  /** Lays the changes of a transaction on top. */
  apply(changes: readonly ZoneChange[]): void {
    for (const { owner, type, rrset } of changes) this.set(owner, type, rrset);
  }

  /** Lays it over another view that shows the same: the old one and what lies below can go. */
  rebase(base: ZoneView): void {
    this.#base = base;
  }

  /** What differs from the base; what was changed and changed back is not among it. */
  changes(): RRsetChange[] {
    const changes: RRsetChange[] = [];
    for (const [key, own] of this.#entries) {
      for (const [type, { owner, rrset }] of own) {
        const before = this.#base.rrset(key, type);
        if (!sameRRset(before?.rrset, rrset)) changes.push({ owner, type, rrset, before });
      }
    }
    return changes;
  }
}

/** Whether two sets are equal, octet for octet: another case of a name in the RDATA is a difference, another order is none. */
export function sameRRset(a: RRset | undefined, b: RRset | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a === b) return true;
  if (a.ttl !== b.ttl || a.rdata.length !== b.rdata.length) return false;
  return a.rdata.every((rdata) => b.rdata.some((other) => equalBytes(rdata, other)));
}
