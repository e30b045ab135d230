/** Everything that the engines and the kernel know of nodes at one moment, and which of it belongs to one node. */
import { networkInterfaces } from 'node:os';
import { cidrContains, parseAddress } from '../../core/address.ts';
import { type NeighbourState, readNeighbours } from '../../linux/neighbours.ts';
import { isEachPrefix } from '../../ra/advertisement.ts';
import type { RaInterfaceStatus } from '../../ra/status.ts';
import type { PoolReport } from '../admin/source.ts';
import type { EdgeConfig } from '../config/types.ts';
import type { Edge } from '../edge.ts';
import { type HostName, possibleNames, readHosts } from './hosts.ts';
import { addressText, formatMac, type LedgerEntry } from './ledger.ts';

/** An entry of the kernel's neighbour cache. */
export interface NeighbourEntry {
  readonly address: string;
  readonly state: NeighbourState;
  readonly mac: string | undefined;
  readonly interface: string | undefined;
}

/** Queries of one client, over all threads. */
export interface Asked {
  readonly queries: number;
  readonly refused: number;
  readonly last: number;
}

export interface Evidence {
  /** Wall-clock milliseconds. */
  readonly now: number;
  readonly since: number;
  readonly config: EdgeConfig;
  /** The edge's own. */
  readonly own: ReadonlySet<string>;
  readonly hosts: readonly HostName[];
  readonly neighbours: readonly NeighbourEntry[];
  readonly ledger: readonly LedgerEntry[];
  /** Which addresses have which MAC, or had it once, or are made of it. */
  readonly macs: {
    readonly ofAddress: ReadonlyMap<string, string>;
    readonly addresses: ReadonlyMap<string, ReadonlySet<string>>;
  };
  readonly asked: ReadonlyMap<string, Asked>;
  readonly pools: readonly PoolReport[];
  readonly ra: readonly RaInterfaceStatus[];
  readonly zones: readonly string[];
}

/** What belongs to one node. */
export interface NodeEvidence {
  readonly node: string;
  readonly hosts: readonly HostName[];
  readonly addresses: readonly string[];
}

/** @param wanted a name that is looked for also in large zones */
export async function gather(edge: Edge, pools: readonly PoolReport[], wanted: string | undefined): Promise<Evidence> {
  const { config } = edge;
  const ra = edge.ra.status();
  const neighbours = readNeighbourEntries(ra);
  edge.nodes.learn(neighbours);
  const evidence = {
    now: edge.clock.wall(),
    since: edge.nodes.since,
    config,
    own: ownAddresses(),
    hosts: config.dns === undefined ? [] : readHosts(edge.dns, wanted),
    neighbours,
    ledger: edge.nodes.all(),
    asked: sumClients(await edge.threads.clients()),
    pools,
    ra,
    zones: config.dns === undefined ? [] : edge.dns.zones().map(({ name }) => name),
  };
  return { ...evidence, macs: groupByMac(evidence, edge.nodes.macs) };
}

/** The cache, with the names of interfaces as far as they are known; empty where it cannot be read. */
export function readNeighbourEntries(
  ra: readonly Pick<RaInterfaceStatus, 'interface' | 'ifindex'>[],
): NeighbourEntry[] {
  const names = new Map<number, string>();
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const each of addresses ?? []) if (each.family === 'IPv6' && each.scopeid > 0) names.set(each.scopeid, name);
  }
  for (const { ifindex, interface: name } of ra) if (ifindex !== undefined) names.set(ifindex, name);
  try {
    return readNeighbours().map(({ index, address, state, mac }) => ({
      address: addressText(address),
      state,
      mac: formatMac(mac),
      interface: names.get(index),
    }));
  } catch {
    return [];
  }
}

