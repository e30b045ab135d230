/**
 * Sockets that the service manager opened for us (socket activation, sd_listen_fds(3)): descriptors from 3 on, counted by
 * LISTEN_FDS, meant for the process LISTEN_PID, named by LISTEN_FDNAMES.
 */
import { type Endpoint, formatEndpoint, type InetEndpoint } from '../core/address.ts';
import { ValueError } from '../core/errors.ts';
import { AF_INET6, AF_UNIX, IPPROTO_IPV6, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET } from './constants.ts';
import { check } from './errors.ts';
import { closeFd, getSocketInt, kernelBuffer, libcCall, orErrno } from './libc.ts';
import { decodeSockaddr, encodeSockaddr } from './sockaddr.ts';
import { decodeSockaddrUn } from './sockaddr-un.ts';

const firstFd = 3;
/** More than any unit has; a number beyond is a mistake, not a request. */
const maxFds = 1024;
const storageBytes = 128; // struct sockaddr_storage

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const FD_CLOEXEC = 1;
const O_NONBLOCK = 0o4000;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const IPV6_V6ONLY = 26;

// Declared with its third argument: integers of a variadic call travel like any other on x86-64 and arm64 Linux.
const fcntlCall = libcCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);
const getsocknameCall = libcCall<(fd: number, address: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);

export type SocketType = 'stream' | 'dgram';

/** One socket that was passed to us, close-on-exec and non-blocking by now. */
export interface ListenFd {
  readonly fd: number;
  /** From LISTEN_FDNAMES, `FileDescriptorName=` of the unit; `unknown` as in sd_listen_fds_with_names(3). */
  readonly name: string;
  /** `other` for what is no stream or datagram socket. */
  readonly type: SocketType | 'other';
  /** What it is bound to; undefined for a family we have no use for. An abstract UNIX address begins with `@`. */
  readonly endpoint: Endpoint | undefined;
  /** A stream socket that listens. */
  readonly listening: boolean;
  /** An IPv6 socket that takes IPv4 too (IPV6_V6ONLY off). */
  readonly dualStack: boolean;
}

/** The sockets passed to us, until someone claims them. */
export class ListenFds {
  readonly #fds: ListenFd[];

  constructor(fds: readonly ListenFd[]) {
    this.#fds = [...fds];
  }

  /**
   * Reads the environment, takes the descriptors over and removes the variables, so that no child mistakes them for its own.
   * @throws {ValueError} when the variables contradict each other
   * @throws {SystemError} when a descriptor is not open
   */
  static take(environment: Record<string, string | undefined> = process.env, pid = process.pid): ListenFds {
    const { LISTEN_PID: forPid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = environment;
    for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete environment[name];
    // Meant for a parent of ours, which did not clean up.
    if (count === undefined || forPid !== String(pid)) return new ListenFds([]);
    if (!/^\d{1,4}$/.test(count) || Number(count) > maxFds) {
      throw new ValueError(`LISTEN_FDS="${count}" is no number of descriptors`);
    }
    const list = names === undefined ? [] : names.split(':');
    if (names !== undefined && list.length !== Number(count)) {
      throw new ValueError(`LISTEN_FDNAMES names ${list.length} descriptors, LISTEN_FDS has ${count}`);
    }
    return new ListenFds(Array.from({ length: Number(count) }, (_, i) => inspect(firstFd + i, list[i] || 'unknown')));
  }

  /** Sockets that nobody claimed. */
  get unclaimed(): readonly ListenFd[] {
    return this.#fds;
  }

  /** The socket bound to the endpoint, whose owner the caller becomes; undefined when none was passed. */
  claim(endpoint: Endpoint, type: SocketType): ListenFd | undefined {
    const at = this.#fds.findIndex(
      (entry) => entry.type === type && (type === 'dgram' || entry.listening) && isBoundTo(entry, endpoint),
    );
    return at < 0 ? undefined : this.#fds.splice(at, 1)[0];
  }

  /** All that nobody claimed; the caller becomes their owner. */
  takeAll(): ListenFd[] {
    return this.#fds.splice(0);
  }

  /** Closes what nobody claimed. */
  close(): void {
    for (const { fd } of this.#fds.splice(0)) closeFd(fd);
  }
}

function inspect(fd: number, name: string): ListenFd {
  check(orErrno(fcntlCall(fd, F_SETFD, FD_CLOEXEC)), 'fcntl', `F_SETFD ${fd} (${name})`);
  const flags = check(orErrno(fcntlCall(fd, F_GETFL, 0)), 'fcntl', `F_GETFL ${fd}`);
  check(orErrno(fcntlCall(fd, F_SETFL, flags | O_NONBLOCK)), 'fcntl', `F_SETFL ${fd}`);
  const number = getSocketInt(fd, SOL_SOCKET, SO_TYPE); // NaN for what is no socket
  const type = number === SOCK_STREAM ? 'stream' : number === SOCK_DGRAM ? 'dgram' : 'other';
  const address = kernelBuffer(storageBytes);
  const length = kernelBuffer(4);
  length.writeUInt32LE(storageBytes, 0);
  const named = getsocknameCall(fd, address, length) === 0;
  return {
    fd,
    name,
    type,
    endpoint: named ? endpointOf(address, length.readUInt32LE(0)) : undefined,
    listening: getSocketInt(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1,
    dualStack: named && address.readUInt16LE(0) === AF_INET6 && getSocketInt(fd, IPPROTO_IPV6, IPV6_V6ONLY) === 0,
  };
}

function endpointOf(address: Buffer, length: number): Endpoint | undefined {
  if (address.readUInt16LE(0) !== AF_UNIX) return decodeSockaddr(address);
  const path = decodeSockaddrUn(address, length);
  return path === undefined || path === '' ? undefined : { kind: 'unix', path };
}

function isBoundTo({ endpoint }: ListenFd, wanted: Endpoint): boolean {
  if (endpoint === undefined || endpoint.kind !== wanted.kind) return false;
  if (endpoint.kind === 'unix' || wanted.kind === 'unix') return formatEndpoint(endpoint) === formatEndpoint(wanted);
  return sameInet(endpoint, wanted);
}

/** By socket address, where zone ids are interface indexes: the kernel says `%2` for what the operator calls `%eth1`. */
function sameInet(a: InetEndpoint, b: InetEndpoint): boolean {
  try {
    return encodeSockaddr(a.address, a.port).equals(encodeSockaddr(b.address, b.port));
  } catch {
    return false; // the zone names no interface: nothing is bound there
  }
}
