/** What of an upstream's reply is kept: a plain one is judged in place, any other record by record; both must agree. */
import t from 'tap';
import { readAnswer } from '../../../src/dns/forwarder/answer.ts';
import { prune } from '../../../src/dns/forwarder/bailiwick.ts';
import { parseMessage, type ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../../src/dns/wire/name.ts';
import { CLASS, TYPE, typeToText } from '../../../src/dns/wire/types.ts';
import { aaaa, query, reply, soa } from '../peers.ts';

const bounds = { minTtlSeconds: 0, maxTtlSeconds: 86400, maxNegativeTtlSeconds: 3600 };

const record = (name: string, type: number, rdata: Uint8Array): ResourceRecord => ({
  name: nameFromText(name),
  type,
  class: CLASS.IN,
  ttl: 300,
  rdata,
});
const alias = (name: string, target: string) => record(name, TYPE.CNAME, nameFromText(target));
const ns = (name: string, target: string) => record(name, TYPE.NS, nameFromText(target));
const srv = (name: string, target: string) =>
  record(name, TYPE.SRV, Buffer.concat([Buffer.alloc(6), nameFromText(target)]));
const https = (name: string, priority: number, target: string) =>
  record(name, TYPE.HTTPS, Buffer.concat([Buffer.of(0, priority), nameFromText(target)]));
const signature = (name: string) => record(name, TYPE.RRSIG, new Uint8Array(40));

interface Case {
  readonly name: string;
  readonly asked?: string;
  readonly type?: number;
  readonly answers?: readonly ResourceRecord[];
  readonly authority?: readonly ResourceRecord[];
  readonly additional?: readonly ResourceRecord[];
  /** `name TYPE` of what is kept; undefined = all of it, 'none' = no answer at all. */
  readonly kept?: readonly string[] | 'none';
}

const cases: Case[] = [
  { name: 'the record asked for', answers: [aaaa('x.test', 1)] },
  { name: 'in another case', asked: 'x.test', answers: [aaaa('X.TEST', 1)] },
  { name: 'another name', answers: [aaaa('y.test', 1)], kept: 'none' },
  { name: 'another name beside it', answers: [aaaa('x.test', 1), aaaa('y.test', 1)], kept: ['x.test AAAA'] },
  { name: 'a name above', answers: [aaaa('x.test', 1), aaaa('test', 1)], kept: ['x.test AAAA'] },
  { name: 'a name below', answers: [aaaa('x.test', 1), aaaa('a.x.test', 1)], kept: ['x.test AAAA'] },
  {
    name: 'a chain of aliases',
    answers: [alias('x.test', 'y.example'), alias('y.example', 'z.example'), aaaa('z.example', 1)],
  },
  {
    name: 'the chain in another order',
    answers: [aaaa('z.example', 1), alias('y.example', 'z.example'), alias('x.test', 'y.example')],
  },
  {
    name: 'what is beside the chain',
    answers: [alias('x.test', 'y.example'), aaaa('y.example', 1), aaaa('z.example', 1)],
    kept: ['x.test CNAME', 'y.example AAAA'],
  },
  { name: 'aliases in a circle', answers: [alias('x.test', 'y.test'), alias('y.test', 'x.test')] },
  {
    name: 'an alias of somebody else',
    answers: [aaaa('x.test', 1), alias('bank.example', 'evil.test')],
    kept: ['x.test AAAA'],
  },
  {
    name: 'a DNAME above, and the alias made of it',
    asked: 'a.x.test',
    answers: [
      record('x.test', TYPE.DNAME, nameFromText('y.example')),
      alias('a.x.test', 'a.y.example'),
      aaaa('a.y.example', 1),
    ],
  },
  { name: 'signatures', answers: [aaaa('x.test', 1), signature('x.test')] },
  { name: 'negative: the zone’s SOA', authority: [soa('test')] },
  { name: 'negative: the root’s', authority: [{ ...soa('test'), name: nameFromText('.') }] },
  { name: 'negative: of the end of a chain', answers: [alias('x.test', 'y.example')], authority: [soa('example')] },
  { name: 'negative: another zone’s', authority: [soa('example')], kept: [] },
  {
    name: 'denial by neighbours',
    authority: [soa('test'), record('a.test', TYPE.NSEC, nameFromText('z.test')), signature('a.test')],
  },
  {
    name: 'an NS of another zone',
    answers: [aaaa('x.test', 1)],
    authority: [ns('bank.example', 'evil.test')],
    kept: ['x.test AAAA'],
  },
  {
    name: 'the zone’s NS and their addresses',
    answers: [aaaa('x.test', 1)],
    authority: [ns('test', 'ns.test')],
    additional: [aaaa('ns.test', 1), aaaa('other.test', 2)],
    kept: ['x.test AAAA', 'test NS', 'ns.test AAAA'],
  },
  {
    name: 'addresses of what SRV names',
    type: TYPE.SRV,
    answers: [srv('x.test', 'n1.example')],
    additional: [aaaa('n1.example', 1), aaaa('n2.example', 1)],
    kept: ['x.test SRV', 'n1.example AAAA'],
  },
  {
    name: 'of an HTTPS record that means itself',
    type: TYPE.HTTPS,
    answers: [https('x.test', 1, '.')],
    additional: [aaaa('x.test', 1)],
  },
  {
    name: 'of an HTTPS record that means no service',
    type: TYPE.HTTPS,
    answers: [https('x.test', 0, '.')],
    additional: [aaaa('x.test', 1)],
    kept: ['x.test HTTPS'],
  },
  {
    name: 'an HTTPS record whose target is no name',
    type: TYPE.HTTPS,
    answers: [record('x.test', TYPE.HTTPS, Uint8Array.of(0, 1, 63, 1))],
    additional: [aaaa('x.test', 1)],
    kept: ['x.test HTTPS'],
  },
];

t.test('what is kept', async (t) => {
  for (const { name, asked = 'x.test', type = TYPE.AAAA, kept, ...parts } of cases) {
    const question = parseMessage(query(asked, { type, edns: { udpSize: 1232 } }));
    const bytes = reply(question, parts);
    const answer = readAnswer(bytes, question.questions[0]!.name.length + 4, bounds);
    if (kept === 'none') {
      t.equal(answer, undefined, name);
      continue;
    }
    const { answers, authority, additional } = parseMessage(answer!.message);
    const all = [...(parts.answers ?? []), ...(parts.authority ?? []), ...(parts.additional ?? [])];
    const wanted = kept ?? all.map(shown);
    t.strictSame([...answers, ...authority, ...additional].map(shown), wanted, name);
    const pruned = prune(parseMessage(bytes));
    t.strictSame([...pruned.answers, ...pruned.authority, ...pruned.additional].map(shown), wanted, 'record by record');
  }
});

t.test('a chain of hundreds, and as many records beside it, take no time to speak of', async (t) => {
  const length = 1500;
  const answers = Array.from({ length }, (_, i) => alias(i === 0 ? 'x.test' : `n${i}.test`, `n${i + 1}.test`));
  const question = parseMessage(query('x.test'));
  const kept = parseMessage(readAnswer(reply(question, { answers: [...answers].reverse() }), 12, bounds)!.message);
  t.equal(kept.answers.length, 33, 'it is followed for a while');
});

function shown({ name, type }: ResourceRecord): string {
  return `${nameToText(name).toLowerCase()} ${typeToText(type)}`;
}
