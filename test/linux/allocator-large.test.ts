/** Apart from the other settings of the allocator, which are the process's: free room of theirs would do for these blocks. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { keepLargeApart } from '../../src/linux/allocator.ts';
import { libcCall } from '../../src/linux/libc.ts';

const malloc = libcCall<(size: number) => number>('uintptr_t malloc(size_t size)');
const free = libcCall<(address: number) => number>('void free(uintptr_t address)');
const fill = libcCall<(address: number, byte: number, size: number) => number>(
  'uintptr_t memset(uintptr_t address, int byte, size_t size)',
);

function isMapped(address: number): boolean {
  const ranges = [...readFileSync('/proc/self/maps', 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)];
  return ranges.some(([, from, to]) => Number.parseInt(from!, 16) <= address && address < Number.parseInt(to!, 16));
}

t.test('what is large is a mapping of its own, also after one was freed', (t) => {
  const size = 16 * 1024 * 1024;
  free(malloc(size));
  keepLargeApart();
  free(malloc(size));
  const block = malloc(size / 2);
  // A mapping begins at a page, with two words of glibc's (malloc_chunk) before the block.
  t.equal(block % 4096, 16);
  fill(block, 1, size / 2);
  t.ok(isMapped(block));
  free(block);
  t.notOk(isMapped(block), 'it is gone with the block');
  t.end();
});
