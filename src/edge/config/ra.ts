/** The `ra` section: schema, defaults by RFC 4861 §6.2.1 and the option RFCs, and the checks that span keys. */
import {
  type Address,
  type Cidr,
  formatAddress,
  formatCidr,
  isLinkLocal,
  parseAddress,
  parseCidr,
} from '../../core/address.ts';
import { formatDuration } from '../../core/duration.ts';
import { ValueError } from '../../core/errors.ts';
import type { PrefixConfig, RaInterfaceConfig } from '../../ra/config.ts';
import { IPV6_HEADER_BYTES, IPV6_MIN_MTU } from '../../ra/constants.ts';
import { ADVERTISEMENT_HEADER_BYTES } from '../../ra/wire/router-advertisement.ts';
import { nat64Lengths } from './dns.ts';
import { readDomainName } from './domain-name.ts';
import {
  address6,
  choice,
  cidr6,
  flag,
  integer,
  leaf,
  list,
  milliseconds,
  parsed,
  requireText,
  seconds,
  secondsOrInfinity,
  section,
  timestamp,
} from './fields.ts';
import type { KeyPath, Located, Report } from './types.ts';

/** Highest value of PREF64's scaled lifetime: 13 bits of 8 seconds (RFC 8781 §4). */
const maxPref64Seconds = 8191 * 8;
/** What one option may take in a packet that every link carries, beside the header and the source link-layer address. */
const maxPortalOctets = IPV6_MIN_MTU - IPV6_HEADER_BYTES - ADVERTISEMENT_HEADER_BYTES - 8 - 2;
/** Highest MaxRtrAdvInterval and AdvDefaultLifetime (RFC 8319 §4). */
const maxRouterSeconds = 65535;

const preference = () => choice(['low', 'medium', 'high']).prefault('medium');

const prefix = section({
  prefix: cidr6().describe('`::/64` stands for each /64 on the interface'),
  onLink: flag().prefault(true).describe('AdvOnLinkFlag'),
  autonomous: flag().prefault(true).describe('AdvAutonomousFlag: hosts make addresses of it (SLAAC)'),
  valid: secondsOrInfinity().prefault('1d').describe('AdvValidLifetime'),
  preferred: secondsOrInfinity().prefault('4h').describe('AdvPreferredLifetime'),
  validUntil: timestamp()
    .optional()
    .describe('AdvValidLifetime counts down to 0 at this time (instead of radvd’s DecrementLifetimes)'),
  preferredUntil: timestamp().optional().describe('AdvPreferredLifetime counts down to 0 at this time'),
  deprecateOnStop: flag()
    .prefault(false)
    .describe('the last advertisement says preferred lifetime 0 (DeprecatePrefix)'),
  routerAddress: flag()
    .prefault(false)
    .describe('AdvRouterAddr: the option carries our own address in this prefix (RFC 6275 §7.2)'),
  ignore: list(cidr6()).prefault([]).describe('addresses that `::/64` passes over (AutoIgnorePrefix)'),
}).transform(
  ({ valid, preferred, validUntil, preferredUntil, ...rest }): PrefixConfig => ({
    ...rest,
    validSeconds: valid,
    preferredSeconds: preferred,
    validUntil,
    preferredUntil,
  }),
);

const optionLifetime = () => secondsOrInfinity().optional();

const route = section({
  prefix: cidr6().describe('reached through us'),
  lifetime: optionLifetime().describe('AdvRouteLifetime; default: 3 × `interval.max`'),
  until: timestamp().optional().describe('the lifetime counts down to 0 at this time'),
  preference: preference().describe('against other routers’ equal routes'),
});

