import fc from 'fast-check';
import t from 'tap';
import { errorCode } from '../../../src/core/errors.ts';
import { encodeMessage, type Message, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText, nameKey } from '../../../src/dns/wire/name.ts';
import { Query, VERDICT } from '../../../src/dns/wire/query.ts';
import { RCODE } from '../../../src/dns/wire/types.ts';

const seed = 20261123;
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

const header = '1234 0100 0001 0000 0000 0000';
const name = '03 777757 04 74657374 00';
const question = `${name} 001c 0001`;
const opt = '00 0029 1000 00 00 8000 0000';

const cases: Array<[name: string, message: string, verdict: number]> = [
  ['nothing', '', VERDICT.DROP],
  ['a header cut off', '1234 0100 0001 0000 0000 00', VERDICT.DROP],
  ['a response', '1234 8100 0001 0000 0000 0000' + question, VERDICT.DROP],
  ['UPDATE', '1234 2800 0001 0000 0000 0000', VERDICT.HANDOFF],
  ['NOTIFY', '1234 2000 0001 0000 0000 0000', VERDICT.HANDOFF],
  ['STATUS', '1234 1000 0000 0000 0000 0000', RCODE.NOTIMP],
  ['opcode 15', '1234 7800 0000 0000 0000 0000', RCODE.NOTIMP],
  ['no question', '1234 0100 0000 0000 0000 0000', RCODE.FORMERR],
  ['two questions', `1234 0100 0002 0000 0000 0000 ${question} ${question}`, RCODE.FORMERR],
  ['a name cut off', `${header} 03 7777`, RCODE.FORMERR],
  ['a compressed name', `${header} c00c 001c 0001`, RCODE.FORMERR],
  ['a type cut off', `${header} ${name} 00`, RCODE.FORMERR],
  ['octets after the question', `${header} ${question} 00`, RCODE.FORMERR],
  ['a record promised', `1234 0100 0001 0000 0000 0001 ${question}`, RCODE.FORMERR],
  ['OPT cut off', `1234 0100 0001 0000 0000 0001 ${question} 00 0029 1000 0000`, RCODE.FORMERR],
  ['two OPTs', `1234 0100 0001 0000 0000 0002 ${question} ${opt} ${opt}`, RCODE.FORMERR],
  ['OPT among the answers', `1234 0100 0001 0001 0000 0000 ${question} ${opt}`, RCODE.FORMERR],
  ['OPT that is not the root’s', `1234 0100 0001 0000 0000 0001 ${question} 0161 ${opt}`, RCODE.FORMERR],
  [
    'an EDNS option too long',
    `1234 0100 0001 0000 0000 0001 ${question} 00 0029 1000 00000000 0004 000a 0001`,
    RCODE.FORMERR,
  ],
  ['half an EDNS option', `1234 0100 0001 0000 0000 0001 ${question} 00 0029 1000 00000000 0002 000a`, RCODE.FORMERR],
  ['EDNS version 1', `1234 0100 0001 0000 0000 0001 ${question} 00 0029 1000 00 01 0000 0000`, RCODE.BADVERS],
  ['question type OPT', `${header} ${name} 0029 0001`, RCODE.FORMERR],
  ['question type TSIG', `${header} ${name} 00fa 0001`, RCODE.FORMERR],
  ['question type MAILB', `${header} ${name} 00fd 0001`, RCODE.NOTIMP],
  ['AXFR', `${header} ${name} 00fc 0001`, VERDICT.HANDOFF],
  ['IXFR', `${header} ${name} 00fb 0001`, VERDICT.HANDOFF],
  ['TSIG', `1234 0100 0001 0000 0000 0001 ${question} 00 00fa 00ff 00000000 0000`, VERDICT.HANDOFF],
  ['plain', `${header} ${question}`, RCODE.NOERROR],
  ['ANY', `${header} ${name} 00ff 0001`, RCODE.NOERROR],
  [
    'EDNS with an option',
    `1234 0100 0001 0000 0000 0001 ${question} 00 0029 1000 00 00 8000 0006 000a 0002 abcd`,
    RCODE.NOERROR,
  ],
];

for (const [name, message, verdict] of cases) {
  t.test(name, (t) => {
    const query = new Query();
    t.equal(query.read(hex(message)), verdict);
    t.end();
  });
}

t.test('what a query says', (t) => {
  const query = new Query();
  query.read(hex(`1234 0110 0001 0000 0000 0001 ${question} ${opt}`));
  t.match(query, {
    id: 0x1234,
    flags: 0x0110,
    opcode: 0,
    type: 28,
    class: 1,
    questionEnd: 26,
    hasEdns: true,
    dnssecOk: true,
  });
  t.equal(query.udpSize, 4096);
  t.equal(query.udpLimit, 1232);
  t.strictSame(query.name, nameFromText('wwW.test'));
  t.equal(query.key, nameKey(nameFromText('www.test')));
  query.read(hex(`${header} ${question}`));
  t.match(query, { hasEdns: false, dnssecOk: false, udpLimit: 512 });
  query.read(hex(`1234 0110 0001 0000 0000 0001 ${question} 00 0029 0100 00000000 0000`));
  t.equal(query.udpLimit, 512, 'RFC 6891 §6.2.3: less than 512 means 512');
  query.read(hex(header));
  t.equal(query.questionEnd, 0, 'nothing is left of the query before');
  t.end();
});

t.test('a message in a longer buffer, cut at every length', (t) => {
  const message = hex(`1234 0100 0001 0000 0000 0001 ${question} ${opt}`);
  const buffer = new Uint8Array(512).fill(0xff);
  buffer.set(message);
  const query = new Query();
  for (let end = 0; end < message.length; end++) {
    t.equal(query.read(buffer, end), end < 12 ? VERDICT.DROP : RCODE.FORMERR, `${end} octets`);
  }
  t.equal(query.read(buffer, message.length), RCODE.NOERROR);
  t.end();
});

/** The query path does not look into records it has no use for. */
function parseUnlessRdata(bytes: Uint8Array): Message | undefined {
  try {
    return parseMessage(bytes);
  } catch (error) {
    if (['V6_DNS_RDATA', 'V6_DNS_NAME'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}

t.test('what is read as a plain query is one for the whole parser too', (t) => {
  const query = new Query();
  const base: Message = {
    id: 1,
    flags: 0x100,
    opcode: 0,
    rcode: 0,
    questions: [{ name: nameFromText('a.test'), type: 1, class: 1 }],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [{ code: 10, data: new Uint8Array(8) }] },
  };
  const message = encodeMessage(base);
  let plain = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(message.length - 1), fc.nat(255)), { maxLength: 3 }), (edits) => {
      const bytes = Uint8Array.from(message);
      for (const [at, octet] of edits) bytes[at] = octet;
      if (query.read(bytes) !== RCODE.NOERROR) return;
      plain++;
      const parsed = parseUnlessRdata(bytes);
      if (parsed === undefined) return;
      t.equal(parsed.questions[0]!.type, query.type);
      t.strictSame(parsed.questions[0]!.name, query.name);
      t.equal(parsed.edns?.udpSize ?? 0, query.udpSize);
    }),
    { seed, numRuns: 3000 },
  );
  t.ok(plain > 300, `${plain} plain queries among them`);
  t.end();
});
