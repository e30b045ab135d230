/** A service manager for tests: keeps descriptors that a daemon leaves with it, and passes sockets to the next one. */
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { addressOf, closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { encodeSockaddrUn } from '../../src/linux/sockaddr-un.ts';

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const recvmsgCall = libcCall<(fd: number, header: Uint8Array, flags: number) => number>(
  'int64 recvmsg(int fd, void *header, int flags)',
);
const MSG_CMSG_CLOEXEC = 0x40000000;

/** A message of a service, with the descriptor that came with it. */
interface Notice {
  readonly lines: readonly string[];
  readonly fd: number | undefined;
}

export class ServiceManager {
  /** Value of NOTIFY_SOCKET. */
  readonly address: string;
  /** The descriptor store: by name. */
  readonly store: { name: string; fd: number }[] = [];
  /** Sockets of socket units: the test's to close. */
  readonly units: { name: string; fd: number }[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'v6edge-manager-'));
  readonly #socket = check(orErrno(socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 'socket');

  constructor(t: Test) {
    this.address = join(this.#folder, 'notify');
    const name = encodeSockaddrUn(this.address);
    check(orErrno(bindCall(this.#socket, name, name.length)), 'bind', this.address);
    const reading = setInterval(() => this.#read(), 2);
    t.teardown(() => {
      clearInterval(reading);
      this.#read();
      for (const { fd } of this.store) closeFd(fd);
      closeFd(this.#socket);
      rmSync(this.#folder, { recursive: true });
    });
  }

  /** Takes in all that services said by now. */
  #read(): void {
    for (let notice = this.#receive(); notice !== undefined; notice = this.#receive()) {
      const name = notice.lines.find((line) => line.startsWith('FDNAME='))?.slice('FDNAME='.length);
      if (notice.lines.includes('FDSTOREREMOVE=1')) this.#remove(name!);
      else if (notice.fd !== undefined) {
        // As systemd: the same socket is kept once, under its first name.
        if (this.store.some((kept) => socketOf(kept.fd) === socketOf(notice.fd!))) closeFd(notice.fd);
        else this.store.push({ name: name!, fd: notice.fd });
      }
    }
  }

  /** Descriptors for a service's next process, from 3 on, and the environment that tells of them. */
  get passed(): { fds: number[]; env: Record<string, string> } {
    this.#read();
    const all = [...this.units, ...this.store];
    const listen = { LISTEN_FDS: String(all.length), LISTEN_FDNAMES: all.map(({ name }) => name).join(':') };
    return { fds: all.map(({ fd }) => fd), env: { NOTIFY_SOCKET: this.address, ...(all.length === 0 ? {} : listen) } };
  }

  /** One message; undefined when there is none. Structures as in src/linux/notify.ts. */
  #receive(): Notice | undefined {
    const header = kernelBuffer(56);
    const iovec = kernelBuffer(16);
    const control = kernelBuffer(64);
    const text = kernelBuffer(4096);
    header.writeBigUInt64LE(addressOf(iovec), 16);
    header.writeUInt32LE(1, 24);
    header.writeBigUInt64LE(addressOf(control), 32);
    header.writeUInt32LE(control.length, 40);
    iovec.writeBigUInt64LE(addressOf(text), 0);
    iovec.writeUInt32LE(text.length, 8);
    const count = recvmsgCall(this.#socket, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0) return undefined;
    const fd = header.readUInt32LE(40) >= 20 ? control.readInt32LE(16) : undefined;
    return { lines: text.toString('utf8', 0, count).split('\n'), fd };
  }

  #remove(name: string): void {
    for (const { fd } of this.store.filter((kept) => kept.name === name)) closeFd(fd);
    const left = this.store.filter((kept) => kept.name !== name);
    this.store.splice(0, this.store.length, ...left);
  }
}

function socketOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}
