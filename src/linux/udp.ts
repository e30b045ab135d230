/** UDP sockets: one that listens, one that is connected to a peer. */
import type { Address, InetEndpoint } from '../core/address.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_RCVBUF,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './constants.ts';
import { check } from './errors.ts';
import { closeFd, getSocketInt, kernelBuffer, libcCall, orErrno, setSocketInt } from './libc.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_IN6_BYTES } from './sockaddr.ts';

const IP_PKTINFO = 8;
const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_FREEBIND = 78;
const SO_RCVBUFFORCE = 33;

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int bind(int fd, void *name, uint length)',
);
const connectCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int connect(int fd, void *name, uint length)',
);
const getsocknameCall = libcCall<(fd: number, name: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *name, void *length)',
);
const sendCall = libcCall<(fd: number, data: Uint8Array, length: number, flags: number) => number>(
  'int64 send(int fd, void *data, size_t length, int flags)',
);
/** What a listening socket may be given. */
export interface UdpListenOptions {
  /** Receive buffer; more than net.core.rmem_max only with CAP_NET_ADMIN, else as much as the kernel gives. */
  readonly receiveBufferBytes?: number;
}

/** One non-blocking UDP socket, owner of its descriptor. */
export class UdpSocket {
  readonly fd: number;
  readonly family: 4 | 6;
  /** Whether each datagram comes with the address it was sent to: on a wildcard address. */
  readonly packetInfo: boolean;
  #open = true;

  private constructor(fd: number, family: 4 | 6, packetInfo: boolean) {
    this.fd = fd;
    this.family = family;
    this.packetInfo = packetInfo;
  }

  /**
   * Binds with SO_REUSEPORT (one such socket a thread), IPV6_V6ONLY, and FREEBIND so that the address may come later.
   * @throws {SystemError}
   */
  static listen(address: Address, port: number, options: UdpListenOptions = {}): UdpSocket {
    const wildcard = address.bytes.every((byte) => byte === 0);
    return UdpSocket.#make(address, wildcard, (fd) => {
      check(setSocketInt(fd, SOL_SOCKET, SO_REUSEPORT, 1), 'setsockopt', 'SO_REUSEPORT');
      if (address.family === 6) {
        check(setSocketInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), 'setsockopt', 'IPV6_V6ONLY');
        check(setSocketInt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1), 'setsockopt', 'IPV6_FREEBIND');
        if (wildcard) check(setSocketInt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 'setsockopt', 'IPV6_RECVPKTINFO');
      } else {
        check(setSocketInt(fd, IPPROTO_IP, IP_FREEBIND, 1), 'setsockopt', 'IP_FREEBIND');
        if (wildcard) check(setSocketInt(fd, IPPROTO_IP, IP_PKTINFO, 1), 'setsockopt', 'IP_PKTINFO');
      }
      if (options.receiveBufferBytes !== undefined) setReceiveBuffer(fd, options.receiveBufferBytes);
      const name = encodeSockaddr(address, port);
      check(orErrno(bindCall(fd, name, name.length)), 'bind');
    });
  }

  /** Takes over a descriptor that `listen` of an earlier process made; what was set on it still holds. */
  static adopt(fd: number, address: Address): UdpSocket {
    const wildcard = address.bytes.every((byte) => byte === 0);
    return new UdpSocket(fd, address.family, wildcard);
  }

  /**
   * Connects to a peer from a port the kernel draws at random: datagrams of others are never received, and a closed
   * port there shows as ECONNREFUSED.
   * @throws {SystemError}
   */
  static connect(address: Address, port: number): UdpSocket {
    return UdpSocket.#make(address, false, (fd) => {
      const name = encodeSockaddr(address, port);
      check(orErrno(connectCall(fd, name, name.length)), 'connect');
    });
  }

  static #make(address: Address, packetInfo: boolean, prepare: (fd: number) => void): UdpSocket {
    const domain = address.family === 6 ? AF_INET6 : AF_INET;
    const fd = check(orErrno(socketCall(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), 'socket');
    try {
      prepare(fd);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UdpSocket(fd, address.family, packetInfo);
  }

  /**
   * The address and port it is bound to.
   * @throws {SystemError}
   */
  get local(): InetEndpoint {
    const name = kernelBuffer(SOCKADDR_IN6_BYTES);
    const length = kernelBuffer(4);
    length.writeUInt32LE(name.length);
    check(orErrno(getsocknameCall(this.fd, name, length)), 'getsockname');
    return decodeSockaddr(name)!;
  }

  /** Bytes the kernel queues for this socket before it drops; it reports twice what was asked for (socket(7)). */
  get receiveBufferBytes(): number {
    return getSocketInt(this.fd, SOL_SOCKET, SO_RCVBUF);
  }

  /** Sends one datagram on a connected socket. Returns the bytes sent or -errno. */
  send(data: Uint8Array, length = data.length): number {
    return orErrno(sendCall(this.fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  /** Closes the descriptor; take it out of its reactor first. Idempotent. */
  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}

function setReceiveBuffer(fd: number, bytes: number): void {
  if (setSocketInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0) setSocketInt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}
