/** From a host's network to what a configuration for it needs; what it could not know is said. */
import { type Address, formatAddress, isLinkLocal, maskAddress, parseAddress } from '../../core/address.ts';
import { ValueError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import type { Host, HostAddress, HostInterface } from './host.ts';

/** What the operator said himself. */
export interface Wishes {
  readonly privateInterface: string | undefined;
  readonly zone: string | undefined;
  readonly upstreams: readonly string[];
}

/** A value, and what to say beside it when it is a guess. */
export interface Guess<T> {
  readonly value: T;
  readonly doubt: string | undefined;
}

export interface Draft {
  readonly privateInterface: Guess<string>;
  /** Ours on the private network. */
  readonly address: Guess<string>;
  /** `fd00:6:6::/64`. */
  readonly prefix: string;
  readonly zone: Guess<string>;
  readonly upstreams: Guess<readonly string[]>;
  /** Of the interfaces with a default route. */
  readonly publicAddresses: readonly string[];
}

const defaultZone = 'cluster.internal';
/** For documentation (RFC 3849): no query reaches it, so nothing wrong comes of a mark overlooked. */
const noUpstream = '2001:db8::53';

/** @throws {ValueError} the host has no interface of that name */
export function draftFor(host: Host, wishes: Wishes, random: Random): Draft {
  const chosen = choosePrivate(host, wishes.privateInterface);
  const { address, prefix } = chooseAddress(
    host.interfaces.find(({ name }) => name === chosen.value),
    random,
  );
  return {
    privateInterface: chosen,
    address,
    prefix,
    zone:
      wishes.zone === undefined
        ? { value: defaultZone, doubt: 'the zone of the nodes’ names; any you like that nobody else has' }
        : { value: wishes.zone, doubt: undefined },
    upstreams: chooseUpstreams(host, wishes.upstreams),
    publicAddresses: host.interfaces
      .filter(({ defaultRoutes }) => defaultRoutes.length > 0)
      .flatMap(({ addresses }) => addresses)
      .filter((each) => !isLinkLocal(parseAddress(each.address)))
      .map((each) => each.address),
  };
}

function choosePrivate(host: Host, wish: string | undefined): Guess<string> {
  const names = host.interfaces.map(({ name }) => name);
  if (wish !== undefined) {
    if (!names.includes(wish)) {
      throw new ValueError(`there is no interface ${wish} (there are: ${names.join(', ') || 'none'})`);
    }
    return { value: wish, doubt: undefined };
  }
  const idle = host.interfaces.filter(({ defaultRoutes }) => defaultRoutes.length === 0);
  // One without any address is not in use: a link-local one comes with being up.
  const used = idle.filter(({ addresses }) => addresses.length > 0);
  const candidates = used.length > 0 ? used : idle;
  const withUla = candidates.filter(({ addresses }) => addresses.some(isUla));
  const [first, ...others] = withUla.length > 0 ? withUla : candidates;
  if (first === undefined) {
    return {
      value: names.at(-1) ?? 'eth1',
      doubt: 'the private interface: every interface here has a default route, so this one may be wrong',
    };
  }
  if (others.length === 0) return { value: first.name, doubt: undefined };
  return {
    value: first.name,
    doubt: `the private interface: ${others.map(({ name }) => name).join(' and ')} would do as well`,
  };
}

function chooseAddress(chosen: HostInterface | undefined, random: Random): { address: Guess<string>; prefix: string } {
  const found =
    chosen?.addresses.find(isUla) ??
    chosen?.addresses.find(({ address, family }) => family === 6 && !isLinkLocal(parseAddress(address)));
  if (found !== undefined) {
    const address = parseAddress(found.address);
    const doubt =
      found.length === 64
        ? undefined
        : `its prefix has length ${found.length} on this host; addresses are made by nodes in a /64 alone (RFC 4862)`;
    return {
      address: { value: formatAddress(address), doubt },
      prefix: `${formatAddress(maskAddress(address, 64))}/64`,
    };
  }
  const base = uniqueLocalPrefix(random);
  const own: Address = { ...base, bytes: Uint8Array.from(base.bytes, (byte, i) => (i === 15 ? 1 : byte)) };
  return {
    address: {
      value: formatAddress(own),
      doubt: `${chosen?.name ?? 'the private interface'} has no such address yet: add it, and for good in this host’s network configuration`,
    },
    prefix: `${formatAddress(base)}/64`,
  };
}

/** RFC 4193 §3.2: 40 random bits behind fd00::/8, subnet 0. */
function uniqueLocalPrefix(random: Random): Address {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(random.fill(new Uint8Array(5)), 1);
  return { family: 6, bytes };
}

function isUla({ address, family }: HostAddress): boolean {
  return family === 6 && (parseAddress(address).bytes[0]! & 0xfe) === 0xfc;
}

function chooseUpstreams(host: Host, wishes: readonly string[]): Guess<readonly string[]> {
  if (wishes.length > 0) return { value: wishes, doubt: undefined };
  if (host.nameServers.length === 0) {
    return { value: [noUpstream], doubt: 'a resolver with DNS64; this host knows none at all' };
  }
  return {
    value: host.nameServers,
    doubt:
      'a resolver with DNS64, if nodes must reach IPv4; these are the host’s own (v6edge query ipv4only.arpa --server ADDRESS tells)',
  };
}
