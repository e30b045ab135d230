import fc from 'fast-check';
import t from 'tap';
import { parseCidr, parseInetEndpoint } from '../../src/core/address.ts';
import type { ZoneConfig } from '../../src/dns/config.ts';
import type { OwnedRRset, RRset } from '../../src/dns/snapshot.ts';
import { encodeSoa, soaSerial } from '../../src/dns/soa.ts';
import type { JournalEntry } from '../../src/dns/store.ts';
import {
  axfrSets,
  isCurrent,
  ixfrSerial,
  ixfrSets,
  mayTransfer,
  soaSets,
  type TransferFormat,
  TransferMessages,
} from '../../src/dns/transfer.ts';
import { concatBytes } from '../../src/dns/wire/bytes.ts';
import { encodeExpire } from '../../src/dns/wire/expire.ts';
import { MessageWriter, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';
import { testKey, zoneConfig } from './control-server.ts';

const apex = nameFromText('test');
const numbers = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };
const soa = (serial: number): RRset => ({
  type: TYPE.SOA,
  ttl: 60,
  rdata: [encodeSoa({ mname: 'm.test', rname: 'r.test', ...numbers }, serial)],
});
const txt = (ttl: number, ...values: string[]): RRset => ({
  type: TYPE.TXT,
  ttl,
  rdata: values.map((value) => Uint8Array.of(value.length, ...Buffer.from(value))),
});
const owner = nameFromText('A.test');

function zoneAt(serial: number, ...sets: RRset[]): Zone {
  return new Zone({
    name: apex,
    rrsets: [{ owner: apex, rrset: soa(serial) }, ...sets.map((rrset) => ({ owner, rrset }))],
  });
}

/** Owner, type and first letters of the data: `A.test TXT 60 x`, `SOA 5`. */
function say(sets: readonly OwnedRRset[]): string[] {
  return sets.flatMap(({ owner, rrset: { type, ttl, rdata } }) =>
    rdata.map((one) =>
      type === TYPE.SOA
        ? `SOA ${soaSerial(one)}`
        : `${nameToText(owner)} ${typeToText(type)} ${ttl} ${Buffer.from(one.subarray(1)).toString()}`,
    ),
  );
}

function step(from: number, to: number, before: RRset | undefined, rrset: RRset | undefined): JournalEntry {
  return {
    fromSerial: from,
    toSerial: to,
    changes: [
      { owner, type: TYPE.TXT, rrset, before: before && { owner, rrset: before } },
      { owner: apex, type: TYPE.SOA, rrset: soa(to), before: { owner: apex, rrset: soa(from) } },
    ],
  };
}

t.test('who may have a zone', (t) => {
  const rows: [name: string, transfer: Partial<ZoneConfig['transfer']>, client: string, key: boolean, may: boolean][] =
    [
      ['nothing configured', {}, '[fd00::2]:9', false, false],
      ['nothing configured, signed', {}, '[fd00::2]:9', true, false],
      ['an address', { allow: [parseCidr('fd00::/64')] }, '[fd00::2]:9', false, true],
      ['another address', { allow: [parseCidr('fd00::/64')] }, '[fd01::2]:9', false, false],
      [
        'IPv4 as a dual-stack socket has it',
        { allow: [parseCidr('192.0.2.0/24')] },
        '[::ffff:192.0.2.7]:9',
        false,
        true,
      ],
      ['the key', { key: testKey.name }, '[fd01::2]:9', true, true],
      ['the key is missing', { key: testKey.name }, '[fd01::2]:9', false, false],
      ['another key', { key: 'other' }, '[fd01::2]:9', true, false],
      ['key and address', { key: testKey.name, allow: [parseCidr('fd00::/64')] }, '[fd00::2]:9', true, true],
      ['key, wrong address', { key: testKey.name, allow: [parseCidr('fd00::/64')] }, '[fd01::2]:9', true, false],
      ['address, key missing', { key: testKey.name, allow: [parseCidr('fd00::/64')] }, '[fd00::2]:9', false, false],
    ];
  for (const [name, transfer, client, key, may] of rows) {
    const config = zoneConfig('test', { transfer: { allow: [], key: undefined, notify: [], ...transfer } });
    const endpoint = parseInetEndpoint(client);
    const request = { message: new Uint8Array(12), client: endpoint, local: endpoint, transport: 'tcp' } as const;
    t.equal(mayTransfer(config, request, key ? testKey : undefined), may, name);
  }
  t.end();
});

t.test('AXFR: everything between two SOA records (RFC 5936 §2.2)', (t) => {
  t.same(say([...axfrSets(zoneAt(5, txt(60, 'x', 'y')))]), ['SOA 5', 'A.test TXT 60 x', 'A.test TXT 60 y', 'SOA 5']);
  t.end();
});

