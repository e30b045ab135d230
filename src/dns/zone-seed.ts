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
import { NodePacker } from './node-packer.ts';
import { Overlay, type RRsetChange } from './overlay.ts';
import { MIN_PACKED, type PackedData, PackedNodes } from './packed-nodes.ts';
import type { OwnedRRset } from './snapshot.ts';
import { encodeSoa, nextSerial, soaSerial } from './soa.ts';
import type { StoredZone } from './store.ts';
import { nameFromText, nameKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';
import { Zone } from './zone.ts';
import { readZoneFile } from './zonefile.ts';

/** What the zones' files have, by the zones' names in the configuration, for whoever reads the configuration reads these as well. */
export type ZoneFiles = ReadonlyMap<string, PackedData>;

/** What brings a zone from what is stored (or from nothing) to what it starts as. */
export interface ZoneStart {
  readonly zone: Zone;
  /** To be committed with `seed`; the zone has them already. Empty: the store has the zone as it is, or nothing of it. */
  readonly changes: readonly RRsetChange[];
  /** Of a zone that is not stored: all it has, to be committed with `seed`. */
  readonly records?: Iterable<OwnedRRset>;
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
 * @param readFile what `file` has; asked only when nothing is stored
 * @param firstSerial the serial of a zone that has none in its file
 */
export function startZone(
  config: ZoneConfig,
  stored: StoredZone | undefined,
  readFile: () => PackedData | undefined,
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
  const file = readFile();
  const key = nameKey(name);
  const nodes = file === undefined ? undefined : new PackedNodes(file);
  const apex = nodes?.node(key)?.sets ?? [];
  const soa = apex.find(({ rrset }) => rrset.type === TYPE.SOA);
  const overlay = new Overlay({
    rrsets: (owner) => (owner === key ? apex : []),
    rrset: (owner, type) => (owner === key ? apex.find(({ rrset }) => rrset.type === type) : undefined),
  });
  setApex(config, overlay, soa === undefined ? firstSerial : soaSerial(soa.rrset.rdata[0]!), '');
  const rrsets = [...overlay.rrsets(key)];
  let zone: Zone;
  if (file !== undefined && file.sets >= MIN_PACKED) {
    zone = new Zone({ name, rrsets, packed: file, replaced: [key] });
  } else {
    for (const [owner, sets] of nodes?.entries() ?? []) if (owner !== key) rrsets.push(...sets);
    zone = new Zone({ name, rrsets });
  }
  return { zone, changes: [], records: zone.all(), seed };
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

/** What the zone's `file` has; undefined when the configuration names none. @throws {ValueError} naming file and lines */
export function readSeedFile({ name, file, ttlSeconds }: ZoneConfig): PackedData | undefined {
  if (file === undefined) return undefined;
  try {
    const zone = nameFromText(name);
    const readFile = (path: string) => readFileSync(path, 'utf8');
    return packRecords(zone, readZoneFile(readFile(file), { zone, ttlSeconds, file, readFile }));
  } catch (cause) {
    throw new ValueError(`zone ${name}: ${file}: ${errorMessage(cause)}`, { cause });
  }
}

/** A zone's records as `readZoneFile` gives them, those of a name one after the other. */
export function packRecords(zone: Uint8Array, rrsets: readonly OwnedRRset[]): PackedData {
  const packer = new NodePacker(nameKey(zone));
  for (let from = 0; from < rrsets.length; ) {
    const key = nameKey(rrsets[from]!.owner);
    let end = from + 1;
    while (end < rrsets.length && nameKey(rrsets[end]!.owner) === key) end++;
    packer.add(key, rrsets.slice(from, end));
    from = end;
  }
  return packer.finish();
}
