/** CPU per unit of work and the rate, under a closed loop: each connection asks again as soon as it has its answer. */
import type { Server } from '../process.ts';
import { type Peer, type ProxyBench, report } from './peers.ts';

export interface ClosedWork {
  readonly name: string;
  /** load's verb and connections. */
  readonly verb: 'connect' | 'request' | 'bulk';
  readonly connections: number;
  /** Requests of the warm-up: V8 compiles the path of a connection in steps, over tens of thousands. 0 = one run will do. */
  readonly warmUnits: number;
}

export const closedWorks: readonly ClosedWork[] = [
  { name: 'new connection', verb: 'connect', connections: 32, warmUnits: 50_000 },
  { name: 'keep-alive request', verb: 'request', connections: 32, warmUnits: 50_000 },
  { name: 'bulk', verb: 'bulk', connections: 4, warmUnits: 0 },
];

/** One run of one peer. Returns units of work a second (requests or bytes). */
export async function runClosed(
  bench: ProxyBench,
  { name, verb, connections }: ClosedWork,
  peer: Peer,
  server: Server,
  keep: boolean,
): Promise<number> {
  const before = server.cpu();
  const { done, failed, bytes, seconds, p99Ms } = await report(
    bench,
    'load',
    verb,
    '127.0.0.1',
    peer.port,
    connections,
    bench.seconds,
  );
  const after = server.cpu();
  if (failed > 0) throw new Error(`${peer.name}, ${name}: ${failed} of ${done} failed`);
  const bulk = verb === 'bulk';
  const rate = (bulk ? bytes : done) / seconds;
  if (!keep) return rate;
  const amount = bulk ? bytes / 1e9 : done;
  const unit = bulk ? 'ms' : 'µs';
  const add = (quantity: string, microseconds: number) =>
    bench.results.add(name, quantity, unit, peer.name, microseconds / amount / (bulk ? 1000 : 1));
  add(`CPU per ${bulk ? 'GB' : name}`, after.total - before.total);
  add('of that user', after.user - before.user);
  add('of that system', after.system - before.system);
  bench.results.add(name, 'rate', bulk ? 'MB/s' : '1/s', peer.name, bulk ? rate / 1e6 : rate);
  if (!bulk) bench.results.add(name, 'p99 at full load', 'ms', peer.name, p99Ms);
  return rate;
}
