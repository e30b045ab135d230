/**
 * Where a zone's records come from at start: from the store. A zone that is not there yet is seeded from its `file` and
 * its `ns`, `soa` and `ttl`; from then on the file is not read again, and what updates wrote stays.
 *
 * `ns`, `soa` and `ttl` are remembered beside the zone. When the configuration says otherwise than last time, what it
 * says now replaces the zone's NS and SOA; while it says the same, an update that changed them stands.
 */
import { readFileSync } from 'node:fs';
import { errorMessage, ValueError } from '../core/errors.ts';
import type { ZoneConfig } from './config.ts';
import { Overlay, type RRsetChange } from './overlay.ts';
import type { OwnedRRset } from './snapshot.ts';
import { encodeSoa, nextSerial, soaSerial } from './soa.ts';
import type { StoredZone } from './store.ts';
import { isSubdomainKey, nameFromText, nameKey, nameToText } from './wire/name.ts';
import { TYPE } from './wire/types.ts';
import { Zone } from './zone.ts';
import { readZoneFile } from './zonefile.ts';

/** What brings a zone from what is stored (or from nothing) to what it starts as. */
export interface ZoneStart {
  readonly zone: Zone;
  /** To be committed with `seed`; the zone has them already. Empty: the store has the zone as it is. */
  readonly changes: readonly RRsetChange[];
  readonly seed: string;
}

/** The seed of a zone that came from its primaries. */
export const SECONDARY_SEED = JSON.stringify({ secondary: true });
/** Of one that is to come from primaries, while what is stored is still what it was before. */
export const UNCONFIRMED_SEED = JSON.stringify({ secondary: false });

/** A zone as the store has it; large ones are packed. @param name of the zone */
export function zoneOf(name: Uint8Array, { rrsets, packed }: StoredZone): Zone {
  return new Zone(packed === undefined ? { name, rrsets } : { name, rrsets, packed });
}

/** The text by which a change of `ns`, `soa` or `ttl`, or of the zone's role, is noticed. */
export function seedText(config: ZoneConfig): string {
  if (config.secondary !== undefined) return SECONDARY_SEED;
  return JSON.stringify({ ns: config.ns, soa: config.soa, ttl: config.ttlSeconds });
}

/**
 * The zone as it starts.
 * @param stored what the store has of it
 * @param fileRecords the records of `file`; looked at only when nothing is stored
 * @param firstSerial the serial of a zone that has none in its file
 * @throws {ValueError} if the file's records are not the zone's
 */
export function startZone(
  config: ZoneConfig,
  stored: StoredZone | undefined,
  fileRecords: () => readonly OwnedRRset[],
  firstSerial: number,
): ZoneStart {
  const seed = seedText(config);
  const name = nameFromText(config.name);
  if (stored !== undefined) {
    const zone = zoneOf(name, stored);
    if (stored.seed === seed) return { zone, changes: [], seed };
    const overlay = new Overlay(zone);
    setApex(config, overlay, nextSerial(zone.serial), stored.seed);
    const changes = overlay.changes();
    zone.apply(changes);
    return { zone, changes, seed };
  }
  const records = fileRecords();
  const key = nameKey(name);
  const empty = new Overlay({ rrsets: () => [], rrset: () => undefined });
  let serial = firstSerial;
  for (const { owner, rrset } of records) {
    const ownerKey = nameKey(owner);
    if (!isSubdomainKey(ownerKey, key)) {
      throw new ValueError(`zone ${config.name}: its file has ${nameToText(owner)}, which is not in the zone`);
    }
    if (rrset.type === TYPE.SOA) {
      if (ownerKey !== key) throw new ValueError(`zone ${config.name}: its file has an SOA at ${nameToText(owner)}`);
      serial = soaSerial(rrset.rdata[0]!);
    }
    empty.set(owner, rrset.type, rrset);
  }
  setApex(config, empty, serial, '');
  const changes = empty.changes();
  const rrsets = changes.map(({ owner, rrset }) => ({ owner, rrset: rrset! }));
  return { zone: new Zone({ name, rrsets }), changes, seed };
}

/** Puts the configuration's SOA in place, and its NS records where they are not those it had before. */
function setApex(config: ZoneConfig, overlay: Overlay, serial: number, oldSeed: string): void {
  const owner = nameFromText(config.name);
  const ttl = config.ttlSeconds;
  overlay.set(owner, TYPE.SOA, { type: TYPE.SOA, ttl, rdata: [encodeSoa(config.soa, serial)] });
  const nsBefore: unknown = oldSeed === '' ? undefined : (JSON.parse(oldSeed) as { ns: unknown }).ns;
  // Without `ns` it is the file that brings them.
  if (config.ns.length === 0 || JSON.stringify(nsBefore) === JSON.stringify(config.ns)) return;
  overlay.set(owner, TYPE.NS, { type: TYPE.NS, ttl, rdata: config.ns.map((ns) => nameFromText(ns)) });
}

/** Records of the zone's `file`; none when the configuration names none. @throws {ValueError} naming file and lines */
export function fileRecords({ name, file, ttlSeconds }: ZoneConfig): OwnedRRset[] {
  if (file === undefined) return [];
  try {
    const readFile = (path: string) => readFileSync(path, 'utf8');
    return readZoneFile(readFile(file), { zone: nameFromText(name), ttlSeconds, file, readFile });
  } catch (cause) {
    throw new ValueError(`zone ${name}: ${file}: ${errorMessage(cause)}`, { cause });
  }
}
