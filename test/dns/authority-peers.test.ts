/**
 * Random zones asked for random names: BIND 9, Knot and NSD give the same answers. Wildcards at every depth, empty
 * non-terminals, aliases, DNAME, delegations with and without glue, DS on both sides of a cut. V6EDGE_SEED sets the seed.
 */
import t, { type Test } from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { answerFromZone } from '../../src/dns/answer.ts';
import {
  encodeMessage,
  type Message,
  MessageWriter,
  parseMessage,
  type ResourceRecord,
} from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { Query } from '../../src/dns/wire/query.ts';
import { CLASS, FLAG, rcodeToText, TYPE, typeFromText } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';
import { readZoneFile } from '../../src/dns/zonefile.ts';
import { testKey } from './control-server.ts';
import { recordLine, UdpClient } from './dns-client.ts';
import { type PeerKind, peerKinds, startPeer } from './secondary/peer-servers.ts';

const seed = Number(process.env.V6EDGE_SEED ?? 20261125);
const apex = 'test';
const labels = ['a', 'b', 'c', 'dd', '*'];
const types = ['A', 'AAAA', 'TXT', 'CNAME', 'NS', 'MX', 'DS', 'SOA', 'DNAME', 'TYPE65280'];

const pick = <T>(random: SeededRandom, list: readonly T[]): T => list[random.below(list.length)]!;

function randomName(random: SeededRandom, most: number): string {
  const depth = 1 + random.below(most);
  return [...Array.from({ length: depth }, () => pick(random, labels)), apex].join('.');
}

/** A zone that all servers take: aliases alone, nothing below a DNAME, no alias in a circle. */
function randomZone(random: SeededRandom): string {
  const lines = [
    `${apex}. SOA ns.${apex}. h.${apex}. 1 3600 600 86400 60`,
    `${apex}. NS ns.${apex}.`,
    `ns.${apex}. A 192.0.2.1`,
  ];
  const kinds = new Map<string, string>();
  const dnames: string[] = [];
  for (let i = 0; i < 40; i++) {
    const owner = randomName(random, 4);
    if (kinds.has(owner) || dnames.some((dname) => owner.endsWith(`.${dname}`))) continue;
    const kind = pick(random, [
      'A',
      'A',
      'AAAA',
      'TXT',
      'A+TXT',
      'MX',
      'CNAME',
      'CNAME',
      'OUT',
      'NS',
      'NS',
      'DNAME',
      'TYPE65280',
    ]);
    const below = [...kinds.keys()].some((other) => other.endsWith(`.${owner}`));
    // A wildcard that delegates or redirects is undefined (RFC 4592 §4.2, §4.4).
    if ((kind === 'DNAME' && below) || (owner.startsWith('*') && ['NS', 'DNAME'].includes(kind))) continue;
    kinds.set(owner, kind);
    const data: Record<string, string[]> = {
      A: ['A 192.0.2.7'],
      AAAA: ['AAAA fd00::7', 'AAAA fd00::8'],
      TXT: ['TXT "x"'],
      'A+TXT': ['A 192.0.2.8', 'TXT "y"'],
      MX: [`MX 1 a.${apex}.`],
      CNAME: [`CNAME ns.${apex}.`],
      OUT: ['CNAME elsewhere.example.'],
      NS: random.below(2) === 0 ? [`NS glue.${owner}.`] : [`NS ns.${apex}.`, `DS 1 13 2 ${'ab'.repeat(32)}`],
      DNAME: [`DNAME other.example.`],
      TYPE65280: ['TYPE65280 \\# 1 00'],
    };
    if (kind === 'DNAME') dnames.push(owner);
    for (const each of data[kind]!) lines.push(`${owner}. ${each}`);
    if (kind === 'NS') lines.push(`glue.${owner}. AAAA fd00::53`);
  }
  // Aliases of aliases, of what a wildcard covers, of what is below a cut, of nothing.
  for (let i = 0; i < 8; i++) lines.push(`alias${i}.${apex}. CNAME ${randomName(random, 3).replaceAll('*', 'x')}.`);
  return `$TTL 300\n${lines.join('\n')}\n`;
}

function ask(name: string, type: string, id: number): Uint8Array {
  return encodeMessage({
    id,
    flags: 0,
    opcode: 0,
    rcode: 0,
    questions: [{ name: nameFromText(name), type: typeFromText(type), class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] },
  });
}

const line = (record: ResourceRecord) => recordLine(record);

