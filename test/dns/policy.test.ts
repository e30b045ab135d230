import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import type { UpdateMatch, UpdateRule } from '../../src/dns/config.ts';
import { readTypeLimit, UpdatePolicy } from '../../src/dns/policy.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { typeFromText } from '../../src/dns/wire/types.ts';
import { updateRule } from './control-server.ts';

const key = (text: string) => nameKey(nameFromText(text));
const zone = key('cluster.test');
const rule = (match: UpdateMatch, name?: string, types: string[] = [], who = 'k'): UpdateRule =>
  updateRule(who, match, name, types);
const from = (who: string, address = 'fd00::1') => ({ key: key(who), address: parseAddress(address) });

t.test('rules', (t) => {
  const rows: [rules: UpdateRule[], who: string, owner: string, type: string, granted: boolean][] = [
    [[], 'k', 'a.cluster.test', 'A', false],
    [[rule('zonesub')], 'other', 'a.cluster.test', 'A', false],
    [[rule('zonesub')], 'k', 'a.cluster.test', 'A', true],
    [[rule('zonesub')], 'K', 'cluster.test', 'TXT', true],
    [[rule('zonesub')], 'k', 'cluster.test', 'SOA', false],
    [[rule('zonesub')], 'k', 'a.cluster.test', 'NS', false],
    [[rule('zonesub')], 'k', 'a.cluster.test', 'RRSIG', false],
    [[rule('zonesub')], 'k', 'a.cluster.test', 'NSEC', false],
    [[rule('zonesub')], 'k', 'a.cluster.test', 'NSEC3', false],
    [[rule('zonesub', undefined, ['NS'])], 'k', 'a.cluster.test', 'NS', true],
    [[rule('zonesub', undefined, ['ANY'])], 'k', 'cluster.test', 'SOA', true],
    [[rule('zonesub', undefined, ['AAAA'])], 'k', 'a.cluster.test', 'A', false],
    [[rule('zonesub', undefined, ['TYPE28'])], 'k', 'a.cluster.test', 'AAAA', true],
    [[rule('self', undefined, [], 'n1.cluster.test')], 'n1.cluster.test', 'N1.Cluster.test', 'AAAA', true],
    [[rule('self', undefined, [], 'n1.cluster.test')], 'n1.cluster.test', 'n2.cluster.test', 'AAAA', false],
    [[rule('self', undefined, [], 'n1.cluster.test')], 'n1.cluster.test', 'a.n1.cluster.test', 'AAAA', false],
    [[rule('name', 'a.cluster.test')], 'k', 'a.cluster.test', 'A', true],
    [[rule('name', 'a.cluster.test')], 'k', 'b.a.cluster.test', 'A', false],
    [[rule('name')], 'k', 'cluster.test', 'A', true],
    [[rule('subdomain', 'a.cluster.test')], 'k', 'a.cluster.test', 'A', true],
    [[rule('subdomain', 'a.cluster.test')], 'k', 'c.b.a.cluster.test', 'A', true],
    [[rule('subdomain', 'a.cluster.test')], 'k', 'ba.cluster.test', 'A', false],
    [[rule('subdomain')], 'k', 'x.cluster.test', 'A', true],
    [[rule('wildcard', '*.a.cluster.test')], 'k', 'b.a.cluster.test', 'A', true],
    [[rule('wildcard', '*.a.cluster.test')], 'k', 'c.b.a.cluster.test', 'A', true],
    [[rule('wildcard', '*.a.cluster.test')], 'k', 'a.cluster.test', 'A', false],
    [[rule('wildcard')], 'k', 'cluster.test', 'A', false],
    [
      [rule('name', 'a.cluster.test', ['A']), rule('zonesub', undefined, ['AAAA'])],
      'k',
      'a.cluster.test',
      'AAAA',
      true,
    ],
  ];
  for (const [rules, who, owner, type, granted] of rows) {
    const policy = new UpdatePolicy(zone, rules);
    const name = `${JSON.stringify(rules.map(({ match, name, types }) => [match, name, ...types]))} ${who} ${owner} ${type}`;
    t.equal(policy.grant(from(who), key(owner), typeFromText(type)) !== undefined, granted, name);
  }
  t.end();
});

t.test('addresses that may be added', (t) => {
  const addresses = [parseCidr('fd00:6:6::/64'), parseCidr('192.0.2.0/24')];
  const limited = updateRule('k', 'zonesub', undefined, ['A', 'AAAA', 'TXT'], { addresses });
  const rows: [rules: UpdateRule[], address: string | undefined, type: string, granted: boolean][] = [
    [[limited], 'fd00:6:6::1', 'AAAA', true],
    [[limited], 'fd00:6:7::1', 'AAAA', false],
    [[limited], '::ffff:192.0.2.1', 'AAAA', false],
    [[limited], '192.0.2.1', 'A', true],
    [[limited], '192.0.3.1', 'A', false],
    // Deleted, or a type without addresses.
    [[limited], undefined, 'AAAA', true],
    [[limited], undefined, 'TXT', true],
    // The next rule may still grant it.
    [[limited, rule('name', 'a.cluster.test', ['AAAA'])], 'fd00:6:7::1', 'AAAA', true],
    [[updateRule('k', 'zonesub', undefined, [], { addresses: [] })], 'fd00:6:7::1', 'AAAA', true],
  ];
  for (const [rules, address, type, granted] of rows) {
    const policy = new UpdatePolicy(zone, rules);
    const bytes = address === undefined ? undefined : parseAddress(address).bytes;
    const grant = policy.grant(from('k'), key('a.cluster.test'), typeFromText(type), undefined, bytes);
    t.equal(grant !== undefined, granted, `${rules.length} ${address} ${type}`);
  }
  const policy = new UpdatePolicy(zone, [limited]);
  const { bytes } = parseAddress('fd00:6:7::1');
  t.match(policy.explain(from('k'), key('a.cluster.test'), 28, bytes), /^rule 1 .*: not this address$/);
  t.end();
});

