/** What the radvd of this host advertises, and what our configuration would: asked on each interface, compared in our words. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Address, equalAddress, isLinkLocal } from '../../core/address.ts';
import { systemClock } from '../../core/clock.ts';
import { WireError } from '../../core/errors.ts';
import { nullLogger } from '../../core/logger.ts';
import { Icmp6Socket } from '../../linux/icmp6.ts';
import { NetworkMonitor } from '../../linux/netlink.ts';
import { Reactor } from '../../linux/reactor.ts';
import { buildAdvertisement } from '../../ra/advertisement.ts';
import { asConfig } from '../../ra/as-config.ts';
import type { RaInterfaceConfig } from '../../ra/config.ts';
import { encodeOption, type NdOption } from '../../ra/wire/options.ts';
import { ROUTER_ADVERTISEMENT } from '../../ra/wire/packet.ts';
import { parseRouterAdvertisement, type RouterAdvertisement } from '../../ra/wire/router-advertisement.ts';
import { encodeRouterSolicitation } from '../../ra/wire/router-solicitation.ts';
import type { Compared, Difference } from './report.ts';

/** A router may leave 3 s between two multicasts, and wait half a second before (RFC 4861 §10). */
const answerMs = 4_500;
/** One that splits its options sends the others directly behind. */
const moreMs = 300;

/**
 * Solicits as a node would, from this host itself; waits some seconds for each interface whose router says nothing.
 * @throws {SystemError} EPERM without CAP_NET_RAW
 */
export async function compareRa(interfaces: readonly RaInterfaceConfig[]): Promise<Compared> {
  const reactor = new Reactor();
  const network = new NetworkMonitor({ reactor, clock: systemClock, log: nullLogger });
  try {
    await network.start();
    const parts = await Promise.all(interfaces.map((each) => compareInterface(each, network)));
    return {
      count: parts.reduce((sum, { count }) => sum + count, 0),
      differences: parts.flatMap(({ differences }) => differences),
      remarks: parts.flatMap(({ remarks }) => remarks),
    };
  } finally {
    network.close();
    reactor.close();
  }
}

async function compareInterface(config: RaInterfaceConfig, network: NetworkMonitor): Promise<Compared> {
  const nothing = (why: string): Compared => ({
    count: 0,
    differences: [],
    remarks: [`advertisements on ${config.interface} were not compared: ${why}`],
  });
  const link = network.link(config.interface);
  if (link === undefined) return nothing('there is no such interface');
  const addresses = network.addresses(link.index);
  const own = addresses.map(({ address }) => address).filter((each) => each.family === 6 && isLinkLocal(each));
  const [from] = own;
  if (from === undefined) return nothing('it has no link-local address');
  const heard = await hear(link.index, from, own);
  if (heard.length === 0) return nothing(`nobody on this host answered a solicitation within ${answerMs / 1000} s`);
  const differences = compareAdvertisements(
    config.interface,
    merged(heard),
    buildAdvertisement(config, link, addresses),
  );
  const remarks =
    config.pref64?.prefix === 'auto'
      ? [`pref64 on ${config.interface} is what the upstreams will say: it was not compared`]
      : [];
  return { count: 1, differences, remarks };
}

/** The advertisements that come from one of our own addresses, the first and what follows it at once. */
async function hear(ifindex: number, from: Address, own: readonly Address[]): Promise<RouterAdvertisement[]> {
  const heard: RouterAdvertisement[] = [];
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  const socket = new Icmp6Socket([ROUTER_ADVERTISEMENT], (packet) => {
    if (packet.ifindex !== ifindex || !own.some((each) => equalAddress(each, packet.source))) return;
    try {
      heard.push(parseRouterAdvertisement(packet.bytes, packet));
      resolve();
    } catch (error) {
      // Hosts ignore it, too.
      if (!(error instanceof WireError)) throw error;
    }
  });
  try {
    // To this host alone: nodes and other routers need not hear of it.
    socket.send(encodeRouterSolicitation({ options: [] }), from, ifindex, from);
    await Promise.race([answered, sleep(answerMs)]);
    if (heard.length > 0) await sleep(moreMs);
    return heard;
  } finally {
    socket.close();
  }
}

/** The parts of an advertisement that was split, as one; each option once. */
function merged(parts: readonly RouterAdvertisement[]): RouterAdvertisement {
  const options = new Map<string, NdOption>();
  for (const option of parts.flatMap((each) => each.options)) {
    options.set(Buffer.from(encodeOption(option)).toString('latin1'), option);
  }
  return { ...parts[0]!, options: [...options.values()] };
}

/** Setting by setting, as `ra` has them. */
function compareAdvertisements(name: string, old: RouterAdvertisement, ours: RouterAdvertisement): Difference[] {
  const [before, after] = [old, ours].map((each) => {
    const { entry, remarks } = asConfig(each);
    return { ...entry, ...(remarks.length > 0 && { others: remarks }) } as Record<string, unknown>;
  }) as [Record<string, unknown>, Record<string, unknown>];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((part): Difference[] => {
    const [old, ours] = [textOf(before[part]), textOf(after[part])];
    return old === ours ? [] : [{ of: 'ra', what: name, part, old, ours, accepted: undefined }];
  });
}

/** Lists as sets: nodes do not care for the order. */
function textOf(value: unknown): string {
  if (value === undefined) return 'not sent';
  if (Array.isArray(value)) return value.map(textOf).sort().join('; ') || 'none';
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([key, each]) => `${key} ${textOf(each)}`)
    .join(', ');
}
