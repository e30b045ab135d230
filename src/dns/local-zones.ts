/**
 * Names that are nobody's business upstream: those of special use (RFC 6761, RFC 7686, RFC 8375, RFC 9462) and the reverse
 * zones of private addresses (RFC 6303). A forwarder answers them itself, unless they are configured otherwise.
 */
import type { Cidr } from '../core/address.ts';
import type { ForwardConfig } from './config.ts';
import { embedIpv4, IPV4ONLY } from './dns64/address.ts';
import type { OwnedRRset, ZoneData } from './snapshot.ts';
import { nameFromText } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

/** RFC 6303 §3: a day, and three hours for what is not there. */
const NS_TTL = 86_400;
const NEGATIVE_TTL = 10_800;
/** A prefix that was found may change. */
const SYNTHESIZED_TTL = 600;

const octets = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

/** RFC 6303 §4, RFC 7793: reverse zones; and names that do not exist outside. */
const empty = [
  '0.in-addr.arpa',
  '10.in-addr.arpa',
  '127.in-addr.arpa',
  ...octets(64, 127).map((octet) => `${octet}.100.in-addr.arpa`),
  '254.169.in-addr.arpa',
  ...octets(16, 31).map((octet) => `${octet}.172.in-addr.arpa`),
  '168.192.in-addr.arpa',
  '2.0.192.in-addr.arpa',
  '100.51.198.in-addr.arpa',
  '113.0.203.in-addr.arpa',
  '255.255.255.255.in-addr.arpa',
  `${'0.'.repeat(32)}ip6.arpa`,
  `1.${'0.'.repeat(31)}ip6.arpa`,
  'd.f.ip6.arpa',
  '8.e.f.ip6.arpa',
  '9.e.f.ip6.arpa',
  'a.e.f.ip6.arpa',
  'b.e.f.ip6.arpa',
  '8.b.d.0.1.0.0.2.ip6.arpa',
  'invalid',
  'onion',
  'home.arpa',
  'resolver.arpa',
];

const LOOPBACK4 = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/**
 * RFC 8880 §7.1, §7.2: who synthesizes answers the name of the prefix's discovery, and its reverse names, without asking.
 * @param prefixes that are synthesized with
 */
export function ipv4onlyZones(prefixes: readonly Cidr[]): ZoneData[] {
  const name = 'ipv4only.arpa';
  const owner = nameFromText(name);
  const made = prefixes.flatMap((prefix) => IPV4ONLY.map((address) => embedIpv4(prefix, address)));
  const addresses = { owner, rrset: { type: TYPE.A, ttl: NS_TTL, rdata: IPV4ONLY } };
  const synthesized = { owner, rrset: { type: TYPE.AAAA, ttl: SYNTHESIZED_TTL, rdata: made } };
  const reverse = IPV4ONLY.map((address) => `${[...address].reverse().join('.')}.in-addr.arpa`);
  return [
    zoneOf(name, made.length === 0 ? [addresses] : [addresses, synthesized]),
    ...reverse.map((zone) => zoneOf(zone, [set(zone, TYPE.PTR, owner)])),
  ];
}

/** The zones a forwarder answers by itself; those that upstreams of their own are configured for, or for a part, are not among them. */
export function localZones(forward: Pick<ForwardConfig, 'domains'>): ZoneData[] {
  const steered = (zone: string) =>
    forward.domains.some(({ domain }) => isInZone(domain, zone) || (domain !== '' && isInZone(zone, domain)));
  const zones = empty.filter((zone) => !steered(zone)).map((zone) => zoneOf(zone, []));
  if (steered('localhost')) return zones;
  // RFC 6761 §6.3: it, and all below it.
  const loopback = ['localhost', '*.localhost'].flatMap((owner) => [
    set(owner, TYPE.A, LOOPBACK4),
    set(owner, TYPE.AAAA, LOOPBACK6),
  ]);
  return [...zones, zoneOf('localhost', loopback)];
}

/** Whether `name` is `zone` or below it. */
function isInZone(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

function zoneOf(name: string, records: readonly OwnedRRset[]): ZoneData {
  const numbers = Buffer.alloc(20);
  for (const [i, value] of [1, 3600, 1200, 604_800, NEGATIVE_TTL].entries()) numbers.writeUInt32BE(value, 4 * i);
  // RFC 6303 §3: the zone itself as its server, nobody.invalid. as its keeper.
  const soa = Buffer.concat([nameFromText(name), nameFromText('nobody.invalid'), numbers]);
  return {
    name: nameFromText(name),
    rrsets: [set(name, TYPE.SOA, soa), set(name, TYPE.NS, nameFromText(name)), ...records],
  };
}

function set(owner: string, type: number, rdata: Uint8Array): OwnedRRset {
  return {
    owner: nameFromText(owner),
    rrset: { type, ttl: type === TYPE.SOA ? NEGATIVE_TTL : NS_TTL, rdata: [rdata] },
  };
}
