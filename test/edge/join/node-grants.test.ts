/**
 * What a node's key may do, case by case, and that whatever it sends never touches what is another's: random updates with a
 * printed seed. V6EDGE_FUZZ_SEED and V6EDGE_FUZZ_MESSAGES choose another sequence.
 */
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { Overlay } from '../../../src/dns/overlay.ts';
import { UpdatePolicy } from '../../../src/dns/policy.ts';
import { rdataTarget } from '../../../src/dns/target.ts';
import { processUpdate } from '../../../src/dns/update.ts';
import type { ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText, nameKey, nameToText } from '../../../src/dns/wire/name.ts';
import { rdataFromText, rdataToText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, rcodeToText, TYPE, typeFromText, typeToText } from '../../../src/dns/wire/types.ts';
import { Zone } from '../../../src/dns/zone.ts';
import { nodeGrant } from '../../../src/edge/join/node-grants.ts';
import { updateRule } from '../../dns/control-server.ts';
import { rr, updateMessage } from '../../dns/dns-client.ts';
import { joinConfig, storedNode } from './stage.ts';

const seed = Number(process.env.V6EDGE_FUZZ_SEED ?? 20261125);
const messages = Number(process.env.V6EDGE_FUZZ_MESSAGES ?? 4000);
const reverse = '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa';
const config = joinConfig();
const w1 = nodeGrant(storedNode('w1'), config);
const key = nameKey(nameFromText('w1.cluster.test'));
const ptr = (last: string) => `${last}.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.${reverse}`;

type Row = [owner: string, ttl: number, type: string, ...rdata: string[]];
const forward: Row[] = [
  ['cluster.test', 300, 'SOA', 'edge.cluster.test. host.cluster.test. 100 3600 600 86400 60'],
  ['cluster.test', 300, 'NS', 'edge.cluster.test.'],
  ['edge.cluster.test', 300, 'AAAA', 'fd00:6:6::1'],
  ['w1.cluster.test', 60, 'AAAA', 'fd00:6:6::21'],
  ['w2.cluster.test', 60, 'AAAA', 'fd00:6:6::22'],
  ['w2.cluster.test', 60, 'TXT', '"mine"'],
  ['x.w1.cluster.test', 60, 'AAAA', 'fd00:6:6::23'],
  [
    '_http._tcp.cluster.test',
    60,
    'SRV',
    '0 100 80 w1.cluster.test.',
    '0 100 80 w2.cluster.test.',
    '0 100 81 W2.cluster.test.',
  ],
  ['_kube-api._tcp.cluster.test', 60, 'SRV', '0 100 6443 cp1.cluster.test.'],
  ['_other._tcp.cluster.test', 60, 'SRV', '0 100 1 w1.cluster.test.'],
];
const backward: Row[] = [
  [reverse, 300, 'SOA', 'edge.cluster.test. host.cluster.test. 100 3600 600 86400 60'],
  [reverse, 300, 'NS', 'edge.cluster.test.'],
  [ptr('1.2'), 60, 'PTR', 'w1.cluster.test.'],
  [ptr('2.2'), 60, 'PTR', 'w2.cluster.test.'],
  [ptr('3.2'), 60, 'PTR', 'w2.cluster.test.', 'w1.cluster.test.'],
];

function zoneOf(name: string, rows: readonly Row[]): Zone {
  const rrsets = rows.map(([owner, ttl, type, ...rdata]) => {
    const number = typeFromText(type);
    return {
      owner: nameFromText(owner),
      rrset: { type: number, ttl, rdata: rdata.map((text) => rdataFromText(number, text)) },
    };
  });
  return new Zone({ name: nameFromText(name), rrsets });
}

const zones: Readonly<Record<string, Zone>> = {
  'cluster.test': zoneOf('cluster.test', forward),
  [reverse]: zoneOf(reverse, backward),
};

/** The configuration's own rule would grant everything to every key there: it is not about nodes. */
const policyOf = (zone: string) =>
  new UpdatePolicy(
    nameKey(nameFromText(zone)),
    [updateRule('', 'zonesub', undefined, ['ANY'], { keys: ['*'] })],
    new Map([[key, w1.rules.get(zone) ?? []]]),
  );

function update(zone: string, records: readonly ResourceRecord[]) {
  const view = zones[zone]!;
  const who = { key, address: parseAddress('fd00:6:6::21') };
  const outcome = processUpdate(
    updateMessage(1, zone, [], records),
    nameKey(nameFromText(zone)),
    view,
    policyOf(zone),
    who,
  );
  const after = new Overlay(view);
  after.apply(outcome.changes);
  return { outcome, after };
}

