/** Our server with the client of the npm package dns2. */
import dns2 from 'dns2';
import t from 'tap';
import { aaaa, Bench, FakeUpstream, reply, txt, zone } from './peers.ts';

t.test('dns2 asks by UDP and by TCP', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { answers: [aaaa('away.test', 9)] }));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('big.own.test', 2000)]));
  const options = { dns: '127.0.0.1', port: bench.port, timeout: 3000 };
  for (const [name, ask] of [
    ['UDP', dns2.UDPClient(options)],
    ['TCP', dns2.TCPClient(options)],
  ] as const) {
    const own = await ask('a.own.test', 'AAAA');
    t.match(own.answers, [{ name: 'a.own.test', ttl: 300, address: /^2001:db8:.*1$/ }], `${name}: a zone's`);
    t.equal(own.header.aa, 1);
    const away = await ask('away.test', 'AAAA');
    t.match(away.answers, [{ address: /^2001:db8:.*9$/ }], 'forwarded');
    t.equal(away.header.ra, 1);
    const none = await ask('none.own.test', 'AAAA');
    t.equal(none.header.rcode, 3, 'NXDOMAIN');
    t.equal(none.answers.length, 0);
    const big = await ask('big.own.test', 'TXT');
    const { data } = big.answers[0] as unknown as { data: string | string[] };
    t.equal([data].flat().join('').length, 2000, 'long, by TCP in the end');
  }
});
