/**
 * Latency that a proxy adds, at half of HAProxy's peak rate or what the load's own core keeps up with, whichever is less: requests
 * come at times of their own (pace.c), through each peer and straight to the origin, and what stands in the table is the
 * difference.
 */
import { type LoadReport, type Peer, type ProxyBench, plainOrigin, report } from './peers.ts';

export interface PacedWork {
  readonly name: string;
  readonly verb: 'connect' | 'request';
  /** Of the closed loop that gives the peak rate. */
  readonly peakOf: string;
  readonly connections: readonly number[];
}

export const pacedWorks: readonly PacedWork[] = [
  { name: 'new connection at half load', verb: 'connect', peakOf: 'new connection', connections: [] },
  { name: 'keep-alive request at half load', verb: 'request', peakOf: 'keep-alive request', connections: [64] },
];

/** A relay in C whose slowest hundredth takes longer than this is not what they wait for: the load's core is. */
const calmMs = 2;
const rateTries = 6;
const slower = 0.75;

function pace(
  bench: ProxyBench,
  { verb, connections }: PacedWork,
  host: string,
  port: number,
  rate: number,
): Promise<LoadReport> {
  return report(bench, 'pace', verb, host, port, rate, bench.seconds, ...connections);
}

/** The highest rate up to `wanted` at which load and origin, which share what cores are left, keep up through `lean`. */
export async function sustainedRate(bench: ProxyBench, work: PacedWork, lean: Peer, wanted: number): Promise<number> {
  let rate = wanted;
  for (let i = 0; i < rateTries; i++) {
    const { failed, p99Ms } = await pace(bench, work, '127.0.0.1', lean.port, Math.round(rate));
    bench.say(`${work.name}: at ${Math.round(rate)}/s ${lean.name} has p99 of ${p99Ms} ms`);
    if (failed === 0 && p99Ms <= calmMs) break;
    rate *= slower;
  }
  return Math.round(rate);
}

/** One run of all peers at `rate` requests a second. */
export async function runPaced(
  bench: ProxyBench,
  work: PacedWork,
  peers: readonly Peer[],
  rate: number,
  keep: boolean,
) {
  const { name } = work;
  const run = async (who: string, host: string, port: number) => {
    const result = await pace(bench, work, host, port, rate);
    // One that is not answered in two seconds more has no latency, and would be missing at the top.
    if (result.failed > 0) throw new Error(`${who}, ${name}: ${result.failed} failed at ${rate}/s`);
    return result;
  };
  const straight = await run('straight to the origin', '::1', plainOrigin);
  for (const peer of peers) {
    const { p50Ms, p99Ms } = await run(peer.name, '127.0.0.1', peer.port);
    if (!keep) continue;
    bench.results.add(name, 'p50 added', 'ms', peer.name, p50Ms - straight.p50Ms);
    bench.results.add(name, 'p99 added', 'ms', peer.name, p99Ms - straight.p99Ms);
    bench.results.add(name, 'p99', 'ms', peer.name, p99Ms);
  }
}
