/**
 * Links and addresses of the network namespace this process was started in, kept up to date by rtnetlink events.
 *
 * One socket carries events and dumps. Events that arrive during a dump are kept and applied after it, so that the last
 * word on each link and address is always the kernel's newest. When events were lost (ENOBUFS) all is dumped again, and
 * listeners hear of what differs.
 *
 * On libc rather than on the npm package `netlink` (0.3.0), which was tried: when the kernel drops events, libuv reports the
 * socket as broken, and the package's native part then ends the process ("terminate called after throwing an instance
 * of 'Napi::Error'"); its typed layer hands events on without their type, so that an address that came looks like one that went.
 *
 *   sockaddr_nl  u16 family · 2 pad · u32 port · u32 groups
 */
import { equalAddress } from '../core/address.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { V6edgeError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { EAGAIN, SO_RCVBUF, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET } from './constants.ts';
import { check, errnoName } from './errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno, setSocketInt } from './libc.ts';
import { EPOLLIN, type EventHandler, type Reactor } from './reactor.ts';
import {
  encodeDumpRequest,
  type InterfaceAddress,
  type Link,
  type NetlinkMessage,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseInterfaceAddress,
  parseLink,
  parseNetlinkMessages,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
} from './rtnetlink.ts';

export type { AddressScope, InterfaceAddress, Link } from './rtnetlink.ts';

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const SO_RCVBUFFORCE = 33;
const SOCKADDR_NL_BYTES = 2 + 2 + 4 + 4;
/** RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR. */
const groups = 0x1 | 0x10 | 0x100;
const MSG_TRUNC = 0x20;

/** The kernel builds dump datagrams of at most 32 KiB. */
const DATAGRAM_BYTES = 65_536;
const datagramsPerTurn = 64;
const dumpTimeoutMs = 5_000;
/** A dump that changes interrupt is repeated; after this many times it is taken as it is, for the events set it right. */
const dumpAttempts = 5;
/** Events kept while a dump runs; a host that makes more of them in that time gets another dump. */
const maxWaiting = 4_096;
const retryDelayMs = 200;

const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const getsocknameCall = libcCall<(fd: number, address: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);
const sendCall = libcCall<(fd: number, bytes: Uint8Array, length: number, flags: number) => number>(
  'int64 send(int fd, void *bytes, size_t length, int flags)',
);
const recvfromCall = libcCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, from: Uint8Array, fromLength: Uint8Array) => number
>('int64 recvfrom(int fd, void *bytes, size_t length, int flags, void *from, void *fromLength)');

/** Called with the index of an interface of which something changed: itself or one of its addresses. */
export type NetworkListener = (ifindex: number) => void;

/** What engines need to know of the network; tests have their own. */
export interface NetworkView {
  /** The interface that has this name now. */
  link(name: string): Link | undefined;
  links(): Link[];
  addresses(ifindex: number): readonly InterfaceAddress[];
  /** Calls `listener` after each change, in the order of the kernel's events. Returns what ends that. */
  onChange(listener: NetworkListener): () => void;
}

/** A dump under way. */
interface Dump {
  type: typeof RTM_GETLINK | typeof RTM_GETADDR;
  sequence: number;
  attempt: number;
  interrupted: boolean;
  readonly links: Map<number, Link>;
  readonly addresses: Map<number, InterfaceAddress[]>;
  /** Events that wait for its end. */
  readonly waiting: NetlinkMessage[];
  /** Events were lost meanwhile: it has to be repeated. */
  again: boolean;
  timeout: Timer;
}

/** The kernel's links and addresses. */
export class NetworkMonitor implements NetworkView, EventHandler {
  readonly #reactor: Reactor;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #receiveBytes: number;
  readonly #listeners = new Set<NetworkListener>();
  readonly #datagram = kernelBuffer(DATAGRAM_BYTES);
  readonly #from = kernelBuffer(SOCKADDR_NL_BYTES);
  readonly #fromLength = kernelBuffer(4);
  #fd = -1;
  #port = 0;
  #sequence = 0;
  #links = new Map<number, Link>();
  #addresses = new Map<number, InterfaceAddress[]>();
  #dump: Dump | undefined;
  #retry: Timer | undefined;
  #started: { resolve: () => void; reject: (error: Error) => void } | undefined;
  /** How often everything was read anew since the start. */
  resyncs = 0;

  /** @param options.receiveBytes room for events in the kernel; a megabyte holds some thousands */
  constructor(options: { reactor: Reactor; clock: Clock; log: Logger; receiveBytes?: number }) {
    this.#reactor = options.reactor;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#receiveBytes = options.receiveBytes ?? 1024 * 1024;
  }

