import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { startNginx } from '../peers/peers.ts';
import { client4, client6, edgePrivate, edgePublic4, edgePublic6, ports, workers } from '../plan.ts';
import { waitFor } from '../process.ts';
import { type Chapter, must, type Scene, succeeded } from './step.ts';

const url4 = `http://${edgePublic4}`;
const url6 = `http://[${edgePublic6}]`;
const tools = join(import.meta.dirname, '../tools');

/** curl on the internet client. */
async function curl(scene: Scene, ...args: string[]): Promise<string> {
  return succeeded(await scene.lab.node('client').exec(['curl', '-sSg', '-m20', ...args]));
}

/** Requests until every worker has answered, so that later steps start with all members up. */
export async function bothWorkers(scene: Scene): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  return waitFor(
    'an answer of each worker',
    async () => {
      const worker = (await curl(scene, `${url4}/whoami`)).split(' ')[1]!;
      seen.set(worker, (seen.get(worker) ?? 0) + 1);
      return seen.size === workers.length && seen;
    },
    { timeoutMs: 15_000, why: () => `answers: ${[...seen].join(' ')}` },
  );
}

type Requests = readonly (readonly [started: number, ended: number, text: string, ok: boolean])[];

/** Requests of the internet client on new connections, four at a time, before, while and after `run` runs. */
export async function requestsWhile(
  scene: Scene,
  afterMs: number,
  run: () => Promise<void>,
  { loops = 4, pauseMs = 15 } = {},
): Promise<Requests> {
  await bothWorkers(scene);
  const argv = [process.execPath, join(tools, 'load.ts'), `${url4}/whoami`, String(loops), String(pauseMs)];
  const load = scene.lab.node('client').spawn(argv);
  await waitFor('the load', () => load.stdout.includes('running'));
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  await pause(1000);
  await run();
  await pause(afterMs);
  load.kill('SIGTERM');
  const { stdout } = await load.exited;
  return (JSON.parse(stdout.slice(stdout.indexOf('{'))) as { requests: Requests }).requests;
}

/** How many requests failed that began after a worker's death, and how many were under way. */
async function requestsWhileWorkerDies(scene: Scene): Promise<string> {
  const { lab, peers } = scene;
  let died = 0;
  const requests = await requestsWhile(scene, scene.quick ? 1500 : 4000, async () => {
    const victim = peers.nginx.get('worker1')!;
    victim.kill('SIGKILL');
    await victim.exited;
    died = Date.now();
  });
  await startNginx(lab, peers, 'worker1');
  // What was already with worker1 in that moment is lost with it, and nobody can repeat it unseen.
  const after = requests.filter(([started]) => started > died);
  const failed = after.filter(([, , , ok]) => !ok);
  const underWay = requests.filter(([started, , , ok]) => started <= died && !ok);
  must(after.length > 50, `only ${after.length} requests`);
  must(failed.length === 0, `${failed.length} of ${after.length} failed: ${failed[0]?.[2]}`);
  must(underWay.length <= 4, `${underWay.length} failed before: ${underWay[0]?.[2]}`);
  const slowest = Math.max(...after.map(([started, ended]) => ended - started));
  return `${after.length} requests after its death, 0 failed, slowest ${slowest} ms`;
}

/** Writes pseudo-random bytes; returns their hash. */
function makeBigFile(scene: Scene, bytes: number): string {
  const file = openSync(join(scene.lab.directory, 'big.bin'), 'w');
  const hash = createHash('sha256');
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 6), Buffer.alloc(16));
  const zeros = Buffer.alloc(4 * 1024 * 1024);
  for (let written = 0; written < bytes; written += zeros.length) {
    const block = cipher.update(zeros);
    hash.update(block);
    writeSync(file, block);
  }
  closeSync(file);
  return hash.digest('hex');
}

