/** A zone as the control thread serves it: the records, and what the configuration says of them. */
import type { TsigKey, ZoneConfig } from './config.ts';
import type { UpdatePolicy } from './policy.ts';
import { nameToText } from './wire/name.ts';
import type { Zone } from './zone.ts';

export interface Served {
  readonly config: ZoneConfig;
  readonly zone: Zone;
  readonly policy: UpdatePolicy;
  /** Of `transfer.key`. */
  readonly transferKey: TsigKey | undefined;
  lastUpdate: number | undefined;
}

/** A zone in short, for the admin API. */
export interface ZoneStatus {
  /** Without the final dot. */
  readonly name: string;
  readonly serial: number;
  readonly rrsets: number;
  /** Wall-clock milliseconds of the last change since the start; undefined: none. */
  readonly lastUpdate: number | undefined;
}

export function statusOf({ zone, lastUpdate }: Served): ZoneStatus {
  return { name: nameToText(zone.name), serial: zone.serial, rrsets: zone.size, lastUpdate };
}
