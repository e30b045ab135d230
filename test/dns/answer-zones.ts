/** Zones with one of everything that RFC 1034 §4.3.2 tells apart, and what we answer from them. */
import t from 'tap';
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
import { canonicalRdata, rdataToText } from '../../src/dns/wire/rdata.ts';
import { FLAG, RCODE, rcodeToText, typeFromText, typeToText } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';
import { readZoneFile } from '../../src/dns/zonefile.ts';

const zoneTexts: Record<string, string> = {
  'example.test': `$TTL 300
@ 600 SOA ns1 root 5 3600 900 86400 120
@ NS ns1
@ NS ns.other.test.
@ MX 10 Mail
ns1 AAAA fd00::1
ns1 A 192.0.2.1
mail AAAA fd00::25
Web AAAA fd00::80
web AAAA fd00::81
a.ent A 192.0.2.7
alias CNAME web
chain CNAME alias
dangling CNAME nothing
out CNAME www.elsewhere.
cross CNAME host.second.test.
loop1 CNAME loop2
loop2 CNAME loop1
*.wild TXT "any"
exists.wild A 192.0.2.8
below.exists.wild A 192.0.2.9
*.cwild CNAME web
_s._tcp SRV 0 0 443 web
_s._tcp SRV 0 0 443 mail
_s._tcp SRV 0 0 443 x.elsewhere.
sub NS ns.sub
sub NS ns1
ns.sub A 192.0.2.53
ns.sub AAAA fd00::53
sub DS 1 13 2 ${'ab'.repeat(32)}
hidden.sub A 192.0.2.99
into CNAME www.sub
moved DNAME second.test.
h HTTPS 1 web alpn=h2
long TXT ${Array.from({ length: 12 }, (_, i) => `"${String(i).padEnd(120, 'x')}"`).join(' ')}
`,
  'second.test': `$TTL 60
@ SOA ns root 1 1 1 1 30
@ NS ns
ns A 192.0.2.2
host AAAA fd00::2:1
`,
};

/** The zones, loaded. */
export const zones = new ZoneTable(
  Object.entries(zoneTexts).map(([text, file]) => {
    const name = nameFromText(text);
    return new Zone({ name, rrsets: readZoneFile(file, { zone: name, ttlSeconds: 300 }) });
  }),
);

/** A query in bytes. */
export function makeQuery(name: string, type: string, options: Partial<Message> = {}): Uint8Array {
  const question = { name: nameFromText(name), type: typeFromText(type), class: 1 };
  return encodeMessage({
    id: 77,
    flags: 0,
    opcode: 0,
    rcode: 0,
    questions: [question],
    answers: [],
    authority: [],
    additional: [],
    ...options,
  });
}

export const edns = (udpSize: number) => ({ edns: { udpSize, extendedRcode: 0, version: 0, do: false, options: [] } });

export const writer = new MessageWriter();

/** Our answer, and where an alias leads out of our zones; undefined where we have none of the zones. */
export function ask(bytes: Uint8Array, limit = 1232) {
  const query = new Query();
  t.equal(query.read(bytes), RCODE.NOERROR);
  const answer = answerFromZone(zones, query, { limit, recursionAvailable: false }, writer);
  return answer === undefined ? undefined : { ...answer, message: parseMessage(answer.bytes) };
}

/** A record in one line. */
export function recordText({ name, ttl, type, rdata }: ResourceRecord): string {
  return `${nameToText(name)} ${ttl} ${typeToText(type)} ${rdataToText(type, rdata)}`;
}

/** A reply in one line a section: what must be equal. */
export function summary(message: Message, sections: ReadonlyArray<'answers' | 'authority' | 'additional'>): string[] {
  const aa = (message.flags & FLAG.AA) !== 0 ? ' aa' : '';
  const lines = [rcodeToText(message.rcode) + aa];
  for (const section of sections) {
    const records = message[section].map((record) =>
      recordText({ ...record, rdata: canonicalRdata(record.type, record.rdata) }).toLowerCase(),
    );
    lines.push(`${section}: ${records.sort().join(' | ')}`);
  }
  return lines;
}