/** The node that a name, an address or a MAC stands for; undefined: nothing is known of it. */
export function findNode(evidence: Evidence, text: string): NodeEvidence | undefined {
  const seeds = new Set<string>();
  const macs = new Set<string>();
  const wanted = text.toLowerCase();
  const address = readAddress(wanted);
  if (address !== undefined) seeds.add(address);
  else if (/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/.test(wanted)) macs.add(wanted.replaceAll('-', ':'));
  else {
    const names = new Set(possibleNames(text, evidence.zones));
    for (const host of evidence.hosts) if (names.has(host.name)) seeds.add(host.address);
    for (const each of evidence.ledger) if ([...each.names].some((name) => names.has(name))) seeds.add(each.address);
    for (const member of evidence.pools.flatMap(({ members }) => members)) {
      const name = member.name.toLowerCase();
      if (names.has(name) || name.split('.')[0] === wanted) seeds.add(member.address);
    }
  }
  const addresses = withSameMac(evidence, seeds, macs);
  const known = addresses.filter((each) => isKnown(evidence, each));
  if (known.length === 0) return undefined;
  return nodeOf(evidence, addresses, address === undefined && macs.size === 0 ? wanted.replace(/\.$/, '') : undefined);
}

/**
 * Every node, each once: by its names, by members of pools, by who solicits or updates.
 * @param most that are put together; of the others the addresses are counted
 */
export function allNodes(evidence: Evidence, most: number): { nodes: NodeEvidence[]; more: number } {
  const routers = new Set(evidence.ra.flatMap((one) => one.routers.map(({ source }) => source)));
  const candidates = [
    ...evidence.hosts.map(({ address }) => address),
    ...evidence.pools.flatMap(({ members }) => members.map(({ address }) => address)),
    ...evidence.ledger.map(({ address }) => address),
  ];
  const seen = new Set<string>();
  const nodes: NodeEvidence[] = [];
  let more = 0;
  for (const address of candidates) {
    if (seen.has(address) || evidence.own.has(address) || routers.has(address) || address === '::') continue;
    const addresses = withSameMac(evidence, new Set([address]), new Set());
    for (const each of addresses) seen.add(each);
    if (nodes.length < most) nodes.push(nodeOf(evidence, addresses, undefined));
    else more++;
  }
  return { nodes, more };
}

/** Whether an address lies in a prefix that an interface advertises. */
export function isAdvertised({ config, ra }: Pick<Evidence, 'config' | 'ra'>, address: string): boolean {
  return interfaceOfPrefix({ config, ra }, address) !== undefined;
}

/** Link-local addresses that hosts of such MACs most likely have (RFC 4291 §2.5.6, appendix A). */
export function likelyLinkLocals(addresses: readonly string[]): string[] {
  const likely = addresses.filter((each) => eui64(each) !== undefined).map((each) => linkLocalOf(each));
  return [...new Set(likely)].filter((each) => !addresses.includes(each));
}

function linkLocalOf(address: string): string {
  const bytes = parseAddress('fe80::').bytes.slice();
  bytes.set(parseAddress(address).bytes.subarray(8), 8);
  return addressText({ family: 6, bytes });
}

/** The interface that advertises the prefix of an address. */
export function interfaceOfPrefix({ config }: Pick<Evidence, 'config' | 'ra'>, address: string): string | undefined {
  const { family, bytes } = parseAddress(address);
  if (family !== 6) return undefined;
  const own = networkInterfaces();
  return config.ra.find((one) =>
    one.prefixes.some(({ prefix }) => {
      if (!isEachPrefix(prefix)) return cidrContains(prefix, bytes);
      return (own[one.interface] ?? []).some((each) => {
        if (each.family !== 'IPv6' || each.scopeid !== 0) return false;
        const theirs = parseAddress(each.address).bytes;
        return Buffer.compare(theirs.subarray(0, 8), bytes.subarray(0, 8)) === 0;
      });
    }),
  )?.interface;
}

