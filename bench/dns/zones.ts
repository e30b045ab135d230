/**
 * What a zone's size costs: start, memory, an update, a transfer, for zones of 100 to 100,000 names, beside BIND. An update's cost is
 * measured with a client that does nothing but send and wait.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runLoad, type Server } from '../process.ts';
import type { Bench } from './context.ts';
import { announcement, writeAxfrQuestion, writeMessages } from './messages.ts';
import { ownZone, peers, recordCount, startPeer, zoneText } from './peers.ts';

const sizes = [100, 1000, 10_000, 100_000];
const servers = ['v6edge', 'bind'] as const;
const port = 18_821;
const updatesPerRun = 300;
/** Transfers of the smaller zones before they are timed once more: V8 compiles in steps what is asked for again and again. */
const warmUp = 100;
const smallZone = 1000;
/** From the first answer until memory is read: garbage of a start goes 3 s and 12 s after it (edge/settle.ts). */
const settleMs = 13_000;

type Name = (typeof servers)[number];

/** Measures start, memory, updates and transfers of zones of all sizes. */
export async function benchZones(bench: Bench): Promise<void> {
  for (const size of sizes.filter((size) => bench.wants(workOf(size)))) {
    const zoneFile = join(bench.dir, `sized-${size}.zone`);
    writeFileSync(zoneFile, zoneText(ownZone, size));
    for (const name of servers) await benchSize(bench, name, size, zoneFile);
  }
}

function workOf(size: number): string {
  return `zone of ${size} names`;
}

async function benchSize(bench: Bench, name: Name, size: number, zoneFile: string): Promise<void> {
  const { dir, cores, runs, results } = bench;
  const work = workOf(size);
  const job = { dir: join(dir, `sized-${name}-${size}`), port, zoneFile, forwards: false, writable: true };
  const start = () => startPeer(name, cores.measured, job, peers[name]);
  try {
    const first = await start();
    results.add(work, 'first start, from a zone file', 'ms', name, first.startMs);
    await first.server.stop();
    for (let run = 1; run <= runs; run++) {
      const { server, startMs } = await start();
      try {
        results.add(work, 'start', 'ms', name, startMs);
        if (run === runs || size === sizes.at(-1)) {
          await delay(settleMs);
          results.add(work, 'private memory', 'MiB', name, server.memory().uss / 1024);
        }
        if (run === runs) {
          await benchTransfers(bench, name, size, server);
          await benchUpdates(bench, name, size, server);
          results.add(work, 'private memory after work', 'MiB', name, server.memory().uss / 1024);
        }
      } finally {
        await server.stop();
      }
    }
  } finally {
    rmSync(job.dir, { recursive: true, force: true });
  }
  bench.say(`${work}: ${name} done`);
}

async function benchUpdates({ dir, load, cores, runs, results }: Bench, name: Name, size: number, server: Server) {
  const work = workOf(size);
  const file = join(dir, 'updates.bin');
  for (let run = 0; run <= runs; run++) {
    const nodes = Array.from({ length: updatesPerRun }, (_, i) => (i * 7919) % size);
    writeMessages(
      file,
      nodes.map((node, i) => announcement(node, 1 + run * updatesPerRun + i, i + 1)),
    );
    const before = server.cpu();
    const report = JSON.parse(await runLoad(cores.rest, [load, 'send', String(port), file, '1'])) as {
      done: number;
      p50Ms: number;
      worstMs: number;
    };
    const after = server.cpu();
    if (run === 0) continue;
    results.add(work, 'CPU per update', 'µs', name, (after.total - before.total) / report.done);
    results.add(work, 'update acknowledged after (p50)', 'ms', name, report.p50Ms);
    results.add(work, 'slowest update', 'ms', name, report.worstMs);
  }
}

async function benchTransfers({ dir, load, cores, runs, results }: Bench, name: Name, size: number, server: Server) {
  const work = workOf(size);
  const file = join(dir, 'axfr.bin');
  writeAxfrQuestion(file);
  const records = recordCount(size) + 1;
  const transfer = async (): Promise<number> => {
    const command = [load, 'axfr', String(port), file, String(records)];
    const report = JSON.parse(await runLoad(cores.rest, command)) as { records: number; seconds: number };
    if (report.records === records) return report.seconds;
    throw new Error(`${name}: a transfer has ${report.records} records, not ${records}`);
  };
  await transfer();
  for (let run = 0; run < runs; run++) {
    const before = server.cpu();
    const seconds = await transfer();
    const after = server.cpu();
    results.add(work, 'AXFR rate', '1000 records/s', name, records / seconds / 1000);
    results.add(work, 'CPU per AXFR', 'ms', name, (after.total - before.total) / 1000);
  }
  if (size > smallZone) return;
  for (let i = 0; i < warmUp; i++) await transfer();
  for (let run = 0; run < runs; run++) {
    results.add(work, 'AXFR rate after a hundred', '1000 records/s', name, records / (await transfer()) / 1000);
  }
}
