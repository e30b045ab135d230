/** A simulated network and socket around `RaControl`, and configurations to start from. */
import { type Address, formatAddress, parseAddress, parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { type Random, SeededRandom } from '../../src/core/random.ts';
import type { StateFile } from '../../src/core/state-file.ts';
import type { Icmp6Handler, Icmp6Sender } from '../../src/linux/icmp6.ts';
import type { InterfaceAddress, Link, NetworkListener, NetworkView } from '../../src/linux/netlink.ts';
import type { PrefixConfig, RaInterfaceConfig } from '../../src/ra/config.ts';
import type { RaEvent } from '../../src/ra/context.ts';
import { RaControl } from '../../src/ra/control.ts';
import { raCounters, raGauges } from '../../src/ra/counters.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import type { PrefixInformation } from '../../src/ra/wire/prefix-information.ts';
import { parseRouterAdvertisement, type RouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';

export function prefix(text: string, more: Partial<PrefixConfig> = {}): PrefixConfig {
  return {
    prefix: parseCidr(text),
    onLink: true,
    autonomous: true,
    validSeconds: 86_400,
    preferredSeconds: 14_400,
    deprecateOnStop: false,
    validUntil: undefined,
    preferredUntil: undefined,
    routerAddress: false,
    ignore: [],
    ...more,
  };
}

/** The option that such a prefix becomes. */
export function prefixOption(text: string, more: Partial<PrefixInformation> = {}): PrefixInformation {
  const { prefix: cidr, onLink, autonomous, validSeconds, preferredSeconds } = prefix(text);
  return { kind: 'prefix-information', prefix: cidr, onLink, autonomous, validSeconds, preferredSeconds, ...more };
}

/** What the configuration of the original setup comes to: prefix, RDNSS and DNSSL, no default router. */
export function raConfig(more: Partial<RaInterfaceConfig> = {}): RaInterfaceConfig {
  return {
    interface: 'eth1',
    interval: { minMs: 200_000, maxMs: 600_000 },
    maxDelayMs: 500,
    managed: false,
    other: false,
    homeAgent: false,
    defaultLifetimeSeconds: 0,
    preference: 'medium',
    hopLimit: 64,
    reachableTimeMs: 0,
    retransTimerMs: 0,
    mtu: 0,
    sourceLinkLayer: true,
    prefixes: [prefix('fd00:6:6::/64')],
    routes: [],
    rdnss: { servers: [parseAddress('fd00:6:6::1')], lifetimeSeconds: 1800, whileHealthy: false },
    dnssl: { domains: ['cluster.test'], lifetimeSeconds: 1800 },
    pref64: undefined,
    captivePortal: '',
    unicastOnly: false,
    clients: [],
    deny: [],
    source: undefined,
    ...more,
  };
}

export const ownLinkLocal = 'fe80::1';

export function address(text: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress {
  const [host, length] = text.split('/');
  return {
    address: parseAddress(host!),
    prefixLength: Number(length ?? 64),
    tentative: false,
    deprecated: false,
    temporary: false,
    dadFailed: false,
    scope: host!.startsWith('fe80') ? 'link' : 'global',
    ...more,
  };
}

export class FakeNetwork implements NetworkView {
  #links: Link[] = [];
  readonly #addresses = new Map<number, InterfaceAddress[]>();
  readonly #listeners = new Set<NetworkListener>();

  link(name: string): Link | undefined {
    return this.#links.find((link) => link.name === name);
  }
  links(): Link[] {
    return this.#links;
  }
  addresses(ifindex: number): readonly InterfaceAddress[] {
    return this.#addresses.get(ifindex) ?? [];
  }
  onChange(listener: NetworkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  setLink(link: Partial<Link> & { index: number }): void {
    const before = this.#links.find((other) => other.index === link.index);
    const whole = { name: 'eth1', up: true, mtu: 1500, mac: Buffer.from('020000000001', 'hex'), ...before, ...link };
    this.#links = [...this.#links.filter((other) => other.index !== link.index), whole];
    this.#emit(link.index);
  }
  /** In one look, as after events were lost: another interface of the same name. */
  replaceLink(index: number, by: number, ...addresses: InterfaceAddress[]): void {
    this.#links = this.#links.map((link) => (link.index === index ? { ...link, index: by } : link));
    this.#addresses.delete(index);
    this.#addresses.set(by, addresses);
    this.#emit(index);
    this.#emit(by);
  }
  removeLink(index: number): void {
    this.#links = this.#links.filter((link) => link.index !== index);
    this.#addresses.delete(index);
    this.#emit(index);
  }
  setAddresses(index: number, ...addresses: InterfaceAddress[]): void {
    this.#addresses.set(index, addresses);
    this.#emit(index);
  }
  #emit(index: number): void {
    for (const listener of this.#listeners) listener(index);
  }
}

/** One packet that was sent. */
export interface Sent {
  readonly at: number;
  readonly to: string;
  readonly from: string;
  readonly ifindex: number;
  readonly bytes: Uint8Array;
  readonly foreign: boolean;
  readonly ra: RouterAdvertisement;
}

export class FakeSocket implements Icmp6Sender {
  readonly sent: Sent[] = [];
  readonly groups = new Set<string>();
  /** Errno that the next sends fail with; 0 = none. */
  failWith = 0;
  /** The kernel's neighbour table: multicasts go past it, others fail. */
  tableIsFull = false;
  /** The same of joins. */
  joinFailsWith = 0;
  closed = false;
  pastNeighbours = 0;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }
  join(group: Address, ifindex: number): number {
    if (this.joinFailsWith !== 0) return -this.joinFailsWith;
    this.groups.add(`${formatAddress(group)}%${ifindex}`);
    return 0;
  }
  leave(group: Address, ifindex: number): number {
    this.groups.delete(`${formatAddress(group)}%${ifindex}`);
    return 0;
  }
  send(bytes: Uint8Array, destination: Address, ifindex: number, source: Address, foreign = false): number {
    if (this.failWith !== 0) return -this.failWith;
    if (this.tableIsFull && destination.bytes[0] !== 0xff) return -EINVAL;
    if (this.tableIsFull) this.pastNeighbours++;
    this.sent.push({
      at: this.#clock.now(),
      to: formatAddress(destination),
      from: formatAddress(source),
      ifindex,
      bytes: Uint8Array.from(bytes),
      foreign,
      ra: parseRouterAdvertisement(bytes, { source, hopLimit: 255 }),
    });
    return bytes.length;
  }
  close(): void {
    this.closed = true;
  }
}

/** Everything around one `RaControl`. */
export class Harness {
  readonly clock = new FakeClock();
  readonly network = new FakeNetwork();
  readonly log = new MemoryLogger();
  readonly counters = CounterStripe.alone(raCounters.length, raGauges.length);
  readonly socket = new FakeSocket(this.clock);
  readonly events: RaEvent[] = [];
  readonly sysctl = new Map<string, string>([
    ['net/ipv6/conf/eth1/forwarding', '1'],
    ['net/ipv6/conf/eth1/accept_ra', '0'],
  ]);
  readonly control: RaControl;
  #handler: Icmp6Handler | undefined;

  constructor(random: Random = new SeededRandom(1), stateFile?: StateFile) {
    this.control = new RaControl({
      clock: this.clock,
      random,
      log: this.log,
      counters: this.counters,
      network: this.network,
      sysctl: {
        read: (path) => this.sysctl.get(path),
        write: (path, value) => this.sysctl.set(path, value) !== undefined,
      },
      openSocket: (handler) => {
        this.#handler = handler;
        return this.socket;
      },
      ...(stateFile !== undefined && { stateFile }),
      emit: (event) => void this.events.push(event),
    });
  }

  /** With eth1 up and ready, index 7, started, and the first advertisement sent. */
  static async advertising(config = raConfig(), random?: Random, stateFile?: StateFile): Promise<Harness> {
    const harness = new Harness(random, stateFile);
    harness.network.setLink({ index: 7 });
    harness.network.setAddresses(7, address(ownLinkLocal), address('fd00:6:6::1'));
    await harness.control.start([config]);
    harness.clock.advance(0);
    return harness;
  }

  receive(hex: string, from: string, more: { hopLimit?: number; ifindex?: number; fragmented?: boolean } = {}): void {
    this.#handler!({
      bytes: Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex'),
      source: parseAddress(from),
      destination: parseAddress('ff02::2'),
      ifindex: more.ifindex ?? 7,
      hopLimit: more.hopLimit ?? 255,
      fragmented: more.fragmented ?? false,
    });
  }

  /** A valid solicitation. */
  solicit(from: string, ifindex?: number): void {
    this.receive('85 00 0000 00000000', from, ifindex === undefined ? {} : { ifindex });
  }

  /** Takes what was sent since the last time. */
  take(): Sent[] {
    return this.socket.sent.splice(0);
  }
}

/** Always the same fraction. */
export function fixedRandom(fraction: number): Random {
  return { fraction: () => fraction, below: (limit) => Math.floor(fraction * limit), fill: (bytes) => bytes };
}

/** errno of a send that fails. */
export const EINVAL = 22;
export const ENOMEM = 12;

/** Milliseconds between advertisements. */
export const gaps = (sent: readonly Sent[]): number[] => sent.slice(1).map((one, i) => one.at - sent[i]!.at);

/** The options of one kind. */
export const option = <K extends NdOption['kind']>(sent: Sent, kind: K): Extract<NdOption, { kind: K }>[] =>
  sent.ra.options.filter((one) => one.kind === kind) as Extract<NdOption, { kind: K }>[];
