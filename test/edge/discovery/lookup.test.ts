import t from 'tap';
import { SeededRandom } from '../../../src/core/random.ts';
import { encodeMessage, type Message, parseMessage, type ResourceRecord } from '../../../src/dns/wire/message.ts';
import { isSubdomainKey, nameFromText, nameKey, nameToText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, FLAG, RCODE, TYPE, typeFromText } from '../../../src/dns/wire/types.ts';
import { LookupError, lookup } from '../../../src/edge/discovery/lookup.ts';

/** A record from its text form. */
function rr(text: string): ResourceRecord {
  const [name, ttl, type, ...rest] = text.split(' ') as [string, string, string, ...string[]];
  const number = typeFromText(type);
  return {
    name: nameFromText(name),
    type: number,
    class: CLASS.IN,
    ttl: Number(ttl),
    rdata: rdataFromText(number, rest.join(' ')),
  };
}

type Reply = Partial<Message> | Uint8Array;

/** A server from a table of `name` to reply. */
function server(replies: Record<string, Reply>, flags = 0) {
  const asked: string[] = [];
  const ask = async (query: Uint8Array): Promise<Uint8Array> => {
    const message = parseMessage(query);
    const name = nameToText(message.questions[0]!.name);
    asked.push(name);
    const reply = replies[name];
    if (reply === undefined) throw new LookupError('nobody answers');
    if (reply instanceof Uint8Array) return reply;
    return encodeMessage({ ...message, flags: FLAG.QR | flags, answers: [], authority: [], additional: [], ...reply });
  };
  return { ask, asked };
}

const own = nameKey(nameFromText('own.test'));

function context(ownReplies: Record<string, Reply>, others: Record<string, Reply>) {
  const ours = server(ownReplies, FLAG.AA);
  const theirs = server(others);
  return {
    ours,
    theirs,
    context: {
      random: new SeededRandom(1),
      isOwn: (name: string) => isSubdomainKey(name, own),
      askOwn: ours.ask,
      askOthers: theirs.ask,
    },
  };
}

const soa = rr('test 600 SOA ns.test. mail.test. 1 2 3 4 30');

const failures: readonly (readonly [string, Record<string, Reply>, RegExp])[] = [
  ['nobody answers', {}, /a\.test AAAA: nobody answers/],
  ['SERVFAIL', { 'a.test': { rcode: RCODE.SERVFAIL } }, /SERVFAIL/],
  ['REFUSED', { 'a.test': { rcode: RCODE.REFUSED } }, /REFUSED/],
  ['garbage', { 'a.test': Uint8Array.of(1, 2, 3) }, /a\.test AAAA/],
  ['another id', { 'a.test': { id: 70000 & 0xffff } }, /another question/],
  [
    'aliases in a circle',
    { 'a.test': { answers: [rr('a.test 60 CNAME b.test.')] }, 'b.test': { answers: [rr('b.test 60 CNAME a.test.')] } },
    /aliases/,
  ],
];
for (const [name, others, message] of failures) {
  t.test(`no answer: ${name}`, async (t) => {
    const { context: given } = context({}, others);
    await t.rejects(lookup(given, 'a.test', TYPE.AAAA), { name: 'LookupError', code: 'V6_LOOKUP', message });
  });
}

t.test('by forwarding: the shortest TTL counts, also that of nothing', async (t) => {
  const { context: given, ours } = context(
    {},
    {
      'a.test': {
        answers: [rr('a.test 300 CNAME b.test.'), rr('b.test 60 AAAA fd00::1'), rr('b.test 90 AAAA fd00::2')],
      },
      'none.test': { rcode: RCODE.NXDOMAIN, authority: [soa] },
      'bare.test': {},
    },
  );
  const found = await lookup(given, 'a.test', TYPE.AAAA);
  t.strictSame([found.rdata.map((each) => each.at(-1)), found.ttlMs, found.own], [[1, 2], 60_000, []]);
  t.match(await lookup(given, 'none.test', TYPE.AAAA), { rdata: [], ttlMs: 30_000 });
  t.match(await lookup(given, 'bare.test', TYPE.AAAA), { rdata: [], ttlMs: 5_000 });
  t.strictSame(ours.asked, []);
});

t.test('our own zones hold until they say otherwise', async (t) => {
  const { context: given, theirs } = context(
    {
      'w.own.test': { answers: [rr('w.own.test 1 CNAME x.own.test.'), rr('x.own.test 1 AAAA fd00::1')] },
      'none.own.test': { rcode: RCODE.NXDOMAIN, authority: [soa] },
    },
    {},
  );
  const found = await lookup(given, 'w.own.test', TYPE.AAAA);
  t.equal(found.ttlMs, undefined);
  t.strictSame(
    found.own,
    ['w.own.test', 'x.own.test'].map((each) => nameKey(nameFromText(each))),
  );
  t.match(await lookup(given, 'none.own.test', TYPE.AAAA), { rdata: [], ttlMs: undefined });
  t.strictSame(theirs.asked, []);
});

t.test('an alias out of our zone is followed, a delegation too', async (t) => {
  const { context: given } = context(
    { 'out.own.test': { answers: [rr('out.own.test 1 CNAME far.test.')] }, 'x.sub.own.test': { flags: FLAG.QR } },
    {
      'far.test': { answers: [rr('far.test 20 AAAA fd00::7')] },
      'x.sub.own.test': { answers: [rr('x.sub.own.test 10 AAAA fd00::8')] },
    },
  );
  t.match(await lookup(given, 'out.own.test', TYPE.AAAA), { rdata: { length: 1 }, ttlMs: 20_000, own: { length: 1 } });
  t.match(await lookup(given, 'x.sub.own.test', TYPE.AAAA), { rdata: { length: 1 }, ttlMs: 10_000 });
});
