/**
 * SIGKILL at random moments while eight clients send updates: what was acknowledged is there after the restart, no update
 * is there in part, serials never step back, and an IXFR from before the kill leads to the zone as it is. Each update adds
 * an AAAA and a TXT, both with a lease, and through `reverse` a PTR in a second zone. V6EDGE_CRASH_KILLS sets how many moments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { systemClock } from '../../src/core/clock.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { ZoneStore } from '../../src/dns/store.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { CLASS, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { reverseZoneName, testKey } from './control-server.ts';
import { axfrLines, ixfrLines, lineSerial, rr, UdpClient, updateMessage } from './dns-client.ts';

const kills = Number(process.env.V6EDGE_CRASH_KILLS ?? 20);
const wanted = 25 * kills;
const clients = 8;
const seed = Number(process.env.V6EDGE_FUZZ_SEED ?? 7);
const random = new SeededRandom(seed);

async function startChild(dir: string): Promise<{ child: ChildProcess; port: number }> {
  const script = join(import.meta.dirname, 'control-server.ts');
  const child = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
  return { child, port: Number(line) };
}

/** Leases on disk; the daemon may have the store open. */
async function countLeases(dir: string): Promise<number> {
  const store = await ZoneStore.openReadOnly(dir);
  const sets = store.leases(nameKey(nameFromText('cluster.test')));
  await store.close();
  return sets.reduce((sum, { leases }) => sum + leases.length, 0);
}

function addHost(n: number): Uint8Array {
  const name = `n${n}.cluster.test`;
  const address = `fd00:6:6::${(n >> 16).toString(16)}:${(n & 0xffff).toString(16)}`;
  const message = updateMessage(
    n & 0xffff,
    'cluster.test',
    [],
    [
      rr(name, CLASS.IN, TYPE.AAAA, 60, rdataFromText(TYPE.AAAA, address)),
      rr(name, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, `"${n}"`)),
    ],
  );
  return signRequest(encodeMessage(message), testKey, systemClock);
}

t.setTimeout(60_000 + 3000 * kills);
t.test(`every acknowledged update survives (seed ${seed})`, { timeout: 60_000 + 3000 * kills }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-crash-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const acknowledged = new Set<number>();
  let next = 1;
  let lost = 0;
  let half = 0;
  let back = 0;
  let wrongIxfr = 0;
  const earlier = new Map<string, string[]>();
  for (let round = 0; round <= kills; round++) {
    const { child, port } = await startChild(dir);
    const dead = once(child, 'exit');
    t.teardown(() => child.kill('SIGKILL'));

    const lines = await axfrLines(port, 'cluster.test', testKey);
    const reverse = await axfrLines(port, reverseZoneName, testKey);
    const hosts = (type: string) =>
      new Set(
        lines.map((line) => new RegExp(`^n(\\d+)\\.\\S+ 60 ${type} `).exec(line)?.[1]).filter((n) => n !== undefined),
      );
    for (const [zone, now] of [
      ['cluster.test', lines],
      [reverseZoneName, reverse],
    ] as const) {
      const before = earlier.get(zone);
      if (before !== undefined) {
        const serial = lineSerial(before);
        if (lineSerial(now) < serial) back++;
        const updated = await ixfrLines(port, zone, testKey, serial, before);
        if (JSON.stringify(updated) !== JSON.stringify(now)) wrongIxfr++;
      }
      earlier.set(zone, now);
    }
    const aaaa = hosts('AAAA');
    const txt = hosts('TXT');
    const ptrs = reverse.filter((line) => line.includes(' PTR ')).length;
    lost += [...acknowledged].filter((n) => !aaaa.has(String(n))).length;
    half += [...aaaa].filter((n) => !txt.has(n)).length + [...txt].filter((n) => !aaaa.has(n)).length;
    half += Math.abs(ptrs - aaaa.size);
    half += Math.abs((await countLeases(dir)) - aaaa.size - txt.size);
    if (round === kills) {
      child.kill('SIGKILL');
      await dead;
      break;
    }

    const stopAt = acknowledged.size + Math.ceil((wanted - acknowledged.size) / (kills - round)) + random.below(10);
    let killed = false;
    const send = async () => {
      const client = new UdpClient(port);
      while (!killed) {
        const n = next++;
        const reply = await Promise.race([client.send(addHost(n)), dead.then(() => undefined)]);
        if (reply !== undefined && parseMessage(reply).rcode === RCODE.NOERROR) acknowledged.add(n);
        if (acknowledged.size >= stopAt && !killed) {
          killed = true;
          // Anywhere in a commit, which takes about a millisecond.
          const until = performance.now() + random.fraction() * 2;
          while (performance.now() < until);
          child.kill('SIGKILL');
        }
      }
      await dead;
      client.close();
    };
    await Promise.all(Array.from({ length: clients }, send));
  }
  t.ok(acknowledged.size >= wanted, `${acknowledged.size} of ${next - 1} updates were acknowledged`);
  t.equal(lost, 0, 'acknowledged updates that were not there after a restart');
  t.equal(half, 0, 'updates that were there in part');
  t.equal(back, 0, 'serials that stepped back');
  t.equal(wrongIxfr, 0, 'transfers of differences that led to another zone');
});
