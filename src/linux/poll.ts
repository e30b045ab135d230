/**
 * One descriptor that Node's own loop polls: one change of descriptor and one system call less, from the packet to the
 * handler, than in a `Reactor`. For what is seldom and waited for; many descriptors belong in a reactor.
 *
 * libuv's functions (`uv_poll_t` and what it needs) are called as libc's are: the node program exports them, for addons.
 * `koffi.node.poll` polls as well, but makes an object of three named properties before each call: 15 µs in a program
 * that has slept, a tenth of what a node waits for a router's answer.
 */
import koffi from 'koffi';
import { errnoName, SystemError } from './errors.ts';
import { addressOf, kernelBuffer } from './libc.ts';

/** uv_handle_type; a test asks libuv for its name. */
export const UV_POLL = 8;
const UV_READABLE = 1;

const program = koffi.load(null);
const handleSize = program.func('size_t uv_handle_size(int type)') as (type: number) => number;
const defaultLoop = program.func('size_t uv_default_loop()') as () => number;
const pollInit = program.func('int uv_poll_init(size_t loop, size_t handle, int fd)') as (
  loop: number,
  handle: number,
  fd: number,
) => number;
const pollStart = program.func('int uv_poll_start(size_t handle, int events, size_t run)') as (
  handle: number,
  events: number,
  run: bigint,
) => number;
const isActive = program.func('int uv_is_active(size_t handle)') as (handle: number) => number;
const closeHandle = program.func('void uv_close(size_t handle, size_t closed)') as (
  handle: number,
  closed: bigint,
) => void;
// uv_poll_cb has three arguments (handle, status, events) in registers, which nobody here needs.
const run = koffi.pointer(koffi.proto('void', []));
const closed = koffi.pointer(koffi.proto('void', ['size_t']));

interface Handle {
  readonly memory: Buffer;
  /** The registered callback. */
  readonly run: bigint;
}

/** By address: libuv keeps it until it has told that the handle is closed, and memory must stay as long. */
const handles = new Map<number, Handle>();

const onClosed = koffi.register((address: number) => {
  const handle = handles.get(address);
  handles.delete(address);
  if (handle !== undefined) koffi.unregister(handle.run);
}, closed);

export class Poll {
  readonly #address: number;
  readonly #callback: bigint;
  #closed = false;

  /**
   * On the main thread: another's loop is not to be had here.
   * @param onReadable called while there is something to read, once a turn of the loop; what it throws is an uncaught exception
   * @throws {SystemError} EEXIST when the loop polls the descriptor already, EPERM when it is one that cannot be polled
   */
  constructor(fd: number, onReadable: () => void) {
    const memory = kernelBuffer(handleSize(UV_POLL));
    this.#address = Number(addressOf(memory));
    this.#callback = koffi.register(() => this.#run(onReadable), run);
    const result = pollInit(defaultLoop(), this.#address, fd);
    if (result < 0) {
      koffi.unregister(this.#callback);
      throw new SystemError('uv_poll_init', -result, `of ${fd}`);
    }
    handles.set(this.#address, { memory, run: this.#callback });
    this.#start();
  }

  /** Lets go of the descriptor, which stays open: its owner closes it after this. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeHandle(this.#address, onClosed);
  }

  #run(onReadable: () => void): void {
    if (this.#closed) return;
    try {
      onReadable();
    } catch (error) {
      // There is no JavaScript below that it could go to.
      setImmediate(() => {
        throw error;
      });
    }
    // libuv polls no more after EPOLLERR; the handler's system call has taken that error.
    if (!this.#closed && isActive(this.#address) === 0) this.#start();
  }

  #start(): void {
    const result = pollStart(this.#address, UV_READABLE, this.#callback);
    if (result < 0) throw new SystemError('uv_poll_start', -result, errnoName(-result));
  }
}
