/** Options taken apart into what hosts hold singly (one prefix, one server), and the forms that take it back. */
import { formatAddress, formatCidr } from '../core/address.ts';
import { unreachable } from '../core/errors.ts';
import { withdrawnValidSeconds } from './constants.ts';
import type { NdOption } from './wire/options.ts';

/** The option with lifetime 0; undefined for those that have no lifetime. */
export function withdrawOption(option: NdOption): NdOption | undefined {
  switch (option.kind) {
    case 'prefix-information':
      return { ...option, preferredSeconds: 0, validSeconds: Math.min(option.validSeconds, withdrawnValidSeconds) };
    case 'route-information':
    case 'rdnss':
    case 'dnssl':
    case 'pref64':
      return { ...option, lifetimeSeconds: 0 };
    case 'mtu':
    case 'source-link-layer-address':
    case 'captive-portal':
    case 'raw':
      return undefined;
    default:
      return unreachable(option);
  }
}

/** How long hosts hold what the option says, seconds; undefined for those that have no lifetime. */
export function lifetimeOf(option: NdOption): number | undefined {
  switch (option.kind) {
    case 'prefix-information':
      return option.validSeconds;
    case 'route-information':
    case 'rdnss':
    case 'dnssl':
    case 'pref64':
      return option.lifetimeSeconds;
    case 'mtu':
    case 'source-link-layer-address':
    case 'captive-portal':
    case 'raw':
      return undefined;
    default:
      return unreachable(option);
  }
}

/** Options of several items as one option each, so that single items can be compared. */
export function optionItems(option: NdOption): NdOption[] {
  if (option.kind === 'rdnss') return option.servers.map((server) => ({ ...option, servers: [server] }));
  if (option.kind === 'dnssl') return option.domains.map((domain) => ({ ...option, domains: [domain] }));
  return [option];
}

/** The same for two items that speak of the same thing, whatever they say of it. */
export function itemKey(option: NdOption): string {
  switch (option.kind) {
    case 'prefix-information':
    case 'route-information':
    case 'pref64':
      return `${option.kind} ${formatCidr(option.prefix)}`;
    case 'rdnss':
      return `rdnss ${option.servers.map(formatAddress).join(' ')}`;
    case 'dnssl':
      return `dnssl ${option.domains.join(' ').toLowerCase()}`;
    case 'mtu':
    case 'source-link-layer-address':
    case 'captive-portal':
    case 'raw':
      return option.kind;
    default:
      return unreachable(option);
  }
}
