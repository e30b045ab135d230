import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { libcCall } from '../../src/linux/libc.ts';
import { programMappings, releaseProgramPages } from '../../src/linux/program-pages.ts';

const mmap = libcCall<(at: number, length: number, rights: number, flags: number, fd: number, from: number) => number>(
  'uintptr_t mmap(uintptr_t at, size_t length, int rights, int flags, int fd, int64 from)',
);
const munmap = libcCall<(at: number, length: number) => number>('int munmap(uintptr_t at, size_t length)');
const mprotect = libcCall<(at: number, length: number, rights: number) => number>(
  'int mprotect(uintptr_t at, size_t length, int rights)',
);
const mlock = libcCall<(at: number, length: number) => number>('int mlock(uintptr_t at, size_t length)');
const memset = libcCall<(at: number, byte: number, length: number) => number>(
  'uintptr_t memset(uintptr_t at, int byte, size_t length)',
);
const memcpy = libcCall<(to: Uint8Array, from: number, length: number) => number>(
  'uintptr_t memcpy(void *to, uintptr_t from, size_t length)',
);

const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const size = 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'v6edge-program-pages-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'program');
const content = Buffer.alloc(size);
for (let i = 0; i < size; i += 4) content.writeUInt32LE(i, i);
writeFileSync(file, content);

/** Maps the file and reads all of it, so that it is resident. */
function map(t: Test, rights: number, flags: number): number {
  const fd = openSync(file, 'r');
  const at = mmap(0, size, rights, flags, fd, 0);
  closeSync(fd);
  t.teardown(() => munmap(at, size));
  t.ok(bytesAt(at, size).equals(content));
  t.equal(residentAt(at), size);
  return at;
}

function bytesAt(at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  memcpy(bytes, at, length);
  return bytes;
}

function smaps(): string {
  return readFileSync('/proc/self/smaps', 'latin1');
}

/** Bytes of the mapping at an address that are resident, as the kernel says. */
function residentAt(at: number): number {
  const text = smaps();
  const from = new RegExp(`^0*${at.toString(16)}-`, 'm').exec(text)!.index;
  return Number(/^Rss:\s+(\d+) kB/m.exec(text.slice(from))![1]) * 1024;
}

/** Every byte of all that may be released: the program itself. */
function hashOfProgram(): string {
  const hash = createHash('sha256');
  for (const { start, length } of programMappings(smaps())) hash.update(bytesAt(start, length));
  return hash.digest('hex');
}

t.test('mappings that may be released, by the text of the kernel', (t) => {
  const mapping = (header: string, { anonymous = 0, swap = 0, rss = 8 } = {}) =>
    `${header}\nSize:   16 kB\nRss:    ${rss} kB\nPrivate_Dirty:    8 kB\nAnonymous:     ${anonymous} kB\nSwap:      ${swap} kB\nSwapPss:      4 kB\nVmFlags: rd ex mr mw me \n`;
  const clean = 'fe:00 1234                       /usr/lib/v6edge/bin/node';
  const cases: readonly (readonly [name: string, text: string, resident?: number])[] = [
    ['none', ''],
    ['writable', mapping(`00400000-00404000 rw-p 00000000 ${clean}`)],
    ['writable and executable', mapping(`00400000-00404000 rwxp 00000000 ${clean}`)],
    ['not readable', mapping(`00400000-00404000 ---p 00000000 ${clean}`)],
    ['shared', mapping(`00400000-00404000 r--s 00000000 ${clean}`)],
    ['of no file', mapping('00400000-00404000 r-xp 00000000 00:00 0 ')],
    ['of the kernel', mapping('7ffc00000000-7ffc00004000 r-xp 00000000 00:00 0                  [vdso]')],
    ['a file without an inode', mapping('00400000-00404000 r-xp 00000000 00:00 0    /dev/zero')],
    ['relocated', mapping(`00400000-00404000 r--p 00000000 ${clean}`, { anonymous: 4 })],
    ['relocated, in swap', mapping(`00400000-00404000 r--p 00000000 ${clean}`, { swap: 4 })],
    ['cut off', `00400000-00404000 r-xp 00000000 ${clean}\nSize:    16 kB\nRss:    8 kB\n`],
    ['no fields', `00400000-00404000 r-xp 00000000 ${clean}\n00404000-00408000 r-xp 00004000 ${clean}\n`],
    ['instructions', mapping(`00400000-00404000 r-xp 00000000 ${clean}`), 8192],
    ['constants', mapping(`00400000-00404000 r--p 00000000 ${clean}`, { rss: 16 }), 16384],
  ];
  for (const [name, text, resident] of cases) {
    const wanted = { start: 0x400000, length: 0x4000, file: '/usr/lib/v6edge/bin/node', resident };
    t.strictSame(programMappings(text), resident === undefined ? [] : [wanted], name);
  }
  const [first, second, third] = [cases[12]![1], cases[8]![1], cases[13]![1]];
  t.equal(programMappings(first + second + third).length, 2, 'each by its own fields');
  t.end();
});

t.test('clean pages go, and are the same when they come back', (t) => {
  const text = map(t, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  const constants = map(t, PROT_READ, MAP_PRIVATE);
  const released = releaseProgramPages();
  t.equal(residentAt(text), 0);
  t.equal(residentAt(constants), 0);
  t.ok(released >= 2 * size, String(released));
  t.ok(bytesAt(text, size).equals(content));
  t.ok(bytesAt(constants, size).equals(content));
  t.equal(residentAt(text), size);
  t.end();
});

t.test('what was written stays, whatever rights its mapping has now', (t) => {
  const at = map(t, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memset(at + 4096, 0xee, 1);
  t.equal(mprotect(at, size, PROT_READ), 0);
  releaseProgramPages();
  t.equal(residentAt(at), size, 'one page of it is nobody else’s');
  const wanted = Buffer.from(content);
  wanted[4096] = 0xee;
  t.ok(bytesAt(at, size).equals(wanted));
  t.end();
});

t.test('others are left alone', (t) => {
  const writable = map(t, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  const shared = map(t, PROT_READ, MAP_SHARED);
  const locked = map(t, PROT_READ, MAP_PRIVATE);
  t.equal(mlock(locked, size), 0);
  releaseProgramPages();
  for (const at of [writable, shared, locked]) t.equal(residentAt(at), size);
  t.end();
});

t.test('the program itself: the same bytes before and after', (t) => {
  const mappings = programMappings(smaps());
  t.ok(mappings.some(({ file }) => file === process.execPath));
  t.ok(mappings.some(({ file }) => file.endsWith('koffi.node')));
  const before = hashOfProgram();
  const resident = residentOfProgram();
  releaseProgramPages();
  t.ok(residentOfProgram() < resident / 2, `${residentOfProgram()} of ${resident}`);
  t.equal(hashOfProgram(), before);
  t.end();
});

function residentOfProgram(): number {
  return programMappings(smaps()).reduce((sum, { resident }) => sum + resident, 0);
}
