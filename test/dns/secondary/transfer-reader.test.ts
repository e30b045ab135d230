import fc from 'fast-check';
import t from 'tap';
import { WireError } from '../../../src/core/errors.ts';
import { type DifferenceStep, TransferReader, type Transferred } from '../../../src/dns/secondary/transfer-reader.ts';
import { applyDifferences, replaceZone } from '../../../src/dns/secondary/zone-changes.ts';
import { encodeSoa, soaSerial } from '../../../src/dns/soa.ts';
import type { ParsedMessage, ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText, nameKey, nameToText } from '../../../src/dns/wire/name.ts';
import { rdataFromText, rdataToText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, TYPE, typeFromText, typeToText } from '../../../src/dns/wire/types.ts';
import { Zone } from '../../../src/dns/zone.ts';

const apex = nameFromText('test');
const numbers = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };

/** `soa 5`, or `a.test A 192.0.2.1`, with a TTL other than 60 as `a.test 30 A …`. */
function record(text: string): ResourceRecord {
  const soa = /^soa (\d+)$/.exec(text)?.[1];
  if (soa !== undefined) {
    const rdata = encodeSoa({ mname: 'm.test', rname: 'r.test', ...numbers }, Number(soa));
    return { name: apex, type: TYPE.SOA, class: CLASS.IN, ttl: 60, rdata };
  }
  const [, name, ttl = '60', type, data] = /^(\S+) (?:(\d+) )?(\S+) (.*)$/.exec(text)!;
  const number = typeFromText(type!);
  return {
    name: nameFromText(name!),
    type: number,
    class: CLASS.IN,
    ttl: Number(ttl),
    rdata: data === 'BAD' ? new Uint8Array(3) : data === 'ANY' ? new Uint8Array(0) : rdataFromText(number, data!),
  };
}

function message(answers: readonly ResourceRecord[]): ParsedMessage {
  const records = answers.map((one) => ({ ...one, offset: 0 }));
  const head = { id: 1, flags: 0x8400, opcode: 0, rcode: 0, questions: [], authority: [], additional: [] };
  return { ...head, answers: records };
}

/** Takes messages of records; what came after the last. */
function take(from: number | undefined, ...messages: readonly string[][]): Transferred | undefined {
  const reader = new TransferReader(apex, from);
  let result: Transferred | undefined;
  for (const [i, texts] of messages.entries()) {
    if (i > 0 && result !== undefined) throw new Error('it was over before');
    result = reader.take(message(texts.map(record)), 100);
  }
  return result;
}

