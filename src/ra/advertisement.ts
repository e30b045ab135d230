/** What an interface advertises, from its configuration and what the kernel says of it. */
import { type Address, type Cidr, cidrContains, formatCidr, maskAddress } from '../core/address.ts';
import type { InterfaceAddress, Link } from '../linux/netlink.ts';
import type { PrefixConfig, RaInterfaceConfig } from './config.ts';
import { IPV6_HEADER_BYTES, IPV6_MIN_MTU } from './constants.ts';
import type { Dnssl } from './wire/dnssl.ts';
import { encodeOption, type KnownOption, type NdOption } from './wire/options.ts';
import type { PrefixInformation } from './wire/prefix-information.ts';
import type { Rdnss } from './wire/rdnss.ts';
import {
  ADVERTISEMENT_HEADER_BYTES,
  encodeRouterAdvertisement,
  type RouterAdvertisement,
} from './wire/router-advertisement.ts';
import { withdrawOption } from './withdrawal.ts';

/** Servers in one option: 8 + 16 × 60 octets fit any link beside the header; more go into a second option. */
const serversPerOption = 60;
/** Octets of names in one option, for the same reason. */
const domainOctetsPerOption = 960;

/** What an advertisement depends on besides configuration and network. */
export interface Circumstances {
  /** Wall-clock milliseconds; absent = lifetimes as if no deadline was set. */
  readonly wall?: number;
  /** Whether DNS here can serve. */
  readonly dnsServes: boolean;
  /** What `pref64.prefix: auto` stands for. */
  readonly nat64: readonly Cidr[];
}

/** What options are made of. */
interface Basis {
  readonly config: RaInterfaceConfig;
  readonly link: Link;
  readonly addresses: readonly InterfaceAddress[];
  readonly circumstances: Circumstances;
}

/** The options of each kind, in radvd's order. A kind that is missing here does not compile. */
const builders: {
  readonly [K in KnownOption['kind']]: (basis: Basis) => readonly Extract<KnownOption, { kind: K }>[];
} = {
  'prefix-information': ({ config, addresses, circumstances: { wall } }) =>
    uniquePrefixes(config.prefixes.flatMap((prefix) => prefixOptions(prefix, addresses, wall))),
  'route-information': ({ config, circumstances: { wall } }) =>
    config.routes.map(({ prefix, preference, lifetimeSeconds, until }) => ({
      kind: 'route-information',
      prefix,
      preference,
      lifetimeSeconds: notBeyond(until, lifetimeSeconds, wall),
    })),
  rdnss({ config, addresses, circumstances: { dnsServes } }) {
    if (config.rdnss === undefined) return [];
    const { servers, lifetimeSeconds, whileHealthy } = config.rdnss;
    const serves = dnsServes || !whileHealthy;
    return rdnssOptions(servers.length > 0 ? servers : ownServer(addresses), serves ? lifetimeSeconds : 0);
  },
  dnssl: ({ config: { dnssl } }) => (dnssl === undefined ? [] : dnsslOptions(dnssl.domains, dnssl.lifetimeSeconds)),
  mtu: ({ config: { mtu } }) => (mtu === 0 ? [] : [{ kind: 'mtu', mtu }]),
  'source-link-layer-address': ({ config, link: { mac } }) =>
    config.sourceLinkLayer && mac.length > 0 ? [{ kind: 'source-link-layer-address', address: mac }] : [],
  pref64({ config: { pref64 }, circumstances: { nat64 } }) {
    if (pref64 === undefined) return [];
    const { prefix, lifetimeSeconds } = pref64;
    return (prefix === 'auto' ? nat64 : [prefix]).map((each) => ({ kind: 'pref64', prefix: each, lifetimeSeconds }));
  },
  'captive-portal': ({ config: { captivePortal: uri } }) => (uri === '' ? [] : [{ kind: 'captive-portal', uri }]),
};

/**
 * The whole advertisement, options in radvd's order. It may be larger than a packet: `encodePackets` splits it.
 * @param link gives the source link-layer address
 * @param addresses what `::/64` and an empty list of DNS servers stand for
 */
export function buildAdvertisement(
  config: RaInterfaceConfig,
  link: Link,
  addresses: readonly InterfaceAddress[],
  circumstances: Circumstances = { dnsServes: true, nat64: [] },
): RouterAdvertisement {
  const basis = { config, link, addresses, circumstances };
  const options = Object.values(builders).flatMap((build): readonly NdOption[] => build(basis));
  return {
    hopLimit: config.hopLimit,
    managed: config.managed,
    other: config.other,
    homeAgent: config.homeAgent,
    // RFC 4191 §2.2: "If the Router Lifetime is zero, the preference value MUST be set to (00)."
    preference: config.defaultLifetimeSeconds === 0 ? 'medium' : config.preference,
    lifetimeSeconds: config.defaultLifetimeSeconds,
    reachableTimeMs: config.reachableTimeMs,
    retransTimerMs: config.retransTimerMs,
    options,
  };
}

/**
 * The advertisement of a router that ceases (RFC 4861 §6.2.5): router lifetime 0, and lifetime 0 for all that has its own.
 * @param deprecated which prefixes to deprecate; the others stay as they were: another router may announce them too
 */
export function finalAdvertisement(
  advertisement: RouterAdvertisement,
  deprecated: (prefix: Cidr) => boolean,
): RouterAdvertisement {
  return {
    ...advertisement,
    preference: 'medium',
    lifetimeSeconds: 0,
    options: advertisement.options.map((option) =>
      option.kind === 'prefix-information' && !deprecated(option.prefix) ? option : (withdrawOption(option) ?? option),
    ),
  };
}