  /**
   * Begins to listen and reads all links and addresses; nothing new while it does so already.
   * @throws {SystemError} when the socket cannot be made
   * @throws {V6edgeError} V6_NETLINK when the kernel does not answer
   */
  async start(): Promise<void> {
    if (this.#fd >= 0) return;
    try {
      this.#open();
      const started = new Promise<void>((resolve, reject) => {
        this.#started = { resolve, reject };
      });
      this.#startDump();
      await started;
    } catch (error) {
      // So that the next start is one.
      this.#closeSocket();
      throw error;
    }
  }

  link(name: string): Link | undefined {
    for (const link of this.#links.values()) if (link.name === name) return link;
    return undefined;
  }

  links(): Link[] {
    return [...this.#links.values()];
  }

  addresses(ifindex: number): readonly InterfaceAddress[] {
    return this.#addresses.get(ifindex) ?? [];
  }

  onChange(listener: NetworkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Lets go of the socket. Idempotent. */
  close(): void {
    this.#listeners.clear();
    this.#retry?.cancel();
    this.#closeSocket();
    this.#started?.reject(new V6edgeError('V6_NETLINK', 'closed before links and addresses were read'));
    this.#started = undefined;
  }

  #closeSocket(): void {
    this.#dump?.timeout.cancel();
    this.#dump = undefined;
    if (this.#fd < 0) return;
    this.#reactor.forget(this.#fd);
    closeFd(this.#fd);
    this.#fd = -1;
  }

  onEvents(): void {
    for (let i = 0; i < datagramsPerTurn && this.#fd >= 0; i++) {
      this.#fromLength.writeUInt32LE(SOCKADDR_NL_BYTES, 0);
      const length = orErrno(
        recvfromCall(this.#fd, this.#datagram, DATAGRAM_BYTES, MSG_TRUNC, this.#from, this.#fromLength),
      );
      if (length === -EAGAIN) return;
      if (length < 0) this.#lost(errnoName(-length));
      else if (length > DATAGRAM_BYTES) this.#lost('a datagram was cut');
      // Port 0 is the kernel; nobody else has a word in this.
      else if (this.#from.readUInt32LE(4) === 0) this.#receive(length);
    }
  }

  #open(): void {
    const fd = check(
      orErrno(socketCall(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)),
      'socket',
      'netlink',
    );
    this.#fd = fd;
    // Beyond rmem_max with CAP_NET_ADMIN, else up to it.
    if (setSocketInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, this.#receiveBytes) < 0) {
      setSocketInt(fd, SOL_SOCKET, SO_RCVBUF, this.#receiveBytes);
    }
    const address = kernelBuffer(SOCKADDR_NL_BYTES);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(groups, 8);
    check(orErrno(bindCall(fd, address, SOCKADDR_NL_BYTES)), 'bind', 'netlink');
    this.#fromLength.writeUInt32LE(SOCKADDR_NL_BYTES, 0);
    check(orErrno(getsocknameCall(fd, address, this.#fromLength)), 'getsockname', 'netlink');
    this.#port = address.readUInt32LE(4);
    this.#reactor.add(fd, EPOLLIN, this);
  }

  #startDump(): void {
    this.#dump = {
      type: RTM_GETLINK,
      sequence: 0,
      attempt: 0,
      interrupted: false,
      links: new Map(),
      addresses: new Map(),
      waiting: [],
      again: false,
      timeout: this.#clock.after(dumpTimeoutMs, () => this.#dumpFailed('no answer')),
    };
    this.#request(this.#dump);
  }

  #request(dump: Dump): void {
    dump.attempt++;
    dump.interrupted = false;
    dump.sequence = ++this.#sequence;
    (dump.type === RTM_GETLINK ? dump.links : dump.addresses).clear();
    const bytes = encodeDumpRequest(dump.type, dump.sequence);
    const sent = orErrno(sendCall(this.#fd, bytes, bytes.length, 0));
    if (sent < 0) this.#dumpFailed(errnoName(-sent));
  }

  #receive(length: number): void {
    for (const message of parseNetlinkMessages(this.#datagram.subarray(0, length))) {
      const dump = this.#dump;
      if (dump === undefined) this.#apply(message);
      else if (message.port === this.#port && message.sequence === dump.sequence) this.#receiveDump(dump, message);
      else if (dump.waiting.length === maxWaiting) dump.again = true;
      else dump.waiting.push({ ...message, body: Buffer.from(message.body) });
    }
  }

  #receiveDump(dump: Dump, message: NetlinkMessage): void {
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) dump.interrupted = true;
    if (message.type === RTM_NEWLINK) {
      const link = parseLink(message.body);
      if (link !== undefined) dump.links.set(link.index, link);
    } else if (message.type === RTM_NEWADDR) {
      const found = parseInterfaceAddress(message.body);
      if (found === undefined) return;
      dump.addresses.set(found.index, [...(dump.addresses.get(found.index) ?? []), found.address]);
    } else if (message.type === NLMSG_ERROR) {
      this.#dumpFailed(errnoName(-message.body.readInt32LE(0)));
    } else if (message.type === NLMSG_DONE) {
      if (dump.interrupted && dump.attempt < dumpAttempts) {
        this.#request(dump);
      } else if (dump.type === RTM_GETLINK) {
        dump.type = RTM_GETADDR;
        dump.attempt = 0;
        this.#request(dump);
      } else {
        this.#dumpDone(dump);
      }
    }
  }

  #dumpDone(dump: Dump): void {
    dump.timeout.cancel();
    this.#dump = undefined;
    this.#replaceAll(dump.links, dump.addresses);
    for (const message of dump.waiting) this.#apply(message);
    this.#started?.resolve();
    this.#started = undefined;
    if (dump.again) this.#resync();
  }

  #dumpFailed(reason: string): void {
    this.#dump?.timeout.cancel();
    this.#dump = undefined;
    if (this.#started !== undefined) {
      this.#started.reject(new V6edgeError('V6_NETLINK', `links and addresses cannot be read: ${reason}`));
      this.#started = undefined;
      return;
    }
    this.#log.error({ reason }, 'links and addresses cannot be read from netlink; trying again');
    this.#retry?.cancel();
    this.#retry = this.#clock.after(retryDelayMs, () => this.#resync());
  }

  #lost(reason: string): void {
    this.#log.info({ reason }, 'netlink events were lost: reading all links and addresses again');
    if (this.#dump !== undefined) this.#dump.again = true;
    else this.#resync();
  }

  #resync(): void {
    if (this.#fd < 0 || this.#dump !== undefined) return;
    this.resyncs++;
    this.#startDump();
  }

  #apply(message: NetlinkMessage): void {
    if (message.type === RTM_NEWLINK || message.type === RTM_DELLINK) {
      const link = parseLink(message.body);
      if (link !== undefined) this.#applyLink(link, message.type === RTM_DELLINK);
    } else if (message.type === RTM_NEWADDR || message.type === RTM_DELADDR) {
      const found = parseInterfaceAddress(message.body);
      if (found !== undefined) this.#applyAddress(found.index, found.address, message.type === RTM_DELADDR);
    }
  }

  #applyLink(link: Link, gone: boolean): void {
    const before = this.#links.get(link.index);
    if (gone) {
      this.#links.delete(link.index);
      this.#addresses.delete(link.index);
    } else {
      if (before !== undefined && equalLink(before, link)) return;
      this.#links.set(link.index, link);
    }
    this.#emit(link.index);
  }

  #applyAddress(index: number, address: InterfaceAddress, gone: boolean): void {
    const list = this.#addresses.get(index) ?? [];
    const at = list.findIndex((other) => sameKey(other, address));
    if (gone ? at < 0 : at >= 0 && equalInterfaceAddress(list[at]!, address)) return;
    // A new array each time: whoever holds the old one sees no change under his hands.
    const next = list.filter((_, i) => i !== at);
    if (!gone) next.splice(at < 0 ? next.length : at, 0, address);
    if (next.length === 0) this.#addresses.delete(index);
    else this.#addresses.set(index, next);
    this.#emit(index);
  }

  #replaceAll(links: Map<number, Link>, addresses: Map<number, InterfaceAddress[]>): void {
    const oldLinks = this.#links;
    const oldAddresses = this.#addresses;
    this.#links = links;
    this.#addresses = addresses;
    for (const index of new Set([...oldLinks.keys(), ...links.keys()])) {
      const before = oldLinks.get(index);
      const after = links.get(index);
      const same =
        before !== undefined &&
        after !== undefined &&
        equalLink(before, after) &&
        equalAddresses(oldAddresses.get(index) ?? [], addresses.get(index) ?? []);
      if (!same) this.#emit(index);
    }
  }

  #emit(index: number): void {
    for (const listener of this.#listeners) listener(index);
  }
}

function equalLink(a: Link, b: Link): boolean {
  return a.name === b.name && a.up === b.up && a.mtu === b.mtu && Buffer.compare(a.mac, b.mac) === 0;
}

function sameKey(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return a.prefixLength === b.prefixLength && equalAddress(a.address, b.address);
}

function equalInterfaceAddress(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return (
    sameKey(a, b) &&
    a.tentative === b.tentative &&
    a.deprecated === b.deprecated &&
    a.temporary === b.temporary &&
    a.dadFailed === b.dadFailed &&
    a.scope === b.scope
  );
}

function equalAddresses(a: readonly InterfaceAddress[], b: readonly InterfaceAddress[]): boolean {
  return a.length === b.length && a.every((address) => b.some((other) => equalInterfaceAddress(address, other)));
}
