/** The checks of ISC's DNS compliance tester (genreport), by UDP and TCP, for an answer made, cached and forwarded. */
import { once } from 'node:events';
import t from 'tap';
import { encodeMessage, type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { Bench, FakeUpstream, frame, readFrames, reply, soa, txt, zone } from './peers.ts';

const NSID = 3;
const CLIENT_SUBNET = 8;
const EXPIRE = 9;
const COOKIE = 10;
const UNKNOWN = 100;

interface Check {
  readonly name: string;
  readonly flags?: number;
  /** Bits of the header as they are, beside what `flags` can say. */
  readonly header?: number;
  readonly opcode?: number;
  readonly type?: number;
  readonly edns?: { readonly version?: number; readonly do?: boolean; readonly size?: number };
  readonly options?: readonly (readonly [code: number, hex: string])[];
  /** The lower half of the OPT record's flags. */
  readonly z?: number;
  readonly rcode?: number;
}

const checks: Check[] = [
  { name: 'dns (plain)' },
  { name: 'aa', flags: FLAG.AA },
  { name: 'ad', flags: FLAG.AD },
  { name: 'cd', flags: FLAG.CD },
  { name: 'ra', flags: FLAG.RA },
  { name: 'rd', flags: FLAG.RD },
  { name: 'tc', flags: FLAG.TC },
  { name: 'zflag', header: 0x40 },
  { name: 'opcode', opcode: 15, rcode: RCODE.NOTIMP },
  { name: 'ednsopcode', opcode: 15, edns: {}, rcode: RCODE.NOTIMP },
  { name: 'doopcode', opcode: 2, edns: { do: true }, rcode: RCODE.NOTIMP },
  { name: 'type666', type: 666 },
  { name: 'edns', edns: {} },
  { name: 'edns1', edns: { version: 1 }, rcode: RCODE.BADVERS },
  { name: 'edns@512', edns: { size: 512 } },
  { name: 'edns@0', edns: { size: 0 } },
  { name: 'ednsopt', edns: {}, options: [[UNKNOWN, '00']] },
  { name: 'edns1opt', edns: { version: 1 }, options: [[UNKNOWN, '00']], rcode: RCODE.BADVERS },
  { name: 'do', edns: { do: true } },
  { name: 'edns1do', edns: { version: 1, do: true }, rcode: RCODE.BADVERS },
  { name: 'ednsflags', edns: {}, z: 0x40 },
  { name: 'edns1flags', edns: { version: 1 }, z: 0x40, rcode: RCODE.BADVERS },
  { name: 'ednsnsid', edns: {}, options: [[NSID, '']] },
  { name: 'ednscookie', edns: {}, options: [[COOKIE, '0102030405060708']] },
  { name: 'docookie', edns: { do: true }, options: [[COOKIE, '0102030405060708']] },
  { name: 'ednsexpire', edns: {}, options: [[EXPIRE, '']] },
  { name: 'ednssubnet', edns: {}, options: [[CLIENT_SUBNET, '00010000']] },
  {
    name: 'optlist',
    edns: {},
    options: [
      [NSID, ''],
      [CLIENT_SUBNET, '00010000'],
      [EXPIRE, ''],
      [COOKIE, '0102030405060708'],
    ],
  },
];

function encode(
  { flags = 0, header = 0, opcode = 0, type = TYPE.SOA, edns, options = [], z = 0 }: Check,
  name: string,
) {
  const message: Message = {
    id: 0x1234,
    flags,
    opcode,
    rcode: 0,
    questions: [{ name: nameFromText(name), type, class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
    ...(edns && {
      edns: {
        udpSize: edns.size ?? 1232,
        version: edns.version ?? 0,
        do: edns.do ?? false,
        extendedRcode: 0,
        options: options.map(([code, hex]) => ({ code, data: Buffer.from(hex, 'hex') })),
      },
    }),
  };
  const bytes = Buffer.from(encodeMessage(message));
  bytes[3]! |= header;
  // Behind the root's name, type, size, rcode and version, and the upper half.
  const opt = 12 + nameFromText(name).length + 4;
  if (z !== 0) bytes[opt + 8]! |= z;
  return bytes;
}

t.test('compliance', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(
      message,
      message.questions[0]!.type === TYPE.SOA ? { answers: [soa('away.test')] } : { authority: [soa('away.test')] },
    ),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  bench.engine.setZone(zone('own.test', [txt('big.own.test', 700)]));
  const socket = await bench.connect(t);
  const waiting: ((bytes: Buffer) => void)[] = [];
  readFrames(socket, (bytes) => waiting.shift()!(Buffer.from(bytes)));
  const tcp = (bytes: Uint8Array) =>
    new Promise<Buffer>((resolve) => {
      waiting.push(resolve);
      socket.write(frame(bytes));
    });
  for (const check of checks) {
    for (const zoneName of ['own.test', 'away.test']) {
      const asked = { ...check, flags: (check.flags ?? 0) | (zoneName === 'away.test' ? FLAG.RD : 0) };
      const query = encode(asked, zoneName);
      for (const [way, exchange] of [
        ['udp', (bytes: Uint8Array) => bench.exchange(bytes)],
        ['udp again', (bytes: Uint8Array) => bench.exchange(bytes)],
        ['tcp', tcp],
      ] as const) {
        const raw = await exchange(query);
        const answer = parseMessage(raw);
        const what = `${check.name} ${zoneName} ${way}`;
        const { rcode = RCODE.NOERROR, edns, type = TYPE.SOA } = check;
        t.equal(answer.rcode, rcode, what);
        t.equal(answer.flags & FLAG.QR, FLAG.QR);
        t.equal(raw[3]! & 0x40, 0, 'Z is zero');
        t.equal(answer.flags & FLAG.TC, 0);
        t.equal(answer.flags & FLAG.RD, asked.flags & FLAG.RD, 'RD comes back');
        if (rcode === RCODE.NOERROR) {
          t.equal(answer.flags & FLAG.AA, zoneName === 'own.test' ? FLAG.AA : 0, 'AA');
          t.equal(answer.flags & FLAG.AD, 0, 'nothing was validated');
          t.equal(answer.answers.length, type === TYPE.SOA ? 1 : 0);
        }
        if (edns === undefined) {
          t.equal(answer.edns, undefined, 'no OPT unasked');
          continue;
        }
        t.match(answer.edns, { version: 0, udpSize: 1232, do: edns.do ?? false });
        t.notOk(
          answer.edns!.options.some(({ code }) => code === UNKNOWN || code === CLIENT_SUBNET || code === NSID),
          'unknown options do not come back, and nobody is told who we are',
        );
      }
    }
  }
  const small = parseMessage(
    await bench.exchange(encode({ name: '', type: TYPE.TXT, edns: { size: 512 } }, 'big.own.test')),
  );
  t.equal(small.flags & FLAG.TC, FLAG.TC, 'edns@512: what does not fit is truncated');
  const whole = parseMessage(await tcp(encode({ name: '', type: TYPE.TXT, edns: { size: 512 } }, 'big.own.test')));
  t.equal(whole.answers.length, 1, 'ednstcp');
  socket.destroy();
  await once(socket, 'close');
});

t.test('who asks for version or identity is told nothing', async (t) => {
  const bench = await Bench.start(t);
  for (const name of ['version.bind', 'version.server', 'hostname.bind', 'id.server', 'authors.bind']) {
    const answer = await bench.ask(name, { type: TYPE.TXT, class: CLASS.CH });
    t.match(answer, { rcode: RCODE.REFUSED, answers: [] }, name);
  }
});

t.test('no datagram is longer than 1232 octets, whatever the client says it takes', async (t) => {
  const bench = await Bench.start(t);
  const sizes = [400, 900, 1150, 1200, 1240, 4000];
  bench.engine.setZone(
    zone(
      'own.test',
      sizes.map((size) => txt(`t${size}.own.test`, size)),
    ),
  );
  for (const size of sizes) {
    for (const udpSize of [512, 1232, 4096, 65535]) {
      for (const round of ['made', 'cached']) {
        const bytes = await bench.exchange(
          encode({ name: '', type: TYPE.TXT, edns: { size: udpSize } }, `t${size}.own.test`),
        );
        t.ok(bytes.length <= Math.min(udpSize, 1232), `${size} to ${udpSize}, ${round}: ${bytes.length}`);
        const { flags, answers } = parseMessage(bytes);
        t.ok((flags & FLAG.TC) !== 0 || answers.length === 1, 'whole or truncated');
      }
    }
  }
});