/**
 * Encodes an advertisement into as many packets as it needs, none larger than the link carries: Neighbor Discovery
 * messages are not fragmented (RFC 6980). Each has the header and the source link-layer address.
 */
export function encodePackets(advertisement: RouterAdvertisement, linkMtu: number): Uint8Array[] {
  const announced = advertisement.options.find((option) => option.kind === 'mtu')?.mtu ?? linkMtu;
  const room = Math.max(IPV6_MIN_MTU, Math.min(linkMtu, announced)) - IPV6_HEADER_BYTES;
  const whole = encodeRouterAdvertisement(advertisement);
  if (whole.length <= room) return [whole];
  const repeated = advertisement.options.filter((option) => option.kind === 'source-link-layer-address');
  const start = ADVERTISEMENT_HEADER_BYTES + sizeOf(repeated);
  const packets: NdOption[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const option of advertisement.options) {
    if (option.kind === 'source-link-layer-address') continue;
    const length = encodeOption(option).length;
    if (size + length > room) {
      packets.push([]);
      size = start;
    }
    packets.at(-1)!.push(option);
    size += length;
  }
  return packets.map((options) => encodeRouterAdvertisement({ ...advertisement, options: [...options, ...repeated] }));
}

/** The address that nodes shall ask when the configuration names none: a stable one of this interface, ULA before global. */
export function ownServer(addresses: readonly InterfaceAddress[]): Address[] {
  const usable = addresses.filter(isUsable);
  const isUla = (address: Address): boolean => (address.bytes[0]! & 0xfe) === 0xfc;
  const best = usable.find((a) => isUla(a.address)) ?? usable[0];
  return best === undefined ? [] : [best.address];
}

function prefixOptions(
  config: PrefixConfig,
  addresses: readonly InterfaceAddress[],
  wall: number | undefined,
): PrefixInformation[] {
  const { onLink, autonomous } = config;
  const validSeconds = notBeyond(config.validUntil, config.validSeconds, wall);
  const preferredSeconds = Math.min(validSeconds, notBeyond(config.preferredUntil, config.preferredSeconds, wall));
  const usable = addresses.filter(isUsable);
  const option = (prefix: Cidr): PrefixInformation => {
    const own = config.routerAddress
      ? usable.find(({ address }) => cidrContains(prefix, address.bytes))?.address
      : undefined;
    return {
      kind: 'prefix-information',
      prefix,
      onLink,
      autonomous,
      validSeconds,
      preferredSeconds,
      ...(own !== undefined && { routerAddress: own }),
    };
  };
  if (!isEachPrefix(config.prefix)) return [option(config.prefix)];
  return usable
    .filter(({ address, prefixLength }) => {
      return prefixLength === 64 && !config.ignore.some((cidr) => cidrContains(cidr, address.bytes));
    })
    .map(({ address }) => option({ base: maskAddress(address, 64), length: 64 }));
}

/** The lifetime, cut so that it ends at `until`. */
function notBeyond(until: number | undefined, seconds: number, wall: number | undefined): number {
  if (until === undefined || wall === undefined) return seconds;
  return Math.max(0, Math.min(seconds, Math.floor((until - wall) / 1000)));
}

/** Whether lifetimes count down to a deadline. */
export function hasDeadlines(config: RaInterfaceConfig): boolean {
  return (
    config.routes.some(({ until }) => until !== undefined) ||
    config.prefixes.some(({ validUntil, preferredUntil }) => validUntil !== undefined || preferredUntil !== undefined)
  );
}

/** Whether the configured prefix is `::/64`, each /64 of the interface. */
export function isEachPrefix(prefix: Cidr): boolean {
  return prefix.length === 64 && prefix.base.bytes.every((byte) => byte === 0);
}

function isUsable(address: InterfaceAddress): boolean {
  return (
    address.address.family === 6 &&
    address.scope === 'global' &&
    !address.tentative &&
    !address.deprecated &&
    !address.temporary &&
    !address.dadFailed
  );
}

/** The first of each prefix: two addresses in one /64, or `::/64` beside a prefix of its own, say it once. */
function uniquePrefixes(options: readonly PrefixInformation[]): PrefixInformation[] {
  const seen = new Set<string>();
  return options.filter(({ prefix }) => {
    const key = formatCidr(prefix);
    return !seen.has(key) && seen.add(key);
  });
}

function rdnssOptions(servers: readonly Address[], lifetimeSeconds: number): Rdnss[] {
  const options: Rdnss[] = [];
  for (let at = 0; at < servers.length; at += serversPerOption) {
    options.push({ kind: 'rdnss', lifetimeSeconds, servers: servers.slice(at, at + serversPerOption) });
  }
  return options;
}

function dnsslOptions(domains: readonly string[], lifetimeSeconds: number): Dnssl[] {
  const groups: string[][] = [];
  let octets = Number.POSITIVE_INFINITY;
  for (const domain of domains) {
    // A name takes its text, one length octet more and the root's.
    if (octets + domain.length + 2 > domainOctetsPerOption) {
      groups.push([]);
      octets = 0;
    }
    groups.at(-1)!.push(domain);
    octets += domain.length + 2;
  }
  return groups.map((group) => ({ kind: 'dnssl', lifetimeSeconds, domains: group }));
}

function sizeOf(options: readonly NdOption[]): number {
  return options.reduce((sum, option) => sum + encodeOption(option).length, 0);
}
