import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { RaCounter } from '../../src/ra/counters.ts';
import { fixedRandom, gaps, Harness, ownLinkLocal, raConfig } from './support.ts';

t.test('the first at once, three at most 16 s apart, then between Min and Max (§6.2.4)', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(4 * 3600 * 1000);
  const sent = harness.take();
  t.equal(sent[0]!.at, 1_000_000);
  t.strictSame(gaps(sent).slice(0, 2), [16_000, 16_000]);
  const later = gaps(sent).slice(2);
  t.ok(
    later.every((gap) => gap >= 200_000 && gap <= 600_000),
    'all between',
  );
  t.ok(new Set(later).size > later.length / 2, 'and random');
  t.ok(sent.every((one) => one.to === 'ff02::1' && one.from === ownLinkLocal && one.ifindex === 7));
  t.ok(harness.socket.groups.has('ff02::2%7'));
});

t.test('short intervals stay above MIN_DELAY_BETWEEN_RAS', async (t) => {
  const harness = await Harness.advertising(raConfig({ interval: { minMs: 1_000, maxMs: 4_000 } }));
  harness.clock.advance(200_000);
  t.ok(gaps(harness.take()).every((gap) => gap >= 3_000 && gap <= 4_000));
});

t.test('a solicitation is answered by unicast after 0..maxDelay (§6.2.6)', async (t) => {
  for (const fraction of [0, 0.5, 0.999]) {
    const harness = await Harness.advertising(raConfig(), fixedRandom(fraction));
    harness.take();
    harness.solicit('fe80::77');
    if (fraction > 0) {
      harness.clock.advance(fraction * 500 - 1);
      t.strictSame(harness.take(), [], 'not yet');
      harness.clock.advance(1);
    }
    t.match(harness.take(), [{ to: 'fe80::77', from: ownLinkLocal }]);
  }
});

t.test('maxDelay 0 answers within the call; a global source is answered too', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  harness.solicit('2001:db8::77');
  t.match(harness.take(), [{ to: '2001:db8::77' }]);
  t.match(harness.control.status()[0]!, {
    lastSolicitation: { from: '2001:db8::77' },
    lastSent: { to: '2001:db8::77' },
  });
});

t.test('solicitations of one source that wait are answered once', async (t) => {
  const harness = await Harness.advertising();
  harness.take();
  for (let i = 0; i < 3; i++) harness.solicit('fe80::77');
  harness.clock.advance(500);
  t.equal(harness.take().length, 1);
});

t.test('from ::, the answer is a multicast, 3 s after the one before at the earliest', async (t) => {
  const harness = await Harness.advertising(raConfig(), fixedRandom(0.5));
  harness.take();
  harness.clock.advance(1_000);
  for (let i = 0; i < 5; i++) harness.solicit('::');
  harness.clock.advance(2_249);
  t.strictSame(harness.take(), []);
  harness.clock.advance(1);
  const [answer] = harness.take();
  t.match(answer, { to: 'ff02::1', at: 1_003_250 });
  harness.clock.advance(10_000);
  harness.solicit('::');
  harness.clock.advance(250);
  const [second] = harness.take();
  t.equal(second!.at, 1_013_500, 'later, after the random delay alone');
  harness.clock.advance(15_999);
  t.strictSame(harness.take(), [], 'and the interval begins anew');
});

t.test('one source that floods gets a few, others their own', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  for (let i = 0; i < 2_000; i++) harness.solicit('fe80::bad');
  t.equal(harness.take().length, 4);
  t.equal(harness.counters.get(RaCounter.rateLimited), 1_996);
  harness.solicit('fe80::77');
  t.equal(harness.take().length, 1);
  harness.clock.advance(1_000);
  harness.solicit('fe80::bad');
  t.equal(harness.take().filter((one) => one.to === 'fe80::bad').length, 1, 'again after a second');
});

t.test('many sources: beyond the limit one multicast answers all', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  for (let i = 0; i < 5_000; i++) harness.solicit(`fe80::1:${i.toString(16)}`);
  t.equal(harness.take().length, 200);
  harness.clock.advance(3_000);
  t.match(harness.take(), [{ to: 'ff02::1' }]);
});

t.test('clients alone get replies, and unsolicited ones by unicast', async (t) => {
  const harness = await Harness.advertising(
    raConfig({ maxDelayMs: 0, clients: [parseAddress('fe80::a'), parseAddress('fe80::b')] }),
  );
  t.strictSame(
    harness.take().map((one) => one.to),
    ['fe80::a', 'fe80::b'],
  );
  harness.solicit('fe80::c');
  harness.solicit('::');
  t.strictSame(harness.take(), []);
  t.equal(harness.counters.get(RaCounter.notAClient), 2);
  harness.solicit('fe80::a');
  t.match(harness.take(), [{ to: 'fe80::a' }]);
});

t.test('who is denied gets no reply, others do', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0, deny: [parseAddress('fe80::bad')] }));
  harness.take();
  harness.solicit('fe80::bad');
  t.strictSame(harness.take(), []);
  t.equal(harness.counters.get(RaCounter.notAClient), 1);
  harness.solicit('fe80::a');
  t.match(harness.take(), [{ to: 'fe80::a' }]);
});

t.test('unicastOnly sends no multicast, whatever happens', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0, unicastOnly: true }));
  harness.solicit('::');
  harness.network.setLink({ index: 7, mac: Buffer.from('020000000002', 'hex') });
  harness.clock.advance(10_000_000);
  t.strictSame(harness.take(), []);
  harness.solicit('fe80::77');
  t.match(harness.take(), [{ to: 'fe80::77' }]);
  await harness.control.stop({ final: true, graceMs: 0 });
  t.strictSame(harness.take(), []);
});
