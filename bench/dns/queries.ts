/**
 * CPU per query: names of an own zone, names of another server's zone out of the cache. dnsperf asks; the servers take turns. A C
 * program that only echoes is the limit of what a server can do with recvmmsg and sendmmsg.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runLoad, Server } from '../process.ts';
import { compareContent } from './content.ts';
import type { Bench } from './context.ts';
import { named, otherZone, ownZone, type PeerName, peers, startPeer, upstreamPort, zoneText } from './peers.ts';

const names = 1000;
/** More than the cache of answers has room for when nothing is forwarded. */
const manyNames = 100_000;
const firstPort = 18_801;
/** Of each server, before it is timed: V8 compiles the path of a query in steps, the last after some 300,000. */
const warmQueries = 400_000;
const longestWarmUpMs = 8_000;

interface Report {
  readonly completed: number;
  readonly rate: number;
  readonly lost: number;
}

type Asked = PeerName | 'echo';

interface Work {
  readonly name: string;
  readonly zone: string;
  readonly count: number;
  readonly peers: readonly Asked[];
}

interface Running {
  readonly server: Server;
  readonly port: number;
}

/** Measures cached and authoritative queries. */
export async function benchQueries(bench: Bench): Promise<void> {
  const few: Work[] = [
    { name: 'cached query', zone: otherZone, count: names, peers: ['v6edge', 'bind', 'unbound', 'dnsmasq', 'echo'] },
    { name: 'authoritative query', zone: ownZone, count: names, peers: ['v6edge', 'bind', 'unbound', 'knot', 'echo'] },
  ];
  const name = `authoritative query, ${manyNames} names`;
  const many: Work[] = [{ name, zone: ownZone, count: manyNames, peers: ['v6edge', 'bind', 'knot', 'echo'] }];
  for (const works of [few, many]) {
    const wanted = works.filter((work) => bench.wants(work.name));
    if (wanted.length > 0) await benchWorks(bench, wanted);
  }
}

/** Starts the servers that a group of works needs, and takes them through it. */
async function benchWorks(bench: Bench, works: readonly Work[]): Promise<void> {
  const servers = new Map<string, Running>();
  const wanted = [...new Set(works.flatMap((work) => work.peers))];
  const forwards = works.some(({ zone }) => zone === otherZone);
  try {
    if (forwards) await startUpstream(bench, servers);
    await startServers(bench, servers, works[0]!.count, forwards, wanted);
    for (const work of works) await measure(bench, servers, work);
  } finally {
    for (const { server } of [...servers.values()].reverse()) await server.stop();
  }
}

async function startUpstream({ dir, cores }: Bench, servers: Map<string, Running>): Promise<void> {
  const zoneFile = join(dir, `${otherZone}.zone`);
  writeFileSync(zoneFile, zoneText(otherZone, names));
  const job = { dir: join(dir, 'upstream'), port: upstreamPort, zoneFile, forwards: false, writable: false };
  const command = (job: Parameters<typeof named>[0]) => named(job, otherZone);
  const { server } = await startPeer('upstream', cores.rest, job, command, otherZone);
  servers.set('upstream', { server, port: upstreamPort });
}

async function startServers(
  bench: Bench,
  servers: Map<string, Running>,
  count: number,
  forwards: boolean,
  wanted: readonly Asked[],
): Promise<void> {
  const { dir, cores, load } = bench;
  const zoneFile = join(dir, `${ownZone}-${count}.zone`);
  writeFileSync(zoneFile, zoneText(ownZone, count));
  for (const [i, name] of wanted.entries()) {
    const port = firstPort + i;
    if (name === 'echo') {
      const server = new Server(name, cores.measured, [load, 'echo', String(port)]);
      servers.set(name, { server, port });
      await server.ready(() => server.output.includes('ready'));
    } else if (bench.has(name)) {
      const job = { dir: join(dir, `${name}-${count}`), port, zoneFile, forwards, writable: false };
      const zone = name === 'dnsmasq' ? otherZone : ownZone;
      const { server } = await startPeer(name, cores.measured, job, peers[name], zone);
      servers.set(name, { server, port });
    }
  }
}

async function measure(bench: Bench, servers: ReadonlyMap<string, Running>, work: Work): Promise<void> {
  const { dir, runs, results } = bench;
  const present = work.peers.filter((name) => servers.has(name));
  const judged = present.filter((name) => name !== 'echo');
  const compared = await compareContent(
    judged.map((name) => [name, servers.get(name)!.port]),
    work.zone,
    work.count,
  );
  bench.say(`${work.name}: ${compared} answers of ${judged.join(', ')} are the same`);
  const file = join(dir, `${work.zone}-${work.count}.txt`);
  // Scattered, as the names of many clients are; 7919 is prime to the counts.
  const name = (i: number) => `node${(i * 7919) % work.count}.${work.zone} AAAA\n`;
  writeFileSync(file, Array.from({ length: work.count }, (_, i) => name(i)).join(''));
  for (const name of present) await warmUp(bench, servers.get(name)!.port, file);
  bench.say(`${work.name}: warmed up`);
  for (let run = 1; run <= runs; run++) {
    for (const name of present) {
      const { server, port } = servers.get(name)!;
      const before = server.cpu();
      const report = parseDnsperf(await dnsperf(bench, port, file));
      const after = server.cpu();
      if (report.lost > report.completed / 1000) throw new Error(`${name} lost ${report.lost} queries`);
      const { completed, rate } = report;
      results.add(work.name, 'CPU per query', 'µs', name, (after.total - before.total) / completed);
      results.add(work.name, 'rate', '1/s', name, rate);
    }
    bench.say(`${work.name}: run ${run} of ${runs}`);
  }
}

/** Fills caches and lets compilers do their work; what is lost here does not count. */
async function warmUp(bench: Bench, port: number, file: string): Promise<void> {
  const deadline = performance.now() + longestWarmUpMs;
  for (let asked = 0; asked < warmQueries && performance.now() < deadline; ) {
    asked += parseDnsperf(await dnsperf(bench, port, file)).completed;
  }
}

function dnsperf({ cores, seconds }: Bench, port: number, file: string): Promise<string> {
  const options = ['-c', '8', '-q', '64', '-l', String(seconds)];
  return runLoad(cores.rest, ['dnsperf', '-s', '127.0.0.1', '-p', String(port), '-d', file, ...options]);
}

/** dnsperf's summary. */
export function parseDnsperf(output: string): Report {
  const field = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  return {
    completed: field(/Queries completed:\s+(\d+)/),
    lost: field(/Queries lost:\s+(\d+)/),
    rate: field(/Queries per second:\s+([\d.]+)/),
  };
}
