/**
 * Latency that a proxy adds, at half of HAProxy's peak rate or what the load's own core keeps up with, whichever is less: requests
 * come at times of their own (pace.c), through each peer and straight to the origin, and what stands in the table is the
 * difference.
 */
import { median } from '../table.ts';
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
const straight = 'straight to the origin';
const quantities = [
  ['p50', 'p50Ms'],
  ['p90', 'p90Ms'],
  ['p99', 'p99Ms'],
] as const;
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

/** Runs at one rate, of each peer and of the origin alone. */
export class PacedRuns {
  readonly #reports = new Map<string, LoadReport[]>();
  readonly #bench: ProxyBench;
  readonly #work: PacedWork;
  readonly #rate: number;

  constructor(bench: ProxyBench, work: PacedWork, rate: number) {
    this.#bench = bench;
    this.#work = work;
    this.#rate = rate;
  }

  /** All peers once; who is first is another each time, for it is the one that comes behind a pause. */
  async run(turn: number, keep: boolean): Promise<void> {
    const all = [
      { name: straight, host: '::1', port: plainOrigin },
      ...this.#bench.peers.map(({ name, port }) => ({ name, host: '127.0.0.1', port })),
    ];
    const first = turn % all.length;
    for (const { name, host, port } of [...all.slice(first), ...all.slice(0, first)]) {
      const result = await pace(this.#bench, this.#work, host, port, this.#rate);
      // One that is not answered in two seconds more has no latency, and would be missing at the top.
      const { failed } = result;
      if (failed > 0) throw new Error(`${name}, ${this.#work.name}: ${failed} failed at ${this.#rate}/s`);
      if (keep) this.#reports.set(name, [...(this.#reports.get(name) ?? []), result]);
    }
  }

  /**
   * Adds what was kept. What a peer adds is more than the median of the origin's runs, and not than the run beside it: in single
   * runs the slowest hundredth is a matter of when the machine stood still.
   */
  finish(): void {
    const { results, peers } = this.#bench;
    const { name: work } = this.#work;
    const alone = this.#reports.get(straight)!;
    for (const { name: peer } of peers) {
      for (const [quantity, field] of quantities) {
        const base = median(alone.map((each) => each[field]));
        for (const each of this.#reports.get(peer)!)
          results.add(work, `${quantity} added`, 'ms', peer, each[field] - base);
      }
      for (const { p99Ms } of this.#reports.get(peer)!) results.add(work, 'p99', 'ms', peer, p99Ms);
    }
  }
}
