/** A zone as the control thread serves it: the records, and what the configuration says of them. */
import type { TsigKey, ZoneConfig } from './config.ts';
import type { UpdatePolicy } from './policy.ts';
import type { SecondaryStatus, SecondaryZone } from './secondary/secondary-zone.ts';
import { asksExpire, encodeExpire } from './wire/expire.ts';
import type { Edns, EdnsOption } from './wire/message.ts';
import { nameToText } from './wire/name.ts';
import type { Zone } from './zone.ts';

export interface Served {
  readonly config: ZoneConfig;
  /** What answers come from; of a secondary zone it may be a placeholder, and then another. */
  zone: Zone;
  /** Another one once dynamic keys change. */
  policy: UpdatePolicy;
  /** Of `transfer.key`. */
  readonly transferKey: TsigKey | undefined;
  /** Set for a secondary zone. */
  readonly secondary?: SecondaryZone | undefined;
  lastUpdate: number | undefined;
}

/** A zone in short, for the admin API. */
export interface ZoneStatus {
  /** Without the final dot. */
  readonly name: string;
  /** 0 for a secondary zone that never came. */
  readonly serial: number;
  readonly rrsets: number;
  /** Wall-clock milliseconds of the last change since the start; undefined: none. */
  readonly lastUpdate: number | undefined;
  /** How a secondary zone is; undefined: we are its primary. */
  readonly secondary: SecondaryStatus | undefined;
}

/** The EXPIRE option of an answer about the zone, if the query asks (RFC 7314 §3). @param wall milliseconds */
export function expireOptions(zone: Zone | undefined, edns: Edns | undefined, wall: number): readonly EdnsOption[] {
  const seconds = asksExpire(edns) ? zone?.secondsLeft(wall) : undefined;
  return seconds === undefined ? [] : [encodeExpire(seconds)];
}

export function statusOf({ zone, lastUpdate, secondary }: Served): ZoneStatus {
  const { serial, size } = secondary?.data ?? zone;
  const rrsets = zone.unavailable ? 0 : size;
  return { name: nameToText(zone.name), serial, rrsets, lastUpdate, secondary: secondary?.status };
}
