/**
 * Whether a port is free, and whether an address is this host's (bind(2), socket(7)).
 *
 * Data threads share their ports with SO_REUSEPORT, and the kernel lets any process of the same user in with them: a second
 * daemon would silently get half of the traffic. A socket without that option is refused as soon as anyone listens.
 */
import type { Address, InetEndpoint } from '../core/address.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.ts';
import { check } from './errors.ts';
import { closeFd, libcCall, orErrno, setSocketInt } from './libc.ts';
import { encodeSockaddr } from './sockaddr.ts';

const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_FREEBIND = 78;

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int bind(int fd, void *name, uint length)',
);

/**
 * Binds to the endpoint alone and lets go of it again. Connections of a daemon that has ended don't count.
 * @returns 0, or -errno: -EADDRINUSE when another socket listens there, -EACCES without the right to use the port
 * @throws {ValueError} when a zone id names no interface
 * @throws {SystemError} when there is no socket to be had
 */
export function probeBind({ address, port }: InetEndpoint, transport: 'tcp' | 'udp'): number {
  const name = encodeSockaddr(address, port);
  const v6 = address.family === 6;
  const type = (transport === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
  const fd = check(orErrno(socketCall(v6 ? AF_INET6 : AF_INET, type, 0)), 'socket', transport);
  try {
    // For TCP this passes over TIME_WAIT and the like, not over listeners; for UDP it would share the port.
    if (transport === 'tcp') setSocketInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (v6) setSocketInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (v6) setSocketInt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    else setSocketInt(fd, IPPROTO_IP, IP_FREEBIND, 1);
    return orErrno(bindCall(fd, name, name.length));
  } finally {
    closeFd(fd);
  }
}

/** Whether this host has the IPv6 address on that interface now, as the kernel sees it (past duplicate address detection). */
export function hasAddress(address: Address, ifindex: number): boolean {
  const fd = orErrno(socketCall(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return false;
  const name = encodeSockaddr({ ...address, zone: String(ifindex) }, 0);
  const result = orErrno(bindCall(fd, name, name.length));
  closeFd(fd);
  return result === 0;
}
