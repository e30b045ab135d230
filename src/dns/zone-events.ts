/** What the control part tells of zones: to data threads, and to the event stream. */
import type { Address } from '../core/address.ts';
import type { ZoneData, ZoneDelta } from './snapshot.ts';
import type { Name } from './wire/name.ts';

/** What goes to the data threads. */
export type ZonePublication =
  | { readonly kind: 'zone'; readonly data: ZoneData }
  | { readonly kind: 'delta'; readonly delta: ZoneDelta }
  | { readonly kind: 'zone-expiry'; readonly name: Name; readonly expiresAt: number }
  | { readonly kind: 'zone-removed'; readonly name: Name };

/** What happens to zones: for the event stream. */
export type ZoneEvent = ZoneUpdated | ZoneTransferred | ZoneExpired;

export interface ZoneUpdated {
  readonly type: 'zone-updated';
  readonly zone: string;
  readonly serial: number;
  /** Who: a key's name, `api`, or `lease` for records that were not refreshed. */
  readonly by: string;
  readonly client: string | undefined;
  /** The RRsets that changed, `name type`: the first of them. */
  readonly changed: readonly string[];
  /** How many more there are; undefined: none. */
  readonly more?: number | undefined;
}

/** A secondary zone has new content. */
export interface ZoneTransferred {
  readonly type: 'zone-transferred';
  readonly zone: string;
  readonly serial: number;
  /** The serial before; undefined: it is the first time. */
  readonly from: number | undefined;
  readonly method: 'axfr' | 'ixfr';
  readonly primary: string;
}

/** No primary has confirmed a secondary zone for its `expire` time: its names are answered with SERVFAIL. */
export interface ZoneExpired {
  readonly type: 'zone-expired';
  readonly zone: string;
  readonly serial: number;
}

/** A signed message or an update came from a client, and what became of it. */
export interface UpdateSighting {
  readonly client: Address;
  readonly key: string | undefined;
  /** Owner names that it would change, a few of them; none of a message whose signature is refused. */
  readonly names: readonly string[];
  /** Response code, or the TSIG error. */
  readonly result: string;
  /** Why not, in words; undefined = it was carried out. */
  readonly reason: string | undefined;
  /** By how much the client's clock is behind ours; negative: ahead; undefined: the signature says nothing. */
  readonly clockBehindSeconds: number | undefined;
}
