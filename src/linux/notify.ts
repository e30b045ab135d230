/**
 * The service manager's notification protocol (sd_notify(3)): datagrams of `KEY=value` lines to the UNIX socket that
 * NOTIFY_SOCKET names. Without that variable everything here does nothing.
 */
import { AF_UNIX, MSG_NOSIGNAL, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from './constants.ts';
import { check } from './errors.ts';
import { addressOf, closeFd, kernelBuffer, libcCall, orErrno, setSocketBytes } from './libc.ts';
import { encodeSockaddrUn } from './sockaddr-un.ts';

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const sendtoCall = libcCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number) => number
>('int64 sendto(int fd, void *bytes, size_t length, int flags, void *address, uint addressLength)');

const sendmsgCall = libcCall<(fd: number, header: Uint8Array, flags: number) => number>(
  'int64 sendmsg(int fd, void *header, int flags)',
);
const SCM_RIGHTS = 1;

/** How long a message waits for a service manager that reads nothing. */
const sendTimeoutSeconds = 1;

type Environment = Readonly<Record<string, string | undefined>>;

/** Tells the service manager how the daemon is. Results: 0, or the negative errno of a message that could not be sent. */
export class Notifier {
  readonly #address: Buffer | undefined;
  #fd = -1;
  /** Half of what the service manager allows between two `watchdog` calls (sd_watchdog_enabled(3)); undefined when it expects none. */
  readonly watchdogMs: number | undefined;

  /**
   * @throws {ValueError} when NOTIFY_SOCKET is no address
   * @throws {SystemError}
   */
  constructor(environment: Environment = process.env, pid = process.pid) {
    this.watchdogMs = watchdogInterval(environment, pid);
    const path = environment.NOTIFY_SOCKET;
    if (path === undefined || path === '') return;
    this.#address = encodeSockaddrUn(path);
    this.#fd = check(orErrno(socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 'socket', 'unix datagram');
    // struct timeval: i64 seconds · i64 microseconds
    const timeout = kernelBuffer(16);
    timeout.writeUInt8(sendTimeoutSeconds, 0);
    setSocketBytes(this.#fd, SOL_SOCKET, SO_SNDTIMEO, timeout);
  }

  /** Whether anyone listens. */
  get enabled(): boolean {
    return this.#fd >= 0;
  }

  /** Start-up, or a reload, is finished. */
  ready(status?: string): number {
    return this.#send(['READY=1', ...statusLine(status)]);
  }

  /** A reload begins; `ready` ends it. systemd wants the time with it (`Type=notify-reload`). */
  reloading(status?: string): number {
    // hrtime is CLOCK_MONOTONIC in nanoseconds.
    return this.#send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, ...statusLine(status)]);
  }

  stopping(status?: string): number {
    return this.#send(['STOPPING=1', ...statusLine(status)]);
  }

  /** One line for `systemctl status`. */
  status(text: string): number {
    return this.#send(statusLine(text));
  }

  /** The daemon is alive: to be called every `watchdogMs`. */
  watchdog(): number {
    return this.#send(['WATCHDOG=1']);
  }

  /**
   * Leaves a duplicate of a descriptor with the service manager, which hands it to the next process of the service
   * (sd_pid_notify_with_fds(3), FDSTORE; `FileDescriptorStoreMax=` of the unit). It keeps a file once, under its first name.
   * @param name up to 255 characters, no colon
   */
  store(fd: number, name: string): number {
    // FDPOLL=0: only we say when a descriptor is of no more use.
    return this.#send(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0'], fd);
  }

  /** Has the service manager close what it keeps under a name (FDSTOREREMOVE). */
  unstore(name: string): number {
    return this.#send(['FDSTOREREMOVE=1', `FDNAME=${name}`]);
  }

  close(): void {
    if (this.#fd >= 0) closeFd(this.#fd);
    this.#fd = -1;
  }

  #send(lines: readonly string[], descriptor?: number): number {
    if (this.#address === undefined || this.#fd < 0) return 0;
    const message = Buffer.from(lines.join('\n'), 'utf8');
    if (descriptor !== undefined) return sendWithFd(this.#fd, this.#address, message, descriptor);
    const sent = orErrno(
      sendtoCall(this.#fd, message, message.length, MSG_NOSIGNAL, this.#address, this.#address.length),
    );
    return Math.min(sent, 0);
  }
}

/**
 * sendmsg(2) with one descriptor (unix(7), SCM_RIGHTS). The structures, on both architectures:
 *
 *   struct msghdr   0 name · 8 u32 namelen · 16 iov · 24 iovlen · 32 control · 40 controllen · 48 i32 flags
 *   struct iovec    0 base · 8 length
 *   struct cmsghdr  0 u64 length · 8 i32 level · 12 i32 type · 16 i32 descriptor, padded to 8
 */
function sendWithFd(socket: number, address: Buffer, message: Uint8Array, descriptor: number): number {
  const memory = kernelBuffer(56 + 16 + 24 + address.length + message.length);
  const base = addressOf(memory);
  const [iovecAt, controlAt, addressAt, messageAt] = [56, 72, 96, 96 + address.length];
  memory.set(address, addressAt);
  memory.set(message, messageAt);
  memory.writeBigUInt64LE(base + BigInt(addressAt), 0);
  memory.writeUInt32LE(address.length, 8);
  memory.writeBigUInt64LE(base + BigInt(iovecAt), 16);
  memory.writeUInt32LE(1, 24);
  memory.writeBigUInt64LE(base + BigInt(controlAt), 32);
  memory.writeUInt32LE(24, 40);
  memory.writeBigUInt64LE(base + BigInt(messageAt), iovecAt);
  memory.writeUInt32LE(message.length, iovecAt + 8);
  memory.writeUInt32LE(16 + 4, controlAt);
  memory.writeInt32LE(SOL_SOCKET, controlAt + 8);
  memory.writeInt32LE(SCM_RIGHTS, controlAt + 12);
  memory.writeInt32LE(descriptor, controlAt + 16);
  return Math.min(orErrno(sendmsgCall(socket, memory, MSG_NOSIGNAL)), 0);
}

/** A newline would begin another assignment. */
function statusLine(status: string | undefined): string[] {
  return status === undefined ? [] : [`STATUS=${status.replace(/[\r\n]+/g, ' ')}`];
}

function watchdogInterval(environment: Environment, pid: number): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: forPid } = environment;
  if (usec === undefined || !/^[1-9]\d{0,15}$/.test(usec)) return undefined;
  if (forPid !== undefined && forPid !== String(pid)) return undefined;
  return Number(usec) / 1000 / 2;
}
