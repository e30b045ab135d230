import t from 'tap';
import type { ParsedMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, FLAG, typeFromText } from '../../../src/dns/wire/types.ts';
import { compareAnswers, readQuestions } from '../../../src/edge/shadow/dns.ts';

function records(...lines: string[]) {
  return lines.map((line) => {
    const [name, ttl, type, ...rdata] = line.split(' ') as [string, string, string, ...string[]];
    const number = typeFromText(type);
    return {
      name: nameFromText(name),
      ttl: Number(ttl),
      type: number,
      class: CLASS.IN,
      rdata: rdataFromText(number, rdata.join(' ')),
    };
  });
}

function answer(
  parts: Partial<Record<'answers' | 'authority' | 'additional', ReturnType<typeof records>>> & {
    rcode?: number;
    flags?: number;
  },
) {
  return { rcode: 0, flags: FLAG.AA, answers: [], authority: [], additional: [], ...parts } as unknown as ParsedMessage;
}

const a = answer({ answers: records('x.test 60 AAAA fd00::1', 'x.test 60 AAAA fd00::2') });
const soa = (serial: number) =>
  answer({ rcode: 3, authority: records(`test 60 SOA ns.test a.test ${serial} 1 2 3 4`) });

const cases: [
  name: string,
  old: ParsedMessage,
  ours: ParsedMessage,
  own: boolean,
  found: [part: string, accepted: boolean][],
][] = [
  ['the same', a, a, true, []],
  ['another order', a, answer({ answers: records('X.test 60 AAAA fd00::2', 'x.test 60 AAAA fd00::1') }), true, []],
  ['one record less', a, answer({ answers: records('x.test 60 AAAA fd00::1') }), true, [['answer', false]]],
  ['another rcode', answer({}), answer({ rcode: 3 }), true, [['rcode', false]]],
  ['no longer authoritative', answer({}), answer({ flags: 0 }), true, [['AA', false]]],
  [
    'another TTL in a zone of ours',
    answer({ answers: records('x.test 60 A 192.0.2.1') }),
    answer({ answers: records('x.test 59 A 192.0.2.1') }),
    true,
    [['answer TTL', false]],
  ],
  [
    'another TTL of what is forwarded',
    answer({ answers: records('x.test 60 A 192.0.2.1') }),
    answer({ answers: records('x.test 59 A 192.0.2.1') }),
    false,
    [['answer TTL', true]],
  ],
  ['another serial', soa(1), soa(2), true, [['authority serial', true]]],
  [
    'authority of a positive answer',
    answer({ answers: a.answers as never, authority: records('test 60 NS ns.test') }),
    a,
    true,
    [['authority', true]],
  ],
  ['authority of a negative answer', soa(1), answer({ rcode: 3 }), true, [['authority', false]]],
  ['additional', answer({ additional: records('ns.test 60 AAAA fd00::53') }), answer({}), true, [['additional', true]]],
];

t.test('what differs in two answers, and what of it is right so', (t) => {
  for (const [name, old, ours, own, found] of cases) {
    const differences = compareAnswers('x.test AAAA', old, ours, own);
    t.strictSame(
      differences.map(({ part, accepted }) => [part, accepted !== undefined]),
      found,
      name,
    );
  }
  t.end();
});

t.test('questions in logs and lists', (t) => {
  const text = [
    '25-Nov-2026 client @0x7f 2001:db8::1#53 (A.test): query: A.test IN AAAA +E(0)K (::1)',
    '{"name":"b.test.","type":"TXT","client":"[::1]:5"}',
    '{"broken',
    '{"name":5}',
    'c.test MX',
    'c.test  IN  MX',
    '; a comment',
    '. NS',
    '',
  ].join('\n');
  const whole = ['a.test AAAA', 'b.test TXT', 'c.test MX', '. NS'];
  t.strictSame(
    readQuestions(text, 100).map(({ name, type }) => `${name} ${type}`),
    whole,
  );
  t.equal(readQuestions(text, 2).length, 2);
  t.end();
});