/** What must be equal: where an answer has records or is a referral, who is told beside that is a matter of taste. */
function summary({ rcode, flags, answers, authority, additional }: Message) {
  const referral = authority.filter(({ type }) => type === TYPE.NS);
  const negative = authority.filter(({ type }) => type === TYPE.SOA);
  const refers = (flags & FLAG.AA) === 0;
  return {
    rcode: rcodeToText(rcode),
    authoritative: !refers,
    answers: answers.map(line).sort(),
    negative: negative.map(({ name, ttl }) => `${nameToText(name)} ${ttl}`),
    referral: refers || negative.length > 0 ? referral.map(line).sort() : [],
    glue: refers
      ? additional
          .filter(({ name, type }) => type !== TYPE.OPT && nameToText(name).startsWith('glue.'))
          .map(line)
          .sort()
      : [],
  };
}

function zoneOf(file: string): Zone {
  const name = nameFromText(apex);
  return new Zone({ name, rrsets: readZoneFile(file, { zone: name, ttlSeconds: 300 }) });
}

async function compare(t: Test, random: SeededRandom): Promise<number> {
  const file = randomZone(random);
  const zone = zoneOf(file);
  const questions = new Map<string, [string, string]>();
  const put = (name: string, type: string) => questions.set(`${name} ${type}`, [name, type]);
  for (const { owner } of zone.all()) {
    const name = nameToText(owner);
    put(name, pick(random, types));
    put(name, 'A');
    put(`x.${name}`, 'A');
    put(`y.x.${name}`, pick(random, types));
  }
  for (let i = 0; i < 150; i++) put(randomName(random, 5), pick(random, types));
  return compareAll(t, peerKinds, file, zone, [...questions.values()]);
}

/** How many answers were compared. */
async function compareAll(
  t: Test,
  kinds: readonly PeerKind[],
  file: string,
  zone: Zone,
  questions: readonly (readonly [name: string, type: string])[],
): Promise<number> {
  const zones = new ZoneTable([zone]);
  let compared = 0;
  for (const kind of kinds) {
    const peer = await startPeer(kind, { zone: apex, key: testKey, us: 1, file });
    const client = new UdpClient(peer.port);
    try {
      for (const [name, type] of questions) {
        const bytes = ask(name, type, 1 + (compared++ % 65_535));
        const query = new Query();
        query.read(bytes);
        const ours = answerFromZone(zones, query, { limit: 1232, recursionAvailable: false }, new MessageWriter())!;
        const reply = await client.send(bytes);
        const [one, other] = [summary(parseMessage(ours.bytes)), summary(parseMessage(reply!))];
        if (JSON.stringify(one) !== JSON.stringify(other)) t.strictSame(one, other, `${kind}: ${name} ${type}`);
      }
    } finally {
      client.close();
      await peer.stop();
    }
  }
  return compared;
}

t.test(`random zones, seed ${seed}`, async (t) => {
  const random = new SeededRandom(seed);
  let compared = 0;
  for (let round = 0; round < 3; round++) compared += await compare(t, random);
  t.ok(compared > 1000, `${compared} answers compared`);
});

// Knot and NSD take no zone with names below a DNAME or an alias in a circle; an update brings both about.
t.test('names hidden by a DNAME or a cut above, aliases in a circle: as BIND 9', async (t) => {
  const long = ['x', 'y', 'z'].map((letter) => letter.repeat(63)).join('.');
  const file = `$TTL 300
@ SOA ns h 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.1
d DNAME target
d TXT "at the DNAME"
cut.d NS ns.cut.d
ns.cut.d A 192.0.2.2
host.d A 192.0.2.3
deleg NS ns.elsewhere.example.
deleg DS 1 13 2 ${'ab'.repeat(32)}
deleg TXT "hidden"
x.deleg DNAME target
y.x.deleg A 192.0.2.9
sub.deleg NS ns.sub.deleg
ns.sub.deleg A 192.0.2.10
target A 192.0.2.20
a.target A 192.0.2.21
*.target TXT "wild"
mx MX 1 host.d
mx MX 2 a.target
loop DNAME test.
big DNAME ${long}.test.
c1 CNAME c2
c2 CNAME c1
c3 CNAME x.deleg
c4 CNAME host.d
c5 CNAME c5
c6 CNAME a.loop.loop
`;
  const names = [
    ...['d', 'cut.d', 'x.cut.d', 'host.d', 'z.d', 'a.d', 'deleg', 'x.deleg', 'y.x.deleg', 'q.x.deleg', 'sub.deleg'],
    ...['k.sub.deleg', 'target', 'zz.target', 'mx', 'loop', 'a.loop', 'a.loop.loop', 'big', 'q.big'],
    ...[`${'q'.repeat(63)}.big`, 'c1', 'c2', 'c3', 'c4', 'c5', 'c6'],
  ];
  const types = ['A', 'TXT', 'CNAME', 'DNAME', 'NS', 'DS', 'MX'];
  const questions = names.flatMap((name) => types.map((type) => [`${name}.${apex}`, type] as const));
  t.equal(await compareAll(t, ['bind'], file, zoneOf(`$ORIGIN ${apex}.\n${file}`), questions), questions.length);
});
