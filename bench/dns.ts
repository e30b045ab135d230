/**
 * The DNS server against BIND 9, Unbound, Knot and dnsmasq, each with one thread: CPU per query, what a zone's size costs, transfers,
 * durable updates. dns/ has a file for each.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Bench } from './dns/context.ts';
import { benchQueries } from './dns/queries.ts';
import { benchUpdates } from './dns/updates.ts';
import { benchZones } from './dns/zones.ts';
import type { BenchOptions } from './options.ts';
import { type Cores, hasProgram } from './process.ts';
import type { Results } from './table.ts';

const programs: Record<string, string> = { bind: 'named', knot: 'knotd' };

export async function benchDns(
  dir: string,
  cores: Cores,
  options: BenchOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const load = join(dir, 'dns-load');
  const source = join(import.meta.dirname, 'dns/load.c');
  const compiled = spawnSync('cc', ['-O2', '-o', load, source], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(`cc: ${compiled.stderr}`);
  const absent = new Set(['unbound', 'knot', 'dnsmasq'].filter((name) => !hasProgram(programs[name] ?? name)));
  for (const name of absent) say(`${name} is not installed: no comparison`);
  const has = (peer: string) => !absent.has(peer);
  const bench: Bench = { ...options, dir, load, cores, results, has, say };
  await benchQueries(bench);
  await benchZones(bench);
  await benchUpdates(bench);
}
