/**
 * Signed updates a second that are on disk when they are acknowledged: by nsupdate, one and eight at once, and by a client that does
 * nothing but send and wait. Beside them stand what the disk can do, one small write after the other, and a program that only sends
 * messages back: the limit for a server that takes no time. nsupdate does not sign for it, which costs nsupdate less.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatKeyFile } from '../../src/dns/keyfile.ts';
import { runLoad, Server } from '../process.ts';
import type { Bench } from './context.ts';
import { announcement, announcementText, writeMessages } from './messages.ts';
import { key, ownZone, peers, startPeer, zoneText } from './peers.ts';

const names = 1000;
const servers = ['v6edge', 'bind'] as const;
const clientCounts = [1, 8];
const firstPort = 18_831;
/** Updates a run, shared by its clients. */
const updates = 800;

/** Measures durable updates. */
export async function benchUpdates(bench: Bench): Promise<void> {
  const { dir, cores, load, runs, results } = bench;
  const zoneFile = join(dir, 'updated.zone');
  const keyFile = join(dir, 'nsupdate.key');
  writeFileSync(zoneFile, zoneText(ownZone, names));
  writeFileSync(keyFile, formatKeyFile(key), { mode: 0o600 });
  const works = clientCounts
    .map((clients) => ({ clients, work: `durable updates, ${clients === 1 ? 'one client' : `${clients} clients`}` }))
    .filter(({ work }) => bench.wants(work));
  if (works.length === 0) return;
  const running: { name: string; port: number; server: Server }[] = [];
  try {
    for (const [i, name] of servers.entries()) {
      const port = firstPort + i;
      const job = { dir: join(dir, `updated-${name}`), port, zoneFile, forwards: false, writable: true };
      const { server } = await startPeer(name, cores.measured, job, peers[name]);
      running.push({ name, port, server });
    }
    const echoPort = firstPort + servers.length;
    const echo = new Server('echo', cores.measured, [load, 'echo', String(echoPort)]);
    running.push({ name: 'echo', port: echoPort, server: echo });
    await echo.ready(() => echo.output.includes('ready'));
    let round = 0;
    for (const { clients, work } of works) {
      for (let run = 0; run <= runs; run++) {
        for (const { name, port, server } of running) {
          for (const [quantity, measure] of [
            ['by nsupdate', () => byNsupdate(bench, port, name === 'echo' ? undefined : keyFile, clients, ++round)],
            ['by a lean client', () => byLean(bench, port, clients, ++round)],
          ] as const) {
            const before = server.cpu();
            const seconds = await measure();
            const after = server.cpu();
            if (run === 0) continue;
            results.add(work, `${quantity}: rate`, '1/s', name, updates / seconds);
            results.add(work, `${quantity}: CPU per update`, 'µs', name, (after.total - before.total) / updates);
          }
        }
        if (run === 0) continue;
        const command = [load, 'sync', join(dir, 'sync.bin'), String(updates)];
        const sync = JSON.parse(await runLoad(cores.rest, command)) as { done: number; seconds: number };
        results.add(work, 'disk alone: append, fdatasync', '1/s', 'disk', sync.done / sync.seconds);
        bench.say(`${work}: run ${run} of ${runs}`);
      }
    }
  } finally {
    for (const { server } of running) await server.stop();
  }
}

/** Seconds that `clients` nsupdates need for all updates. */
async function byNsupdate(
  { dir, cores }: Bench,
  port: number,
  keyFile: string | undefined,
  clients: number,
  round: number,
) {
  const each = updates / clients;
  const commands = Array.from({ length: clients }, (_, client) => {
    const file = join(dir, `nsupdate-${client}.txt`);
    const lines = Array.from({ length: each }, (_, i) => announcementText((client * each + i) % names, round));
    writeFileSync(file, `server 127.0.0.1 ${port}\nzone ${ownZone}\n${lines.join('')}`);
    return ['nsupdate', ...(keyFile === undefined ? [] : ['-k', keyFile]), file];
  });
  const from = performance.now();
  await Promise.all(commands.map((command) => runLoad(cores.rest, command)));
  return (performance.now() - from) / 1000;
}

async function byLean({ dir, cores, load }: Bench, port: number, clients: number, round: number): Promise<number> {
  const file = join(dir, 'updates.bin');
  const messages = Array.from({ length: updates }, (_, i) => announcement(i % names, round, i + 1));
  writeMessages(file, messages);
  const output = await runLoad(cores.rest, [load, 'send', String(port), file, String(clients)]);
  return (JSON.parse(output) as { seconds: number }).seconds;
}
