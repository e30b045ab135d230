/**
 * The TCP proxy beside HAProxy with one thread, nginx and a relay in C: all relay to the same origin, in TCP mode, with PROXY
 * headers; v6edge and HAProxy with health checks and a log line a session, HAProxy with and without `option splice-auto`.
 */

import type { BenchOptions } from './options.ts';
import type { Cores, Server } from './process.ts';
import { type ClosedWork, closedWorks, runClosed } from './proxy/closed.ts';
import { idleWork, runIdle } from './proxy/idle.ts';
import { PacedRuns, pacedWorks, sustainedRate } from './proxy/latency.ts';
import { compilePrograms, findPeers, type ProxyBench, startOrigins, startPeer } from './proxy/peers.ts';
import { median, type Results } from './table.ts';

/** Sessions at once that peers are set up for where they are few. */
const fewSessions = 4000;
const longestWarmUpMs = 10_000;

/** Runs every work `runs` times, the peers in turn within each run, so that noise meets all of them. */
export async function benchProxy(
  dir: string,
  cores: Cores,
  options: BenchOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const programs = compilePrograms(dir);
  const peers = findPeers(programs.relay, say);
  const bench: ProxyBench = { ...options, dir, cores, results, programs, peers, say };
  const origins = await startOrigins(bench);
  try {
    await benchWorking(bench);
    if (bench.wants(idleWork)) {
      for (let run = 1; run <= bench.runs; run++) {
        say(`${idleWork}: run ${run} of ${bench.runs}, some forty seconds`);
        await runIdle(bench);
      }
    }
  } finally {
    for (const server of origins) await server.stop();
  }
}

async function benchWorking(bench: ProxyBench): Promise<void> {
  const closed = closedWorks.filter(({ name }) => bench.wants(name));
  const paced = pacedWorks.filter(({ name }) => bench.wants(name));
  if (closed.length + paced.length === 0) return;
  const servers = new Map<string, Server>();
  try {
    for (const peer of bench.peers) servers.set(peer.name, await startPeer(bench, peer, fewSessions));
    const peaks = new Map<string, number>();
    // Run 0 is the warm-up (code gets compiled, sockets allocated) and not kept.
    for (const work of closed) peaks.set(work.name, await runAll(bench, work, servers, bench.runs));
    for (const work of paced) {
      const peakOf = closedWorks.find(({ name }) => name === work.peakOf)!;
      const half = (peaks.get(work.peakOf) ?? (await runAll(bench, peakOf, servers, 0))) / 2;
      // The last of the peers is the relay in C.
      const rate = await sustainedRate(bench, work, bench.peers.at(-1)!, half);
      bench.say(`${work.name}: ${rate}/s`);
      const runs = new PacedRuns(bench, work, rate);
      for (let run = 0; run <= bench.runs; run++) {
        await runs.run(run, run > 0);
        if (run > 0) bench.say(`${work.name}: run ${run} of ${bench.runs}`);
      }
      runs.finish();
    }
  } finally {
    for (const server of servers.values()) await server.stop();
  }
}

/** Returns the median rate of the peer that counts, which is HAProxy where it is there. */
async function runAll(
  bench: ProxyBench,
  work: ClosedWork,
  servers: ReadonlyMap<string, Server>,
  runs: number,
): Promise<number> {
  const rates: number[] = [];
  const reference = servers.has('haproxy') ? 'haproxy' : 'v6edge';
  for (let run = 0; run <= runs; run++) {
    for (const peer of bench.peers) {
      const once = () => runClosed(bench, work, peer, servers.get(peer.name)!, run > 0);
      const rate = run > 0 ? await once() : await warmUp(bench, work, once);
      if (peer.name === reference) rates.push(rate);
    }
    bench.say(run > 0 ? `${work.name}: run ${run} of ${runs}` : `${work.name}: warmed up`);
  }
  return median(rates);
}

/** Work that is not kept, as much as it takes until a peer does it as it will for the rest of its days. Returns the last rate. */
async function warmUp(bench: ProxyBench, work: ClosedWork, once: () => Promise<number>): Promise<number> {
  let rate = await once();
  const deadline = performance.now() + longestWarmUpMs;
  for (let units = rate * bench.seconds; units < work.warmUnits && performance.now() < deadline; ) {
    rate = await once();
    units += rate * bench.seconds;
  }
  return rate;
}
