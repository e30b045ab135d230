import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { WireError } from '../../../src/core/errors.ts';
import {
  encodeMessage,
  type Message,
  type ParsedMessage,
  parseMessage,
  type ResourceRecord,
} from '../../../src/dns/wire/message.ts';
import { MAX_POINTERS, nameFromText, nameToText } from '../../../src/dns/wire/name.ts';
import { Query } from '../../../src/dns/wire/query.ts';
import { rdataFromText, rdataToText } from '../../../src/dns/wire/rdata.ts';
import { type RecordVisitor, scanRecords } from '../../../src/dns/wire/scan.ts';
import { locateTsig } from '../../../src/dns/wire/tsig.ts';
import { FLAG, RCODE, TYPE, typeFromText, typeToText } from '../../../src/dns/wire/types.ts';

const seed = 20261123;
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const quiet: RecordVisitor = { record() {} };

function record(name: string, ttl: number, type: string, data: string) {
  const number = typeFromText(type);
  return { name: nameFromText(name), type: number, class: 1, ttl, rdata: rdataFromText(number, data) };
}

const question = (name: string, type: string) => ({ name: nameFromText(name), type: typeFromText(type), class: 1 });

const empty: Message = {
  id: 0,
  flags: 0,
  opcode: 0,
  rcode: 0,
  questions: [],
  answers: [],
  authority: [],
  additional: [],
};

/** A parsed message without the offsets of its records. */
function plain(message: ParsedMessage): Message {
  const strip = (records: ParsedMessage['answers']) => records.map(({ offset, ...rest }) => rest);
  return {
    ...message,
    answers: strip(message.answers),
    authority: strip(message.authority),
    additional: strip(message.additional),
  };
}

const bad: Array<[name: string, message: string, code: string]> = [
  ['nothing', '', 'V6_DNS_SHORT'],
  ['11 octets', '0000 0000 0000 0000 0000 00', 'V6_DNS_SHORT'],
  ['65,535 records promised', '0000 0000 0000 ffff 0000 0000 00', 'V6_DNS_COUNT'],
  ['a question promised', '0000 0000 0001 0000 0000 0000 00 0001', 'V6_DNS_COUNT'],
  ['a question with its class cut off', '0000 0000 0001 0000 0000 0000 0161 00 0001', 'V6_DNS_SHORT'],
  ['a pointer forward', '0000 0000 0001 0000 0000 0000 c00e 0001 0001', 'V6_DNS_NAME'],
  ['octets after the last record', '0000 0000 0001 0000 0000 0000 00 0001 0001 00', 'V6_DNS_TRAILING'],
  ['rdata cut off', '0000 0000 0000 0001 0000 0000 00 0001 0001 00000000 0004 000000', 'V6_DNS_SHORT'],
  ['NS rdata with an octet too many', '0000 0000 0000 0001 0000 0000 00 0002 0001 00000000 0002 0000', 'V6_DNS_RDATA'],
  [
    'NS rdata whose name runs out of it',
    '0000 0000 0000 0001 0000 0001 00 0002 0001 00000000 0001 01 00 0001 0001 00000000 0000',
    'V6_DNS_NAME',
  ],
  ['SOA rdata without numbers', '0000 0000 0000 0001 0000 0000 00 0006 0001 00000000 0002 0000', 'V6_DNS_RDATA'],
  ['MX rdata of one octet', '0000 0000 0000 0001 0000 0000 00 000f 0001 00000000 0001 00', 'V6_DNS_RDATA'],
  [
    'NAPTR with a string that runs out',
    '0000 0000 0000 0001 0000 0000 00 0023 0001 00000000 0006 00000000 09 00',
    'V6_DNS_RDATA',
  ],
  ['OPT in the answer section', '0000 0000 0000 0001 0000 0000 00 0029 1000 00000000 0000', 'V6_DNS_OPT'],
  ['OPT of a name', '0000 0000 0000 0000 0000 0001 0161 00 0029 1000 00000000 0000', 'V6_DNS_OPT'],
  ['two OPTs', `0000 0000 0000 0000 0000 0002 ${'00 0029 1000 00000000 0000'.repeat(2)}`, 'V6_DNS_OPT'],
  ['an option longer than OPT', '0000 0000 0000 0000 0000 0001 00 0029 1000 00000000 0005 000a 0002 00', 'V6_DNS_OPT'],
];

for (const [name, message, code] of bad) {
  t.test(`bad message: ${name}`, (t) => {
    t.throws(() => parseMessage(hex(message)), { code });
    if (code !== 'V6_DNS_OPT') t.notOk(scanRecords(hex(message), quiet));
    t.end();
  });
}

