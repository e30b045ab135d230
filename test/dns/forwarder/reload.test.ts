/**
 * Questions that are asked of BIND 9 while settings change under them, and while this thread, or an upstream, is held up for a
 * moment: each has its answer. V6EDGE_RELOAD_MS: how long the reloads go on (default 2,000).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { COUNT } from '../../../src/dns/counters.ts';
import { parseMessage } from '../../../src/dns/wire/message.ts';
import { RCODE, rcodeToText } from '../../../src/dns/wire/types.ts';
import { type Bind, startBind } from '../bind.ts';
import {
  aaaa,
  askedName,
  Bench,
  type EngineOptions,
  FakeUpstream,
  query,
  reply,
  type Seen,
  settings,
} from '../peers.ts';

const reloadMs = Number(process.env.V6EDGE_RELOAD_MS ?? 2000);
const file = '$TTL 300\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns AAAA ::1\n* AAAA 2001:db8::1\n';

async function upstream(t: Test): Promise<{ bind: Bind; config: UpstreamConfig; tcp: UpstreamConfig }> {
  const bind = await startBind([], [{ name: 'far.test', file, statements: '' }]);
  t.teardown(() => bind.stop());
  const endpoint = { kind: 'inet' as const, address: parseAddress('::1'), port: bind.port };
  const config = { transport: 'udp' as const, endpoint, serverName: undefined };
  return { bind, config, tcp: { ...config, transport: 'tcp' } };
}

/** Answers by what they say: how many of each. */
class Tally {
  readonly counts: Record<string, number> = {};
  answered = 0;

  add(message: Buffer): void {
    const { rcode, answers } = parseMessage(message);
    const text = rcode === RCODE.NOERROR && answers.length === 0 ? 'nothing' : rcodeToText(rcode);
    this.counts[text] = (this.counts[text] ?? 0) + 1;
    this.answered++;
  }
}

/** Asks for `count` names that nobody asked for before; resolves when all are answered. */
async function ask(bench: Bench, tally: Tally, from: number, count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, i) => from + i);
  await Promise.all(ids.map(async (i) => tally.add(await bench.exchange(query(`n${i}.far.test`, { id: i & 0xffff })))));
}

t.test('reloads: other sizes of the cache, listeners, policies, upstreams', async (t) => {
  const [one, two] = await Promise.all([upstream(t), upstream(t)]);
  const listen = [settings({}).listen[0]!];
  const more = [...listen, { kind: 'inet' as const, address: parseAddress('127.0.0.2'), port: 0 }];
  const all: EngineOptions[] = [
    { upstreams: [one.config, two.config] },
    { upstreams: [one.config, two.config], cache: { sizeBytes: 1 << 21 } },
    { upstreams: [two.config, one.config], settings: { listen: more } },
    { upstreams: [two.config], cache: { sizeBytes: 1 << 21, serveStaleSeconds: 60 } },
    { upstreams: [one.tcp, two.config], forward: { policy: 'roundrobin' } },
    { upstreams: [one.config], forward: { timeoutMs: 2000 } },
    { upstreams: [two.tcp], forward: { domains: [{ domain: 'far.test', upstreams: [one.config] }] } },
    { upstreams: [one.config], settings: { cookieSecret: Buffer.alloc(16, 7) } },
  ];
  const bench = await Bench.start(t, { ...all[0]! });
  const tally = new Tally();
  let reloads = 0;
  const end = performance.now() + reloadMs;
  const workers = Array.from({ length: 8 }, async (_, worker) => {
    for (let round = 0; performance.now() < end; round++) await ask(bench, tally, (round * 8 + worker) * 4, 4);
  });
  const reloading = (async () => {
    for (let turn = 0; performance.now() < end; turn++) {
      bench.engine.apply(settings(all[turn % all.length]!));
      reloads++;
      // A few questions in between, and some are always under way.
      const { answered } = tally;
      while (tally.answered < answered + 20 && performance.now() < end) await nextTurn();
    }
  })();
  await Promise.all([...workers, reloading]);
  t.strictSame(tally.counts, { NOERROR: tally.answered });
  t.ok(reloads > 20 && tally.answered > 500, `${tally.answered} answers over ${reloads} reloads`);
});

t.test('this thread is held up: answers that have come count, whatever the timers say', async (t) => {
  const { config } = await upstream(t);
  const bench = await Bench.start(t, { upstreams: [config], forward: { timeoutMs: 2000 } });
  const tally = new Tally();
  await ask(bench, tally, 0, 20);
  for (let round = 1; round <= 3; round++) {
    const sent = bench.counters.get(COUNT.UPSTREAM_SENT);
    const answers = ask(bench, tally, round * 100, 20);
    while (bench.counters.get(COUNT.UPSTREAM_SENT) < sent + 20) await nextTurn();
    // As a long collection of garbage does it, or a machine with other things to do.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await answers;
  }
  t.strictSame(tally.counts, { NOERROR: tally.answered });
  t.match(bench.engine.upstreams(), [{ state: 'up', timeouts: 0 }]);
  t.equal(bench.counters.get(COUNT.UPSTREAM_TIMEOUT), 0);
});

t.test('an upstream is held up: many questions that wait at one moment are one silence', async (t) => {
  const clock = new FakeClock();
  const good = ({ message }: Seen) => reply(message, { answers: [aaaa(askedName(message), 1)] });
  const slow = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { clock, upstreams: [slow.config], forward: { timeoutMs: 2000 } });
  const tally = new Tally();
  await ask(bench, tally, 0, 20);
  slow.behaviour = () => undefined;
  const seen = slow.seen.length;
  const answers = ask(bench, tally, 100, 20);
  while (slow.seen.length < seen + 20) await nextTurn();
  clock.advance(600);
  t.match(bench.engine.upstreams(), [{ state: 'up' }], 'after 600 ms');
  slow.behaviour = good;
  // The tries to come are answered.
  for (let ms = 0; ms < 1000 && tally.answered < 40; ms += 50) {
    clock.advance(50);
    for (let i = 0; i < 20; i++) await nextTurn();
  }
  await answers;
  t.strictSame(tally.counts, { NOERROR: 40 });
});
