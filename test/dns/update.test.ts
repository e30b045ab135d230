import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { UpdatePolicy } from '../../src/dns/policy.ts';
import { processUpdate } from '../../src/dns/update.ts';
import type { ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameKey, nameToText } from '../../src/dns/wire/name.ts';
import { rdataFromText, rdataToText } from '../../src/dns/wire/rdata.ts';
import { CLASS, rcodeToText, typeFromText, typeToText } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';
import { updateRule } from './control-server.ts';
import { rr, updateMessage } from './dns-client.ts';

const zoneKey = nameKey(nameFromText('z.test'));
const policy = new UpdatePolicy(zoneKey, [
  updateRule('all', 'zonesub', undefined, ['ANY']),
  updateRule('a-only', 'name', 'h.z.test', ['A']),
  updateRule('two', 'zonesub', undefined, ['AAAA(2)', 'A', 'TXT(1)'], { maxRecords: 4 }),
]);

const start: [owner: string, ttl: number, type: string, ...rdata: string[]][] = [
  ['z.test', 300, 'SOA', 'ns.z.test. host.z.test. 100 3600 600 86400 60'],
  ['z.test', 300, 'NS', 'ns.z.test.'],
  ['h.z.test', 60, 'A', '192.0.2.1', '192.0.2.2'],
  ['h.z.test', 60, 'TXT', '"x"'],
  ['c.z.test', 60, 'CNAME', 'h.z.test.'],
  ['deep.ent.z.test', 60, 'A', '192.0.2.3'],
];

function newZone(): Zone {
  const rrsets = start.map(([owner, ttl, type, ...rdata]) => {
    const number = typeFromText(type);
    const rrset = { type: number, ttl, rdata: rdata.map((text) => rdataFromText(number, text)) };
    return { owner: nameFromText(owner), rrset };
  });
  return new Zone({ name: nameFromText('z.test'), rrsets });
}

/** `name ttl class type [rdata]`; rdata `#hex` are octets as they are. */
function record(text: string): ResourceRecord {
  const [name, ttl, cls, type, ...rest] = text.split(' ');
  const data = rest.join(' ');
  const number = typeFromText(type!);
  const rdata = data.startsWith('#')
    ? Uint8Array.from(Buffer.from(data.slice(1), 'hex'))
    : data === ''
      ? new Uint8Array(0)
      : rdataFromText(number, data);
  return rr(name!, CLASS[cls as keyof typeof CLASS], number, Number(ttl), rdata);
}

function run(prerequisites: string[], updates: string[], key = 'all') {
  const zone = newZone();
  const message = updateMessage(1, 'z.test', prerequisites.map(record), updates.map(record));
  const before = JSON.stringify(zone.toData());
  const outcome = processUpdate(message, zoneKey, zone, policy, {
    key: nameKey(nameFromText(key)),
    address: parseAddress('fd00::1'),
  });
  t.equal(JSON.stringify(zone.toData()), before, 'the zone itself stays');
  const changes = outcome.changes
    .map(({ owner, type, rrset }) => {
      const data = rrset?.rdata.map((rdata) => rdataToText(type, rdata)).join(' | ');
      return `${nameToText(owner)} ${rrset?.ttl ?? '-'} ${typeToText(type)} ${data ?? 'gone'}`;
    })
    .filter((line) => !line.includes(' SOA '));
  const soa = outcome.changes.find(({ type }) => type === 6)?.rrset?.rdata[0];
  const serial = soa === undefined ? 100 : Number(rdataToText(6, soa).split(' ')[2]);
  return { rcode: rcodeToText(outcome.rcode), changes, serial, ignored: outcome.ignored.length };
}

/** The reason for the log. */
function refusal(updates: string[], key: string, prerequisites: string[] = []): string | undefined {
  const message = updateMessage(1, 'z.test', prerequisites.map(record), updates.map(record));
  const who = { key: nameKey(nameFromText(key)), address: parseAddress('fd00::1') };
  return processUpdate(message, zoneKey, newZone(), policy, who).reason;
}