const golden: Array<[name: string, wire: string, message: Message]> = [
  [
    'a query with EDNS, DO and a cookie',
    `1234 0120 0001 0000 0000 0001
     03 777777 04 74657374 00  001c 0001
     00 0029 04d0 00 00 8000 000c  000a 0008 0011223344556677`,
    {
      ...empty,
      id: 0x1234,
      flags: FLAG.RD | FLAG.AD,
      questions: [question('www.test', 'AAAA')],
      edns: {
        udpSize: 1232,
        extendedRcode: 0,
        version: 0,
        do: true,
        options: [{ code: 10, data: hex('0011223344556677') }],
      },
    },
  ],
  [
    'a response with compression in owners and rdata',
    `1234 8580 0001 0002 0001 0001
     03 777777 04 74657374 00  001c 0001
     c00c 0005 0001 0000012c 0006  03 776562 c010
     c026 001c 0001 0000012c 0010  fd00000000000000 0000000000000001
     c010 0006 0001 0000003c 001d  02 6e73 c010 01 72 c010 00000001 00000002 00000003 00000004 00000005
     c054 0001 0001 00000005 0004  c0000201`,
    {
      ...empty,
      id: 0x1234,
      flags: FLAG.QR | FLAG.AA | FLAG.RD | FLAG.RA,
      questions: [question('www.test', 'AAAA')],
      answers: [record('www.test', 300, 'CNAME', 'web.test.'), record('web.test', 300, 'AAAA', 'fd00::1')],
      authority: [record('test', 60, 'SOA', 'ns.test. r.test. 1 2 3 4 5')],
      additional: [record('ns.test', 5, 'A', '192.0.2.1')],
    },
  ],
  [
    'SRV targets are not compressed (RFC 2782), MX exchanges are',
    `0001 8400 0001 0002 0000 0000
     01 61 04 74657374 00  00ff 0001
     c00c 0021 0001 00000001 000e  0001 0002 0003 01 61 04 74657374 00
     c00c 000f 0001 00000001 0004  000a c00c`,
    {
      ...empty,
      id: 1,
      flags: FLAG.QR | FLAG.AA,
      questions: [question('a.test', 'ANY')],
      answers: [record('a.test', 1, 'SRV', '1 2 3 a.test.'), record('a.test', 1, 'MX', '10 a.test.')],
    },
  ],
  [
    'an UPDATE: delete an RRset, records with empty rdata',
    `0002 2800 0001 0001 0001 0000
     04 74657374 00  0006 0001
     01 61 c00c 00ff 00ff 00000000 0000
     c016 000f 00ff 00000000 0000`,
    {
      ...empty,
      id: 2,
      opcode: 5,
      questions: [question('test', 'SOA')],
      answers: [{ name: nameFromText('a.test'), type: TYPE.ANY, class: 255, ttl: 0, rdata: new Uint8Array(0) }],
      authority: [{ name: nameFromText('a.test'), type: TYPE.MX, class: 255, ttl: 0, rdata: new Uint8Array(0) }],
    },
  ],
  [
    'BADVERS: the upper bits of the rcode are in OPT',
    '0003 8000 0000 0000 0000 0001  00 0029 04d0 01 00 0000 0000',
    {
      ...empty,
      id: 3,
      flags: FLAG.QR,
      rcode: RCODE.BADVERS,
      edns: { udpSize: 1232, extendedRcode: 1, version: 0, do: false, options: [] },
    },
  ],
];

for (const [name, wire, message] of golden) {
  t.test(name, (t) => {
    const bytes = hex(wire);
    t.strictSame(plain(parseMessage(bytes)), message);
    t.equal(toHex(encodeMessage(message)), toHex(bytes));
    t.ok(scanRecords(bytes, quiet));
    for (let end = 0; end < bytes.length; end++) {
      t.throws(() => parseMessage(bytes.subarray(0, end)), WireError, `cut at ${end}`);
      t.notOk(scanRecords(bytes.subarray(0, end), quiet), `cut at ${end}`);
    }
    t.throws(() => parseMessage(Uint8Array.from([...bytes, 0])), { code: 'V6_DNS_TRAILING' });
    t.end();
  });
}

t.test('records say where they began: a signature covers what is before its record', (t) => {
  const bytes = hex(golden[1]![1]);
  const { answers, additional } = parseMessage(bytes);
  t.equal(answers[0]!.offset, 26);
  t.equal(additional.at(-1)!.offset, bytes.length - 16);
  t.end();
});