function record(text: string): ResourceRecord {
  const [name, ttl, cls, type, ...rest] = text.split(' ');
  const number = typeFromText(type!);
  const rdata = rest.length === 0 ? new Uint8Array(0) : rdataFromText(number, rest.join(' '));
  return rr(name!, CLASS[cls as keyof typeof CLASS], number, Number(ttl), rdata);
}

t.test('addresses that nodes may announce, where `join.addresses` says', (t) => {
  const { key: own, rules } = nodeGrant(storedNode('w1'), joinConfig('  addresses: ["fd00:6:7::/64", "192.0.2.0/24"]'));
  const policy = new UpdatePolicy(
    nameKey(nameFromText('cluster.test')),
    [],
    new Map([[nameKey(nameFromText(own.name)), rules.get('cluster.test')!]]),
  );
  const rows: [rcode: string, ...updates: string[]][] = [
    ['REFUSED', 'w1.cluster.test 60 IN AAAA fd00:6:6::22'],
    ['REFUSED', 'w1.cluster.test 60 IN AAAA fd00:6:7::21', 'w1.cluster.test 60 IN AAAA 2001:db8::1'],
    ['REFUSED', 'w1.cluster.test 60 IN A 192.0.3.1'],
    ['NOERROR', 'w1.cluster.test 60 IN AAAA fd00:6:7::21', 'w1.cluster.test 60 IN A 192.0.2.1'],
    // What was announced before the rule may go.
    ['NOERROR', 'w1.cluster.test 0 NONE AAAA fd00:6:6::21', 'w1.cluster.test 60 IN AAAA fd00:6:7::21'],
    ['NOERROR', 'w1.cluster.test 0 ANY ANY'],
    ['NOERROR', 'w1.cluster.test 60 IN TXT "x"'],
  ];
  for (const [rcode, ...updates] of rows) {
    const outcome = processUpdate(
      updateMessage(1, 'cluster.test', [], updates.map(record)),
      nameKey(nameFromText('cluster.test')),
      zones['cluster.test']!,
      policy,
      { key, address: parseAddress('fd00:6:6::21') },
    );
    t.equal(rcodeToText(outcome.rcode), rcode, updates.join(', '));
  }
  t.end();
});

