/** Descriptors of all kinds, and a handler that remembers what it is told. */
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { EPOLLIN, type EventHandler, type Reactor } from '../../src/linux/reactor.ts';

const pipeCall = libcCall<(pair: Uint8Array, flags: number) => number>('int pipe2(void *pair, int flags)');
const eventfdCall = libcCall<(value: number, flags: number) => number>('int eventfd(uint value, int flags)');
const writeCall = libcCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64 write(int fd, void *bytes, size_t length)',
);
const readCall = libcCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64 read(int fd, void *bytes, size_t length)',
);

export const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;

/** Two descriptors that a call writes. */
export function pair(make: (pair: Uint8Array) => number): [number, number] {
  const fds = kernelBuffer(8);
  check(orErrno(make(fds)), 'pair');
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

export const pipe = () => pair((fds) => pipeCall(fds, flags));
export const eventfd = (value = 0) => check(orErrno(eventfdCall(value, flags)), 'eventfd');
export const write = (fd: number, text: string) =>
  check(orErrno(writeCall(fd, Buffer.from(text), text.length)), 'write');
export function read(fd: number, length = 4096): number {
  return orErrno(readCall(fd, kernelBuffer(length), length));
}

/** Keeps the events it gets; `next` waits for one more. */
export class Recorder implements EventHandler {
  readonly events: number[] = [];
  #waiting: ((events: number) => void) | undefined;
  readonly #then: ((events: number) => void) | undefined;
  constructor(then?: (events: number) => void) {
    this.#then = then;
  }
  onEvents(events: number): void {
    this.events.push(events);
    this.#then?.(events);
    this.#waiting?.(events);
    this.#waiting = undefined;
  }
  next(): Promise<number> {
    return new Promise((done) => {
      this.#waiting = done;
    });
  }
}

/** All that is ready now has been handled when this resolves: an eventfd made ready last is reported last. */
export async function settle(reactor: Reactor): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const fd = eventfd(1);
    const recorder = new Recorder();
    reactor.add(fd, EPOLLIN, recorder);
    await recorder.next();
    reactor.remove(fd);
    closeFd(fd);
  }
}