/** One entry of `ra`. */
export const raInterface = section({
  interface: parsed({ kind: 'interface name' }, readInterfaceName).describe('where to advertise'),
  interval: section({
    min: milliseconds(3000, 0.75 * maxRouterSeconds * 1000)
      .optional()
      .describe('MinRtrAdvInterval; default: a third of `max`'),
    max: milliseconds(4000, maxRouterSeconds * 1000)
      .prefault('600s')
      .describe('MaxRtrAdvInterval (above 1800s: RFC 8319)'),
  })
    .transform(({ min, max }) => ({ minMs: min ?? defaultMinMs(max), maxMs: max }))
    .prefault({})
    .describe('unsolicited advertisements go out at random times, this far apart'),
  maxDelay: milliseconds(0, 500)
    .prefault('500ms')
    .describe('MAX_RA_DELAY_TIME: answers to solicitations wait a random time up to this'),
  managed: flag().prefault(false).describe('AdvManagedFlag: addresses by DHCPv6'),
  other: flag().prefault(false).describe('AdvOtherConfigFlag: other settings by DHCPv6'),
  homeAgent: flag().prefault(false).describe('AdvHomeAgentFlag (RFC 6275 §7.1)'),
  defaultLifetime: seconds(0, maxRouterSeconds)
    .prefault('0s')
    .describe('AdvDefaultLifetime; 0s = we are no default gateway'),
  preference: preference().describe('among default routers (RFC 4191)'),
  hopLimit: integer(0, 255).prefault(64).describe('AdvCurHopLimit; 0 = unspecified'),
  reachableTime: milliseconds(0, 3_600_000).prefault('0s').describe('AdvReachableTime; 0s = unspecified'),
  retransTimer: milliseconds(0, 2 ** 32 - 1)
    .prefault('0s')
    .describe('AdvRetransTimer; 0s = unspecified'),
  mtu: leaf({ kind: 'number', allowed: '0, 1280 to 65535' }, readMtu).prefault(0).describe('AdvLinkMTU; 0 = not sent'),
  sourceLinkLayer: flag().prefault(true).describe('send the source link-layer address option'),
  prefixes: list(prefix).prefault([]).describe('prefix information (RFC 4861 §4.6.2)'),
  routes: list(route).prefault([]).describe('route information (RFC 4191)'),
  rdnss: section({
    // One option holds (255 - 1) / 2 addresses (RFC 8106 §5.1).
    servers: list(address6()).prefault([]).describe('addresses; an empty list stands for the interface’s own'),
    lifetime: optionLifetime().describe('AdvRDNSSLifetime; default: 3 × `interval.max` (radvd 2.19: 1 ×)'),
    whileHealthy: flag()
      .prefault(false)
      .describe('lifetime 0 while DNS here cannot serve: for 10 s no upstream answers; until it has done so for 30 s'),
  })
    .optional()
    .describe('DNS servers (RFC 8106)'),
  dnssl: section({
    domains: list(parsed({ kind: 'domain name' }, readDomainName), 1).describe('names'),
    lifetime: optionLifetime().describe('AdvDNSSLLifetime; default: 3 × `interval.max`'),
  })
    .optional()
    .describe('search domains (RFC 8106)'),
  pref64: section({
    prefix: leaf(
      { kind: 'IPv6 prefix', allowed: `auto, or a prefix of length ${nat64Lengths.join(', ')}` },
      readPref64Prefix,
    ).describe('as the resolver synthesizes; auto = what our DNS learned from its upstreams (RFC 7050)'),
    lifetime: seconds(0, maxPref64Seconds).optional().describe('default: 3 × `interval.max`, at most 65528s'),
  })
    .optional()
    .describe('the NAT64’s prefix (RFC 8781)'),
  captivePortal: leaf({ kind: 'URI' }, readPortal)
    .prefault('')
    .describe('RFC 8910; empty = not sent; systemd-networkd takes it from default routers alone'),
  unicastOnly: flag().prefault(false).describe('no unsolicited advertisements; each host is answered alone'),
  clients: list(address6()).prefault([]).describe('only these hosts are answered; an empty list answers all'),
  deny: list(address6()).prefault([]).describe('these hosts are never answered'),
  source: parsed({ kind: 'IPv6 address', allowed: 'link-local' }, readLinkLocal)
    .optional()
    .describe('AdvRASrcAddress: the address to send from; default: the interface’s first link-local one'),
}).transform(({ interval, ...rest }): RaInterfaceConfig => {
  const lifetime = Math.ceil((3 * interval.maxMs) / 1000);
  const { maxDelay, defaultLifetime, reachableTime, retransTimer, rdnss, dnssl, pref64, routes, source, ...same } =
    rest;
  return {
    ...same,
    interval,
    maxDelayMs: maxDelay,
    defaultLifetimeSeconds: defaultLifetime,
    reachableTimeMs: reachableTime,
    retransTimerMs: retransTimer,
    source,
    routes: routes.map((r) => ({
      prefix: r.prefix,
      preference: r.preference,
      until: r.until,
      lifetimeSeconds: r.lifetime ?? lifetime,
    })),
    rdnss: rdnss && {
      servers: rdnss.servers,
      whileHealthy: rdnss.whileHealthy,
      lifetimeSeconds: rdnss.lifetime ?? lifetime,
    },
    dnssl: dnssl && { domains: dnssl.domains, lifetimeSeconds: dnssl.lifetime ?? lifetime },
    pref64: pref64 && {
      prefix: pref64.prefix,
      lifetimeSeconds: pref64.lifetime ?? Math.min(lifetime, maxPref64Seconds),
    },
  };
});

