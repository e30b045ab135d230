import t from 'tap';
import { formatAddress, parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { maxSources } from '../../src/ra/constants.ts';
import { Replies } from '../../src/ra/replies.ts';

function setUp() {
  const clock = new FakeClock();
  const sent: string[] = [];
  const replies = new Replies(clock, (to) => void sent.push(formatAddress(to)));
  const ask = (from: string, delayMs: number) => replies.ask(parseAddress(from), delayMs);
  return { clock, sent, replies, ask };
}

t.test('one that waits is answered once; one of many replies later is its own', (t) => {
  const { clock, sent, ask } = setUp();
  t.equal(ask('fe80::1', 400), 'reply');
  t.equal(ask('fe80::1', 100), 'reply');
  t.equal(ask('fe80::2', 0), 'reply');
  t.strictSame(sent, ['fe80::2'], 'no delay, no timer');
  clock.advance(400);
  t.strictSame(sent, ['fe80::2', 'fe80::1']);
  t.equal(ask('fe80::1', 0), 'reply');
  t.equal(sent.length, 3);
  t.end();
});

t.test('cancelled replies never leave', (t) => {
  const { clock, sent, replies, ask } = setUp();
  for (let i = 1; i < 50; i++) ask(`fe80::${i.toString(16)}`, 500);
  replies.cancel();
  t.equal(clock.pending, 0);
  clock.advance(1_000);
  t.strictSame(sent, []);
  t.end();
});

t.test('the limits of one source and of all; memory for no more than a thousand', (t) => {
  const { clock, ask } = setUp();
  for (let i = 0; i < 4; i++) t.equal(ask('fe80::1', 0), 'reply');
  t.equal(ask('fe80::1', 0), 'drop');
  const verdicts = Array.from({ length: 5_000 }, (_, i) => {
    if (i % 100 === 99) clock.advance(1);
    return ask(`fe80::1:${i.toString(16)}`, 500);
  });
  t.ok(verdicts.filter((one) => one === 'reply').length <= 205);
  t.ok(verdicts.includes('multicast'));
  t.ok(clock.pending <= maxSources);
  t.end();
});
