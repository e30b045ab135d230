/** `ra watch`: decodes the router advertisements of other hosts on the wire, and prints them as our configuration would say them. */
import { formatAddress } from '../../core/address.ts';
import { systemClock } from '../../core/clock.ts';
import { ValueError, WireError } from '../../core/errors.ts';
import { nullLogger } from '../../core/logger.ts';
import { type Icmp6Packet, Icmp6Socket } from '../../linux/icmp6.ts';
import { NetworkMonitor } from '../../linux/netlink.ts';
import { Reactor } from '../../linux/reactor.ts';
import { asConfig } from '../../ra/as-config.ts';
import { advertisementJson } from '../../ra/status.ts';
import { ROUTER_ADVERTISEMENT } from '../../ra/wire/packet.ts';
import { parseRouterAdvertisement } from '../../ra/wire/router-advertisement.ts';
import { yamlOf } from './yaml.ts';

/** What to watch, and how to print it. */
export interface WatchOptions {
  /** This interface alone. */
  readonly interface: string | undefined;
  readonly json: boolean;
  /** Ends after as many. */
  readonly count: number | undefined;
}

/**
 * Watches until `count` advertisements came or `signal` is given.
 * @throws {ValueError} there is no such interface
 * @throws {SystemError} EPERM without CAP_NET_RAW
 */
export async function watchAdvertisements(
  options: WatchOptions,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const reactor = new Reactor();
  const network = new NetworkMonitor({ reactor, clock: systemClock, log: nullLogger });
  let socket: Icmp6Socket | undefined;
  try {
    await network.start();
    if (options.interface !== undefined && network.link(options.interface) === undefined) {
      throw new ValueError(`there is no interface ${options.interface}`);
    }
    await new Promise<void>((resolve) => {
      let left = options.count ?? Number.POSITIVE_INFINITY;
      socket = new Icmp6Socket([ROUTER_ADVERTISEMENT], (packet) => {
        const name = network.links().find((link) => link.index === packet.ifindex)?.name ?? `#${packet.ifindex}`;
        if (left === 0 || (options.interface !== undefined && name !== options.interface)) return;
        write(describe(packet, name, options.json));
        if (--left === 0) resolve();
      });
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve());
    });
  } finally {
    socket?.close();
    network.close();
    reactor.close();
  }
}

function describe(packet: Icmp6Packet, name: string, json: boolean): string {
  const at = new Date().toISOString();
  const source = formatAddress(packet.source);
  try {
    const advertisement = parseRouterAdvertisement(packet.bytes, packet);
    if (json) {
      return `${JSON.stringify({ at, interface: name, source, advertisement: advertisementJson(advertisement) })}\n`;
    }
    const config = asConfig(advertisement);
    const entry = { interface: name, ...config.entry };
    return `# ${at} from ${source}, ${packet.bytes.length} octets\n${yamlOf([entry], config.remarks)}\n`;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    if (json) return `${JSON.stringify({ at, interface: name, source, invalid: error.message })}\n`;
    return `# ${at} from ${source} on ${name}: invalid, hosts ignore it: ${error.message}\n\n`;
  }
}