/** The `ra` section. */
export const ra = list(raInterface).prefault([]).describe('router advertisements, an entry for each interface');

/** What no single key shows. */
export function checkRa(interfaces: readonly Located<RaInterfaceConfig>[], report: Report): void {
  const names = new Set<string>();
  for (const { path, value } of interfaces) {
    if (names.has(value.interface)) report([...path, 'interface'], `"${value.interface}" stands above already`);
    names.add(value.interface);
    checkTimes(path, value, report);
    checkPrefixes(path, value, report);
    checkRoutes(path, value, report);
    for (const [i, client] of value.clients.entries()) {
      if (!isLinkLocal(client))
        report([...path, 'clients', i], `${formatAddress(client)} is no link-local address: hosts solicit from those`);
    }
    checkSize(path, value, report);
  }
}

function checkTimes(path: KeyPath, value: RaInterfaceConfig, report: Report): void {
  const { minMs, maxMs } = value.interval;
  if (minMs > 0.75 * maxMs) {
    report(
      [...path, 'interval', 'min'],
      `${formatDuration(minMs)} is more than three quarters of max, ${formatDuration(maxMs)} (RFC 4861 §6.2.1; allowed: 3s to ${formatDuration(Math.floor(0.75 * maxMs))})`,
    );
  }
  const lifetimeMs = value.defaultLifetimeSeconds * 1000;
  if (lifetimeMs !== 0 && lifetimeMs < maxMs) {
    report(
      [...path, 'defaultLifetime'],
      `${formatDuration(lifetimeMs)} ends before the next advertisement is due (RFC 4861 §6.2.1; allowed: 0s, or ${formatDuration(maxMs)} to ${maxRouterSeconds}s)`,
    );
  }
  if (lifetimeMs === 0 && value.preference !== 'medium') {
    report([...path, 'preference'], 'must be medium while defaultLifetime is 0s (RFC 4191 §2.2)');
  }
  for (const key of ['rdnss', 'dnssl', 'pref64'] as const) {
    const lifetime = value[key]?.lifetimeSeconds;
    if (lifetime !== undefined && lifetime !== 0 && lifetime * 1000 < maxMs && lifetime !== maxPref64Seconds) {
      report(
        [...path, key, 'lifetime'],
        `${formatDuration(lifetime * 1000)} ends before the next advertisement is due (allowed: 0s, or from ${formatDuration(maxMs)})`,
      );
    }
  }
}

function checkPrefixes(path: KeyPath, value: RaInterfaceConfig, report: Report): void {
  const seen = new Set<string>();
  for (const [i, each] of value.prefixes.entries()) {
    const at = [...path, 'prefixes', i];
    const text = formatCidr(each.prefix);
    if (seen.has(text)) report([...at, 'prefix'], `${text} stands above already`);
    seen.add(text);
    if (each.ignore.length > 0 && text !== '::/64') {
      report([...at, 'ignore'], 'is for `prefix: "::/64"`, which stands for the interface’s prefixes, alone');
    }
    if (each.preferredSeconds > each.validSeconds) {
      report([...at, 'preferred'], 'is longer than `valid` (RFC 4861 §4.6.2)');
    }
    if (isLinkLocal(each.prefix.base) || each.prefix.base.bytes[0] === 0xff) {
      report([...at, 'prefix'], `${text}: link-local and multicast prefixes are not advertised (RFC 4861 §4.6.2)`);
    }
    if (each.prefix.length === 0 || (text.startsWith('::/') && text !== '::/64')) {
      report([...at, 'prefix'], `${text} is no prefix to advertise (allowed: ::/64 for each /64 on the interface)`);
    } else if (each.autonomous && each.prefix.length !== 64) {
      report(
        [...at, 'prefix'],
        `${text}: hosts make addresses of a /64 alone (RFC 4862 §5.5.3); say \`autonomous: false\` for other lengths`,
      );
    }
  }
}

