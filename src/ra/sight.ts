/** What the network has for an advertising interface at this moment, and what state follows from it. */
import { type Address, equalAddress } from '../core/address.ts';
import type { InterfaceAddress, Link, NetworkView } from '../linux/netlink.ts';
import { isEachPrefix } from './advertisement.ts';
import type { RaInterfaceConfig } from './config.ts';
import type { RaState } from './status.ts';

/** State in words, for people. */
export const stateReasons: Readonly<Record<RaState, string>> = {
  missing: 'there is no such interface',
  down: 'the interface is down or has no carrier',
  'no-link-local': 'the interface has no link-local address that has passed duplicate address detection yet',
  'no-source':
    'the configured source address is not on the interface, or has not passed duplicate address detection yet',
  'duplicate-address': "the interface's link-local address is in use by another node",
  'tentative-address': 'an address that is to be announced has not passed duplicate address detection yet',
  advertising: '',
  ceasing: 'final advertisements go out',
  stopped: 'stopped',
};

/** Where an interface stands; all parts are there when the state is `advertising`. */
export type Sight =
  | { readonly state: Exclude<RaState, 'advertising'>; readonly link: Link | undefined }
  | {
      readonly state: 'advertising';
      readonly link: Link;
      readonly addresses: readonly InterfaceAddress[];
      /** The link-local address to send from (RFC 4861 §4.2). */
      readonly source: Address;
    };

/**
 * Looks at the network.
 * @param current the source in use while advertising: it stays as long as it is there
 */
export function lookAt(network: NetworkView, config: RaInterfaceConfig, current: Address | undefined): Sight {
  const link = network.link(config.interface);
  if (link === undefined) return { state: 'missing', link };
  if (!link.up) return { state: 'down', link };
  const addresses = network.addresses(link.index).filter((a) => a.address.family === 6);
  const linkLocals = addresses.filter((a) => a.scope === 'link');
  const ready = linkLocals.filter((a) => !a.tentative && !a.dadFailed);
  const { source } = config;
  const found =
    source === undefined
      ? (ready.find((a) => current !== undefined && equalAddress(a.address, current)) ?? ready[0])
      : ready.find((a) => equalAddress(a.address, source));
  if (found === undefined && source !== undefined && ready.length > 0) return { state: 'no-source', link };
  if (found === undefined) {
    return { state: linkLocals.some((a) => a.dadFailed) ? 'duplicate-address' : 'no-link-local', link };
  }
  // A moment's patience before the first one; once it runs, a new address changes it when it is ready.
  const waits =
    current === undefined &&
    announcesAddresses(config) &&
    addresses.some((a) => a.scope === 'global' && a.tentative && !a.dadFailed);
  return waits
    ? { state: 'tentative-address', link }
    : { state: 'advertising', link, addresses, source: found.address };
}

function announcesAddresses(config: RaInterfaceConfig): boolean {
  return config.rdnss?.servers.length === 0 || config.prefixes.some((prefix) => isEachPrefix(prefix.prefix));
}
