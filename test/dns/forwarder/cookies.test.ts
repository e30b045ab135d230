/** DNS cookies towards upstreams (RFC 7873 §5.3): an upstream that gives them, forgers beside it, and servers that cannot. */
import t from 'tap';
import { COUNT } from '../../../src/dns/counters.ts';
import type { EdnsOption, Message } from '../../../src/dns/wire/message.ts';
import { RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { aaaa, askedName, Bench, FakeUpstream, reply, type Seen } from '../peers.ts';

const COOKIE = 10;
const SERVER = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

const cookieOf = ({ edns }: Message): Uint8Array | undefined => edns?.options.find(({ code }) => code === COOKIE)?.data;

/** A reply with these options, to one that may have none. */
function answer({ message }: Seen, options: readonly EdnsOption[], rcode: number = RCODE.NOERROR): Uint8Array {
  const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options };
  return reply(message, { edns, rcode, answers: rcode === RCODE.NOERROR ? [aaaa(askedName(message), 1)] : [] });
}

/** The option an upstream that gives cookies puts into its reply. */
function given({ message }: Seen): EdnsOption[] {
  const client = cookieOf(message);
  return client === undefined ? [] : [{ code: COOKIE, data: Buffer.concat([client.subarray(0, 8), SERVER]) }];
}

t.test('what was given is shown from then on; clients see nothing of it', async (t) => {
  const upstream = await FakeUpstream.start(t, (seen) => answer(seen, given(seen)));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const first = await bench.ask('a.test', { edns: { udpSize: 1232 } });
  t.strictSame(first.edns!.options, []);
  await bench.ask('b.test');
  const [one, two] = upstream.seen.map(({ message }) => cookieOf(message));
  t.equal(one!.length, 8);
  t.strictSame([...two!], [...one!, ...SERVER]);
});

t.test('BADCOOKIE: once more with the new one, then by TCP', async (t) => {
  let refusals = 1;
  const upstream = await FakeUpstream.start(t, (seen) =>
    seen.transport === 'udp' && refusals-- > 0 ? answer(seen, given(seen), RCODE.BADCOOKIE) : answer(seen, given(seen)),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] });
  t.strictSame(
    upstream.seen.map(({ transport, message }) => [transport, cookieOf(message)!.length]),
    [
      ['udp', 8],
      ['udp', 24],
    ],
  );
  refusals = Number.POSITIVE_INFINITY;
  t.match(await bench.ask('b.test'), { rcode: RCODE.NOERROR });
  t.strictSame(
    upstream.seen.slice(2).map(({ transport }) => transport),
    ['udp', 'udp', 'tcp'],
  );
});

t.test('a forged reply without our cookie is not believed, however right it is otherwise', async (t) => {
  const upstream = await FakeUpstream.start(t, (seen) => {
    const wrong = Buffer.concat([Buffer.alloc(8, 1), SERVER]);
    const forged = { ...seen, message: { ...seen.message } };
    return [answer(forged, [{ code: COOKIE, data: wrong }], RCODE.NXDOMAIN), answer(seen, given(seen))];
  });
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  t.equal(bench.counters.get(COUNT.UPSTREAM_UNMATCHED), 1);
  for (let i = 0; i < 8; i++) await bench.ask(`n${i}.test`);
  upstream.behaviour = (seen) => [answer(seen, [], RCODE.NXDOMAIN), answer(seen, given(seen))];
  t.match(await bench.ask('b.test'), { rcode: RCODE.NOERROR }, 'nor one without any, once they are known to come');
});

t.test('a server that dislikes the option gets EDNS without it; one that dislikes EDNS gets none', async (t) => {
  const upstream = await FakeUpstream.start(t, (seen) =>
    cookieOf(seen.message) === undefined ? answer(seen, []) : answer(seen, [], RCODE.FORMERR),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  await bench.ask('b.test');
  t.strictSame(
    upstream.seen.map(({ message }) => [message.edns !== undefined, cookieOf(message)?.length]),
    [
      [true, 8],
      [true, undefined],
      [true, undefined],
    ],
  );
  const old = await FakeUpstream.start(t, ({ message }) => {
    const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] };
    return message.edns === undefined
      ? reply(message, { answers: [aaaa(askedName(message), 1)] })
      : reply(message, { edns, rcode: RCODE.BADVERS });
  });
  const other = await Bench.start(t, { upstreams: [old.config] });
  t.match(await other.ask('a.test'), { rcode: RCODE.NOERROR, answers: [{}] }, 'BADVERS is no empty answer');
});

t.test('a question that an upstream does not like takes neither cookies nor EDNS from those after it', async (t) => {
  // Anybody can ask such a one: some servers answer ANY with NOTIMP.
  for (const [refusal, withOpt] of [
    [RCODE.NOTIMP, true],
    [RCODE.FORMERR, true],
    [RCODE.FORMERR, false],
  ] as const) {
    const upstream = await FakeUpstream.start(t, (seen) => {
      if (seen.message.questions[0]!.type !== TYPE.ANY) return answer(seen, given(seen));
      return withOpt
        ? answer(seen, given(seen), refusal)
        : reply(seen.message, { rcode: refusal }).subarray(0, 12).fill(0, 4);
    });
    const bench = await Bench.start(t, { upstreams: [upstream.config] });
    const edns = { udpSize: 1232, do: true };
    t.equal((await bench.ask('a.test', { type: TYPE.ANY })).rcode, RCODE.SERVFAIL);
    t.ok(upstream.seen.length <= 3, `asked ${upstream.seen.length} times`);
    t.match(await bench.ask('b.test', { edns }), { rcode: RCODE.NOERROR, edns: { do: true } });
    const { message } = upstream.seen.at(-1)!;
    t.equal(message.edns?.do, true, `${refusal}, ${withOpt ? 'with' : 'without'} OPT`);
    t.ok((cookieOf(message)?.length ?? 0) >= 8);
  }
});