function nodeOf(evidence: Evidence, addresses: readonly string[], asked: string | undefined): NodeEvidence {
  const hosts = evidence.hosts.filter(({ address }) => addresses.includes(address));
  const { pools, ledger } = evidence;
  const member = pools.flatMap(({ members }) => members).find(({ address }) => addresses.includes(address));
  // The name that has the fewest addresses is the node's own; others may be of a service that it takes part in.
  const weight = (name: string) => evidence.hosts.filter((host) => host.name === name).length;
  const names = [...new Set(hosts.map(({ name }) => name))].sort((a, b) => weight(a) - weight(b));
  const tried = ledger.filter(({ address }) => addresses.includes(address)).flatMap((each) => [...each.names]);
  return { node: asked ?? names[0] ?? member?.name ?? tried[0] ?? addresses[0]!, hosts, addresses };
}

/** The addresses of whoever has one of these: all that share a MAC with them. */
function withSameMac({ macs }: Evidence, seeds: ReadonlySet<string>, seedMacs: ReadonlySet<string>): string[] {
  const wanted = new Set(seedMacs);
  for (const address of seeds) {
    const mac = macs.ofAddress.get(address) ?? eui64(address);
    if (mac !== undefined) wanted.add(mac);
  }
  return [...new Set([...seeds, ...[...wanted].flatMap((mac) => [...(macs.addresses.get(mac) ?? [])])])];
}

/** Which addresses belong together, from all that is known; the edge's own are nobody else's. */
export function groupByMac(
  evidence: Omit<Evidence, 'macs'>,
  remembered: ReadonlyMap<string, string>,
): Evidence['macs'] {
  const known: Iterable<readonly [address: string, mac: string | undefined]>[] = [
    evidence.neighbours.map(({ address, mac }) => [address, mac] as const),
    evidence.ledger.map(({ address, mac }) => [address, mac] as const),
    remembered,
    evidence.hosts.map(({ address }) => [address, undefined] as const),
    evidence.pools.flatMap(({ members }) => members.map(({ address }) => [address, undefined] as const)),
  ];
  const ofAddress = new Map<string, string>();
  const addresses = new Map<string, Set<string>>();
  for (const [address, told] of known.flatMap((each) => [...each])) {
    const mac = told ?? eui64(address);
    if (mac === undefined || evidence.own.has(address)) continue;
    if (!ofAddress.has(address)) ofAddress.set(address, mac);
    const group = addresses.get(mac) ?? new Set();
    addresses.set(mac, group.add(address));
  }
  return { ofAddress, addresses };
}

/** The MAC that an interface identifier was made of (RFC 4291 appendix A). */
function eui64(text: string): string | undefined {
  const { family, bytes } = parseAddress(text);
  if (family !== 6 || bytes[11] !== 0xff || bytes[12] !== 0xfe) return undefined;
  return formatMac(Uint8Array.of(bytes[8]! ^ 2, bytes[9]!, bytes[10]!, bytes[13]!, bytes[14]!, bytes[15]!));
}

function isKnown(evidence: Evidence, address: string): boolean {
  return (
    evidence.hosts.some((host) => host.address === address) ||
    evidence.neighbours.some((each) => each.address === address) ||
    evidence.ledger.some((each) => each.address === address) ||
    evidence.asked.has(address) ||
    evidence.pools.some(({ members }) => members.some((member) => member.address === address))
  );
}

function readAddress(text: string): string | undefined {
  try {
    return addressText(parseAddress(text.replace(/%.*$/, '')));
  } catch {
    return undefined;
  }
}

function ownAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(all.map(({ address }) => addressText(parseAddress(address.replace(/%.*$/, '')))));
}

function sumClients(lists: Awaited<ReturnType<Edge['threads']['clients']>>): Map<string, Asked> {
  const sums = new Map<string, Asked>();
  for (const { address, queries, refused, last } of lists.flat()) {
    const plain = addressText(parseAddress(address));
    const sum = sums.get(plain);
    sums.set(plain, {
      queries: queries + (sum?.queries ?? 0),
      refused: refused + (sum?.refused ?? 0),
      last: Math.max(last, sum?.last ?? 0),
    });
  }
  return sums;
}