t.test('names inside rdata that came compressed are whole', (t) => {
  const types: Array<[type: string, before: string, after: string]> = [
    ['PTR', '', ''],
    ['SRV', '000100020003', ''],
    ['NAPTR', '00010002 0173 00 00', ''],
    ['RP', '00', ''],
    ['KX', '000a', ''],
  ];
  for (const [type, before, after] of types) {
    const rdata = hex(`${before} c00c ${after}`);
    const message =
      hex(`0000 8000 0001 0001 0000 0000 01 61 00 0001 0001 c00c ${typeFromText(type).toString(16).padStart(4, '0')} 0001 00000000
      ${rdata.length.toString(16).padStart(4, '0')} ${toHex(rdata)}`);
    const found = parseMessage(message).answers[0]!;
    if (type === 'KX') t.strictSame(found.rdata, rdata, 'RFC 3597 §4 does not list KX: octets');
    else t.equal(toHex(found.rdata), toHex(hex(`${before} 01 61 00 ${after}`)), type);
  }
  t.end();
});

t.test('limit: whole RRsets are left out, TC is set, OPT has its place', (t) => {
  const answers = [];
  for (const owner of ['a.test', 'b.test'])
    for (let i = 0; i < 5; i++) answers.push(record(owner, 1, 'A', `192.0.2.${i}`));
  const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] };
  const message: Message = { ...empty, flags: FLAG.QR, questions: [question('a.test', 'A')], answers, edns };
  const whole = encodeMessage(message);
  const counts = new Set<string>();
  for (let limit = 36; limit <= whole.length; limit++) {
    const bytes = encodeMessage(message, limit);
    t.ok(bytes.length <= limit);
    const parsed = parseMessage(bytes);
    t.ok(parsed.edns);
    counts.add(`${parsed.answers.length} ${(parsed.flags & FLAG.TC) !== 0}`);
  }
  t.strictSame([...counts], ['0 true', '5 true', '10 false']);
  t.end();
});

const labels = fc.array(fc.constantFrom('a', 'B', 'example', 'www', '*', '\\000'), { minLength: 1, maxLength: 5 });
const names = labels.map((parts) => nameFromText(parts.join('.')));
const samples = [
  ['A', '192.0.2.1'],
  ['NS', 'ns.example.'],
  ['MX', '1 www.example.'],
  ['SOA', 'a.example. b. 1 2 3 4 5'],
  ['TXT', '"x" ""'],
  ['SRV', '1 2 3 www.example.'],
  ['NAPTR', '1 2 "s" "" "" b.example.'],
  ['DNAME', 'example.'],
  ['RP', 'a. b.example.'],
  ['HTTPS', '1 . port=1'],
  ['TYPE65280', '\\# 2 c00c'],
] as const;
const records = fc
  .tuple(names, fc.constantFrom(...samples), fc.nat(2 ** 31 - 1))
  .map(([name, [type, data], ttl]) => ({ ...record('x', ttl, type, data), name }));
const sections = fc.array(records, { maxLength: 12 });
const messages: fc.Arbitrary<Message> = fc
  .record({
    id: fc.nat(65535),
    flags: fc.nat(65535).map((word) => word & 0x87f0),
    opcode: fc.nat(15),
    rcode: fc.nat(4095),
    questions: fc.array(
      names.map((name) => ({ name, type: 1, class: 1 })),
      { maxLength: 2 },
    ),
    answers: sections,
    authority: sections,
    additional: sections,
    udpSize: fc.nat(65535),
    options: fc.array(
      fc.record({ code: fc.integer({ min: 65001, max: 65534 }), data: fc.uint8Array({ maxLength: 20 }) }),
      { maxLength: 3 },
    ),
  })
  .map(({ udpSize, options, ...rest }) => {
    const extendedRcode = rest.rcode >> 4;
    if (extendedRcode === 0 && udpSize % 2 === 0) return rest;
    return { ...rest, edns: { udpSize, extendedRcode, version: 0, do: udpSize % 3 === 0, options } };
  });

/** Compression makes the case of a name that of its first mention: compare without. */
function folded(message: Message): string {
  const lines = [message.questions, message.answers, message.authority, message.additional].map((list) =>
    list.map((one) => {
      const text =
        'rdata' in one ? `${(one as ResourceRecord).ttl} ${rdataToText(one.type, (one as ResourceRecord).rdata)}` : '';
      return `${nameToText(one.name)} ${typeToText(one.type)} ${text}`.toLowerCase();
    }),
  );
  return JSON.stringify([message.id, message.flags, message.opcode, message.rcode, lines, message.edns]);
}