t.test('keys', (t) => {
  const rows: [keys: string[], match: UpdateMatch, who: string, owner: string, granted: boolean][] = [
    [['old', 'new'], 'zonesub', 'old', 'a.cluster.test', true],
    [['old', 'new'], 'zonesub', 'NEW', 'a.cluster.test', true],
    [['old', 'new'], 'zonesub', 'newer', 'a.cluster.test', false],
    // As BIND's `grant *.nodes.test self`: each key its own name.
    [['*.cluster.test'], 'self', 'n1.cluster.test', 'n1.cluster.test', true],
    [['*.cluster.test'], 'self', 'n1.cluster.test', 'n2.cluster.test', false],
    [['*.cluster.test'], 'self', 'cluster.test', 'cluster.test', false],
    [['*.cluster.test'], 'self', 'n1.other.test', 'n1.other.test', false],
    [['*'], 'self', 'n1.cluster.test', 'n1.cluster.test', true],
    [['n1.cluster.test'], 'selfsub', 'n1.cluster.test', 'n1.cluster.test', true],
    [['n1.cluster.test'], 'selfsub', 'n1.cluster.test', 'a.b.n1.cluster.test', true],
    [['n1.cluster.test'], 'selfsub', 'n1.cluster.test', 'xn1.cluster.test', false],
    [['n1.cluster.test'], 'selfwild', 'n1.cluster.test', 'n1.cluster.test', false],
    [['n1.cluster.test'], 'selfwild', 'n1.cluster.test', 'a.n1.cluster.test', true],
  ];
  for (const [keys, match, who, owner, granted] of rows) {
    const policy = new UpdatePolicy(zone, [updateRule('', match, undefined, [], { keys })]);
    t.equal(policy.grant(from(who), key(owner), 1) !== undefined, granted, `${keys} ${match}: ${who} ${owner}`);
  }
  t.end();
});

t.test('networks', (t) => {
  const networks = ['fd00:6:6::/64', '192.0.2.0/24'].map(parseCidr);
  const policy = new UpdatePolicy(zone, [
    updateRule('k', 'zonesub', undefined, ['AAAA'], { from: networks }),
    updateRule('k', 'name', 'a.cluster.test', ['A'], { from: [parseCidr('::1')] }),
  ]);
  const rows: [address: string, owner: string, type: string, granted: boolean][] = [
    ['fd00:6:6::5', 'x.cluster.test', 'AAAA', true],
    ['fd00:6:7::5', 'x.cluster.test', 'AAAA', false],
    ['192.0.2.9', 'x.cluster.test', 'AAAA', true],
    ['::ffff:192.0.2.9', 'x.cluster.test', 'AAAA', true],
    ['198.51.100.1', 'x.cluster.test', 'AAAA', false],
    ['::1', 'a.cluster.test', 'A', true],
    ['fd00:6:6::5', 'a.cluster.test', 'A', false],
  ];
  for (const [address, owner, type, granted] of rows) {
    t.equal(policy.grant(from('k', address), key(owner), typeFromText(type)) !== undefined, granted, address);
  }
  t.equal(policy.knows(from('k', '198.51.100.1')), false, 'from elsewhere it may not even ask');
  t.equal(
    policy.explain(from('k', '198.51.100.1')),
    'rule 1 (k zonesub), rule 2 (k name a.cluster.test): not from 198.51.100.1',
  );
  t.end();
});

t.test('limits stand after a type, as in BIND', (t) => {
  t.same(readTypeLimit('AAAA'), { type: 28, max: 0 });
  t.same(readTypeLimit('aaaa(2)'), { type: 28, max: 2 });
  t.same(readTypeLimit('TYPE65280(9999)'), { type: 65280, max: 9999 });
  for (const text of ['AAAA(0)', 'AAAA()', 'AAAA(2', 'AAAA (2)', 'AAAA(12345)', '(2)', 'AAAA(-1)', 'BOGUS(2)']) {
    t.throws(() => readTypeLimit(text), { code: 'V6_VALUE' }, text);
  }
  const policy = new UpdatePolicy(zone, [updateRule('k', 'zonesub', undefined, ['AAAA(2)'], { maxRecords: 5 })]);
  t.same(policy.grant(from('k'), key('a.cluster.test'), 28), {
    text: 'rule 1 (k zonesub)',
    maxOfType: 2,
    maxRecords: 5,
  });
  t.end();
});

t.test('says why no rule granted', (t) => {
  const policy = new UpdatePolicy(zone, [rule('name', 'a.cluster.test', ['A'])]);
  t.equal(policy.grant(from('k'), key('a.cluster.test'), 1)?.text, 'rule 1 (k name a.cluster.test)');
  t.equal(policy.explain(from('x'), key('a.cluster.test')), 'no rule of the zone names the key');
  t.equal(policy.explain(from('k'), key('a.cluster.test')), 'rule 1 (k name a.cluster.test): not this type');
  t.equal(policy.explain(from('k'), key('b.cluster.test')), 'rule 1 (k name a.cluster.test): not this name');
  t.equal(policy.knows(from('x')), false);
  t.throws(() => new UpdatePolicy(zone, [rule('zonesub', undefined, ['BOGUS'])]), { code: 'V6_VALUE' });
  t.end();
});