t.test('IXFR: what went and what came, step by step (RFC 1995 §4)', (t) => {
  const rows: [name: string, steps: JournalEntry[], expected: string[]][] = [
    ['added', [step(4, 5, undefined, txt(60, 'x'))], ['SOA 4', 'SOA 5', 'A.test TXT 60 x']],
    ['deleted', [step(4, 5, txt(60, 'x'), undefined)], ['SOA 4', 'A.test TXT 60 x', 'SOA 5']],
    [
      'one of several: only what differs is told',
      [step(4, 5, txt(60, 'x', 'y'), txt(60, 'y', 'z'))],
      ['SOA 4', 'A.test TXT 60 x', 'SOA 5', 'A.test TXT 60 z'],
    ],
    [
      'another TTL: the records go and come again',
      [step(4, 5, txt(60, 'x'), txt(61, 'x'))],
      ['SOA 4', 'A.test TXT 60 x', 'SOA 5', 'A.test TXT 61 x'],
    ],
    [
      'two steps',
      [step(3, 4, undefined, txt(60, 'x')), step(4, 5, txt(60, 'x'), undefined)],
      ['SOA 3', 'SOA 4', 'A.test TXT 60 x', 'SOA 4', 'A.test TXT 60 x', 'SOA 5'],
    ],
    [
      'an entry that changed no records',
      [step(4, 5, undefined, txt(60, 'x')), { fromSerial: 5, toSerial: 5, changes: [] }],
      ['SOA 4', 'SOA 5', 'A.test TXT 60 x'],
    ],
  ];
  for (const [name, steps, expected] of rows) {
    t.same(say(ixfrSets(zoneAt(5), steps)), ['SOA 5', ...expected, 'SOA 5'], name);
  }
  t.same(say(soaSets(zoneAt(5))), ['SOA 5']);
  t.end();
});

t.test('the serial a client has', (t) => {
  const record = (type: number, rdata: Uint8Array) => ({ name: apex, type, class: CLASS.IN, ttl: 0, rdata });
  t.equal(ixfrSerial([]), undefined);
  t.equal(ixfrSerial([record(TYPE.TXT, Uint8Array.of(1, 65))]), undefined);
  t.equal(ixfrSerial([record(TYPE.SOA, new Uint8Array(0))]), undefined, 'an SOA without RDATA');
  t.equal(ixfrSerial([record(TYPE.SOA, soa(77).rdata[0]!)]), 77);
  t.ok(isCurrent(zoneAt(5), 5));
  t.ok(isCurrent(zoneAt(5), 6));
  t.notOk(isCurrent(zoneAt(5), 4));
  t.notOk(isCurrent(zoneAt(3), 2 ** 32 - 1), 'serials wrap');
  t.end();
});

const question = { name: apex, type: TYPE.AXFR, class: CLASS.IN };

function allMessages(format: Partial<TransferFormat>, sets: readonly OwnedRRset[]): Uint8Array[] {
  const transfer = new TransferMessages({ id: 4711, question, overhead: 0, ...format }, sets, new MessageWriter());
  const messages: Uint8Array[] = [];
  for (let message = transfer.next(); message !== undefined; message = transfer.next()) messages.push(message);
  return messages;
}

t.test('messages: all records in order, the question in the first, none over its limit', (t) => {
  const many = Array.from({ length: 8000 }, (_, i) => ({
    owner: nameFromText(`host-${i}.test`),
    rrset: { type: TYPE.TXT, ttl: 60, rdata: [Uint8Array.of(30, ...Buffer.alloc(30, i))] },
  }));
  const opaque = (octets: number) => ({
    owner: many[0]!.owner,
    rrset: { type: 65280, ttl: 60, rdata: [new Uint8Array(octets)] },
  });
  const set = { owner, rrset: txt(60, ...Array.from({ length: 3000 }, (_, i) => `record ${i} ${'x'.repeat(20)}`)) };
  const huge = opaque(60_000);
  const rows: [name: string, content: OwnedRRset[], count: number][] = [
    ['nothing', [], 0],
    ['one record', many.slice(0, 1), 1],
    ['more than one message holds', many, 7],
    ['a set that goes over messages', [many[0]!, set, many[1]!], 3],
    ['one very long', [huge], 1],
    ['such a one between others', [many[0]!, huge, many[1]!], 1],
    ['two such', [huge, huge], 2],
    ['a set without records', [many[0]!, { owner, rrset: txt(60) }, many[1]!], 1],
  ];
  for (const [name, content, count] of rows) {
    const messages = allMessages({ overhead: 100 }, content);
    t.equal(messages.length, count, `${name}: messages`);
    const parsed = messages.map((message) => parseMessage(message));
    t.same(
      parsed.flatMap(({ answers }) => answers.map(({ name, rdata }) => [nameToText(name), Buffer.from(rdata)])),
      content.flatMap(({ owner, rrset }) => rrset.rdata.map((rdata) => [nameToText(owner), Buffer.from(rdata)])),
      `${name}: records`,
    );
    t.same(
      parsed.map(({ questions }) => questions.length),
      parsed.map((_, i) => (i === 0 ? 1 : 0)),
      `${name}: questions`,
    );
    for (const [i, message] of messages.entries()) {
      t.equal(parsed[i]!.id, 4711);
      t.equal(parsed[i]!.flags & (FLAG.QR | FLAG.AA | FLAG.TC), FLAG.QR | FLAG.AA);
      t.ok(message.length <= 65_535 - 100, `${name}: ${message.length} octets`);
      if (content === many && i < messages.length - 1) t.ok(message.length > 65_300, 'packed full');
    }
  }
  t.end();
});

