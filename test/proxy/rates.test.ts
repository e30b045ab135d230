import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { SourceRates } from '../../src/proxy/rates.ts';
import { spanOfAddress } from '../../src/proxy/span.ts';
import { listener } from './harness.ts';

const front = listener('127.0.0.1:1', { rate: { perSource: 2, windowMs: 1000 } });
const from = (text: string) => spanOfAddress(parseAddress(text), 1);

t.test('so many a window, by address or /64, each listener for itself', async (t) => {
  const clock = new FakeClock();
  const rates = new SourceRates(clock);
  const admit = (text: string, at = front) => rates.admit(at, from(text));
  t.same([admit('192.0.2.1'), admit('192.0.2.1'), admit('192.0.2.1')], [true, true, false]);
  t.equal(admit('192.0.2.2'), true, 'another IPv4 address');
  t.same([admit('2001:db8::1'), admit('2001:db8::2'), admit('2001:db8::3')], [true, true, false], 'one /64');
  t.equal(admit('2001:db8:0:1::1'), true, 'the next /64');
  t.equal(admit('192.0.2.1', { ...front, name: 'other' }), true, 'another listener');
  clock.advance(999);
  t.equal(admit('192.0.2.1'), false);
  clock.advance(1);
  t.equal(admit('192.0.2.1'), true, 'a new window');
});

t.test('memory is bounded however many sources there are', async (t) => {
  const rates = new SourceRates(new FakeClock());
  t.equal(rates.admit(front, from('192.0.2.1')), true);
  t.equal(rates.admit(front, from('192.0.2.1')), true);
  for (let i = 0; i < 65_536; i++) rates.admit(front, from(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
  t.equal(rates.admit(front, from('192.0.2.1')), true, 'the oldest was forgotten');
});
