/** What data threads get of the `dns` section. */
import type { Cidr, InetEndpoint } from '../core/address.ts';
import type { CounterTable } from '../core/counters.ts';
import { type DnsConfig, type ForwardConfig, noDns, type ZoneConfig } from '../dns/config.ts';
import { upstreamName } from '../dns/forwarder/upstream.ts';
import {
  upstreamCounterBase,
  upstreamSlotSize,
  upstreamSlots,
  zoneCounterBase,
  zoneSlotSize,
  zoneSlots,
} from '../dns/slot-counters.ts';
import type { DnsSettings } from '../dns/snapshot.ts';
import { dnsCounterBase } from './counter-layout.ts';
import { NamedSlots } from './named-slots.ts';

/** Makes settings of configurations, and remembers which slot of the counters is whose. */
export class DnsSettingsMaker {
  readonly zones: NamedSlots;
  readonly upstreams: NamedSlots;
  readonly #threads: number;
  /** Server cookies are good in all threads, until the next start. */
  readonly #cookieSecret: Uint8Array;

  /** @param cookieSecret 16 octets */
  constructor(threads: number, counters: CounterTable, cookieSecret: Uint8Array) {
    this.#threads = threads;
    this.#cookieSecret = cookieSecret;
    this.zones = new NamedSlots(zoneSlots, (slot) =>
      counters.clear(dnsCounterBase + zoneCounterBase(slot), zoneSlotSize),
    );
    this.upstreams = new NamedSlots(upstreamSlots, (slot) =>
      counters.clear(dnsCounterBase + upstreamCounterBase(slot), upstreamSlotSize),
    );
  }

  /** What each data thread may know of the configuration, no keys, and its share of the cache's memory. */
  make(dns: DnsConfig = noDns): DnsSettings {
    const { keys: _, zones, forward, ...others } = dns;
    this.zones.apply(zones.map(({ name }) => name));
    this.upstreams.apply(forward === undefined ? [] : allUpstreams(forward));
    const slots = {
      zones: Object.fromEntries(this.zones.slots),
      upstreams: Object.fromEntries(this.upstreams.slots),
    };
    const settings = {
      ...others,
      cookieSecret: this.#cookieSecret,
      slots,
      zonePeers: zones.flatMap(peersOf),
      openTransfers: Object.fromEntries(zones.filter(isOpen).map(({ name, transfer }) => [name, transfer.allow])),
    };
    if (forward === undefined) return { ...settings, forward };
    const { cache } = forward;
    const sizeBytes = Math.floor(cache.sizeBytes / this.#threads);
    return { ...settings, forward: { ...forward, cache: { ...cache, sizeBytes } } };
  }
}

function allUpstreams({ upstreams, domains }: ForwardConfig): string[] {
  return [upstreams, ...domains.map((each) => each.upstreams)].flat().map(upstreamName);
}

/** Whether addresses alone are enough to be given the zone whole. */
function isOpen({ transfer }: ZoneConfig): boolean {
  return transfer.key === undefined && transfer.allow.length > 0;
}

/** Other servers that have to do with a zone, and clients whose updates we pass on. */
function peersOf({ transfer, secondary }: ZoneConfig): Cidr[] {
  const single = ({ address }: InetEndpoint): Cidr => ({ base: address, length: 8 * address.bytes.length });
  const { primaries = [], allowNotify = [], allowUpdateForwarding = [] } = secondary ?? {};
  return [
    ...transfer.allow,
    ...transfer.notify.map(single),
    ...primaries.map(single),
    ...allowNotify,
    ...allowUpdateForwarding,
  ];
}
