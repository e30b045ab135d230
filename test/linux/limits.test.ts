import { readFileSync } from 'node:fs';
import t from 'tap';
import { fileLimit, raiseFileLimit, setFileLimit } from '../../src/linux/limits.ts';

/** The kernel's own words. */
function procLimit(): { soft: number; hard: number } {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'ascii'))!;
  const read = (text: string) => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  return { soft: read(soft!), hard: read(hard!) };
}

t.test('the layout is that of the kernel', (t) => {
  const { hard } = fileLimit();
  t.strictSame(fileLimit(), procLimit());
  setFileLimit({ soft: 777, hard });
  t.strictSame(procLimit(), { soft: 777, hard });
  t.strictSame(fileLimit(), { soft: 777, hard });
  t.end();
});

t.test('soft is raised to hard', (t) => {
  const { hard } = fileLimit();
  setFileLimit({ soft: 512, hard });
  t.strictSame(raiseFileLimit(), { soft: hard, hard });
  t.strictSame(procLimit(), { soft: hard, hard });
  t.strictSame(raiseFileLimit(), { soft: hard, hard }, 'again: nothing to do');
  t.end();
});

t.test('what the kernel refuses', (t) => {
  const { hard } = fileLimit();
  t.throws(() => setFileLimit({ soft: 100, hard: 50 }), { code: 'EINVAL', syscall: 'setrlimit' });
  // Beyond fs.nr_open even root may not go.
  t.throws(() => setFileLimit({ soft: 512, hard: Number.POSITIVE_INFINITY }), { code: 'EPERM' });
  t.equal(fileLimit().hard, hard);
  t.end();
});