t.test('case by case', (t) => {
  const refused: [name: string, zone: string, ...updates: string[]][] = [
    ['another’s address', 'cluster.test', 'w2.cluster.test 60 IN AAAA fd00::1'],
    ['another’s address deleted', 'cluster.test', 'w2.cluster.test 0 ANY AAAA'],
    ['another’s name deleted', 'cluster.test', 'w2.cluster.test 0 ANY ANY'],
    ['a name below its own', 'cluster.test', 'y.w1.cluster.test 60 IN AAAA fd00::1'],
    ['a new name', 'cluster.test', 'w3.cluster.test 60 IN AAAA fd00::1'],
    ['the apex', 'cluster.test', 'cluster.test 60 IN TXT "x"'],
    ['a wildcard', 'cluster.test', '*.cluster.test 60 IN AAAA fd00::1'],
    ['a CNAME at its own name', 'cluster.test', 'w1.cluster.test 60 IN CNAME w2.cluster.test.'],
    ['NS at its own name', 'cluster.test', 'w1.cluster.test 60 IN NS w1.cluster.test.'],
    ['a service that leads to another', 'cluster.test', '_http._tcp.cluster.test 60 IN SRV 0 100 80 w2.cluster.test.'],
    [
      'a service that leads below its name',
      'cluster.test',
      '_http._tcp.cluster.test 60 IN SRV 0 100 80 x.w1.cluster.test.',
    ],
    ['a service that leads nowhere', 'cluster.test', '_http._tcp.cluster.test 60 IN SRV 0 0 0 .'],
    ['another’s service deleted', 'cluster.test', '_http._tcp.cluster.test 0 NONE SRV 0 100 80 w2.cluster.test.'],
    ['all of a service deleted', 'cluster.test', '_http._tcp.cluster.test 0 ANY SRV'],
    ['all of a service’s name deleted', 'cluster.test', '_http._tcp.cluster.test 0 ANY ANY'],
    ['another type at a service', 'cluster.test', '_http._tcp.cluster.test 60 IN TXT "x"'],
    [
      'a service of the other role',
      'cluster.test',
      '_kube-api._tcp.cluster.test 60 IN SRV 0 100 6443 w1.cluster.test.',
    ],
    ['a service of nobody', 'cluster.test', '_new._tcp.cluster.test 60 IN SRV 0 100 1 w1.cluster.test.'],
    [
      'a fifth record at a service',
      'cluster.test',
      ...[2, 3, 4, 5].map((n) => `_http._tcp.cluster.test 60 IN SRV 0 0 ${n} w1.cluster.test.`),
    ],
    ['one bad among good', 'cluster.test', 'w1.cluster.test 60 IN AAAA fd00::1', 'w2.cluster.test 60 IN AAAA fd00::1'],
    ['33 records', 'cluster.test', ...Array.from({ length: 33 }, (_, i) => `w1.cluster.test 60 IN AAAA fd00::${i}`)],
    ['a PTR to another', reverse, `${ptr('9.2')} 60 IN PTR w2.cluster.test.`],
    ['a PTR beside another’s', reverse, `${ptr('2.2')} 60 IN PTR w1.cluster.test.`],
    ['another’s PTR deleted', reverse, `${ptr('2.2')} 0 ANY PTR`],
    ['another’s PTR record deleted', reverse, `${ptr('2.2')} 0 NONE PTR w2.cluster.test.`],
    ['PTR records of two deleted', reverse, `${ptr('3.2')} 0 ANY PTR`],
    ['another type', reverse, `${ptr('1.2')} 60 IN TXT "x"`],
  ];
  for (const [name, zone, ...updates] of refused) {
    const { outcome } = update(zone, updates.map(record));
    t.equal(rcodeToText(outcome.rcode), 'REFUSED', name);
    t.strictSame(outcome.changes, [], name);
    t.match(outcome.reason, /rule \d+ \(w1\.cluster\.test/, `${name}: the rule stands in the log`);
  }
  const granted: [name: string, zone: string, ...updates: string[]][] = [
    ['its addresses', 'cluster.test', 'w1.cluster.test 60 IN AAAA fd00::1', 'W1.cluster.test 60 IN A 192.0.2.1'],
    ['its host key', 'cluster.test', `w1.cluster.test 60 IN SSHFP 4 2 ${'00'.repeat(32)}`],
    ['its name deleted', 'cluster.test', 'w1.cluster.test 0 ANY ANY'],
    ['its service', 'cluster.test', '_http._tcp.cluster.test 60 IN SRV 0 100 8080 W1.Cluster.Test.'],
    ['its service again', 'cluster.test', '_https._tcp.cluster.test 60 IN SRV 0 100 443 w1.cluster.test.'],
    ['its service deleted', 'cluster.test', '_http._tcp.cluster.test 0 NONE SRV 0 100 80 w1.cluster.test.'],
    ['a service that is its alone deleted', 'cluster.test', '_https._tcp.cluster.test 0 ANY SRV'],
    ['its PTR', reverse, `${ptr('9.2')} 60 IN PTR w1.cluster.test.`],
    ['its PTR deleted', reverse, `${ptr('1.2')} 0 ANY PTR`],
    ['its PTR beside another’s deleted', reverse, `${ptr('3.2')} 0 NONE PTR w1.cluster.test.`],
  ];
  for (const [name, zone, ...updates] of granted) {
    const { outcome } = update(zone, updates.map(record));
    t.equal(rcodeToText(outcome.rcode), 'NOERROR', `${name}: ${outcome.reason}`);
  }
  t.end();
});

t.test('the TTL of records it shares is not its to set; of its own alone it is', (t) => {
  const shared = update('cluster.test', [record('_http._tcp.cluster.test 1 IN SRV 0 100 8080 w1.cluster.test.')]);
  t.equal(shared.outcome.rcode, 0);
  const name = nameKey(nameFromText('_http._tcp.cluster.test'));
  t.match(shared.after.rrset(name, TYPE.SRV)!.rrset, { ttl: 60, rdata: { length: 4 } });
  const own = update('cluster.test', [record('_https._tcp.cluster.test 1 IN SRV 0 100 443 w1.cluster.test.')]);
  t.equal(own.after.rrset(nameKey(nameFromText('_https._tcp.cluster.test')), TYPE.SRV)!.rrset.ttl, 1);
  t.end();
});

t.test('a control-plane node has its service alone', (t) => {
  const { rules } = nodeGrant(storedNode('cp1', { role: 'control-plane' }), config);
  t.strictSame(
    rules.get('cluster.test')!.map(({ match, name, types }) => [match, name, ...types]),
    [
      ['self', undefined, 'A', 'AAAA', 'SSHFP', 'TXT'],
      ['name', '_kube-api._tcp.cluster.test', 'SRV(4)'],
    ],
  );
  t.strictSame([...rules.keys()], ['cluster.test', reverse]);
  t.end();
});

t.test(`whatever it sends, what is another's stays (seed ${seed})`, (t) => {
  const random = new SeededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const owners: Readonly<Record<string, readonly string[]>> = {
    'cluster.test': [
      ...new Set(forward.map(([owner]) => owner)),
      '_https._tcp.cluster.test',
      '*.cluster.test',
      'w3.cluster.test',
    ],
    [reverse]: [...backward.map(([owner]) => owner), ptr('9.2')],
  };
  const targets = [
    'w1.cluster.test.',
    'W1.CLUSTER.test.',
    'w2.cluster.test.',
    'x.w1.cluster.test.',
    'cp1.cluster.test.',
    '.',
  ];
  const values: Record<string, () => string> = {
    AAAA: () => `fd00::${random.below(9)}`,
    A: () => `192.0.2.${random.below(9)}`,
    TXT: () => `"${random.below(9)}"`,
    SRV: () => `${random.below(2)} 100 ${random.below(3) + 80} ${pick(targets)}`,
    PTR: () => pick(targets),
    CNAME: () => pick(targets),
    NS: () => pick(targets),
    MX: () => `1 ${pick(targets)}`,
  };
  const types = Object.keys(values);
  let accepted = 0;
  for (let n = 0; n < messages; n++) {
    const zone = random.below(3) === 0 ? reverse : 'cluster.test';
    const texts = Array.from({ length: 1 + random.below(3) }, () => {
      // Half of them as a node would, so that some are granted and the rest of the message counts.
      const usual = random.below(2) === 0;
      const type = usual ? (zone === reverse ? 'PTR' : pick(['AAAA', 'SRV'])) : pick(types);
      const owner =
        usual && type === 'AAAA'
          ? 'w1.cluster.test'
          : usual && type === 'SRV'
            ? pick(['_http._tcp.cluster.test', '_https._tcp.cluster.test'])
            : pick(owners[zone]!);
      const cased = random.below(5) === 0 ? owner.toUpperCase() : owner;
      switch (random.below(5)) {
        case 0:
          return `${cased} 0 ANY ${random.below(3) === 0 ? 'ANY' : type}`;
        case 1:
          return `${cased} 0 NONE ${type} ${values[type]!()}`;
        default:
          return `${cased} ${pick([0, 60, 1])} IN ${type} ${values[type]!()}`;
      }
    });
    const { outcome, after } = update(zone, texts.map(record));
    if (outcome.changes.length > 0) accepted++;
    const fault = foreignChange(zones[zone]!, after);
    if (fault !== undefined) t.fail(`message ${n} in ${zone}: ${fault}`, { texts, seed });
    for (const { owner, type } of outcome.changes) {
      if (!isPlace(zone, nameToText(owner).toLowerCase(), type))
        t.fail(`${nameToText(owner)} ${typeToText(type)}`, { texts, seed });
    }
  }
  t.ok(accepted > messages / 20, `${accepted} of ${messages} changed something`);
  t.end();
});

/** What of the records that are not the node's is other than it was, TTL included. */
function foreignChange(before: Zone, after: Overlay): string | undefined {
  for (const { owner, rrset } of before.all()) {
    if (
      rrset.type === TYPE.SOA ||
      (nameKey(owner) === key && [TYPE.A, TYPE.AAAA, TYPE.TXT, TYPE.SSHFP].includes(rrset.type as never))
    )
      continue;
    const now = after.rrset(nameKey(owner), rrset.type)?.rrset;
    const foreign = rrset.rdata
      .filter((rdata) => rdataTarget(rrset.type, rdata) !== key)
      .map((rdata) => rdataToText(rrset.type, rdata));
    if (foreign.length === 0) continue;
    const left = now?.rdata
      .filter((rdata) => rdataTarget(rrset.type, rdata) !== key)
      .map((rdata) => rdataToText(rrset.type, rdata));
    if (now?.ttl === rrset.ttl && JSON.stringify(left) === JSON.stringify(foreign)) continue;
    return `${nameToText(owner)} ${typeToText(rrset.type)} ${foreign} became ${left} (TTL ${now?.ttl})`;
  }
  return undefined;
}

/** Whether a change there can be the node's at all. */
function isPlace(zone: string, owner: string, type: number): boolean {
  if (type === TYPE.SOA) return owner === zone;
  if (zone === reverse) return type === TYPE.PTR;
  return owner === 'w1.cluster.test' || (/^_https?\._tcp\.cluster\.test$/.test(owner) && type === TYPE.SRV);
}