t.test('messages: a record that none can hold is left out, the others are there', (t) => {
  const long = { owner, rrset: { type: 65280, ttl: 60, rdata: [new Uint8Array(65_500), Uint8Array.of(1)] } };
  const [message, ...more] = allMessages({ overhead: 100 }, [{ owner: apex, rrset: soa(5) }, long]);
  t.equal(more.length, 1);
  t.equal(parseMessage(message!).answers.length, 1);
  t.equal(parseMessage(more[0]!).answers.length, 1);
  t.end();
});

t.test('messages: OPT in the first when the request had one (RFC 6891 §6.1.1)', (t) => {
  const set = { owner, rrset: txt(60, ...Array.from({ length: 400 }, (_, i) => `${i}`)) };
  for (const options of [[], [encodeExpire(86_400)]]) {
    const messages = allMessages({ edns: options, limit: 1232 }, [set]).map((message) => parseMessage(message));
    t.ok(messages.length > 1);
    for (const [i, { edns }] of messages.entries()) {
      t.strictSame(
        edns?.options.map(({ code }) => code),
        i === 0 ? options.map(({ code }) => code) : undefined,
      );
    }
  }
  for (const message of allMessages({ limit: 1232 }, [set])) t.equal(parseMessage(message).edns, undefined);
  t.end();
});

t.test('any zone comes out of its messages as it went in, octet for octet', (t) => {
  const seed = 20261125;
  const label = fc.constantFrom('a', 'A', 'b', 'Bb', 'host', 'HOST', '*', '_tcp', 'x'.repeat(63));
  const names = fc.array(label, { maxLength: 3 }).map((labels) => nameFromText([...labels, 'test'].join('.')));
  const set = fc.oneof(
    names.map((owner) => ({ owner, rrset: txt(60, 'x') })),
    fc.tuple(names, names).map(([owner, to]) => ({ owner, rrset: { type: TYPE.NS, ttl: 60, rdata: [to] } })),
    fc.tuple(names, names, names).map(([owner, to, other]) => ({
      owner,
      rrset: {
        type: TYPE.MX,
        ttl: 5,
        rdata: [concatBytes([Uint8Array.of(0, 1), to]), concatBytes([Uint8Array.of(0, 2), other])],
      },
    })),
    fc.tuple(names, fc.uint8Array({ maxLength: 900 })).map(([owner, rdata]) => ({
      owner,
      rrset: { type: 65280, ttl: 0, rdata: [rdata] },
    })),
  );
  fc.assert(
    fc.property(fc.array(set, { maxLength: 60 }), fc.integer({ min: 1400, max: 4000 }), (sets, limit) => {
      const whole = [{ owner: apex, rrset: soa(9) }, ...sets, { owner: apex, rrset: soa(9) }];
      const sent = whole.flatMap(({ owner, rrset: { type, ttl, rdata } }) =>
        rdata.map((one) =>
          [owner, type, ttl, one].map((part) => (part instanceof Uint8Array ? hexOf(part) : part)).join(' '),
        ),
      );
      const messages = allMessages({ limit, overhead: 100, edns: [encodeExpire(1)] }, whole);
      for (const message of messages) if (message.length > limit - 100) throw new Error(`${message.length} octets`);
      const come = messages.flatMap((message) =>
        parseMessage(message).answers.map(
          ({ name, type, ttl, rdata }) => `${hexOf(name)} ${type} ${ttl} ${hexOf(rdata)}`,
        ),
      );
      if (come.join('\n') !== sent.join('\n')) throw new Error('what came is not what went');
    }),
    { seed, numRuns: 300 },
  );
  t.end();
});

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
