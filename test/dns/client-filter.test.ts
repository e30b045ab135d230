import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { ClientFilter, DROP, SEND, SLIP } from '../../src/dns/client-filter.ts';

function wordsOf(text: string): { words: Uint32Array; family: 4 | 6 } {
  const { bytes, family } = parseAddress(text);
  const words = new Uint32Array(4);
  new Uint8Array(words.buffer).set(bytes);
  return { words, family };
}

function allows(filter: ClientFilter, text: string): boolean {
  const { words, family } = wordsOf(text);
  return filter.allows(words, 0, family);
}

function network(filter: ClientFilter, text: string): number {
  allows(filter, text);
  return filter.network;
}

function make(allow: string[], responsesPerSecond = 0, slip = 2): ClientFilter {
  const filter = new ClientFilter(new SeededRandom(3));
  filter.apply(allow.map(parseCidr), { responsesPerSecond, slip });
  return filter;
}

t.test('nobody is allowed by an empty list', async (t) => {
  const filter = make([]);
  for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::']) t.equal(allows(filter, address), false, address);
});

t.test('prefixes of both families, asked twice', async (t) => {
  const filter = make(['192.0.2.0/25', '2001:db8::/33', '::1/128']);
  const cases: [string, boolean][] = [
    ['192.0.2.127', true],
    ['192.0.2.128', false],
    ['2001:db8:7fff::1', true],
    ['2001:db8:8000::1', false],
    ['::1', true],
    ['::2', false],
    ['127.0.0.1', false],
    ['::192.0.2.1', false],
  ];
  for (const [address, expected] of [...cases, ...cases]) t.equal(allows(filter, address), expected, address);
});

t.test('many addresses, more than the table holds', async (t) => {
  const filter = make(['10.0.0.0/17']);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 65536; i += 7) {
      const expected = i < 32768;
      if (allows(filter, `10.0.${i >> 8}.${i & 255}`) !== expected) t.fail(`10.0.${i >> 8}.${i & 255}`);
    }
  }
  t.pass('all right');
});

t.test('new settings take back what was decided', async (t) => {
  const filter = make(['127.0.0.0/8']);
  t.equal(allows(filter, '127.0.0.1'), true);
  filter.apply([], { responsesPerSecond: 0, slip: 0 });
  t.equal(allows(filter, '127.0.0.1'), false);
});

t.test('networks are /24 and /56', async (t) => {
  const filter = make([]);
  t.equal(network(filter, '192.0.2.1'), network(filter, '192.0.2.255'));
  t.not(network(filter, '192.0.2.1'), network(filter, '192.0.3.1'));
  t.equal(network(filter, '2001:db8:1:aa00::1'), network(filter, '2001:db8:1:aaff:ffff::'));
  t.not(network(filter, '2001:db8:1:aa00::1'), network(filter, '2001:db8:1:ab00::1'));
});

t.test('a token bucket for each network and answer', async (t) => {
  const filter = make(['::/0'], 5, 3);
  const take = (count: number, answer: number, now: number) =>
    Array.from({ length: count }, () => filter.limit(answer, now));
  allows(filter, '2001:db8::1');
  t.strictSame(take(5, 1, 0), [SEND, SEND, SEND, SEND, SEND]);
  t.strictSame(take(6, 1, 0), [DROP, DROP, SLIP, DROP, DROP, SLIP]);
  t.strictSame(take(1, 2, 0), [SEND], 'another answer');
  allows(filter, '2001:db8:ffff::1');
  t.strictSame(take(1, 1, 0), [SEND], 'another network');
  allows(filter, '2001:db8::2');
  t.strictSame(take(2, 1, 200), [SEND, DROP], 'a fifth of a second later');
  t.strictSame(take(6, 1, 1e6), [SEND, SEND, SEND, SEND, SEND, DROP], 'no more than a second is saved up');
});

t.test('a limit of what one client asks, in a table of fixed size', async (t) => {
  const filter = new ClientFilter(new SeededRandom(3));
  filter.apply([parseCidr('::/0')], { responsesPerSecond: 0, slip: 0 }, { queriesPerSecond: 3 });
  t.equal(filter.limitsClients, true);
  const take = (text: string, count: number, now: number) => {
    allows(filter, text);
    return Array.from({ length: count }, () => filter.admits(now));
  };
  t.strictSame(take('2001:db8::1', 5, 0), [true, true, true, false, false]);
  t.strictSame(take('2001:db8::2', 1, 0), [true], 'another address of its network has its own');
  t.strictSame(take('2001:db8::1', 2, 334), [true, false], 'a third of a second later');
  t.strictSame(take('2001:db8::1', 4, 1e6), [true, true, true, false], 'no more than a second is saved up');
  for (let i = 0; i < 20_000; i++) take(`2001:db8:1::${i.toString(16)}`, 4, 1e6);
  t.strictSame(take('2001:db8::1', 1, 1e6), [true], 'pushed out by many others it begins anew');
  filter.apply([], { responsesPerSecond: 0, slip: 0 });
  t.equal(filter.limitsClients, false);
});

t.test('networks that are exempt', async (t) => {
  const filter = make(['::/0', '0.0.0.0/0']);
  const exempt = ['fd00::/8', '10.0.0.0/8'].map(parseCidr);
  filter.apply(['::/0', '0.0.0.0/0'].map(parseCidr), { responsesPerSecond: 1, slip: 0, exempt });
  const cases: [string, boolean][] = [
    ['fd00:6:6::1', true],
    ['fc00::1', false],
    ['2001:db8::1', false],
    ['10.255.0.1', true],
    ['11.0.0.1', false],
  ];
  for (let round = 0; round < 2; round++) {
    for (const [address, expected] of cases) {
      t.ok(allows(filter, address));
      t.equal(filter.exempt, expected, address);
    }
  }
  filter.apply(['::/0'].map(parseCidr), { responsesPerSecond: 1, slip: 0 });
  allows(filter, 'fd00:6:6::1');
  t.equal(filter.exempt, false, 'no longer');
});

t.test('slip 0: the rest is dropped, all of it', async (t) => {
  const filter = make(['::/0'], 1, 0);
  allows(filter, '::1');
  t.strictSame(
    [1, 2, 3, 4].map(() => filter.limit(1, 0)),
    [SEND, DROP, DROP, DROP],
  );
});
