import t from 'tap';
import { answerFromZone, errorReply } from '../../src/dns/answer.ts';
import { encodeMessage, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { Query } from '../../src/dns/wire/query.ts';
import { FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';
import { readZoneFile } from '../../src/dns/zonefile.ts';
import { ask, edns, makeQuery, recordText, summary, writer, zones } from './answer-zones.ts';

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