function checkRoutes(path: KeyPath, value: RaInterfaceConfig, report: Report): void {
  const seen = new Set<string>();
  for (const [i, each] of value.routes.entries()) {
    const text = formatCidr(each.prefix);
    if (seen.has(text)) report([...path, 'routes', i, 'prefix'], `${text} stands above already`);
    seen.add(text);
    if (each.prefix.length === 0 && each.lifetimeSeconds > 0 && value.defaultLifetimeSeconds === 0) {
      report(
        [...path, 'routes', i, 'prefix'],
        '::/0 makes us a default router for hosts of RFC 4191, while defaultLifetime is 0s; say one or the other',
      );
    }
  }
}

/** Options hold at most 255 × 8 bytes (RFC 4861 §4.6). */
function checkSize(path: KeyPath, value: RaInterfaceConfig, report: Report): void {
  if (value.rdnss !== undefined && value.rdnss.servers.length > 127) {
    report([...path, 'rdnss', 'servers'], 'are too many for one option (allowed: 1 to 127)');
  }
  const names = value.dnssl?.domains.reduce((sum, name) => sum + name.length + 2, 0) ?? 0;
  if (names > 255 * 8 - 8) report([...path, 'dnssl', 'domains'], 'are too long for one option (2032 bytes)');
}

/** RFC 4861 §6.2.1 has 0.33 × max; a third keeps our documented 200s for 600s. */
function defaultMinMs(maxMs: number): number {
  return maxMs >= 9000 ? Math.round(maxMs / 3) : Math.max(3000, Math.floor(0.75 * maxMs));
}

function readPref64Prefix(value: unknown): Cidr | 'auto' {
  if (value === 'auto') return value;
  const prefix = parseCidr(requireText(value));
  if (prefix.base.family !== 6 || !nat64Lengths.some((length) => length === prefix.length)) {
    throw new ValueError(
      `"${value}" has a length that cannot be used here (allowed: auto, or an IPv6 prefix of length ${nat64Lengths.join(', ')})`,
    );
  }
  return prefix;
}

function readLinkLocal(value: string): Address {
  const address = parseAddress(value);
  if (!isLinkLocal(address) || address.zone !== undefined) {
    throw new ValueError(`"${value}" is no link-local address (fe80::/10): hosts ignore advertisements from others`);
  }
  return address;
}

function readInterfaceName(value: string): string {
  // IFNAMSIZ is 16 with the NUL; dev_valid_name() in the kernel refuses the rest.
  if (!/^[^\s/:]{1,15}$/.test(value) || value === '.' || value === '..')
    throw new ValueError(`"${value}" is no interface name`);
  return value;
}

function readMtu(value: unknown): number {
  // 1280 is IPv6's least (RFC 8200 §5).
  const valid =
    typeof value === 'number' && Number.isInteger(value) && (value === 0 || (value >= 1280 && value <= 65535));
  if (!valid) throw new ValueError(`${JSON.stringify(value)} is no MTU of an IPv6 link (allowed: 0, 1280 to 65535)`);
  return value;
}

function readPortal(value: unknown): string {
  if (value === '') return '';
  if (typeof value !== 'string' || !URL.canParse(value) || !/^[\x21-\x7e]+$/.test(value)) {
    throw new ValueError(`${JSON.stringify(value)} is no URI`);
  }
  if (value.length > maxPortalOctets) {
    throw new ValueError(
      `the URI has ${value.length} characters: an advertisement of ${IPV6_MIN_MTU} octets holds ${maxPortalOctets}, and none is sent in fragments (RFC 6980)`,
    );
  }
  return value;
}
