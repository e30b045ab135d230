/**
 * 1,000 solicitations a second from 200 sources on a veth pair: who is answered, and that multicasts keep their times
 * (RFC 4861 §6.2.4, §6.2.6), by the kernel's clock at the interface.
 *
 * V6EDGE_STORM_SECONDS is how long it goes on, 7 unless set.
 */
import { join } from 'node:path';
import t from 'tap';
import { nullLogger } from '../../src/core/logger.ts';
import {
  interfaceBurst,
  interfaceRepliesPerSecond,
  MIN_DELAY_BETWEEN_RAS_MS,
  sourceBurst,
} from '../../src/ra/constants.ts';
import { RaCounter } from '../../src/ra/counters.ts';
import { eventually, inNamespace, run } from '../linux/netns.ts';
import { liveControl } from './live.ts';
import { nodeLink } from './node-link.ts';
import { raConfig } from './support.ts';

const seconds = Number(process.env.V6EDGE_STORM_SECONDS ?? 7);
const [sources, perSecond] = [200, 1_000];
const interval = { minMs: 3_000, maxMs: 4_000 };
/** A multicast may be this much later than its time: the machine has other work as well. */
const lateMs = 250;
const solicit = join(import.meta.dirname, '../../bench/solicit.ts');

if (inNamespace(t, import.meta.filename)) {
  const peer = await nodeLink(t);
  for (let i = 1; i <= sources; i++) peer.ip(`addr add fe80::1:${i.toString(16)}/64 dev node0 nodad`);

  t.test(`${seconds} s of it`, async (t) => {
    const { control, counters } = await liveControl(t, nullLogger);
    const file = join(t.testdir({}), 'sent.pcap');
    const capture = peer.spawn(
      ...(['tcpdump', '-i', 'node0', '--immediate-mode', '-B', '8192', '-w', file] as const),
      'icmp6 and ip6[40] == 134',
    );
    t.teardown(() => capture.kill('SIGKILL'));
    await new Promise<void>((resolve) =>
      capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
    );
    await control.start([raConfig({ interval, maxDelayMs: 0 })]);
    await eventually(() => control.ready);

    const storm = peer.spawn(
      ...(['env', 'NODE_OPTIONS=', process.execPath, solicit, 'node0', String(sources)] as const),
      ...[String(seconds * perSecond), String(1_000 / perSecond), 'even'],
    );
    t.teardown(() => storm.kill('SIGKILL'));
    let said = '';
    storm.stderr!.on('data', (text: Buffer) => {
      said += text.toString();
    });
    t.equal(await new Promise((resolve) => storm.on('close', resolve)), 0, said || 'all of it was sent');
    const end = Date.now();
    await eventually(() => counters.get(RaCounter.solicitations) >= seconds * perSecond * 0.99);
    // One more after the storm: the schedule goes on as before.
    const before = counters.get(RaCounter.sentMulticast);
    await eventually(() => counters.get(RaCounter.sentMulticast) > before);

    capture.kill('SIGINT');
    await new Promise((resolve) => capture.on('close', resolve));
    const fields = ['frame.time_epoch', 'ipv6.dst'].flatMap((name) => ['-e', name]);
    const sent = run('tshark', '-n', '-r', file, '-T', 'fields', ...fields)
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'))
      .map(([time, to]) => ({ at: Number(time) * 1_000, to: to! }));

    const replies = new Map<string, number>();
    for (const { to } of sent) if (to !== 'ff02::1') replies.set(to, (replies.get(to) ?? 0) + 1);
    const all = [...replies.values()].reduce((a, b) => a + b, 0);
    t.comment(`${counters.get(RaCounter.solicitations)} solicitations, ${all} replies`);
    t.equal(replies.size, sources, 'each source got one');
    t.ok(all <= interfaceBurst + interfaceRepliesPerSecond * (seconds + 1), `${all} replies`);
    t.ok(all >= interfaceRepliesPerSecond * (seconds - 1), `${all} replies: the limit is used`);
    const most = Math.max(...replies.values());
    t.ok(most <= sourceBurst + seconds + 1, `${most} replies to one source`);
    t.equal(counters.get(RaCounter.rateLimited), counters.get(RaCounter.solicitations) - all, 'the rest is counted');
    t.equal(counters.get(RaCounter.sendFailures), 0);

    const multicasts = sent.filter(({ to }) => to === 'ff02::1').map(({ at }) => at);
    const gaps = multicasts.slice(1).map((at, i) => at - multicasts[i]!);
    t.comment(`between multicasts, ms: ${gaps.map((gap) => gap.toFixed(1)).join(' ')}`);
    t.ok(gaps.length >= Math.floor((seconds * 1_000) / (interval.maxMs + lateMs)), `${gaps.length} gaps`);
    // Each by its grain, the timer may be early and the one before late.
    t.strictSame(
      gaps.filter((gap) => gap < MIN_DELAY_BETWEEN_RAS_MS - 20 || gap > interval.maxMs + lateMs),
      [],
      'none too early, none too late',
    );
    // Those that answer the storm all together wait for nothing but the 3 s: what each is late by does not add up.
    const stormy = gaps.slice(1).filter((_, i) => multicasts[i + 2]! < end);
    const drift = stormy.reduce((sum, gap) => sum + gap - MIN_DELAY_BETWEEN_RAS_MS, 0);
    t.comment(`late by ${drift.toFixed(1)} ms in ${stormy.length} of them`);
    t.ok(drift <= lateMs, `late by ${drift.toFixed(1)} ms in ${stormy.length} of them`);
  });
}
