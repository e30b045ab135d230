import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { answerFromZone, errorReply } from '../../src/dns/answer.ts';
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
import { FLAG, RCODE, rcodeToText, TYPE, typeFromText, typeToText } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';
import { readZoneFile, writeZoneFile } from '../../src/dns/zonefile.ts';
import { freePort } from '../free-port.ts';

const seed = 20261123;

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

const zones = new ZoneTable(
  Object.entries(zoneTexts).map(([text, file]) => {
    const name = nameFromText(text);
    return new Zone({ name, rrsets: readZoneFile(file, { zone: name, ttlSeconds: 300 }) });
  }),
);

function makeQuery(name: string, type: string, options: Partial<Message> = {}): Uint8Array {
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

const edns = (udpSize: number) => ({ edns: { udpSize, extendedRcode: 0, version: 0, do: false, options: [] } });

const writer = new MessageWriter();

function ask(bytes: Uint8Array, limit = 1232) {
  const query = new Query();
  t.equal(query.read(bytes), RCODE.NOERROR);
  const answer = answerFromZone(zones, query, { limit, recursionAvailable: false }, writer);
  return answer === undefined ? undefined : { ...answer, message: parseMessage(answer.bytes) };
}

function recordText({ name, ttl, type, rdata }: ResourceRecord): string {
  return `${nameToText(name)} ${ttl} ${typeToText(type)} ${rdataToText(type, rdata)}`;
}

/** A reply in one line a section: what must be equal. */
function summary(message: Message, sections: ReadonlyArray<'answers' | 'authority' | 'additional'>): string[] {
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

const cases: Array<[name: string, type: string, reply: string[]]> = [
  [
    'example.test',
    'SOA',
    [
      'NOERROR aa',
      'answers: example.test 600 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'authority: ',
      'additional: ',
    ],
  ],
  [
    'web.example.test',
    'AAAA',
    [
      'NOERROR aa',
      'answers: web.example.test 300 aaaa fd00::80 | web.example.test 300 aaaa fd00::81',
      'authority: ',
      'additional: ',
    ],
  ],
  [
    'web.example.test',
    'A',
    [
      'NOERROR aa',
      'answers: ',
      'authority: example.test 120 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'additional: ',
    ],
  ],
  [
    'ent.example.test',
    'A',
    [
      'NOERROR aa',
      'answers: ',
      'authority: example.test 120 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'additional: ',
    ],
  ],
  [
    'none.example.test',
    'A',
    [
      'NXDOMAIN aa',
      'answers: ',
      'authority: example.test 120 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'additional: ',
    ],
  ],
  [
    'dangling.example.test',
    'A',
    [
      'NXDOMAIN aa',
      'answers: dangling.example.test 300 cname nothing.example.test.',
      'authority: example.test 120 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'additional: ',
    ],
  ],
  [
    'cross.example.test',
    'AAAA',
    [
      'NOERROR aa',
      'answers: cross.example.test 300 cname host.second.test. | host.second.test 60 aaaa fd00::2:1',
      'authority: ',
      'additional: ',
    ],
  ],
  [
    'x.wild.example.test',
    'TXT',
    ['NOERROR aa', 'answers: x.wild.example.test 300 txt "any"', 'authority: ', 'additional: '],
  ],
  [
    'x.exists.wild.example.test',
    'TXT',
    [
      'NXDOMAIN aa',
      'answers: ',
      'authority: example.test 120 soa ns1.example.test. root.example.test. 5 3600 900 86400 120',
      'additional: ',
    ],
  ],
  [
    'www.sub.example.test',
    'A',
    [
      'NOERROR',
      'answers: ',
      'authority: sub.example.test 300 ns ns.sub.example.test. | sub.example.test 300 ns ns1.example.test.',
      'additional: ns.sub.example.test 300 a 192.0.2.53 | ns.sub.example.test 300 aaaa fd00::53',
    ],
  ],
  [
    'web.example.test',
    'ANY',
    [
      'NOERROR aa',
      'answers: web.example.test 300 aaaa fd00::80 | web.example.test 300 aaaa fd00::81',
      'authority: ',
      'additional: ',
    ],
  ],
];

for (const [name, type, reply] of cases) {
  t.test(`${name} ${type}`, (t) => {
    t.strictSame(summary(ask(makeQuery(name, type))!.message, ['answers', 'authority', 'additional']), reply);
    t.end();
  });
}

t.test('names that are not ours', (t) => {
  t.equal(ask(makeQuery('www.elsewhere', 'A')), undefined);
  t.equal(ask(makeQuery('test', 'A')), undefined);
  const query = new Query();
  query.read(
    encodeMessage({
      ...parseMessage(makeQuery('example.test', 'SOA')),
      questions: [{ name: nameFromText('example.test'), type: TYPE.SOA, class: 3 }],
    }),
  );
  t.equal(answerFromZone(zones, query, { limit: 512, recursionAvailable: true }, writer), undefined, 'class CH');
  t.end();
});

t.test('a chain that leaves our zones says where to go on', (t) => {
  const answer = ask(makeQuery('out.example.test', 'AAAA'))!;
  t.equal(nameToText(answer.target!), 'www.elsewhere');
  t.strictSame(answer.chain.map(recordText), ['out.example.test 300 CNAME www.elsewhere.']);
  const through = ask(makeQuery('x.moved.example.test', 'AAAA'))!;
  t.equal(through.target, undefined, 'second.test is ours: the chain stays here');
  t.equal(ask(makeQuery('out.example.test', 'CNAME'))!.target, undefined, 'the alias itself was asked for');
  t.end();
});

t.test('loops end', (t) => {
  const { message, rcode } = ask(makeQuery('loop1.example.test', 'A'))!;
  t.equal(rcode, RCODE.SERVFAIL, 'an error (RFC 1034 §3.6.2)');
  t.equal(message.answers.length, 2, 'each alias once');
  t.end();
});

t.test('header, question and EDNS go back', (t) => {
  const bytes = makeQuery('wEb.ExAmPlE.tEsT', 'AAAA', { flags: FLAG.RD | FLAG.CD | FLAG.AD, ...edns(4096) });
  const { message } = ask(bytes)!;
  t.equal(message.id, 77);
  t.equal(message.flags, FLAG.QR | FLAG.AA | FLAG.RD | FLAG.CD);
  t.strictSame(message.questions[0]!.name, nameFromText('wEb.ExAmPlE.tEsT'));
  t.strictSame(message.answers[0]!.name, nameFromText('wEb.ExAmPlE.tEsT'));
  t.match(message.edns, { udpSize: 1232, version: 0, do: false });
  const query = new Query();
  query.read(bytes);
  const answer = answerFromZone(zones, query, { limit: 1232, recursionAvailable: true }, writer)!;
  t.ok((parseMessage(answer.bytes).flags & FLAG.RA) !== 0);
  t.equal(ask(makeQuery('web.example.test', 'AAAA'))!.message.edns, undefined);
  t.end();
});

t.test('what does not fit is left out whole, with TC', (t) => {
  for (const extra of [{}, edns(1232)]) {
    const bytes = makeQuery('long.example.test', 'TXT', extra);
    const { message } = ask(bytes)!;
    t.ok((message.flags & FLAG.TC) !== 0);
    t.equal(message.answers.length, 0);
    t.equal(message.edns === undefined, !('edns' in extra), 'OPT has its place all the same');
    t.equal((ask(bytes, 65535)!.message.flags & FLAG.TC) !== 0, false);
  }
  const srv = makeQuery('_s._tcp.example.test', 'SRV');
  const whole = ask(srv)!.bytes.length;
  const counts = (limit: number) => {
    const { message, bytes } = ask(srv, limit)!;
    t.ok(bytes.length <= limit);
    return `${message.answers.length} ${message.additional.length} ${(message.flags & FLAG.TC) !== 0}`;
  };
  t.equal(counts(whole), '3 3 false');
  t.equal(counts(whole - 1), '3 2 false', 'additional records are not worth a TC');
  const below = new Set<string>();
  for (let limit = whole - 1; limit >= 60; limit--) below.add(counts(limit));
  t.strictSame(
    [...below],
    ['3 2 false', '3 1 false', '3 0 false', '0 0 true'].filter((one) => below.has(one)),
  );
  t.ok(below.has('3 0 false') && below.has('0 0 true'));
  const referral = makeQuery('www.sub.example.test', 'A');
  const full = ask(referral)!.bytes.length;
  t.ok((ask(referral, full - 1)!.message.flags & FLAG.TC) !== 0, 'RFC 9471: glue that is needed is');
  t.end();
});

t.test('DNAME: too long a name is YXDOMAIN', (t) => {
  const long = `${'a.'.repeat(113)}moved.example.test`;
  t.equal(ask(makeQuery(long, 'A'))!.rcode, RCODE.NXDOMAIN);
  const label = 'b'.repeat(63);
  const zone = nameFromText('d.test');
  const file = `@ SOA m r 1 1 1 1 1\nx DNAME ${`${label}.`.repeat(3)}\n`;
  const table = new ZoneTable([new Zone({ name: zone, rrsets: readZoneFile(file, { zone, ttlSeconds: 1 }) })]);
  const query = new Query();
  query.read(makeQuery(`${label}.x.d.test`, 'A'));
  const answer = answerFromZone(table, query, { limit: 512, recursionAvailable: false }, writer)!;
  t.equal(answer.rcode, RCODE.YXDOMAIN);
  t.equal(parseMessage(answer.bytes).answers.length, 1);
  t.end();
});

t.test('replies that only have a rcode', (t) => {
  const query = new Query();
  const bytes = makeQuery('x.test', 'A', { flags: FLAG.RD, edns: { ...edns(4096).edns, version: 1 } });
  const verdict = query.read(bytes);
  t.equal(verdict, RCODE.BADVERS);
  const reply = parseMessage(errorReply(query, verdict, true, writer));
  t.match(reply, { id: 77, rcode: RCODE.BADVERS, flags: FLAG.QR | FLAG.RD | FLAG.RA, edns: { version: 0 } });
  t.equal(reply.questions.length, 1);
  query.read(bytes.subarray(0, 20));
  const short = parseMessage(errorReply(query, RCODE.FORMERR, false, writer));
  t.match(short, { id: 77, rcode: RCODE.FORMERR, questions: [] });
  t.end();
});

/** BIND with our zones; ends with the test. */
async function startNamed(t: Test): Promise<(query: Uint8Array) => Promise<Message>> {
  const dir = t.testdir();
  const port = await freePort();
  const blocks = [...zones.values()].map((zone) => {
    const text = nameToText(zone.name);
    writeFileSync(join(dir, text), writeZoneFile(zone.toData()));
    return `zone "${text}" { type primary; file "${text}"; check-names ignore; check-integrity no; };`;
  });
  writeFileSync(
    join(dir, 'named.conf'),
    `options { directory "${dir}"; pid-file none; session-keyfile none; lock-file none; listen-on port ${port} { 127.0.0.1; };
      listen-on-v6 { none; }; recursion yes; allow-recursion { any; }; forward only; forwarders { 127.0.0.1 port 1; };
      dnssec-validation no; zero-no-soa-ttl no; minimal-responses yes; minimal-any yes; rrset-order { order none; }; empty-zones-enable no; };
      controls { }; ${blocks.join('\n')}`,
  );
  const named = spawn('named', ['-g', '-n', '1', '-c', join(dir, 'named.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => named.kill('SIGKILL'));
  let log = '';
  for await (const chunk of named.stderr) {
    log += chunk;
    if (/running\n/.test(log)) break;
  }
  t.match(log, /running\n/, 'named runs');
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  return async (query) => {
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
    socket.send(query, port, '127.0.0.1');
    return parseMessage((await reply)[0]);
  };
}

t.test('BIND gives the same answers', async (t) => {
  const named = await startNamed(t);
  const labels = [
    'example',
    'second',
    'web',
    'WEB',
    'alias',
    'chain',
    'dangling',
    'out',
    'cross',
    'wild',
    '*',
    'exists',
    'below',
    'cwild',
    'sub',
    'ns',
    'into',
    'moved',
    'ent',
    'a',
    '_s',
    '_tcp',
    'h',
    'mail',
    'hidden',
    'host',
    'x',
  ];
  const types = ['A', 'AAAA', 'NS', 'SOA', 'MX', 'TXT', 'SRV', 'CNAME', 'DS', 'DNAME', 'HTTPS', 'TYPE65280'];
  const owners = new Set<string>();
  for (const zone of zones.values()) for (const { owner } of zone.all()) owners.add(nameToText(owner));
  const asked: Array<[string, string]> = [];
  for (const owner of owners) {
    // Loops: BIND answers with as many turns as it likes, we with as many as we like.
    if (owner.startsWith('loop')) continue;
    for (const type of types) asked.push([owner, type]);
    asked.push(
      [`x.${owner}`, 'A'],
      [`x.${owner}`, 'AAAA'],
      [`y.x.${owner}`, 'TXT'],
      [owner.slice(owner.indexOf('.') + 1), 'A'],
    );
  }
  const random = fc.sample(
    fc.tuple(
      fc.array(fc.constantFrom(...labels), { maxLength: 4 }),
      fc.constantFrom('example', 'second'),
      fc.constantFrom(...types),
    ),
    { seed, numRuns: 300 },
  );
  for (const [front, zone, type] of random) asked.push([[...front, zone, 'test'].join('.'), type]);

  for (const [name, type] of asked) {
    // Without RD, BIND does not follow an alias from one of its zones into another.
    const flags = /(cross|moved)\.example\.test$/i.test(name) ? FLAG.RD : 0;
    const bytes = makeQuery(name, type, { flags, ...edns(1232) });
    const ours = ask(bytes);
    if (ours === undefined) continue;
    const reply = await named(bytes);
    // Where a chain leaves its zones BIND adds a referral to the root.
    const theirs = { ...reply, authority: reply.authority.filter(({ name }) => name.length > 1) };
    // BIND leaves out addresses of SRV, MX and NS with minimal-responses; sections that answer are to be the same.
    t.strictSame(
      summary(ours.message, ['answers', 'authority']),
      summary(theirs, ['answers', 'authority']),
      `${name} ${type}`,
    );
  }
});
