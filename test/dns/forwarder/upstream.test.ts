import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { Upstream, upstreamName } from '../../../src/dns/forwarder/upstream.ts';

const endpoint = (port: number) => ({ kind: 'inet' as const, address: parseAddress('2001:db8::53'), port });
const make = () => new Upstream({ transport: 'udp', endpoint: endpoint(53), serverName: undefined });

t.test('what it is called', async (t) => {
  t.equal(make().name, '[2001:db8::53]:53');
  const tls = { transport: 'tls', endpoint: endpoint(853), serverName: 'dns.example' } as const;
  t.equal(upstreamName(tls), 'tls://[2001:db8::53]:853#dns.example');
  t.equal(upstreamName({ ...tls, transport: 'tcp', serverName: undefined }), 'tcp://[2001:db8::53]:853');
});

t.test('waits: four round trips, twice as long each try, a tenth more or less by chance', async (t) => {
  const upstream = make();
  const range = (tries: number) => [0, 0.5, 1].map((jitter) => Math.round(upstream.waitMs(tries, jitter)));
  t.strictSame(range(0), [360, 400, 440], 'never heard');
  upstream.answered(100);
  t.strictSame(range(0), [360, 400, 440]);
  t.strictSame(range(1), [720, 800, 880]);
  for (let i = 0; i < 100; i++) upstream.answered(1);
  t.strictSame(range(0), [135, 150, 165], 'not less');
});

t.test('probes: further apart each time, five seconds at most, by chance too', async (t) => {
  const upstream = make();
  const delays = Array.from({ length: 7 }, () => Math.round(upstream.nextProbeMs(0.5)));
  t.strictSame(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
  upstream.answered(5);
  t.strictSame([upstream.nextProbeMs(0), Math.round(upstream.nextProbeMs(1))], [225, 550]);
});

t.test('down after three silences in a row, at once when nobody listens, up with an answer', async (t) => {
  const upstream = make();
  const timeouts = (...at: number[]) => at.map((now) => upstream.timedOut(now - 150, now));
  t.strictSame(timeouts(150, 950), [false, false]);
  upstream.answered(5);
  t.strictSame(timeouts(1150, 1450, 1800), [false, false, true]);
  t.match(upstream.status, { state: 'down', reason: 'no answers', timeouts: 5 });
  upstream.answered(5);
  t.strictSame(timeouts(2150, 2150, 2150, 2150, 2799), [false, false, false, false, false], 'many at one moment');
  t.strictSame(timeouts(2800), [true], '800 ms after the first was sent');
  t.equal(upstream.answered(5), true);
  t.match(upstream.status, { state: 'up', reason: undefined });
  t.equal(upstream.failed('connection refused', true), true);
  t.equal(upstream.failed('connection refused', true), false, 'it was known');
});