t.test('prerequisites (RFC 2136 §3.2)', (t) => {
  const rows: [rcode: string, ...prerequisites: string[]][] = [
    ['FORMERR', 'h.z.test 1 ANY A'],
    ['FORMERR', 'h.z.test 0 CH A'],
    ['FORMERR', 'h.z.test 0 ANY A #c0000201'],
    ['FORMERR', 'h.z.test 0 NONE A #c0000201'],
    ['FORMERR', 'h.z.test 0 IN A #c00002'],
    ['NOTZONE', 'other.test 0 ANY ANY'],
    ['NOTZONE', 'xz.test 0 NONE ANY'],
    // name is in use
    ['NOERROR', 'H.Z.test 0 ANY ANY'],
    ['NXDOMAIN', 'n.z.test 0 ANY ANY'],
    ['NXDOMAIN', 'ent.z.test 0 ANY ANY'],
    // name is not in use
    ['NOERROR', 'n.z.test 0 NONE ANY'],
    ['NOERROR', 'ent.z.test 0 NONE ANY'],
    ['YXDOMAIN', 'h.z.test 0 NONE ANY'],
    // RRset exists, value independent
    ['NOERROR', 'h.z.test 0 ANY A'],
    ['NXRRSET', 'h.z.test 0 ANY AAAA'],
    ['NXRRSET', 'n.z.test 0 ANY A'],
    ['NXRRSET', 'h.z.test 0 ANY AXFR'],
    // RRset does not exist
    ['NOERROR', 'h.z.test 0 NONE AAAA'],
    ['YXRRSET', 'h.z.test 0 NONE A'],
    // RRset exists, value dependent: whole, in any order
    ['NOERROR', 'h.z.test 0 IN A 192.0.2.2', 'h.z.test 0 IN A 192.0.2.1'],
    ['NOERROR', 'c.z.test 0 IN CNAME H.z.TEST.'],
    ['NXRRSET', 'h.z.test 0 IN A 192.0.2.1'],
    ['NXRRSET', 'h.z.test 0 IN A 192.0.2.1', 'h.z.test 0 IN A 192.0.2.2', 'h.z.test 0 IN A 192.0.2.3'],
    ['NXRRSET', 'h.z.test 0 IN TXT "X"'],
    // all must hold; value dependent ones come last
    ['YXDOMAIN', 'h.z.test 0 IN TXT "y"', 'h.z.test 0 NONE ANY'],
  ];
  for (const [rcode, ...prerequisites] of rows) {
    const result = run(prerequisites, ['n.z.test 60 IN A 192.0.2.9']);
    t.equal(result.rcode, rcode, prerequisites.join(', '));
    t.equal(result.changes.length, rcode === 'NOERROR' ? 1 : 0);
  }
  t.end();
});

