import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { Opening } from '../../src/dns/opening.ts';

t.test('what keeps it from listening is said once, and it is tried again later and later', async (t) => {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  let tries = 0;
  const endpoint = parseInetEndpoint('[::1]:853');
  const opening = new Opening({ clock, log }, endpoint, 'tls', () => tries++);
  const lines = () => log.lines.splice(0).map(({ level, fields }) => ({ level, ...fields }));
  const taken = { endpoint: '[::1]:853', transport: 'tls', error: 'taken' };
  for (const [i, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
    opening.failed(new Error('taken'));
    t.equal(opening.error, 'taken');
    t.strictSame(lines(), i === 0 ? [{ level: 'error', ...taken }] : []);
    clock.advance(seconds * 1000 - 1);
    t.equal(tries, i);
    clock.advance(1);
    t.equal(tries, i + 1);
  }
  opening.failed(new Error('no such address'));
  t.strictSame(lines(), [{ level: 'error', ...taken, error: 'no such address' }], 'another reason is news');
  opening.succeeded(parseInetEndpoint('[::1]:1853'));
  t.strictSame(lines(), [{ level: 'info', endpoint: '[::1]:1853', transport: 'tls' }]);
  t.equal(opening.error, undefined);
});

t.test('who is not wanted any more is not tried again', async (t) => {
  const clock = new FakeClock();
  let tries = 0;
  const opening = new Opening({ clock, log: new MemoryLogger() }, parseInetEndpoint('[::1]:53'), 'udp', () => tries++);
  opening.cancel();
  opening.failed(new Error('taken'));
  opening.cancel();
  clock.advance(60_000);
  t.equal(tries, 0);
});
