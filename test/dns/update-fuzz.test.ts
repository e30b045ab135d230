/**
 * The same random sequence of signed updates to BIND 9 and to us: every rcode is compared, and the zones after every
 * hundred messages. V6EDGE_FUZZ_SEED and V6EDGE_FUZZ_MESSAGES choose another sequence.
 *
 * BIND takes the steps of an update in another order than RFC 2136 does. `bindRcode` foretells from each message what that
 * makes of it, and `rules` says which sentence is behind the difference; any other rcode of BIND's is a failure. Two more
 * differences would take the zones apart, so no message asks for them: records put again with their owner in another case
 * (`owner`), and PTR and SRV records deleted by keys that may not (BIND 9.18 lets them; RFC 2136 §3.3 asks for permission).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { TsigKey } from '../../src/dns/config.ts';
import type { DnsControl } from '../../src/dns/control.ts';
import type { ZoneView } from '../../src/dns/overlay.ts';
import { type Requester, UpdatePolicy } from '../../src/dns/policy.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { checkPrerequisites } from '../../src/dns/update-prereq.ts';
import { checkPolicy, prescan } from '../../src/dns/update-prescan.ts';
import { Refusal } from '../../src/dns/update-refusal.ts';
import { encodeMessage, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { type NameKey, nameFromKey, nameFromText, nameKey, nameToText } from '../../src/dns/wire/name.ts';
import { checkRdata, rdataFromText, rdataToText } from '../../src/dns/wire/rdata.ts';
import { CLASS, classToText, RCODE, rcodeToText, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { startBind } from './bind.ts';
import { startControlServer, testConfig, testKey, updateRule, zoneConfig } from './control-server.ts';
import { axfrLines, rr, UdpClient, updateMessage } from './dns-client.ts';

const seed = Number(process.env.V6EDGE_FUZZ_SEED ?? 20261123);
const messages = Number(process.env.V6EDGE_FUZZ_MESSAGES ?? 1000);
const random = new SeededRandom(seed);
const limitedKey: TsigKey = { ...testKey, name: 'limited' };
const selfKey: TsigKey = { ...testKey, name: 'n1.cluster.test' };

/** A name of 255 octets, the longest there is (RFC 1035 §3.1): the zone's 14, three labels of 63 and one of 48. */
const longest = `${'m'.repeat(48)}.${[...'xyz'].map((letter) => letter.repeat(63)).join('.')}.cluster.test`;
/** The most labels that fit. */
const deepest = `${'d.'.repeat(120)}cluster.test`;

const names = [
  'cluster.test',
  'a.cluster.test',
  longest,
  deepest,
  'Mixed.Cluster.test',
  'b.cluster.test',
  'n1.cluster.test',
  'x.a.cluster.test',
  'sub.cluster.test',
  'www.sub.cluster.test',
  '*.wild.cluster.test',
  'deep.ent.b.cluster.test',
];
const data: [type: number, ...values: string[]][] = [
  [TYPE.A, '192.0.2.1', '192.0.2.2', '192.0.2.3'],
  [TYPE.AAAA, 'fd00::1', 'fd00::2', 'fd00::3'],
  [TYPE.TXT, '"a"', '"A"', '"a" "b"', '""'],
  // Owners in a message may point to names in RDATA before them: none of the names above in another case.
  [TYPE.CNAME, 'a.cluster.test.', 'Other.cluster.test.', 'other.cluster.test.', 'elsewhere.test.'],
  [TYPE.NS, 'ns.elsewhere.test.', 'NS.elsewhere.test.', 'ns2.elsewhere.test.'],
  [TYPE.MX, '10 a.cluster.test.', '20 a.cluster.test.'],
  [TYPE.SRV, '0 0 443 a.cluster.test.', '0 0 443 A.cluster.test.', '1 0 443 b.cluster.test.'],
  [TYPE.PTR, 'a.cluster.test.', 'b.cluster.test.'],
  [TYPE.DNAME, 'elsewhere.test.', 'other.test.'],
  [65280, '\\# 2 abcd', '\\# 0'],
];
const metaTypes: readonly number[] = [TYPE.ANY, TYPE.AXFR, TYPE.IXFR, TYPE.MAILA, TYPE.MAILB];
const MAX_TTL = 2 ** 31 - 1;
const none = new Uint8Array(0);

const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
const chance = (percent: number): boolean => random.below(100) < percent;

function owner(adds = false): string {
  if (chance(2)) return pick(['other.test', 'test', 'xcluster.test']);
  const name = pick(names);
  // Not what is added: BIND counts a record put again with its owner in another case as a change, and steps the serial. RFC
  // 2136 §2.5.1: "Any duplicate RRs … will be silently ignored by the primary master" says otherwise.
  return !adds && chance(10) ? name.toUpperCase() : name;
}