t.test('updates that are refused, whole (RFC 2136 §3.3, §3.4.1)', (t) => {
  const good = 'n.z.test 60 IN A 192.0.2.9';
  const rows: [rcode: string, update: string, key?: string][] = [
    ['NOTZONE', 'other.test 60 IN A 192.0.2.9'],
    ['FORMERR', 'n.z.test 60 CH A #c0000201'],
    ['FORMERR', 'n.z.test 60 IN ANY'],
    ['FORMERR', 'n.z.test 60 IN AXFR'],
    ['FORMERR', 'n.z.test 60 IN A #c00002'],
    ['FORMERR', 'n.z.test 60 IN A'],
    ['FORMERR', 'n.z.test 60 ANY A'],
    ['FORMERR', 'n.z.test 0 ANY A #c0000201'],
    ['FORMERR', 'n.z.test 0 ANY MAILB'],
    ['FORMERR', 'n.z.test 60 NONE A 192.0.2.1'],
    ['FORMERR', 'n.z.test 0 NONE ANY'],
    ['FORMERR', 'n.z.test 0 NONE A #c00002'],
    ['REFUSED', 'h.z.test 60 IN A 192.0.2.9', 'stranger'],
    ['REFUSED', 'h.z.test 60 IN TXT "y"', 'a-only'],
    ['REFUSED', 'n.z.test 60 IN A 192.0.2.9', 'a-only'],
    // The name has a TXT, which the key may not delete.
    ['REFUSED', 'h.z.test 0 ANY ANY', 'a-only'],
    ['REFUSED', 'h.z.test 0 NONE TXT "x"', 'a-only'],
  ];
  for (const [rcode, update, key] of rows) {
    const result = run([], key === 'a-only' ? ['h.z.test 60 IN A 192.0.2.8', update] : [good, update], key);
    t.strictSame(result, { rcode, changes: [], serial: 100, ignored: 0 }, update);
  }
  t.end();
});

t.test('updates (RFC 2136 §3.4.2)', (t) => {
  const rows: [updates: string[], changes: string[], ignored?: number, serial?: number][] = [
    [['n.z.test 60 IN A 192.0.2.9'], ['n.z.test 60 A 192.0.2.9']],
    [['h.z.test 60 IN A 192.0.2.9'], ['h.z.test 60 A 192.0.2.1 | 192.0.2.2 | 192.0.2.9']],
    [['H.z.test 60 IN A 192.0.2.1'], []],
    [['h.z.test 90 IN A 192.0.2.1'], ['h.z.test 90 A 192.0.2.1 | 192.0.2.2']],
    [['h.z.test 4294967295 IN TXT "x"'], ['h.z.test 0 TXT "x"']],
    [['c.z.test 60 IN CNAME n.z.test.'], ['c.z.test 60 CNAME n.z.test.']],
    [['h.z.test 60 IN CNAME n.z.test.'], [], 1],
    [['c.z.test 60 IN A 192.0.2.9'], [], 1],
    [['*.z.test 60 IN NS n.z.test.'], [], 1],
    [['h.z.test 0 ANY A'], ['h.z.test - A gone']],
    [['h.z.test 0 ANY AAAA'], []],
    [['h.z.test 0 ANY ANY'], ['h.z.test - A gone', 'h.z.test - TXT gone']],
    [['h.z.test 0 NONE A 192.0.2.1'], ['h.z.test 60 A 192.0.2.2']],
    [['h.z.test 0 NONE A 192.0.2.7'], []],
    [['c.z.test 0 NONE CNAME H.Z.test.'], ['c.z.test - CNAME gone']],
    [['z.test 0 ANY NS'], [], 1],
    [['z.test 0 ANY SOA'], [], 1],
    [['z.test 0 ANY ANY'], []],
    [['z.test 0 NONE NS ns.z.test.'], [], 1],
    [['z.test 0 NONE SOA ns.z.test. host.z.test. 100 3600 600 86400 60'], [], 1],
    [['z.test 60 IN NS b.z.test.', 'z.test 0 NONE NS ns.z.test.'], ['z.test 60 NS b.z.test.']],
    [['n.z.test 60 IN A 192.0.2.9', 'n.z.test 0 ANY ANY'], []],
    [
      ['h.z.test 0 ANY ANY', 'h.z.test 60 IN CNAME n.z.test.'],
      ['h.z.test - A gone', 'h.z.test - TXT gone', 'h.z.test 60 CNAME n.z.test.'],
    ],
    [['z.test 300 IN SOA ns.z.test. host.z.test. 99 3600 600 86400 60'], [], 1],
    [['z.test 300 IN SOA ns.z.test. host.z.test. 100 3600 600 86400 61'], [], 1],
    [['h.z.test 300 IN SOA ns.z.test. host.z.test. 200 3600 600 86400 60'], [], 1],
    [['z.test 300 IN SOA ns.z.test. host.z.test. 200 3600 600 86400 60'], [], 0, 200],
    [
      ['z.test 300 IN SOA ns.z.test. host.z.test. 200 3600 600 86400 60', 'h.z.test 0 ANY A'],
      ['h.z.test - A gone'],
      0,
      200,
    ],
  ];
  for (const [updates, changes, ignored = 0, serial = changes.length === 0 ? 100 : 101] of rows) {
    const result = run([], updates);
    t.strictSame(
      { ...result, changes: result.changes.sort() },
      { rcode: 'NOERROR', changes: changes.sort(), serial, ignored },
      updates.join(', '),
    );
  }
  t.end();
});

