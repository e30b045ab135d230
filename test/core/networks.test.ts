import fc from 'fast-check';
import t from 'tap';
import { cidrContains, formatCidr, maskAddress, parseAddress, parseCidr } from '../../src/core/address.ts';
import { isEmptySet, networksContain, networksOf } from '../../src/core/networks.ts';

t.test('what lies in a set of prefixes', (t) => {
  const cases: [prefixes: string[], inside: string[], outside: string[]][] = [
    [[], [], ['0.0.0.0', '::']],
    [['0.0.0.0/0'], ['0.0.0.0', '255.255.255.255'], ['::', '::1']],
    [['::/0'], ['::', 'ffff::'], ['0.0.0.0']],
    [
      ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32'],
      ['10.0.0.0', '10.1.2.3', '10.255.255.255'],
      ['9.255.255.255', '11.0.0.0'],
    ],
    [
      ['10.1.0.0/16', '10.3.0.0/16'],
      ['10.1.9.9', '10.3.0.0'],
      ['10.0.255.255', '10.2.0.0', '10.4.0.0'],
    ],
    [
      ['192.0.2.128/25', '192.0.2.1'],
      ['192.0.2.1', '192.0.2.128', '192.0.2.255'],
      ['192.0.2.0', '192.0.2.2', '192.0.2.127'],
    ],
    [
      ['2001:db8::/33', 'fd00::/8', '2001:db8::/48'],
      ['2001:db8:7fff::1', 'fdff::'],
      ['2001:db8:8000::', 'fe00::', 'fcff::1'],
    ],
    [
      ['10.0.0.0/8', 'fd00::/8'],
      ['10.2.3.4', 'fd00::1'],
      ['11.0.0.0', 'fe80::1'],
    ],
  ];
  for (const [prefixes, inside, outside] of cases) {
    const networks = networksOf(prefixes.map(parseCidr));
    t.equal(isEmptySet(networks), prefixes.length === 0);
    for (const address of inside)
      t.ok(networksContain(networks, parseAddress(address).bytes), `${prefixes}: ${address}`);
    for (const address of outside)
      t.notOk(networksContain(networks, parseAddress(address).bytes), `${prefixes}: not ${address}`);
  }
  t.end();
});

t.test('any prefixes: as one after the other asked', (t) => {
  // Few different bits, so that prefixes nest and addresses meet them.
  const bytes = fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { minLength: 4, maxLength: 4 });
  const prefix = fc.record({ bytes, length: fc.integer({ min: 0, max: 32 }) }).map(({ bytes, length }) => {
    const base = maskAddress({ family: 4, bytes: Uint8Array.from(bytes) }, length);
    return { base, length };
  });
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 12 }), fc.array(bytes, { maxLength: 20 }), (prefixes, addresses) => {
      const networks = networksOf(prefixes);
      for (const address of [...addresses, ...prefixes.map(({ base }) => [...base.bytes])].map((each) =>
        Uint8Array.from(each),
      )) {
        const expected = prefixes.some((each) => cidrContains(each, address));
        if (networksContain(networks, address) !== expected) {
          throw new Error(`${address.join('.')} in ${prefixes.map(formatCidr)}: ${!expected}`);
        }
      }
    }),
    { seed: 20261126, numRuns: 3000 },
  );
  t.end();
});

t.test('is shared, not copied, when another thread gets it', (t) => {
  const networks = networksOf([parseCidr('192.0.2.0/24')]);
  const passed = structuredClone(networks);
  networks.v4[0] = 10;
  t.equal(passed.v4[0], 10);
  t.end();
});
