/** The C library's allocator (malloc_trim(3), mallopt(3)). */
import { libcCall } from './libc.ts';

const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
/** glibc's own, before they move. */
const trimOctets = 128 * 1024;
const largeOctets = 128 * 1024;

const malloptCall = libcCall<(parameter: number, value: number) => number>('int mallopt(int param, int value)');
const mallocTrimCall = libcCall<(padding: number) => number>('int malloc_trim(size_t pad)');

/** Gives freed memory back to the kernel, of all threads: what libuv, V8's compiler, koffi and LMDB had for a while. */
export function trimAllocator(): void {
  mallocTrimCall(0);
}

/**
 * Keeps large allocations in mappings of their own, which are gone when they are freed and take memory only as they are written.
 * glibc moves the limit up, to 32 MiB at most, whenever one is freed: then those that follow lie between small ones, which keep
 * their pages, and calloc writes zeros into what nobody may ever touch.
 */
export function keepLargeApart(): void {
  malloptCall(M_MMAP_THRESHOLD, largeOctets);
}

/**
 * Lets no thread keep more than 128 KiB of free memory at the end of its heap. glibc moves that limit to twice what it counts as
 * large, and `trimAllocator` leaves the ends of other threads' heaps alone: V8's helpers would keep what one busy moment took.
 */
export function keepHeapsShort(): void {
  malloptCall(M_TRIM_THRESHOLD, trimOctets);
}
