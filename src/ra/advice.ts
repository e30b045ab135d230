import { cidrContains, formatAddress, isLinkLocal, parseCidr } from '../core/address.ts';
import type { Link } from '../linux/netlink.ts';
import type { RaInterfaceConfig } from './config.ts';

const wellKnownNat64 = parseCidr('64:ff9b::/96');

/** What is allowed and yet hardly meant, for people; told when an interface begins to advertise. */
export function adviceFor(config: RaInterfaceConfig, link: Link): string[] {
  const advice: string[] = [];
  if (config.mtu > link.mtu) {
    advice.push(
      `mtu ${config.mtu} is more than the interface's own, ${link.mtu}: nodes would send what it cannot carry`,
    );
  }
  for (const server of config.rdnss?.servers ?? []) {
    if (!isLinkLocal(server)) continue;
    advice.push(
      `the DNS server ${formatAddress(server)} is link-local: a node's pods, in network namespaces of their own, cannot reach it`,
    );
  }
  for (const { prefix } of config.prefixes) {
    if (cidrContains(wellKnownNat64, prefix.base.bytes)) {
      advice.push('64:ff9b::/96 is announced as a prefix of this link; a NAT64 belongs to `pref64` and `routes`');
    }
  }
  if (config.captivePortal !== '' && config.defaultLifetimeSeconds === 0) {
    advice.push('captivePortal with defaultLifetime 0: systemd-networkd takes a portal from default routers alone');
  }
  if (announcesNothing(config)) {
    advice.push(
      'neither addresses nor DNS servers nor routes are announced: `prefixes: [{ prefix: "::/64" }]` and `rdnss: {}` announce what this interface has',
    );
  }
  return advice;
}

function announcesNothing({ prefixes, routes, rdnss, dnssl, pref64, ...rest }: RaInterfaceConfig): boolean {
  const flags = rest.managed || rest.other || rest.mtu !== 0 || rest.captivePortal !== '';
  const lists = prefixes.length > 0 || routes.length > 0 || rdnss !== undefined || dnssl !== undefined;
  return !flags && !lists && pref64 === undefined && rest.defaultLifetimeSeconds === 0;
}
