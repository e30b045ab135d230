/**
 * Memory whose address is below 2 GiB (mmap(2), MAP_FIXED_NOREPLACE).
 *
 * V8 keeps such a number in the pointer itself (a small integer); a larger one is an object made for each call that is given
 * it, which koffi has to ask for its value. For four calls a request, that is 1.5 % of a relay's time.
 */
import { randomInt } from 'node:crypto';
import koffi from 'koffi';
import { libcCall, orErrno } from './libc.ts';

const PROT_READ_WRITE = 0x3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
/** Linux 4.17; an older kernel takes the address for a wish, and may map elsewhere. */
const MAP_FIXED_NOREPLACE = 0x100000;

/** Above programs that are linked to a fixed address, and their heap; where the small integers end. */
const lowest = 0x4000_0000;
const end = 0x8000_0000;
const pageBytes = 65536;
const tries = 16;

const mmapCall = libcCall<
  (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number
>('int64_t mmap(size_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
const munmapCall = libcCall<(address: number, length: number) => number>('int munmap(size_t address, size_t length)');

/** Mappings whose last view is gone. */
const unused = new FinalizationRegistry<{ address: number; length: number }>(({ address, length }) =>
  munmapCall(address, length),
);

/** Zeroed memory at an address. */
export interface LowMemory {
  readonly bytes: Buffer;
  readonly address: number;
}

/**
 * Maps memory at an address below 2 GiB that chance chooses; it is unmapped when the last view of it is collected.
 * Undefined where there is no room in a few tries, or the kernel does not give any.
 */
export function mapLow(bytes: number): LowMemory | undefined {
  const length = Math.ceil(bytes / pageBytes) * pageBytes;
  const places = Math.floor((end - lowest - length) / pageBytes);
  for (let i = 0; i < tries && places > 0; i++) {
    // At random, as the kernel would: an attacker who knows where bytes of his lie is a step further.
    const address = lowest + randomInt(places) * pageBytes;
    if (mapAt(address, length) !== address) continue;
    const memory = koffi.view(BigInt(address), length);
    unused.register(memory, { address, length });
    return { bytes: Buffer.from(memory, 0, bytes), address };
  }
  return undefined;
}

/** Maps memory where there is none yet: its address, or -errno (EEXIST: something is there). */
export function mapAt(address: number, length: number): number {
  const got = orErrno(mmapCall(address, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  if (got >= 0 && got !== address) munmapCall(got, length);
  return got;
}
