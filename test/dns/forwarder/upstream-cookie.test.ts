import t from 'tap';
import { SeededRandom } from '../../../src/core/random.ts';
import { UpstreamCookie } from '../../../src/dns/forwarder/upstream-cookie.ts';
import { OwnCookies } from '../../../src/dns/own-cookies.ts';

const DAY_MS = 24 * 3600 * 1000;
const server = new Uint8Array(16).fill(7);

function make(): UpstreamCookie {
  let made = 0;
  return new UpstreamCookie(() => new Uint8Array(8).fill(++made));
}

const both = (client: Uint8Array, given = server) => Buffer.concat([client.subarray(0, 8), given]);

t.test('what a reply may have, and what comes of it', async (t) => {
  const cases: [name: string, data: (sent: Uint8Array) => Uint8Array | undefined, udp: boolean, tcp: boolean][] = [
    ['no cookie: it may give none', () => undefined, true, true],
    ['ours alone', (sent) => sent.subarray(0, 8), true, true],
    ['ours and one of its own', (sent) => both(sent), true, true],
    ['the longest', (sent) => both(sent, new Uint8Array(32)), true, true],
    ['not ours', (sent) => both(sent.map((octet) => octet ^ 1)), false, false],
    ['nothing of ours', () => new Uint8Array(8), false, false],
    ['of no length it may have', (sent) => sent.subarray(0, 7), false, true],
    ['too long', (sent) => both(sent, new Uint8Array(33)), false, true],
  ];
  for (const [name, data, udp, tcp] of cases) {
    for (const [stream, expected] of [
      [false, udp],
      [true, tcp],
    ] as const) {
      const cookie = make();
      const sent = cookie.option(0)!;
      t.equal(cookie.accepts(sent, data(sent), stream), expected, `${name}, ${stream ? 'TCP' : 'UDP'}`);
    }
  }
});

t.test('what it gave is shown with the next query, the newest', async (t) => {
  const cookie = make();
  const first = cookie.option(0)!;
  t.equal(first.length, 8);
  t.equal(cookie.known, false);
  cookie.accepts(first, both(first), false);
  t.strictSame([...cookie.option(0)!], [...both(first)]);
  t.equal(cookie.known, true);
  const newer = new Uint8Array(8).fill(9);
  cookie.accepts(cookie.option(0)!, both(first, newer), false);
  t.strictSame([...cookie.option(0)!], [...both(first, newer)]);
});

t.test('a day later it is another; what came for the old one is of no use', async (t) => {
  const cookie = make();
  const old = cookie.option(0)!;
  const fresh = cookie.option(DAY_MS)!;
  t.not(fresh[0], old[0]);
  t.equal(cookie.accepts(old, both(old), false), true, 'the reply to the old one is still a reply');
  t.equal(cookie.known, false);
});

t.test(
  'eight in a row with a cookie: from then on without one it is not believed, but for three in a row',
  async (t) => {
    const cookie = make();
    for (let i = 0; i < 7; i++) cookie.accepts(cookie.option(0)!, both(cookie.option(0)!), false);
    t.equal(cookie.accepts(cookie.option(0)!, undefined, false), true, 'after seven');
    cookie.accepts(cookie.option(0)!, both(cookie.option(0)!), false);
    t.equal(cookie.accepts(cookie.option(0)!, undefined, false), false, 'after eight');
    t.equal(cookie.accepts(cookie.option(0)!, undefined, true), true, 'by TCP nobody else answers');
    cookie.accepts(cookie.option(0)!, both(cookie.option(0)!), false);
    const verdicts = [1, 2, 3, 4].map(() => cookie.accepts(cookie.option(0)!, undefined, false));
    t.strictSame(verdicts, [false, false, true, true], 'the third in a row: it gives none any more');
  },
);

t.test('an upstream that cannot read the option gets none for a quarter of an hour', async (t) => {
  const cookie = make();
  const before = cookie.option(0)!;
  cookie.refused(0);
  t.equal(cookie.option(15 * 60_000 - 1), undefined);
  const after = cookie.option(15 * 60_000)!;
  t.equal(after.length, 8);
  t.not(after[0], before[0]);
});

t.test('cookies of our own are known in every thread, and no others', async (t) => {
  const secret = new Uint8Array(16).fill(3);
  const one = new OwnCookies(secret, new SeededRandom(1));
  const other = new OwnCookies(secret, new SeededRandom(2));
  const cookie = one.make();
  t.ok(other.isOurs(cookie, 0));
  t.not(Buffer.compare(cookie, one.make()), 0, 'each is drawn anew');
  for (let at = 0; at < 8; at++) {
    const wrong = Uint8Array.from(cookie);
    wrong[at]! ^= 1;
    t.notOk(other.isOurs(wrong, 0), `octet ${at} changed`);
  }
  t.notOk(new OwnCookies(new Uint8Array(16), new SeededRandom(1)).isOurs(cookie, 0), 'another server’s');
});
