/** The C library's allocator (malloc_trim(3)). */
import { libcCall } from './libc.ts';

const mallocTrimCall = libcCall<(padding: number) => number>('int malloc_trim(size_t pad)');

/** Gives freed memory back to the kernel, of all threads: what libuv, V8's compiler, koffi and LMDB had for a while. */
export function trimAllocator(): void {
  mallocTrimCall(0);
}
