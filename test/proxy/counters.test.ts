import t from 'tap';
import * as counters from '../../src/proxy/counters.ts';

t.test('every offset has its spec', async (t) => {
  t.equal(Object.keys(counters.ProxyCounter).length, counters.proxyCounterSpecs.length);
  t.equal(Object.keys(counters.ListenerCounter).length, counters.listenerCounterSpecs.length);
  const member = { ...counters.MemberCounter, ...counters.MemberTcp };
  t.equal(Object.keys(member).length, counters.memberCounterSpecs.length);
  for (const table of [counters.ProxyCounter, counters.ListenerCounter, member]) {
    t.same(
      Object.values(table),
      Object.keys(table).map((_, i) => i),
      'offsets count up',
    );
  }
});

t.test('slots do not overlap and end where the window ends', async (t) => {
  const { listenerSlots, memberSlots } = counters;
  t.equal(counters.listenerCounterBase(0), counters.proxyCounterSpecs.length);
  t.equal(counters.listenerCounterBase(listenerSlots), counters.memberCounterBase(0));
  t.equal(counters.memberCounterBase(memberSlots), counters.proxyCounters);
  t.equal(counters.listenerGaugeBase(listenerSlots), counters.memberGaugeBase(0));
  t.equal(counters.memberGaugeBase(memberSlots), counters.poolGaugeBase(0));
  t.equal(counters.poolGaugeBase(counters.poolSlots), counters.proxyGauges);
});

t.test('names are Prometheus names, and a name has one help text', async (t) => {
  const helps = new Map<string, string>();
  const { proxyCounterSpecs, listenerCounterSpecs, memberCounterSpecs } = counters;
  for (const spec of [...proxyCounterSpecs, ...listenerCounterSpecs, ...memberCounterSpecs]) {
    t.match(spec.name, /^v6edge_proxy_[a-z_]+_total$/);
    t.equal(helps.get(spec.name) ?? spec.help, spec.help);
    helps.set(spec.name, spec.help);
  }
  const { proxyGaugeSpecs, listenerGaugeSpecs, memberGaugeSpecs } = counters;
  for (const spec of [...proxyGaugeSpecs, ...listenerGaugeSpecs, ...memberGaugeSpecs]) {
    t.match(spec.name, /^v6edge_proxy_[a-z_]+(?<!_total)$/);
  }
});