function value(serial: number): [type: number, rdata: Uint8Array] {
  if (chance(5)) {
    // Not 2 ** 31, which RFC 1982 leaves undefined: BIND takes it and then fails to write its journal.
    const step = pick([-1, 0, 1, 1, 2, 1000, 2 ** 31 - 1]);
    const text = `edge.cluster.test. host.cluster.test. ${(serial + step) >>> 0} 3600 600 86400 ${pick(['60', '61'])}`;
    return [TYPE.SOA, rdataFromText(TYPE.SOA, text)];
  }
  const [type, ...values] = pick(data);
  if (chance(1)) return [type, type === TYPE.TXT ? Uint8Array.of(5, 1) : Uint8Array.of(1, 2, 3)];
  return [type, rdataFromText(type, pick(values))];
}

function anyType(): number {
  return chance(4) ? pick(metaTypes) : chance(20) ? TYPE.ANY : chance(5) ? TYPE.SOA : pick(data)[0];
}

function prerequisite(serial: number): ResourceRecord {
  const ttl = chance(1) ? 1 : 0;
  const [type, rdata] = value(serial);
  if (chance(40)) return rr(owner(), CLASS.IN, type, ttl, rdata);
  const cls = chance(2) ? CLASS.CH : pick([CLASS.ANY, CLASS.NONE]);
  return chance(1) ? rr(owner(), cls, type, ttl, rdata) : rr(owner(), cls, anyType(), ttl, none);
}

function update(serial: number): ResourceRecord {
  const [type, rdata] = value(serial);
  const kind = random.below(100);
  if (kind < 55) {
    const name = owner(true);
    // Beyond the largest TTL and 0 are one for us and two for BIND: a name has the one or the other.
    const odd = name.toLowerCase() === longest ? [60, 300, MAX_TTL, 2 ** 32 - 1] : [0, 60, 60, 60, 300, MAX_TTL];
    return rr(name, CLASS.IN, chance(1) ? pick(metaTypes) : type, pick(odd), rdata);
  }
  const ttl = chance(1) ? 60 : 0;
  if (kind < 75) return rr(owner(), CLASS.NONE, chance(1) ? pick(metaTypes) : type, ttl, rdata);
  const cls = chance(2) ? CLASS.CH : CLASS.ANY;
  return chance(1) ? rr(owner(), cls, type, ttl, rdata) : rr(owner(), cls, anyType(), ttl, none);
}

function describe(record: ResourceRecord): string {
  const { name, ttl, type, rdata } = record;
  return `${nameToText(name)} ${ttl} ${classToText(record.class)} ${typeToText(type)} ${rdataToText(type, rdata)}`;
}

const entry = (name: string, type: number = TYPE.SOA, cls: number = CLASS.IN) => ({
  name: nameFromText(name),
  type,
  class: cls,
});
/** Zone sections that are none (RFC 2136 §3.1.1), or of zones that nobody has; `bind`: BIND's rcode, by the rule `class`. */
const zoneFaults: { what: string; entries: { name: Uint8Array; type: number; class: number }[]; bind?: number }[] = [
  { what: 'no zone', entries: [] },
  { what: 'two zones', entries: [entry('cluster.test'), entry('cluster.test')] },
  { what: 'type A', entries: [entry('cluster.test', TYPE.A)] },
  { what: 'type ANY', entries: [entry('cluster.test', TYPE.ANY)] },
  { what: 'class ANY', entries: [entry('cluster.test', TYPE.SOA, CLASS.ANY)], bind: RCODE.FORMERR },
  { what: 'class NONE', entries: [entry('cluster.test', TYPE.SOA, CLASS.NONE)], bind: RCODE.FORMERR },
  { what: 'class CH', entries: [entry('cluster.test', TYPE.SOA, CLASS.CH)], bind: RCODE.NOTIMP },
  { what: 'a name in the zone', entries: [entry('a.cluster.test')] },
  { what: 'a zone nobody has', entries: [entry('other.test')] },
  { what: 'the root', entries: [entry('.')] },
];

/** Where the RFC gives an order of steps and BIND has another, or leaves it open: the only ways in which we may differ. */
const rules = {
  prerequisites:
    'RFC 2136 §3.2: "Next, the Prerequisite Section is checked", and §3.4 comes after it; BIND scans the update section first',
  form: 'RFC 2136 §3.4.1.3: the prescan checks each RR before any is processed; BIND asks for permission (§3.3) record by record',
  class:
    'RFC 2136 §3.1.2: "the ZNAME and ZCLASS are checked to see if the zone so named is one of this server\'s authority zones, else signal NOTAUTH"; BIND says FORMERR of classes ANY and NONE, NOTIMP of CH',
  ttl: 'RFC 2181 §8: "treat TTL values received with the most significant bit set as if the entire value received was zero"; BIND keeps them',
  parse:
    'RFC 2136 §3.2.5: prerequisites are tested in their order; BIND refuses RDATA that does not parse before all else',
} as const;

