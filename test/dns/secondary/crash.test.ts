/**
 * A secondary that is killed at any moment has, whenever it is looked at, the zone as its primary had it at one serial,
 * never steps back, and catches up. V6EDGE_KILLS sets how often (6).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { ZoneStore } from '../../../src/dns/store.ts';
import { nameFromText, nameKey } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { TYPE } from '../../../src/dns/wire/types.ts';
import { writeZoneFile } from '../../../src/dns/zonefile.ts';
import { freePort } from '../../free-port.ts';
import { type ControlServer, startControlServer, testConfig, testKey, zoneConfig } from '../control-server.ts';
import { axfrLines } from '../dns-client.ts';

const kills = Number(process.env.V6EDGE_KILLS ?? 6);
const seed = Number(process.env.V6EDGE_SEED ?? 20261125);
const zone = 'cluster.test';
const name = nameFromText(zone);
const program = join(import.meta.dirname, 'secondary-process.ts');

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-secondary-crash-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A primary whose zone changes all the time, and what it was at every serial. */
class Primary {
  readonly history = new Map<number, string>();
  readonly #server: ControlServer;
  readonly #random = new SeededRandom(seed);
  #going = true;

  constructor(server: ControlServer) {
    this.#server = server;
    this.#note();
  }

  get serial(): number {
    return this.#server.control.zone(zone)!.serial;
  }

  #note(): void {
    this.history.set(this.serial, writeZoneFile({ name, rrsets: this.#server.control.records(zone) }));
  }

  async change(): Promise<void> {
    while (this.#going) {
      const owner = nameFromText(`h${this.#random.below(40)}.${zone}`);
      const data = rdataFromText(TYPE.TXT, `"${this.#random.below(1e6)}" "${'x'.repeat(200)}"`);
      await this.#server.control.edits.setRRset(zone, owner, TYPE.TXT, 60, [data]);
      this.#note();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  stop(): void {
    this.#going = false;
  }
}

t.setTimeout(30_000 + 5000 * kills);

t.test(`${kills} kills, seed ${seed}`, { timeout: 30_000 + 5000 * kills }, async (t) => {
  const port = await freePort('::1');
  const transfer = { allow: [], key: testKey.name, notify: [parseInetEndpoint(`[::1]:${port}`)] };
  const server = await startControlServer(newDir(t), testConfig({ zones: [zoneConfig(zone, { transfer })] }));
  t.teardown(() => server.close());
  const primary = new Primary(server);
  const dir = newDir(t);
  const random = new SeededRandom(seed);
  let child: ChildProcess | undefined;
  t.teardown(() => void child?.kill('SIGKILL'));
  const start = async () => {
    child = spawn(process.execPath, [program, dir, String(server.port), String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
  };
  const changing = primary.change();
  let last = 0;
  const seen = new Set<number>();
  for (let i = 0; i < kills; i++) {
    await start();
    // The moment is what is random here: before, within and after transfers.
    await new Promise((resolve) => setTimeout(resolve, random.below(400)));
    const gone = once(child!, 'exit');
    child!.kill('SIGKILL');
    await gone;
    const store = await ZoneStore.open(dir);
    const stored = store.load(nameKey(name));
    await store.close();
    if (stored === undefined) continue;
    if (stored.serial < last) t.fail(`serial ${stored.serial} after ${last}`);
    if (writeZoneFile({ name, rrsets: stored.rrsets }) !== primary.history.get(stored.serial)) {
      t.fail(`serial ${stored.serial} is not what the primary had`);
    }
    last = stored.serial;
    seen.add(last);
  }
  t.ok(seen.size > kills / 3, `killed at ${seen.size} different serials`);
  primary.stop();
  await changing;
  await start();
  const ours = async () => (await axfrLines(port, zone, testKey)).join('\n');
  const theirs = (await axfrLines(server.port, zone, testKey)).join('\n');
  while ((await ours()) !== theirs) await new Promise((resolve) => setTimeout(resolve, 50));
  t.pass('caught up');
});
