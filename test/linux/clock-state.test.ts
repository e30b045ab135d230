import { execFileSync } from 'node:child_process';
import t from 'tap';
import { isClockSynchronised } from '../../src/linux/clock-state.ts';

t.test('the kernel’s word on the clock is the one that Python’s ctypes gets', (t) => {
  // adjtimex(2) by another way: status is the sixth field, an int behind one int and four longs.
  const program = `
import ctypes, struct
state = ctypes.create_string_buffer(208)
ctypes.CDLL(None).adjtimex(state)
print(struct.unpack_from('i', state, 40)[0])`;
  const status = Number(execFileSync('python3', ['-c', program], { encoding: 'utf8' }));
  t.equal(isClockSynchronised(), (status & 0x40) === 0);
  t.end();
});
