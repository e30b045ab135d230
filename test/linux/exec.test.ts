import { readFileSync } from 'node:fs';
import t from 'tap';
import { clearAmbientCapabilities, closeDescriptorsOnExec } from '../../src/linux/exec.ts';
import { closeFd, libcCall } from '../../src/linux/libc.ts';

const O_CLOEXEC = 0o2000000;
const dup = libcCall<(fd: number) => number>('int dup(int fd)');

/** The kernel's own words. */
function closesOnExec(fd: number): boolean {
  const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'ascii'))![1]!;
  return (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
}

t.test('descriptors', (t) => {
  const fd = dup(0);
  const standard = closesOnExec(0);
  t.teardown(() => closeFd(fd));
  t.ok(fd > 2);
  t.notOk(closesOnExec(fd), 'as a library would open it');
  closeDescriptorsOnExec();
  t.ok(closesOnExec(fd));
  t.equal(closesOnExec(0), standard, 'standard input is left as it was');
  closeDescriptorsOnExec();
  t.end();
});

t.test('capabilities: the set is empty, again and again', (t) => {
  clearAmbientCapabilities();
  clearAmbientCapabilities();
  t.match(readFileSync('/proc/thread-self/status', 'ascii'), /^CapAmb:\s+0+$/m);
  t.end();
});
