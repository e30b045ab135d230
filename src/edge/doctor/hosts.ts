/** Names with addresses in the zones we have: whose they are, whether they have a PTR record, when their lease ends. */
import { formatAddress } from '../../core/address.ts';
import type { DnsControl } from '../../dns/control.ts';
import { reverseName } from '../../dns/reverse.ts';
import type { OwnedRRset } from '../../dns/snapshot.ts';
import { equalBytes } from '../../dns/wire/bytes.ts';
import { isSubdomainKey, nameFromText, nameKey, nameToText } from '../../dns/wire/name.ts';
import { TYPE } from '../../dns/wire/types.ts';

/** Zones with more records are not read through: a name in them is found when it is asked for. */
const maxZoneRecords = 2_000;

/** One address of one name. */
export interface HostName {
  /** Lower case, without the final dot. */
  readonly name: string;
  readonly zone: string;
  readonly address: string;
  /** `elsewhere`: the address has a PTR record that names another; `no-zone`: its reverse zone is not ours. */
  readonly ptr: 'right' | 'elsewhere' | 'missing' | 'no-zone';
  readonly lease: { readonly seconds: number; readonly expiresAt: number } | undefined;
}

/** All of them, and those of `wanted` also in zones that are too large to be read through. */
export function readHosts(dns: DnsControl, wanted: string | undefined): HostName[] {
  const zones = dns.zones().map(({ name }) => name);
  return zones.flatMap((zone) => {
    if (zone.endsWith('.arpa')) return [];
    const sets = dns.recordCount(zone) > maxZoneRecords ? setsOf(dns, zone, wanted) : dns.records(zone);
    return sets.flatMap((set) => hostsOf(dns, zones, zone, set));
  });
}

function setsOf(dns: DnsControl, zone: string, wanted: string | undefined): OwnedRRset[] {
  if (wanted === undefined) return [];
  return possibleNames(wanted, [zone]).flatMap((name) => dns.records(zone, { name: nameFromText(name) }));
}

/** The names that a short or a whole name may stand for. */
export function possibleNames(text: string, zones: readonly string[]): string[] {
  const name = text.toLowerCase().replace(/\.$/, '');
  return [name, ...zones.filter((zone) => !zone.endsWith('.arpa')).map((zone) => `${name}.${zone}`)].filter(isName);
}

function isName(text: string): boolean {
  try {
    nameFromText(text);
    return true;
  } catch {
    return false;
  }
}

function hostsOf(dns: DnsControl, zones: readonly string[], zone: string, { owner, rrset }: OwnedRRset): HostName[] {
  // A wildcard is no host.
  if ((rrset.type !== TYPE.AAAA && rrset.type !== TYPE.A) || (owner[0] === 1 && owner[1] === 0x2a)) return [];
  const leases = dns.leases(zone, owner, rrset.type);
  return rrset.rdata.map((rdata) => ({
    name: nameToText(owner).toLowerCase(),
    zone,
    address: formatAddress({ family: rdata.length === 4 ? 4 : 6, bytes: rdata }),
    ptr: ptrOf(dns, zones, owner, rdata),
    lease: leases.find((lease) => equalBytes(lease.rdata, rdata)),
  }));
}

function ptrOf(dns: DnsControl, zones: readonly string[], owner: Uint8Array, address: Uint8Array): HostName['ptr'] {
  const name = reverseName(address);
  const zone = zones.find((each) => isSubdomainKey(nameKey(name), nameKey(nameFromText(each))));
  if (zone === undefined) return 'no-zone';
  const targets = dns.records(zone, { name, type: TYPE.PTR }).flatMap(({ rrset }) => rrset.rdata);
  if (targets.length === 0) return 'missing';
  return targets.some((target) => nameKey(target) === nameKey(owner)) ? 'right' : 'elsewhere';
}