/** The rcode of one step; NOERROR if nothing is refused. */
function rcodeOf(step: () => void): number {
  try {
    step();
    return RCODE.NOERROR;
  } catch (error) {
    if (error instanceof Refusal) return error.rcode;
    throw error;
  }
}

/** RDATA that BIND's message parser refuses, before the update is looked at (lib/dns/message.c, `getsection`). */
function bindParses({ class: cls, type, rdata }: ResourceRecord, prerequisite: boolean): boolean {
  if (cls === CLASS.ANY || (cls === CLASS.NONE && prerequisite)) return rdata.length === 0;
  // Types of class IN alone are octets in another class; an A record of class CH is a name and a number.
  if (cls === CLASS.CH && (type === TYPE.AAAA || type === TYPE.SRV)) return true;
  if (cls === CLASS.CH && type === TYPE.A) return false;
  return metaTypes.includes(type) || checkRdata(type, rdata);
}

/**
 * Foretells, from the message and the zone before it, the rcode of BIND's order of steps (lib/ns/update.c): parse, then
 * form and permission record by record, then prerequisites. Undefined: its steps find what ours find.
 */
function bindRcode(
  prerequisites: readonly ResourceRecord[],
  updates: readonly ResourceRecord[],
  check: { zone: NameKey; view: ZoneView; policy: UpdatePolicy; who: Requester },
): { rcode: number; rule: keyof typeof rules } | undefined {
  const { zone, view, policy, who } = check;
  const tested = rcodeOf(() => checkPrerequisites(prerequisites, zone, view));
  const form = rcodeOf(() => prescan(updates, zone));
  const unparsed =
    !prerequisites.every((record) => bindParses(record, true)) || !updates.every((record) => bindParses(record, false));
  if (unparsed) return { rcode: RCODE.FORMERR, rule: tested === RCODE.NOERROR ? 'form' : 'parse' };
  for (const record of updates) {
    const rcode = rcodeOf(() => prescan([record], zone)) || rcodeOf(() => checkPolicy([record], who, policy, view));
    if (rcode === RCODE.NOERROR) continue;
    const rule = tested !== RCODE.NOERROR ? 'prerequisites' : form !== rcode ? 'form' : undefined;
    return rule && { rcode, rule };
  }
  return undefined;
}

/** The zone as it is now. */
function viewOf(control: DnsControl): ZoneView {
  const rrsets = (owner: NameKey) => control.records('cluster.test', { name: nameFromKey(owner) });
  return { rrsets, rrset: (owner, type) => rrsets(owner).find(({ rrset }) => rrset.type === type) };
}

