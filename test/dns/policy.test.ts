import t from 'tap';
import type { UpdateMatch, UpdateRule } from '../../src/dns/config.ts';
import { UpdatePolicy } from '../../src/dns/policy.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { typeFromText } from '../../src/dns/wire/types.ts';

const key = (text: string) => nameKey(nameFromText(text));
const zone = key('cluster.test');
const rule = (match: UpdateMatch, name?: string, types: string[] = [], who = 'k'): UpdateRule => ({
  key: who,
  match,
  name,
  types,
});

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
    t.equal(policy.grant(key(who), key(owner), typeFromText(type)) !== undefined, granted, name);
  }
  t.end();
});

t.test('says which rule granted, or why none did', (t) => {
  const policy = new UpdatePolicy(zone, [rule('name', 'a.cluster.test', ['A'])]);
  t.equal(policy.grant(key('k'), key('a.cluster.test'), 1), 'rule 1 (k name a.cluster.test)');
  t.equal(policy.explain(key('x'), key('a.cluster.test')), 'no rule names the key');
  t.match(policy.explain(key('k'), key('a.cluster.test')), /leave the type out/);
  t.match(policy.explain(key('k'), key('b.cluster.test')), /covers the name/);
  t.equal(policy.knows(key('x')), false);
  t.throws(() => new UpdatePolicy(zone, [rule('zonesub', undefined, ['BOGUS'])]), { code: 'V6_VALUE' });
  t.end();
});
