import { readFileSync } from 'node:fs';
import t from 'tap';
import { trimAllocator } from '../../src/linux/allocator.ts';
import { libcCall } from '../../src/linux/libc.ts';

const malloc = libcCall<(size: number) => number>('uintptr_t malloc(size_t size)');
const free = libcCall<(address: number) => number>('void free(uintptr_t address)');
const fill = libcCall<(address: number, byte: number, size: number) => number>(
  'uintptr_t memset(uintptr_t address, int byte, size_t size)',
);

function residentKiB(): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
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
