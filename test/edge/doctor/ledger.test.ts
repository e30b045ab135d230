import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { ClientFilter } from '../../../src/dns/client-filter.ts';
import { ClientLedger } from '../../../src/dns/client-ledger.ts';
import { NodeLedger } from '../../../src/edge/doctor/ledger.ts';

const cidr = { base: parseAddress('fd00::'), length: 16 };

function wordsOf(text: string): Int32Array {
  const { bytes } = parseAddress(text);
  const words = new Int32Array(4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

t.test('queries are counted by client, those refused apart', (t) => {
  const clock = new FakeClock();
  const ledger = new ClientLedger(clock);
  const filter = new ClientFilter(new SeededRandom(1), ledger);
  filter.apply([cidr], { responsesPerSecond: 0, slip: 0 });
  for (let i = 0; i < 3; i++) filter.allows(wordsOf('fd00::1'), 0, 6);
  filter.allows(wordsOf('2001:db8::1'), 0, 6);
  filter.allows(wordsOf('192.0.2.1'), 0, 4);
  filter.sweep();
  clock.advance(5_000);
  filter.allows(wordsOf('fd00::1'), 0, 6);
  filter.sweep();
  const found = Object.fromEntries(ledger.list().map(({ address, ...rest }) => [address, rest]));
  t.match(found['fd00::1'], { queries: 4, refused: 0 });
  t.equal(found['fd00::1']!.last - found['fd00::1']!.first, 5_000);
  t.match(found['2001:db8::1'], { queries: 0, refused: 1 });
  t.match(found['192.0.2.1'], { queries: 0, refused: 1 });
  filter.sweep();
  t.equal(ledger.list().length, 3, 'a sweep without queries changes nothing');
  t.end();
});

t.test('many clients: none is lost that is allowed, the ledger stays bounded, forged ones cost nothing', (t) => {
  const ledger = new ClientLedger(new FakeClock());
  const filter = new ClientFilter(new SeededRandom(2), ledger);
  filter.apply([cidr], { responsesPerSecond: 0, slip: 0 });
  for (let i = 1; i <= 900; i++) filter.allows(wordsOf(`fd00::${i.toString(16)}`), 0, 6);
  filter.sweep();
  t.equal(ledger.list().length, 900, 'also those that shared a place of the table');
  for (let i = 1; i <= 50_000; i++)
    filter.allows(wordsOf(`2001:db8::${(i >> 8).toString(16)}:${(i & 255).toString(16)}`), 0, 6);
  t.equal(ledger.list().filter(({ address }) => address.startsWith('fd00')).length, 900);
  for (let i = 1; i <= 5_000; i++) filter.allows(wordsOf(`fd00:1::${i.toString(16)}`), 0, 6);
  filter.sweep();
  t.equal(ledger.list().length, 1024);
  t.end();
});

t.test('the ledger of nodes is bounded: who was not heard of for longest makes room', (t) => {
  const ledger = new NodeLedger(new FakeClock());
  const address = (i: number) => parseAddress(`fe80::${i.toString(16)}`);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  for (let i = 1; i <= 2048; i++) ledger.solicited('eth1', address(i), mac);
  ledger.solicited('eth1', address(1), undefined);
  ledger.solicited('eth1', address(5000), undefined);
  t.equal(ledger.all().length, 2048);
  t.match(ledger.get('fe80::1'), { mac: '02:00:00:00:00:09', solicitations: { count: 2, interface: 'eth1' } });
  t.equal(ledger.get('fe80::2'), undefined);
  ledger.learn(
    Array.from({ length: 3000 }, (_, i) => ({ address: `fd00::${i.toString(16)}`, mac: '02:00:00:00:00:01' })),
  );
  t.equal(ledger.macs.size, 2048);
  t.end();
});

t.test('updates: accepted, refused, names, clock', (t) => {
  const clock = new FakeClock();
  const ledger = new NodeLedger(clock);
  const sighting = {
    client: parseAddress('::ffff:192.0.2.7'),
    key: 'node-key',
    names: Array.from({ length: 40 }, (_, i) => `n${i}.test`),
    result: 'NOERROR',
    reason: undefined,
    clockBehindSeconds: 3,
  };
  ledger.updated(sighting);
  clock.advance(1_000);
  ledger.updated({ ...sighting, result: 'BADKEY', reason: 'no key', clockBehindSeconds: undefined });
  const entry = ledger.get('192.0.2.7')!;
  t.equal(entry.names.size, 16);
  t.match(entry.updates, {
    accepted: 1,
    refused: 1,
    clockBehindSeconds: 3,
    lastRefused: { sighting: { result: 'BADKEY' } },
  });
  t.ok(entry.updates!.lastRefused!.at > entry.updates!.lastAccepted!);
  t.end();
});
