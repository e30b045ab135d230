import t from 'tap';
import { MessageWriter, parseMessage } from '../../../src/dns/wire/message.ts';
import { type Name, nameFromText, nameToText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { SECTION, TYPE } from '../../../src/dns/wire/types.ts';

const name = nameFromText;
const address = rdataFromText(TYPE.A, '192.0.2.1');

function begin(limit = 65535, options = {}): MessageWriter {
  const writer = new MessageWriter();
  writer.begin(limit, options);
  writer.header(1, 0x8000, 0, 0);
  return writer;
}

function addA(writer: MessageWriter, owner: Name): boolean {
  return writer.record(SECTION.ANSWER, owner, TYPE.A, 1, 60, address);
}

const owners = (writer: MessageWriter) =>
  parseMessage(writer.finish()).answers.map((record) => nameToText(record.name));

t.test('too small a limit is our fault', (t) => {
  t.throws(() => begin(11), { code: 'V6_ASSERT' });
  t.end();
});

t.test('what does not fit is not written, octet by octet', (t) => {
  const full = begin();
  full.question(name('a.test'), TYPE.MX, 1);
  full.record(SECTION.ANSWER, name('b.test'), TYPE.MX, 1, 60, rdataFromText(TYPE.MX, '1 c.d.test.'));
  const whole = full.finish().length;
  for (let limit = 12; limit <= whole; limit++) {
    const writer = begin(limit);
    const question = writer.question(name('a.test'), TYPE.MX, 1);
    const before = writer.length;
    const record = writer.record(SECTION.ANSWER, name('b.test'), TYPE.MX, 1, 60, rdataFromText(TYPE.MX, '1 c.d.test.'));
    if (!record) t.equal(writer.length, before);
    if (question) t.equal(record, limit === whole);
    const message = parseMessage(writer.finish());
    t.equal(message.questions.length, Number(question));
    t.equal(message.answers.length, Number(record));
  }
  t.end();
});

t.test('nothing points to what was taken back', (t) => {
  const writer = begin(60);
  addA(writer, name('one.test'));
  // The owner fits, its rdata does not.
  t.notOk(
    writer.record(
      SECTION.ANSWER,
      name('gone.example'),
      TYPE.TXT,
      1,
      60,
      rdataFromText(TYPE.TXT, `"${'x'.repeat(40)}"`),
    ),
  );
  t.ok(addA(writer, name('example')));
  t.strictSame(owners(writer), ['one.test', 'example']);

  const other = begin();
  addA(other, name('one.test'));
  const mark = other.mark();
  addA(other, name('two.example'));
  addA(other, name('three.example'));
  other.rollback(mark);
  t.equal(other.length, mark.length);
  addA(other, name('four.example'));
  t.strictSame(owners(other), ['one.test', 'four.example']);
  t.end();
});

t.test('an RRset is written whole or not at all', (t) => {
  const rdata = Array.from({ length: 4 }, (_, i) => rdataFromText(TYPE.A, `192.0.2.${i}`));
  const writer = begin(12 + 3 + 14 + 16 * 2 + 8);
  t.notOk(writer.rrset(SECTION.ANSWER, name('a'), TYPE.A, 1, 5, rdata));
  t.equal(writer.length, 12);
  t.ok(writer.rrset(SECTION.ANSWER, name('a'), TYPE.A, 1, 5, rdata.slice(1)));
  t.equal(parseMessage(writer.finish()).answers.length, 3);
  t.end();
});

t.test('what is reserved stays free, and OPT takes it', (t) => {
  const writer = begin(12 + 3 + 14 + 11);
  writer.reserve(11);
  t.equal(writer.room, 17);
  t.ok(addA(writer, name('a')));
  t.notOk(addA(writer, name('a')));
  t.notOk(writer.opt(1232, 0, 0, true));
  writer.reserve(0);
  t.ok(writer.opt(1232, 16, 0, true));
  t.match(parseMessage(writer.finish()), { rcode: 16, edns: { udpSize: 1232, do: true } });
  t.end();
});

t.test('case: pointers take the case of the first mention, or keep each', (t) => {
  for (const preserveCase of [false, true]) {
    const writer = begin(65535, { preserveCase });
    addA(writer, name('a.Test'));
    addA(writer, name('b.TEST'));
    addA(writer, name('c.Test'));
    t.strictSame(owners(writer), ['a.Test', preserveCase ? 'b.TEST' : 'b.Test', 'c.Test']);
  }
  const writer = begin();
  // '@' and '`' differ in the same bit as a letter's cases, and are no letters.
  addA(writer, name('\\@'));
  addA(writer, name('`'));
  t.strictSame(owners(writer), ['\\@', '`']);
  t.end();
});

t.test('a message of 64 KiB: pointers reach 16,383, the table may overflow', (t) => {
  const writer = begin();
  const expected: string[] = [];
  for (let i = 0; ; i++) {
    const owner = `n${i}.sub${i % 700}.example.test`;
    if (!addA(writer, name(owner))) break;
    expected.push(owner);
  }
  t.ok(writer.finish().length > 65_500);
  t.ok(expected.length > 2000, `${expected.length} records: compression works`);
  t.strictSame(owners(writer), expected);
  t.end();
});

t.test('one writer, many messages: nothing is left of the one before', (t) => {
  const writer = new MessageWriter();
  for (const owner of ['a.one.test', 'b.two.test', 'c.one.test', '.']) {
    writer.begin(512);
    addA(writer, name(owner));
    t.strictSame(owners(writer), [owner]);
    t.equal(writer.finish().length, 12 + name(owner).length + 14);
  }
  t.end();
});

t.test('rdata that is none is written as it is', (t) => {
  const writer = begin();
  t.ok(writer.record(SECTION.ANSWER, name('a'), TYPE.MX, 1, 60, Uint8Array.of(1)));
  t.equal(writer.finish().length, 12 + 3 + 10 + 1);
  t.end();
});