const bad: [name: string, from: number | undefined, messages: string[][], error: RegExp][] = [
  ['nothing', undefined, [[]], /no records/],
  ['no SOA first', undefined, [['a.test A 192.0.2.1']], /does not begin with the zone's SOA/],
  ['records after the end', undefined, [['soa 5', 'soa 5', 'a.test A 192.0.2.1']], /after the end/],
  ['another serial at the end', undefined, [['soa 5', 'a.test A 192.0.2.1', 'soa 6']], /another serial/],
  ['RDATA that is none', undefined, [['soa 5', 'a.test A BAD']], /A: /],
  ['a question type', undefined, [['soa 5', 'a.test ANY ANY']], /ANY record/],
  ['an SOA that is cut', undefined, [['soa 5', 'test SOA BAD']], /SOA: /],
  ['differences from elsewhere', 3, [['soa 5', 'soa 4', 'soa 5', 'soa 5']], /from serial 4, asked for those from 3/],
  [
    'a step that does not follow',
    3,
    [['soa 5', 'soa 3', 'soa 4', 'soa 3']],
    /a step from serial 3, where 4 was reached/,
  ],
];
for (const [name, from, messages, error] of bad) {
  t.throws(() => take(from, ...messages), { code: 'V6_DNS_TRANSFER', message: error }, name);
}

t.test('another class than IN', (t) => {
  const reader = new TransferReader(apex, undefined);
  const chaos = { ...record('a.test A 192.0.2.1'), class: CLASS.CH };
  t.throws(() => reader.take(message([record('soa 5'), chaos]), 100), { code: 'V6_DNS_TRANSFER', message: /class 3/ });
  t.end();
});

t.test('more than is taken', (t) => {
  const reader = new TransferReader(apex, undefined);
  reader.take(message([record('soa 5')]), 65_535);
  t.throws(() => {
    for (let i = 0; i < 3000; i++) reader.take(message([record('a.test A 192.0.2.1')]), 65_535);
  }, /longer than 64 MiB/);
  const many = new TransferReader(apex, undefined);
  many.take(message([record('soa 5')]), 10);
  const thousand = message(new Array(1000).fill(record('a.test A 192.0.2.1')));
  t.throws(() => {
    for (let i = 0; i < 1001; i++) many.take(thousand, 10);
  }, /more than 1000000 records/);
  t.end();
});

/** A whole zone as sorted lines. */
function lines(
  sets: Iterable<{ owner: Uint8Array; rrset: { type: number; ttl: number; rdata: readonly Uint8Array[] } }>,
) {
  return [...sets]
    .flatMap(({ owner, rrset: { type, ttl, rdata } }) =>
      rdata.map((one) =>
        type === TYPE.SOA
          ? `soa ${soaSerial(one)}`
          : `${nameToText(owner)}${ttl === 60 ? '' : ` ${ttl}`} ${typeToText(type)} ${rdataToText(type, one)}`,
      ),
    )
    .sort();
}

t.test('whole zones', (t) => {
  const rows: [name: string, from: number | undefined, messages: string[][], expected: string[]][] = [
    ['an SOA alone', undefined, [['soa 5', 'soa 5']], ['soa 5']],
    [
      'one record a message',
      undefined,
      [['soa 5'], ['a.test A 192.0.2.1'], ['soa 5']],
      ['a.test A 192.0.2.1', 'soa 5'],
    ],
    ['asked for differences', 3, [['soa 5', 'a.test A 192.0.2.1', 'soa 5']], ['a.test A 192.0.2.1', 'soa 5']],
    ['the same, an SOA alone', 3, [['soa 5', 'soa 5']], ['soa 5']],
    [
      'the same, its SOA first in a message of its own',
      3,
      [['soa 5'], ['a.test A 192.0.2.1', 'soa 5']],
      ['a.test A 192.0.2.1', 'soa 5'],
    ],
    [
      'equal records are one, the lowest TTL counts',
      undefined,
      [['soa 5', 'a.test A 192.0.2.1', 'A.test 30 A 192.0.2.2', 'a.test A 192.0.2.1', 'a.test A 192.0.2.2', 'soa 5']],
      ['a.test 30 A 192.0.2.1', 'a.test 30 A 192.0.2.2', 'soa 5'],
    ],
    [
      'an SOA below the apex is a record',
      undefined,
      [['soa 5', 'sub.test SOA a. b. 1 2 3 4 5', 'soa 5']],
      ['soa 1', 'soa 5'],
    ],
  ];
  for (const [name, from, messages, expected] of rows) {
    const result = take(from, ...messages);
    t.equal(result?.kind, 'axfr', name);
    if (result?.kind === 'axfr') t.strictSame(lines(result.rrsets), expected, name);
  }
  t.match(take(undefined, ['soa 5', 'a.other A 192.0.2.1', 'soa 5']), { passedOver: 1, rrsets: { length: 1 } });
  t.end();
});

t.test('nothing newer', (t) => {
  t.match(take(5, ['soa 5']), { kind: 'current', serial: 5 });
  t.match(take(5, ['soa 4']), { kind: 'current', serial: 4 });
  t.equal(take(5, ['soa 6']), undefined, 'newer: more is to come');
  t.equal(take(undefined, ['soa 5']), undefined, 'asked for the zone: more is to come');
  t.end();
});

t.test('differences, and what they make of a zone', (t) => {
  const before = ['soa 3', 'a.test A 192.0.2.1', 'a.test A 192.0.2.2', 'b.test TXT "x"'];
  const rows: [name: string, messages: string[][], expected: string[] | undefined][] = [
    [
      'one step',
      [['soa 5', 'soa 3', 'a.test A 192.0.2.1', 'b.test TXT "x"', 'soa 5', 'c.test TXT "y"', 'soa 5']],
      ['a.test A 192.0.2.2', 'c.test TXT "y"', 'soa 5'],
    ],
    [
      'two steps over three messages',
      [
        ['soa 5', 'soa 3', 'b.test TXT "x"'],
        ['soa 4', 'b.test TXT "y"', 'soa 4', 'b.test TXT "y"'],
        ['soa 5', 'b.test TXT "z"', 'soa 5'],
      ],
      ['a.test A 192.0.2.1', 'a.test A 192.0.2.2', 'b.test TXT "z"', 'soa 5'],
    ],
    ['nothing but the serial', [['soa 5', 'soa 3', 'soa 5', 'soa 5']], [...before.slice(1), 'soa 5']],
    [
      'another TTL',
      [['soa 5', 'soa 3', 'b.test TXT "x"', 'soa 5', 'b.test 30 TXT "x"', 'soa 5']],
      ['a.test A 192.0.2.1', 'a.test A 192.0.2.2', 'b.test 30 TXT "x"', 'soa 5'],
    ],
    ['to be deleted, and not there', [['soa 5', 'soa 3', 'b.test TXT "y"', 'soa 5', 'soa 5']], undefined],
    ['to be added, and there', [['soa 5', 'soa 3', 'soa 5', 'b.test TXT "x"', 'soa 5']], undefined],
    ['outside the zone', [['soa 5', 'soa 3', 'soa 5', 'b.other TXT "x"', 'soa 5']], undefined],
  ];
  for (const [name, messages, expected] of rows) {
    const result = take(3, ...messages);
    t.equal(result?.kind, 'ixfr', name);
    const { steps } = result as { steps: readonly DifferenceStep[] };
    const zone = zoneOf(before);
    const changes = applyDifferences(nameKey(apex), zone, steps);
    if (changes !== undefined) zone.apply(changes);
    t.strictSame(changes === undefined ? undefined : lines(zone.all()), expected, name);
  }
  t.end();
});

t.test('a zone replaced: only what differs is a change', async (t) => {
  const before = ['soa 3', 'a.test A 192.0.2.1', 'b.test TXT "x"', 'b.test A 192.0.2.9'];
  const after = take(undefined, ['soa 5', 'a.test A 192.0.2.1', 'b.test TXT "y"', 'c.test TXT "new"', 'soa 5']);
  const { rrsets } = after as Extract<Transferred, { kind: 'axfr' }>;
  const zone = zoneOf(before);
  const changes = await replaceZone(zone, rrsets);
  t.strictSame(
    changes
      .map(({ owner, type, rrset }) => `${rrset === undefined ? '-' : '+'} ${nameToText(owner)} ${typeToText(type)}`)
      .sort(),
    ['+ b.test TXT', '+ c.test TXT', '+ test SOA', '- b.test A'],
  );
  zone.apply(changes);
  t.strictSame(lines(zone.all()), lines(rrsets));
  t.equal((await replaceZone(undefined, rrsets)).length, rrsets.length, 'no zone: all');
  t.strictSame(await replaceZone(zone, rrsets), [], 'the same: nothing');
});

function zoneOf(texts: readonly string[]): Zone {
  const result = take(undefined, [...texts, texts[0]!]) as Extract<Transferred, { kind: 'axfr' }>;
  return new Zone({ name: apex, rrsets: result.rrsets });
}

t.test('whatever comes: records, or a WireError', (t) => {
  const piece = fc.constantFrom(
    ...[
      'soa 3',
      'soa 4',
      'soa 5',
      'a.test A 192.0.2.1',
      'a.test A BAD',
      'b.test TXT "x"',
      'b.other TXT "x"',
      'x.test ANY ANY',
    ],
  );
  const transfers = fc.array(fc.array(piece, { maxLength: 6 }), { maxLength: 6 });
  const from = fc.constantFrom(undefined, 3, 4, 5, 6);
  fc.assert(
    fc.property(from, transfers, (serial, messages) => {
      const reader = new TransferReader(apex, serial);
      for (const texts of messages) {
        try {
          const result = reader.take(message(texts.map(record)), 100);
          if (result === undefined) continue;
          // Whatever was taken can be worked with.
          if (result.kind === 'axfr') new Zone({ name: apex, rrsets: result.rrsets });
          if (result.kind === 'ixfr')
            applyDifferences(nameKey(apex), zoneOf(['soa 3', 'b.test TXT "x"']), result.steps);
          return;
        } catch (error) {
          if (error instanceof WireError) return;
          throw error;
        }
      }
    }),
    { seed: 20261125, numRuns: 2000 },
  );
  t.end();
});
