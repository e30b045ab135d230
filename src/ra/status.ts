/** What the admin API shows of router advertisements: plain JSON. */
import { formatAddress, formatCidr } from '../core/address.ts';
import { unreachable } from '../core/errors.ts';
import type { AsConfig } from './as-config.ts';
import type { Contradiction } from './monitor.ts';
import type { NdOption } from './wire/options.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

/** Whether an interface advertises, and if not, why. */
export type RaState =
  | 'missing'
  | 'down'
  | 'no-link-local'
  | 'no-source'
  | 'duplicate-address'
  | 'tentative-address'
  | 'advertising'
  | 'ceasing'
  | 'stopped';

/** Counters of one interface. */
export interface RaInterfaceCounters {
  sentMulticast: number;
  sentUnicast: number;
  sendFailures: number;
  /** Multicasts that the kernel's neighbour table had no room for, sent past it. */
  pastNeighbours: number;
  solicitations: number;
  invalid: number;
  rateLimited: number;
  notAClient: number;
  otherAdvertisements: number;
}

/** An advertisement as JSON; lifetimes in seconds, `"infinity"` for 0xffffffff. */
export interface AdvertisementJson {
  readonly hopLimit: number;
  readonly managed: boolean;
  readonly other: boolean;
  readonly homeAgent: boolean;
  readonly preference: string;
  readonly lifetime: number;
  readonly reachableTimeMs: number;
  readonly retransTimerMs: number;
  readonly options: readonly OptionJson[];
}

/** An option as JSON. */
export type OptionJson = Readonly<Record<string, unknown>> & { readonly kind: NdOption['kind'] };

/** Another router, as JSON. */
export interface OtherRouterStatus {
  readonly source: string;
  readonly firstSeen: string;
  readonly lastSeen: string;
  readonly advertisement: AdvertisementJson;
  readonly contradictions: readonly Contradiction[];
}

/** One interface. Times are ISO 8601. */
export interface RaInterfaceStatus {
  readonly interface: string;
  readonly ifindex: number | undefined;
  readonly state: RaState;
  /** Why nothing is sent, in words; empty while advertising. */
  readonly reason: string;
  /** Source of what we send. */
  readonly source: string | undefined;
  readonly lastSent: { readonly at: string; readonly to: string } | undefined;
  /** When all nodes were last told. */
  readonly lastMulticast: string | undefined;
  readonly nextMulticastInMs: number | undefined;
  readonly lastSolicitation: { readonly at: string; readonly from: string } | undefined;
  /** errno's name of the last send if that failed. */
  readonly lastError: string | undefined;
  readonly advertisement: AdvertisementJson | undefined;
  /** The same in the words of the configuration. */
  readonly asConfig: AsConfig | undefined;
  /** What goes out with lifetime 0 beside it, until no host can hold it any more. */
  readonly withdrawn: readonly OptionJson[];
  readonly counters: Readonly<RaInterfaceCounters>;
  readonly routers: readonly OtherRouterStatus[];
}

/** An advertisement as JSON. */
export function advertisementJson(advertisement: RouterAdvertisement): AdvertisementJson {
  const { lifetimeSeconds, options, ...rest } = advertisement;
  return { ...rest, lifetime: lifetimeSeconds, options: options.map(optionJson) };
}

/** An option as JSON. */
export function optionJson(option: NdOption): OptionJson {
  const { kind } = option;
  switch (option.kind) {
    case 'prefix-information':
      return {
        kind,
        prefix: formatCidr(option.prefix),
        onLink: option.onLink,
        autonomous: option.autonomous,
        valid: lifetimeJson(option.validSeconds),
        preferred: lifetimeJson(option.preferredSeconds),
        ...(option.routerAddress !== undefined && { routerAddress: formatAddress(option.routerAddress) }),
      };
    case 'route-information':
      return {
        kind,
        prefix: formatCidr(option.prefix),
        preference: option.preference,
        lifetime: lifetimeJson(option.lifetimeSeconds),
      };
    case 'rdnss':
      return { kind, servers: option.servers.map(formatAddress), lifetime: lifetimeJson(option.lifetimeSeconds) };
    case 'dnssl':
      return { kind, domains: option.domains, lifetime: lifetimeJson(option.lifetimeSeconds) };
    case 'pref64':
      return { kind, prefix: formatCidr(option.prefix), lifetime: option.lifetimeSeconds };
    case 'captive-portal':
      return { kind, uri: option.uri };
    case 'mtu':
      return { kind, mtu: option.mtu };
    case 'source-link-layer-address':
      return {
        kind,
        address: Buffer.from(option.address)
          .toString('hex')
          .replace(/(..)(?=.)/g, '$1:'),
      };
    case 'raw':
      return { kind, type: option.type, body: Buffer.from(option.body).toString('hex') };
    default:
      return unreachable(option);
  }
}

function lifetimeJson(seconds: number): number | 'infinity' {
  return seconds === Infinity ? 'infinity' : seconds;
}