export const proxy: Chapter = {
  title: 'TCP proxy',
  steps: [
    {
      tried: `IPv4 client to :80: nginx sees ${client4}`,
      async run(scene) {
        await bothWorkers(scene);
        const text = await curl(scene, `${url4}/whoami`);
        must(text.startsWith(`${client4} worker`), text);
        return text;
      },
    },
    {
      tried: `IPv6 client to :80: nginx sees ${client6}`,
      async run(scene) {
        const text = await curl(scene, `${url6}/whoami`);
        must(text.startsWith(`${client6} worker`), text);
        return text;
      },
    },
    {
      tried: '20 requests: both workers share them',
      async run(scene) {
        const urls = Array.from({ length: 20 }, (_, i) => `${url4}/whoami?${i}`);
        // A connection each: curl would send them all down one.
        const lines = (await curl(scene, '-H', 'Connection: close', ...urls)).split('\n');
        const counts = workers.map((name) => lines.filter((line) => line.includes(name)).length);
        const got = workers.map((name, i) => `${name} ${counts[i]}`).join(', ');
        must(lines.length === 20 && counts.every((count) => count >= 5), got);
        return got;
      },
    },
    ...[edgePublic4, edgePublic6].map((address) => ({
      tried: `TLS to :443 passes through, by ${address.includes(':') ? 'IPv6' : 'IPv4'}`,
      async run(scene: Scene) {
        const host = address.includes(':') ? `[${address}]` : address;
        const text = await curl(
          scene,
          ...['--cacert', join(scene.lab.directory, 'tls.crt'), '--resolve', `www.cluster.test:443:${host}`],
          'https://www.cluster.test/whoami',
        );
        must(text.endsWith('https') && text.startsWith(address === edgePublic4 ? client4 : client6), text);
        return text;
      },
    })),
    {
      tried: ':6443 to the master, without PROXY header',
      async run(scene) {
        const url = `https://${edgePublic4}:${ports.kubeApi}`;
        await waitFor('the master', async () => (await curl(scene, '-k', `${url}/readyz`)) === 'ok');
        const text = await curl(scene, '-k', `${url}/whoami`);
        must(text.startsWith(`${edgePrivate} master1`), text);
        return `readyz ok; the master sees ${text.split(' ')[0]}`;
      },
    },
    {
      tried: 'half-close: a client that ends its side still gets its answer',
      async run({ lab }) {
        const bytes = 300_000;
        const hash = createHash('sha256').update(Buffer.alloc(bytes, 'half-close ')).digest('hex');
        const argv = [process.execPath, join(tools, 'half-close.ts'), edgePublic4, String(ports.sum), String(bytes)];
        const text = succeeded(await lab.node('client').exec(argv));
        must(text === `${bytes} ${hash} ${client4}`, text);
        return `${bytes} bytes counted and hashed after the FIN; v1 header names ${client4}`;
      },
    },
    { tried: 'worker1 is killed while requests run', run: requestsWhileWorkerDies },
    {
      tried: 'SIGHUP: the configuration is read again while requests run',
      only: 'v6edge',
      async run(scene) {
        const requests = await requestsWhile(scene, 500, async () => {
          scene.edge.reload!();
          await waitFor('the reload', () => scene.edge.log(500).includes('configuration reloaded'), {
            why: () => scene.edge.log(),
          });
        });
        const failed = requests.filter(([, , , ok]) => !ok);
        must(
          requests.length > 50 && failed.length === 0,
          `${failed.length} of ${requests.length} failed: ${failed[0]?.[2]}`,
        );
        return `${requests.length} requests, 0 failed`;
      },
    },
    {
      tried: 'no worker is left: clients are told at once; the workers come back and are used',
      async run(scene) {
        const { lab, peers } = scene;
        await bothWorkers(scene);
        for (const name of workers) peers.nginx.get(name)!.kill('SIGKILL');
        await Promise.all(workers.map((name) => peers.nginx.get(name)!.exited));
        const result = await lab.node('client').exec(['curl', '-sS', '-m8', `${url4}/whoami`]);
        // 52: empty reply (closed); 55, 56: reset while sending, while receiving; 7: refused. HAProxy tries the same server three times, a second apart.
        must(
          [7, 52, 55, 56].includes(result.code ?? -1) && result.ms < (scene.edge.kind === 'v6edge' ? 250 : 5000),
          `exit ${result.code} after ${result.ms.toFixed(0)} ms`,
        );
        await Promise.all(workers.map((name) => startNginx(lab, peers, name)));
        const started = performance.now();
        await bothWorkers(scene);
        const back = (performance.now() - started).toFixed(0);
        return `closed after ${result.ms.toFixed(0)} ms; both used again ${back} ms after their start`;
      },
    },
    {
      tried: 'a large download compares equal',
      async run(scene) {
        const bytes = scene.quick ? 64 * 1024 ** 2 : 1024 ** 3;
        scene.progress(`writing ${bytes / 1024 ** 2} MiB`);
        const expected = makeBigFile(scene, bytes);
        await bothWorkers(scene);
        scene.progress(`downloading ${bytes / 1024 ** 2} MiB through the proxy`);
        const script = `set -o pipefail; curl -sS -m120 ${url4}/big | sha256sum`;
        const result = await scene.lab.node('client').exec(['bash', '-c', script], { timeoutMs: 130_000 });
        const text = succeeded(result).split(' ')[0];
        must(text === expected, `${text} instead of ${expected}`);
        const rate = (bytes / 1e6 / (result.ms / 1000)).toFixed(0);
        return `${bytes / 1024 ** 2} MiB, same SHA-256, ${rate} MB/s (one machine plays all parts)`;
      },
    },
  ],
};
