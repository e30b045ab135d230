/** A zone with changes laid over it: an update works here, so its cost does not depend on the zone's size. */
import { RRsetDraft } from './rrset-draft.ts';
import type { OwnedRRset, RRset, ZoneChange } from './snapshot.ts';
import { bytesKey, equalBytes } from './wire/bytes.ts';
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
  /** While records go in and out one by one; `rrset` follows from it. */
  readonly draft?: RRsetDraft;
}

class DraftEntry implements Entry {
  readonly owner: Name;
  readonly draft: RRsetDraft;

  constructor(owner: Name, draft: RRsetDraft) {
    this.owner = owner;
    this.draft = draft;
  }

  get rrset(): RRset | undefined {
    return this.draft.rrset;
  }
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

  /** Whether an RRset is there. */
  has(owner: NameKey, type: number): boolean {
    const entry = this.#entries.get(owner)?.get(type);
    return entry === undefined ? this.#base.rrset(owner, type) !== undefined : isThere(entry);
  }

  /** The types that a name has, with their owners as they are written. */
  types(owner: NameKey): ReadonlyMap<number, Name> {
    const types = new Map<number, Name>();
    const own = this.#entries.get(owner);
    for (const { owner: name, rrset } of this.#base.rrsets(owner)) {
      if (own?.has(rrset.type) !== true) types.set(rrset.type, name);
    }
    for (const [type, entry] of own ?? []) if (isThere(entry)) types.set(type, entry.owner);
    return types;
  }

  /** Puts an RRset in place of what was there; undefined deletes it. */
  set(owner: Name, type: number, rrset: RRset | undefined): void {
    this.#typesOf(nameKey(owner)).set(type, { owner, rrset });
  }

  /** An RRset, to be changed record by record: what is done to it shows here. @param owner as it is written if it is not there */
  edit(owner: Name, type: number): RRsetDraft {
    const own = this.#typesOf(nameKey(owner));
    const entry = own.get(type);
    if (entry?.draft !== undefined && isThere(entry)) return entry.draft;
    const there = entry === undefined ? this.#base.rrset(nameKey(owner), type) : entry;
    const draft = entry?.draft ?? new RRsetDraft(type, there?.rrset);
    own.set(type, new DraftEntry(there?.rrset === undefined ? owner : there.owner, draft));
    return draft;
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

  #typesOf(key: NameKey): Map<number, Entry> {
    let own = this.#entries.get(key);
    if (own === undefined) {
      own = new Map();
      this.#entries.set(key, own);
    }
    return own;
  }
}

/** Without making the RRset of a draft. */
function isThere(entry: Entry): boolean {
  return entry.draft === undefined ? entry.rrset !== undefined : entry.draft.size > 0;
}

/** Whether two sets are equal, octet for octet: another case of a name in the RDATA is a difference, another order is none. */
export function sameRRset(a: RRset | undefined, b: RRset | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a === b) return true;
  if (a.ttl !== b.ttl || a.rdata.length !== b.rdata.length) return false;
  if (a.rdata.every((rdata, i) => equalBytes(rdata, b.rdata[i]!))) return true;
  const others = new Set(b.rdata.map(bytesKey));
  return a.rdata.every((rdata) => others.has(bytesKey(rdata)));
}
