import { edgePublic4, ports, slaacAddress, workers, zone } from '../plan.ts';
import { waitFor } from '../process.ts';
import { nsupdate } from './dig.ts';
import { type Chapter, must, type Scene, type Step } from './step.ts';

const service = `_found._tcp.${zone}`;
const url = `http://${edgePublic4}:${ports.found}/whoami`;

/** An update by worker1's key; resolves when it is answered. */
async function update(scene: Scene, ...lines: string[]): Promise<void> {
  const { rcode } = await nsupdate(scene.lab.node('worker1'), scene.keys.node, lines);
  must(rcode === 'NOERROR', rcode);
}

/** Which worker answers; undefined when the edge resets the connection. */
async function answeredBy(scene: Scene): Promise<string | undefined> {
  const { code, stdout } = await scene.lab.node('client').exec(['curl', '-s', '-m5', url]);
  return code === 0 ? stdout.split(' ')[1] : undefined;
}

/** Asks until `done` says so of the answers of eight requests in a row; how long that took. */
async function until(scene: Scene, what: string, done: (seen: Set<string | undefined>) => boolean): Promise<number> {
  const started = performance.now();
  let seen = new Set<string | undefined>();
  await waitFor(
    what,
    async () => {
      seen = new Set();
      for (let i = 0; i < 8; i++) seen.add(await answeredBy(scene));
      return done(seen);
    },
    { timeoutMs: 5_000, why: () => `answers: ${[...seen].join(' ')}` },
  );
  return performance.now() - started;
}

const steps: readonly Omit<Step, 'only'>[] = [
  {
    tried: 'a pool whose SRV name has no records: connections are reset',
    async run(scene) {
      const by = await answeredBy(scene);
      must(by === undefined, `answered by ${by}`);
      return 'reset';
    },
  },
  {
    tried: 'nsupdate adds an SRV record: traffic reaches the worker',
    async run(scene) {
      for (const name of workers) await update(scene, `update add ${name}.${zone} 300 AAAA ${slaacAddress(name)}`);
      await update(scene, `update add ${service} 300 SRV 0 50 80 worker1.${zone}.`);
      const ms = await until(scene, 'answers of worker1', (seen) => seen.size === 1 && seen.has('worker1'));
      return `8 of 8 requests, ${ms.toFixed(0)} ms after the update, requests included`;
    },
  },
  {
    tried: 'a second SRV record: both workers get traffic',
    async run(scene) {
      await update(scene, `update add ${service} 300 SRV 0 50 80 worker2.${zone}.`);
      const ms = await until(scene, 'answers of both', (seen) => seen.size === 2 && !seen.has(undefined));
      return `${ms.toFixed(0)} ms after the update`;
    },
  },
  {
    tried: 'a record of a higher priority value is a backup: no traffic while the other is up',
    async run(scene) {
      await update(
        scene,
        `update delete ${service} SRV 0 50 80 worker2.${zone}.`,
        `update add ${service} 300 SRV 10 50 80 worker2.${zone}.`,
      );
      const ms = await until(scene, 'answers of worker1 alone', (seen) => seen.size === 1 && seen.has('worker1'));
      return `worker1 alone, ${ms.toFixed(0)} ms after the update`;
    },
  },
  {
    tried: 'deleting the record drains its member: no request fails',
    async run(scene) {
      let failed = 0;
      let asked = 0;
      let asking = true;
      const loop = (async () => {
        while (asking) {
          asked++;
          if ((await answeredBy(scene)) === undefined) failed++;
        }
      })();
      await update(scene, `update delete ${service} SRV 0 50 80 worker1.${zone}.`);
      const ms = await until(scene, 'answers of worker2 alone', (seen) => seen.size === 1 && seen.has('worker2'));
      asking = false;
      await loop;
      must(failed === 0, `${failed} of ${asked} failed`);
      await update(scene, `update delete ${service} SRV`);
      return `0 of ${asked} failed, worker2 alone after ${ms.toFixed(0)} ms`;
    },
  },
];

/** Pools whose members register by DNS update. */
export const discovery: Chapter = {
  title: 'Register = serve (pool members from SRV records)',
  // HAProxy would poll its resolver; the original has no such pool.
  steps: steps.map((step) => ({ ...step, only: 'v6edge' })),
};
