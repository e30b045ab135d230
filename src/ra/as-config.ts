/** An advertisement in the words of our configuration: what would have to stand in `ra` for it to be sent. */
import { formatAddress, formatCidr } from '../core/address.ts';
import { formatDuration } from '../core/duration.ts';
import { unreachable } from '../core/errors.ts';
import type { NdOption } from './wire/options.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

/** An entry of `ra`, without the interface and what advertisements do not show; and what our configuration cannot say. */
export interface AsConfig {
  readonly entry: Readonly<Record<string, unknown>>;
  readonly remarks: readonly string[];
}

/** Servers or names of one lifetime. */
interface Group {
  readonly lifetime: string;
  readonly items: string[];
}

/** Turns an advertisement into configuration. Options that stand in it more than once and fit into one entry become one. */
export function asConfig(advertisement: RouterAdvertisement): AsConfig {
  const { hopLimit, managed, other, homeAgent, preference } = advertisement;
  const prefixes: object[] = [];
  const routes: object[] = [];
  const servers: Group[] = [];
  const domains: Group[] = [];
  const single: Record<string, unknown> = { mtu: 0, sourceLinkLayer: false };
  const remarks: string[] = [];
  const set = (key: string, value: unknown, isSet: boolean): void => {
    if (isSet) remarks.push(`another ${key}: ${JSON.stringify(value)}`);
    else single[key] = value;
  };
  for (const option of advertisement.options) {
    switch (option.kind) {
      case 'prefix-information':
        prefixes.push(prefixEntry(option));
        break;
      case 'route-information': {
        const { prefix, lifetimeSeconds } = option;
        routes.push({ prefix: formatCidr(prefix), lifetime: lifetime(lifetimeSeconds), preference: option.preference });
        break;
      }
      case 'rdnss':
        group(servers, option.lifetimeSeconds).push(...option.servers.map(formatAddress));
        break;
      case 'dnssl':
        group(domains, option.lifetimeSeconds).push(...option.domains);
        break;
      case 'pref64': {
        const pref64 = { prefix: formatCidr(option.prefix), lifetime: lifetime(option.lifetimeSeconds) };
        set('pref64', pref64, single.pref64 !== undefined);
        break;
      }
      case 'captive-portal':
        set('captivePortal', option.uri, single.captivePortal !== undefined);
        break;
      case 'mtu':
        set('mtu', option.mtu, single.mtu !== 0);
        break;
      case 'source-link-layer-address':
        single.sourceLinkLayer = true;
        break;
      case 'raw':
        remarks.push(`option ${option.type}: ${Buffer.from(option.body).toString('hex')}`);
        break;
      default:
        unreachable(option);
    }
  }
  const { mtu, sourceLinkLayer, pref64, captivePortal } = single;
  for (const [key, groups] of Object.entries({ rdnss: servers, dnssl: domains })) {
    for (const { items, lifetime } of groups.slice(1)) remarks.push(`another ${key}: ${items.join(' ')}, ${lifetime}`);
  }
  return {
    entry: {
      managed,
      other,
      ...(homeAgent && { homeAgent }),
      defaultLifetime: lifetime(advertisement.lifetimeSeconds),
      preference,
      hopLimit,
      reachableTime: formatDuration(advertisement.reachableTimeMs),
      retransTimer: formatDuration(advertisement.retransTimerMs),
      mtu,
      sourceLinkLayer,
      prefixes,
      routes,
      ...(servers[0] && { rdnss: { servers: servers[0].items, lifetime: servers[0].lifetime } }),
      ...(domains[0] && { dnssl: { domains: domains[0].items, lifetime: domains[0].lifetime } }),
      ...(pref64 !== undefined && { pref64 }),
      ...(captivePortal !== undefined && { captivePortal }),
    },
    remarks,
  };
}

function prefixEntry(option: Extract<NdOption, { kind: 'prefix-information' }>): object {
  return {
    prefix: formatCidr(option.prefix),
    onLink: option.onLink,
    autonomous: option.autonomous,
    valid: lifetime(option.validSeconds),
    preferred: lifetime(option.preferredSeconds),
    ...(option.routerAddress !== undefined && { routerAddress: true }),
  };
}

/** The items of the group with this lifetime, which is made when it is not there. */
function group(groups: Group[], seconds: number): string[] {
  const text = lifetime(seconds);
  const found = groups.find((one) => one.lifetime === text);
  if (found !== undefined) return found.items;
  const items: string[] = [];
  groups.push({ lifetime: text, items });
  return items;
}

function lifetime(seconds: number): string {
  return seconds === Infinity ? 'infinity' : formatDuration(seconds * 1000);
}
