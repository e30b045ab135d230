/** Router advertisement configuration, validated; RFC 4861 §6.2.1 names in the comments. Milliseconds where named Ms, else seconds. */
import type { Address, Cidr } from '../core/address.ts';

/** RFC 4191 §2.1. */
export type RouterPreference = 'low' | 'medium' | 'high';

export interface PrefixConfig {
  /** `::/64` stands for each /64 on the interface. */
  readonly prefix: Cidr;
  /** AdvOnLinkFlag. */
  readonly onLink: boolean;
  /** AdvAutonomousFlag. */
  readonly autonomous: boolean;
  /** AdvValidLifetime, seconds; Infinity = 0xffffffff. */
  readonly validSeconds: number;
  /** AdvPreferredLifetime, seconds. */
  readonly preferredSeconds: number;
  readonly deprecateOnStop: boolean;
  /** Wall-clock milliseconds that neither lifetime reaches beyond (RFC 4861 §6.2.1: "a time that decrements in real time"). */
  readonly validUntil: number | undefined;
  readonly preferredUntil: number | undefined;
  /** R (RFC 6275 §7.2): the option carries our whole address in this prefix. */
  readonly routerAddress: boolean;
  /** What `::/64` does not stand for. */
  readonly ignore: readonly Cidr[];
}

export interface RouteConfig {
  readonly prefix: Cidr;
  readonly lifetimeSeconds: number;
  /** Wall-clock milliseconds that the lifetime does not reach beyond. */
  readonly until: number | undefined;
  readonly preference: RouterPreference;
}

export interface RdnssConfig {
  /** Empty = the interface's own address. */
  readonly servers: readonly Address[];
  readonly lifetimeSeconds: number;
  /** With lifetime 0 while DNS here cannot serve. */
  readonly whileHealthy: boolean;
}

export interface RaInterfaceConfig {
  readonly interface: string;
  /** MinRtrAdvInterval, MaxRtrAdvInterval. */
  readonly interval: { readonly minMs: number; readonly maxMs: number };
  /** MAX_RA_DELAY_TIME for solicited replies: 500 ms by RFC 4861 §10; 0 answers at once. */
  readonly maxDelayMs: number;
  /** AdvManagedFlag. */
  readonly managed: boolean;
  /** AdvOtherConfigFlag. */
  readonly other: boolean;
  /** H (RFC 6275 §7.1). */
  readonly homeAgent: boolean;
  /** AdvDefaultLifetime, seconds; 0 = no default gateway. */
  readonly defaultLifetimeSeconds: number;
  readonly preference: RouterPreference;
  /** AdvCurHopLimit. */
  readonly hopLimit: number;
  /** AdvReachableTime. */
  readonly reachableTimeMs: number;
  /** AdvRetransTimer. */
  readonly retransTimerMs: number;
  /** AdvLinkMTU; 0 = not sent. */
  readonly mtu: number;
  readonly sourceLinkLayer: boolean;
  readonly prefixes: readonly PrefixConfig[];
  readonly routes: readonly RouteConfig[];
  readonly rdnss: RdnssConfig | undefined;
  readonly dnssl: { readonly domains: readonly string[]; readonly lifetimeSeconds: number } | undefined;
  /** RFC 8781; `auto` = the prefix that DNS here learned from its upstreams. */
  readonly pref64: { readonly prefix: Cidr | 'auto'; readonly lifetimeSeconds: number } | undefined;
  /** RFC 8910 §2.3; empty = not sent. */
  readonly captivePortal: string;
  readonly unicastOnly: boolean;
  /** Only these get replies; empty = all. */
  readonly clients: readonly Address[];
  /** These never get replies. */
  readonly deny: readonly Address[];
  /** The link-local address to send from; undefined = the interface's first. */
  readonly source: Address | undefined;
}
