import t from 'tap';
import { Padding } from '../../src/dns/padding.ts';
import { encodeMessage, type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, TYPE } from '../../src/dns/wire/types.ts';
import { aaaa, txt } from './peers.ts';

const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] };

function message(more: Partial<Message>): Uint8Array {
  return encodeMessage({
    id: 7,
    flags: FLAG.QR,
    opcode: 0,
    rcode: 0,
    questions: [{ name: nameFromText('a.test'), type: TYPE.AAAA, class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
    ...more,
  });
}

/** As the server does: the reply, and room behind it. */
function padded(reply: Uint8Array): Uint8Array {
  const padding = new Padding();
  const extra = padding.extra(reply);
  const longer = new Uint8Array(reply.length + extra);
  longer.set(reply);
  if (extra > 0) padding.write(longer, extra);
  return longer;
}

t.test('what is left as it is', (t) => {
  const plain = message({ answers: [aaaa('a.test', 1)] });
  t.strictSame(padded(plain), plain, 'without OPT');
  const signed = message({ edns });
  // A record behind OPT: a signature covers what is before it.
  const tsig = Buffer.concat([signed, Buffer.from([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0])]);
  tsig[11] = 2;
  t.strictSame(padded(tsig), Uint8Array.from(tsig), 'signed');
  const cut = message({ edns }).subarray(0, -1);
  t.strictSame(padded(cut), cut, 'malformed');
  t.strictSame(padded(new Uint8Array(3)), new Uint8Array(3), 'no message');
  t.end();
});

t.test('every length comes to the next block; what is said stays the same', (t) => {
  for (let size = 1; size <= 1000; size++) {
    const reply = message({ edns, answers: [txt('a.test', size)] });
    const longer = padded(reply);
    if (longer.length % 468 !== 0 || longer.length - reply.length < 4 || longer.length - reply.length >= 468 + 4) {
      t.fail(`${reply.length} became ${longer.length}`);
    }
    const { edns: opt, ...rest } = parseMessage(longer);
    t.strictSame(opt!.options, [{ code: 12, data: new Uint8Array(longer.length - reply.length - 4) }]);
    t.strictSame(rest.answers, parseMessage(reply).answers);
  }
  t.end();
});

t.test('no longer than a message can be', (t) => {
  const header = message({ edns, answers: [txt('a.test', 1)] }).length - 2;
  // The longest multiple of 468 that fits is 65520.
  for (const [length, expected] of [
    [65_516, 65_520],
    [65_517, 65_535],
    [65_531, 65_535],
    [65_532, 65_532],
    [65_535, 65_535],
  ] as const) {
    const rdata = new Uint8Array(length - header);
    const answer = { name: nameFromText('a.test'), type: 65_280, class: CLASS.IN, ttl: 1, rdata };
    const reply = message({ edns, answers: [answer] });
    t.equal(reply.length, length);
    t.equal(padded(reply).length, expected, `${length}`);
  }
  t.end();
});