t.test('limits of rules: what grows beyond them is refused, what was there before may be replaced', (t) => {
  const rows: [rcode: string, ...updates: string[]][] = [
    ['NOERROR', 'n.z.test 60 IN AAAA fd00::1', 'n.z.test 60 IN AAAA fd00::2'],
    ['REFUSED', 'n.z.test 60 IN AAAA fd00::1', 'n.z.test 60 IN AAAA fd00::2', 'n.z.test 60 IN AAAA fd00::3'],
    ['NOERROR', 'n.z.test 60 IN AAAA fd00::1', 'n.z.test 60 IN AAAA fd00::2', 'n.z.test 60 IN AAAA fd00::1'],
    // Of every name its own.
    ['NOERROR', 'n.z.test 60 IN AAAA fd00::1', 'n.z.test 60 IN AAAA fd00::2', 'm.z.test 60 IN AAAA fd00::3'],
    // One TXT is there.
    ['REFUSED', 'h.z.test 60 IN TXT "y"'],
    ['NOERROR', 'h.z.test 0 ANY TXT', 'h.z.test 60 IN TXT "y"'],
    ['NOERROR', 'h.z.test 60 IN TXT "y"', 'h.z.test 0 NONE TXT "x"'],
    // Three records of two types are there, four are allowed.
    ['NOERROR', 'h.z.test 60 IN A 192.0.2.3'],
    ['REFUSED', 'h.z.test 60 IN A 192.0.2.3', 'h.z.test 60 IN AAAA fd00::1'],
    ['NOERROR', 'h.z.test 0 ANY A', 'h.z.test 60 IN AAAA fd00::1', 'h.z.test 60 IN AAAA fd00::2'],
  ];
  for (const [rcode, ...updates] of rows) t.equal(run([], updates, 'two').rcode, rcode, updates.join(', '));
  t.equal(
    refusal(['n.z.test 60 IN TXT "1"', 'n.z.test 60 IN TXT "2"'], 'two'),
    'n.z.test IN TXT: rule 3 (two zonesub) allows 1 TXT records a name, not 2',
  );
  t.end();
});

t.test('says what stood against it', (t) => {
  t.equal(
    refusal(['h.z.test 60 IN TXT "y"'], 'a-only'),
    'h.z.test IN TXT: rule 2 (a-only name h.z.test): not this type',
  );
  t.equal(
    refusal(['n.z.test 60 IN A 192.0.2.1'], 'a-only'),
    'n.z.test IN A: rule 2 (a-only name h.z.test): not this name',
  );
  t.equal(
    refusal(['h.z.test 0 ANY ANY'], 'a-only'),
    'h.z.test ANY ANY (has TXT): rule 2 (a-only name h.z.test): not this type',
  );
  t.equal(refusal([], 'stranger'), 'no rule of the zone names the key');
  t.equal(refusal([], 'all', ['n.z.test 0 ANY ANY']), 'prerequisite n.z.test ANY ANY: the name is not in use');
  t.equal(
    refusal([], 'all', ['h.z.test 0 IN A 192.0.2.1']),
    'prerequisite h.z.test IN A: the RRset is not the one it names',
  );
  t.end();
});
