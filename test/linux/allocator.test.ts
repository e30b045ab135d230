import { readFileSync } from 'node:fs';
import t from 'tap';
import { keepHeapsShort, trimAllocator } from '../../src/linux/allocator.ts';
import { libcCall } from '../../src/linux/libc.ts';

const malloc = libcCall<(size: number) => number>('uintptr_t malloc(size_t size)');
const free = libcCall<(address: number) => number>('void free(uintptr_t address)');
const fill = libcCall<(address: number, byte: number, size: number) => number>(
  'uintptr_t memset(uintptr_t address, int byte, size_t size)',
);

function residentKiB(): number {
  return Number(/^Rss:\s+(\d+)/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))![1]);
}

t.test('freed memory below memory in use goes back to the kernel', (t) => {
  const size = 4_000;
  const blocks = Array.from({ length: 16_000 }, () => {
    const block = malloc(size);
    fill(block, 1, size);
    return block;
  });
  // The last one holds the end of the heap, which malloc gives back by itself otherwise.
  const last = blocks.pop()!;
  for (const block of blocks) free(block);
  const before = residentKiB();
  trimAllocator();
  const given = before - residentKiB();
  free(last);
  t.ok(given > 40_000, `${given} KiB of 64,000`);
  t.end();
});

t.test('what is free at the end of the heap goes back by itself, whatever was freed before', (t) => {
  const size = 4_000;
  const freeMB = (count: number) => {
    const blocks = Array.from({ length: 250 * count }, () => {
      const block = malloc(size);
      fill(block, 1, size);
      return block;
    });
    const before = residentKiB();
    for (const block of blocks.reverse()) free(block);
    return before - residentKiB();
  };
  // One large block, and the C library keeps twice as much from then on (mallopt(3), M_TRIM_THRESHOLD).
  free(malloc(30_000_000));
  const given = freeMB(16);
  t.ok(given < 4_000, `${given} KiB of 16,000 as the C library has it`);
  keepHeapsShort();
  let givenThen = 0;
  // What another thread allocates behind the blocks holds the heap's end for good: more blocks than fit before it are beyond it.
  for (let tries = 1; tries <= 5 && givenThen <= 12_000; tries++) givenThen = freeMB(16 * tries);
  t.ok(givenThen > 12_000, `${givenThen} KiB of 16,000`);
  t.end();
});
