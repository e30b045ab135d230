import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { formatEndpoint, parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT } from '../../src/dns/counters.ts';
import type { HandoffRequest } from '../../src/dns/snapshot.ts';
import { soaTimers } from '../../src/dns/soa.ts';
import { readExpire } from '../../src/dns/wire/expire.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { unavailableZone } from '../../src/dns/zone.ts';
import { patched } from './engine-queries.ts';
import { aaaa, askedName, Bench, FakeUpstream, query, reply, zone } from './peers.ts';

t.test('handed over: UPDATE, NOTIFY, AXFR, IXFR, signed', async (t) => {
  const requests: HandoffRequest[] = [];
  const handoff = async (request: HandoffRequest) => {
    requests.push(request);
    const answer = Buffer.from(request.message);
    answer[2]! |= 0x80;
    return [answer];
  };
  const bench = await Bench.start(t, { handoff });
  const tsig = Buffer.concat([query('a.test'), Buffer.from('0000fa00ff000000000000', 'hex')]);
  tsig[11] = 1;
  const all = [
    patched(query('test', { type: TYPE.SOA }), [[2, 0x28]]),
    patched(query('test', { type: TYPE.SOA }), [[2, 0x20]]),
    query('test', { type: TYPE.AXFR }),
    query('test', { type: TYPE.IXFR }),
    tsig,
  ];
  for (const bytes of all) t.strictSame([...(await bench.exchange(bytes))].slice(3), [...bytes].slice(3));
  t.strictSame(
    requests.map(({ message }) => Buffer.from(message)),
    all.map((bytes) => Buffer.from(bytes)),
  );
  t.equal(requests[0]!.transport, 'udp');
  t.equal(formatEndpoint(requests[0]!.local), `127.0.0.1:${bench.port}`);
  t.strictSame(requests[0]!.client.address, parseAddress('127.0.0.1'));
  t.equal(bench.counters.get(COUNT.HANDOFF), all.length);
});

t.test('EXPIRE (RFC 7314): how long a zone that we were given is good yet', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config] });
  const own = zone('own.test', [aaaa('a.own.test', 1)]);
  bench.engine.setZone(own);
  bench.engine.setZone({ ...zone('copy.test', []), expiresAt: clock.wall() + 50_999 });
  bench.engine.setZone(unavailableZone(nameFromText('gone.test')));
  const soaExpire = soaTimers(own.rrsets.find(({ rrset }) => rrset.type === TYPE.SOA)!.rrset.rdata[0]!).expire;
  const cookie = { code: 10, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
  const asking = { udpSize: 1232, options: [{ code: 9, data: new Uint8Array(0) }, cookie] };
  const rows: [name: string, type: number, expire: number | undefined][] = [
    ['own.test', TYPE.SOA, soaExpire],
    ['OWN.test', TYPE.SOA, soaExpire],
    ['copy.test', TYPE.SOA, 50],
    ['gone.test', TYPE.SOA, undefined],
    ['own.test', TYPE.NS, undefined],
    ['a.own.test', TYPE.SOA, undefined],
    ['10.in-addr.arpa', TYPE.SOA, undefined],
    ['elsewhere.test', TYPE.SOA, undefined],
  ];
  for (const [name, type, expire] of rows) {
    for (const way of ['anew', 'from the cache']) {
      const { edns } = await bench.ask(name, { type, edns: asking });
      t.equal(readExpire(edns), expire, `${name} ${type} ${way}`);
      t.ok(
        edns!.options.some(({ code }) => code === 10),
        'and the cookie',
      );
    }
    const { edns } = await bench.ask(name, { type, edns: { udpSize: 1232 } });
    t.notOk(
      edns!.options.some(({ code }) => code === 9),
      'nobody is told unasked',
    );
  }
  const left = async (name = 'copy.test') => readExpire((await bench.ask(name, { type: TYPE.SOA, edns: asking })).edns);
  clock.advance(30_000);
  t.equal(await left(), 20, 'time goes on');
  bench.engine.setExpiry(nameFromText('copy.test'), clock.wall() + 90_000_000_000);
  t.equal(await left(), soaExpire, 'a primary confirmed it: as the SOA has it at most');
  bench.engine.setExpiry(nameFromText('copy.test'), clock.wall() - 1);
  t.equal(await left(), 0);
  bench.engine.setExpiry(nameFromText('nowhere.test'), clock.wall());
});

t.test('a handoff that fails or gives nothing is no answer, and ends nothing', async (t) => {
  let fail = true;
  const handoff = async () => {
    if (fail) throw new Error('control thread gone');
    return [];
  };
  const bench = await Bench.start(t, { handoff });
  bench.send(query('test', { type: TYPE.AXFR }));
  while (!bench.log.lines.some(({ fields }) => String(fields.error) === 'control thread gone')) await nextTurn();
  fail = false;
  bench.send(query('test', { type: TYPE.AXFR }));
  t.equal((await bench.ask('a.test')).rcode, RCODE.REFUSED);
});
