import t from 'tap';
import { encodeMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { scanRecords } from '../../../src/dns/wire/scan.ts';
import { TYPE } from '../../../src/dns/wire/types.ts';

t.test('scanRecords gives every record with its places (malformed messages: message.test.ts)', (t) => {
  const name = nameFromText('a.test');
  const question = { name, type: TYPE.MX, class: 1 };
  const message = encodeMessage({
    id: 1,
    flags: 0x8000,
    opcode: 0,
    rcode: 0,
    questions: [question],
    answers: [{ ...question, ttl: 300, rdata: rdataFromText(TYPE.MX, '1 b.test.') }],
    authority: [{ name: nameFromText('test'), type: TYPE.NS, class: 1, ttl: 60, rdata: name }],
    additional: [],
    edns: { udpSize: 1232, extendedRcode: 0, version: 0, do: true, options: [] },
  });
  const seen: number[][] = [];
  t.ok(
    scanRecords(message, {
      record(section, type, cls, owner, ttlOffset, ttl, rdataOffset, rdataLength) {
        seen.push([section, type, cls, owner, ttlOffset, ttl, rdataOffset, rdataLength]);
      },
    }),
  );
  t.strictSame(seen, [
    [1, TYPE.MX, 1, 24, 24 + 2 + 4, 300, 24 + 12, 2 + 2 + 2],
    [2, TYPE.NS, 1, 42, 42 + 2 + 4, 60, 42 + 12, 2],
    [3, TYPE.OPT, 1232, 56, 56 + 1 + 4, 0x8000, 56 + 11, 0],
  ]);
  t.end();
});