t.setTimeout(60_000 + 30 * messages);
t.test(
  `BIND and we agree on ${messages} random updates (seed ${seed})`,
  { timeout: 60_000 + 30 * messages },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'v6edge-fuzz-'));
    const zone = zoneConfig('cluster.test', {
      ns: ['ns.elsewhere.test'],
      update: [
        updateRule('node-key', 'zonesub', undefined, ['ANY']),
        updateRule('limited', 'subdomain', 'sub.cluster.test', ['A', 'AAAA', 'TXT']),
        updateRule('limited', 'wildcard', '*.wild.cluster.test', []),
        updateRule('n1.cluster.test', 'self', undefined, ['A', 'AAAA']),
      ],
    });
    const server = await startControlServer(dir, testConfig({ keys: [testKey, limitedKey, selfKey], zones: [zone] }));
    t.teardown(async () => {
      await server.close();
      rmSync(dir, { recursive: true });
    });
    const bind = await startBind(
      [testKey, limitedKey, selfKey],
      [
        {
          name: 'cluster.test',
          file: `cluster.test. 300 IN SOA edge.cluster.test. hostmaster.cluster.test. ${server.control.zone('cluster.test')!.serial} 3600 600 86400 60
cluster.test. 300 IN NS ns.elsewhere.test.
`,
          statements: `check-names ignore; check-integrity no; update-policy { grant node-key zonesub ANY;
          grant limited subdomain sub.cluster.test A AAAA TXT; grant limited wildcard *.wild.cluster.test;
          grant n1.cluster.test self n1.cluster.test A AAAA; };`,
        },
      ],
    );
    t.teardown(() => bind.stop());
    const toBind = new UdpClient(bind.port);
    const toUs = new UdpClient(server.port);
    t.teardown(() => {
      toBind.close();
      toUs.close();
    });

    const zoneKey = nameKey(nameFromText(zone.name));
    const own = { zone: zoneKey, policy: new UpdatePolicy(zoneKey, zone.update) };
    const explained = new Map<keyof typeof rules, number>();
    const rcodes = new Map<string, number>();
    for (let i = 1; i <= messages; i++) {
      const { serial } = server.control.zone('cluster.test')!;
      const zoneFault = chance(3) ? pick(zoneFaults) : undefined;
      const some = zoneFault === undefined ? random.below(100) : 100;
      const prerequisites = Array.from({ length: some < 30 ? 1 + random.below(3) : 0 }, () => prerequisite(serial));
      const updates = Array.from({ length: some < 98 ? 1 + random.below(4) : 0 }, () => update(serial));
      // Nothing else is wrong with a message whose zone section is.
      if (zoneFault !== undefined) updates.push(rr('a.cluster.test', CLASS.IN, TYPE.TXT, 60, Uint8Array.of(1, 65)));
      const plain = updateMessage(i & 0xffff, 'cluster.test', prerequisites, updates);
      const message = encodeMessage(zoneFault === undefined ? plain : { ...plain, questions: zoneFault.entries });
      // BIND 9.18.49 lets any key delete PTR and SRV records, whatever names and types its rules grant; we do not.
      const ungranted = updates.some(
        ({ class: cls, type }) => cls !== CLASS.IN && (type === TYPE.PTR || type === TYPE.SRV),
      );
      const key = ungranted || chance(80) ? testKey : pick([limitedKey, selfKey]);
      const signed = signRequest(message, key, systemClock);
      const who = { key: nameKey(nameFromText(key.name)), address: parseAddress('::1') };
      const bindSteps = () => bindRcode(prerequisites, updates, { ...own, view: viewOf(server.control), who });
      const bindParser = (rcode?: number) => (rcode === undefined ? undefined : ({ rcode, rule: 'class' } as const));
      const foretold = zoneFault === undefined ? bindSteps() : bindParser(zoneFault.bind);
      const [theirReply, ourReply] = await Promise.all([toBind.send(signed), toUs.send(signed)]);
      if (theirReply === undefined || ourReply === undefined) {
        const silent = theirReply === undefined ? 'BIND' : 'we';
        const text = [...prerequisites, ...updates].map(describe).join('\n  ');
        throw new Error(`message ${i}: ${silent} did not reply\n  ${text}\n${bind.log().slice(-1500)}`);
      }
      const theirs = parseMessage(theirReply).rcode;
      const ours = parseMessage(ourReply).rcode;
      rcodes.set(rcodeToText(ours), (rcodes.get(rcodeToText(ours)) ?? 0) + 1);
      const text = () =>
        `message ${i} (key ${key.name}${zoneFault === undefined ? '' : `, ${zoneFault.what}`}):\n  ${[...prerequisites, ...updates].map(describe).join('\n  ')}\nwe ${rcodeToText(ours)}, BIND ${rcodeToText(theirs)}`;
      if (theirs !== (foretold?.rcode ?? ours)) {
        const other =
          foretold === undefined ? '' : `, foretold ${rcodeToText(foretold.rcode)} by rule ${foretold.rule}`;
        throw new Error(`${text()}${other}\n${bind.log().slice(-1500)}`);
      }
      if (ours !== theirs) explained.set(foretold!.rule, (explained.get(foretold!.rule) ?? 0) + 1);
      if (i % 100 === 0 || i === messages || process.env.V6EDGE_FUZZ_EACH !== undefined) {
        const zones = await Promise.all([server, bind].map(({ port }) => axfrLines(port, 'cluster.test', testKey)));
        const kept = zones[1]!.filter((line) => line.startsWith(`${longest} 4294967295 `)).length;
        if (kept > 0) {
          explained.set('ttl', (explained.get('ttl') ?? 0) + kept);
          zones[1] = zones[1]!.map((line) => line.replace(`${longest} 4294967295 `, `${longest} 0 `)).sort();
        }
        if (JSON.stringify(zones[0]) !== JSON.stringify(zones[1])) {
          t.same(zones[0], zones[1], `the zones after ${text()}\n${bind.log().slice(-1500)}`);
          return;
        }
      }
    }
    t.pass(`${messages} messages, zones equal`);
    t.comment(`rcodes: ${JSON.stringify(Object.fromEntries(rcodes))}`);
    for (const [rule, count] of explained) t.comment(`${count} differences foretold by: ${rules[rule]}`);
    t.ok((rcodes.get('NOERROR') ?? 0) > messages / 4, 'a good part of them changed something');
  },
);