t.test('what is encoded is what is parsed', (t) => {
  fc.assert(
    fc.property(messages, (message) => {
      const bytes = encodeMessage(message);
      t.equal(folded(parseMessage(bytes)), folded(message));
      t.ok(scanRecords(bytes, quiet));
    }),
    { seed, numRuns: 300 },
  );
  t.end();
});

t.test('changed and random octets: a message or a WireError, in bounded time; scan and parse agree', (t) => {
  const start = performance.now();
  let whole = 0;
  const take = (bytes: Uint8Array) => {
    let code = '';
    try {
      const again = encodeMessage(parseMessage(bytes));
      t.ok(again.length > 0);
      whole++;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      code = error.code;
    }
    // OPT is not the scanner's business.
    if (code !== 'V6_DNS_OPT') t.equal(scanRecords(bytes, quiet), code === '', code);
  };
  fc.assert(
    fc.property(messages, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), (message, edits) => {
      const bytes = encodeMessage(message);
      for (const [at, octet] of edits) bytes[at % bytes.length] = octet;
      take(bytes);
    }),
    { seed, numRuns: 1000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), take), { seed, numRuns: 1000 });
  t.ok(whole > 100, `${whole} of them were messages`);
  t.ok(performance.now() - start < 20_000);
  t.end();
});

t.test('a chain of pointers for each of 4,000 records is no message, by any reader', (t) => {
  // The rdata of the first record is nothing but pointers, each to the one before it; all other owners begin at the last.
  const chain = (pointers: number) => {
    const bytes = Buffer.concat([hex('0000 0100 0001 0000 0000 0000'), hex('00 001c 0001'), Buffer.alloc(65_518)]);
    const start = 17 + 11;
    bytes.set(hex(`00 ff78 0001 00000000 ${(2 * pointers).toString(16).padStart(4, '0')}`), 17);
    for (let i = 0, to = 12; i < pointers; i++, to = start + 2 * (i - 1))
      bytes.writeUInt16BE(0xc000 | to, start + 2 * i);
    let at = start + 2 * pointers;
    let records = 1;
    for (; at + 12 <= bytes.length; records++, at += 12) {
      bytes.writeUInt16BE(0xc000 | (start + 2 * (pointers - 1)), at);
      bytes.set(hex('ff78 0001 00000000 0000'), at + 2);
    }
    bytes.writeUInt16BE(records, 10);
    return bytes.subarray(0, at);
  };
  for (const pointers of [MAX_POINTERS - 1, 8000]) {
    const bytes = chain(pointers);
    // One more jump leads to the chain.
    const sound = pointers < MAX_POINTERS;
    t.equal(new Query().read(bytes), sound ? RCODE.NOERROR : RCODE.FORMERR);
    t.equal(scanRecords(bytes, quiet), sound);
    if (sound) t.ok(parseMessage(bytes).additional.length > 4000);
    else t.throws(() => parseMessage(bytes), { code: 'V6_DNS_NAME' });
    if (sound) t.equal(locateTsig(bytes), undefined);
    else t.throws(() => locateTsig(bytes), { code: 'V6_DNS_NAME' });
  }
  t.end();
});

t.test('tshark finds nothing wrong with our messages', (t) => {
  const dir = t.testdir();
  const [dump, pcap] = [join(dir, 'dump.txt'), join(dir, 'dump.pcap')];
  const list = [...golden.map(([, , message]) => message), ...fc.sample(messages, { seed, numRuns: 40 })].filter(
    ({ opcode }) => opcode === 0,
  );
  const lines = list.map((message) => {
    const octets = toHex(encodeMessage({ ...message, flags: message.flags | FLAG.QR })).match(/../g)!;
    return `0000 ${octets.join(' ')}`;
  });
  writeFileSync(dump, `${lines.join('\n\n')}\n`);
  execFileSync('text2pcap', ['-q', '-u', '53,4000', dump, pcap], { stdio: 'ignore' });
  const fields = ['-T', 'fields', '-e', 'dns.count.answers', '-e', '_ws.malformed', '-e', 'dns.resp.ttl'];
  const rows = execFileSync('tshark', ['-r', pcap, ...fields], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .trimEnd()
    .split('\n');
  t.equal(rows.length, list.length);
  for (const [i, row] of rows.entries()) {
    const [count, malformed, ttls] = row.split('\t');
    t.equal(Number(count), list[i]!.answers.length);
    t.equal(malformed, '');
    const expected = [...list[i]!.answers, ...list[i]!.authority, ...list[i]!.additional].map(({ ttl }) => ttl);
    t.strictSame(ttls === '' ? [] : ttls!.split(',').map(Number), expected);
  }
  t.end();
});
