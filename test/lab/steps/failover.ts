import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startNginx } from '../peers/peers.ts';
import { slaacAddress } from '../plan.ts';
import { waitFor } from '../process.ts';
import { requestsWhile } from './proxy.ts';
import { type Chapter, must, type Scene, succeeded } from './step.ts';

/** 50 clients with a new connection each quarter of a second: 200 connections a second. */
const load = { loops: 50, pauseMs: 250 };
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** How long the load goes on after the fault: 12 s by hand. */
const afterMs = ({ quick }: Scene) => (quick ? 3_000 : 12_000);

type Requests = Awaited<ReturnType<typeof requestsWhile>>;

/** What was with the worker in the moment of the fault is lost with it; nothing that began later may be. */
function judge(requests: Requests, faultAt: number, longestMs: number): string {
  const later = requests.filter(([started]) => started > faultAt);
  const failed = later.filter(([, , , ok]) => !ok);
  const underWay = requests.filter(([started, , , ok]) => started <= faultAt && !ok);
  const slowest = Math.max(...later.map(([started, ended]) => ended - started));
  must(later.length > 150, `only ${later.length} requests`);
  must(failed.length === 0, `${failed.length} of ${later.length} lost: ${failed[0]?.[2]}`);
  must(underWay.length <= load.loops, `${underWay.length} of those under way lost: ${underWay[0]?.[2]}`);
  must(slowest <= longestMs, `the slowest took ${slowest} ms`);
  return `0 of ${later.length} lost, slowest ${slowest} ms; ${underWay.length} under way`;
}

/** `v6edge …` against the lab's daemon. */
async function v6edge({ lab }: Scene, ...argv: string[]): Promise<string> {
  const program = join(import.meta.dirname, '../../../bin/v6edge');
  return succeeded(await lab.node('edge').exec([program, ...argv, '--api', `unix:${lab.folder('edge')}/admin.sock`]));
}

/** A change of pools by POST or DELETE. */
async function change({ lab }: Scene, method: string, path: string, body?: object): Promise<string> {
  const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)];
  const socket = `${lab.folder('edge')}/admin.sock`;
  const argv = ['curl', '-sS', '-f', '-m5', '--unix-socket', socket, '-X', method, ...data, `http://localhost${path}`];
  return succeeded(await lab.node('edge').exec(argv));
}

/** Changes the configuration file and has it read. */
async function reconfigure(scene: Scene, from: string, to: string): Promise<void> {
  const file = join(scene.lab.folder('edge'), 'v6edge.yaml');
  const text = readFileSync(file, 'utf8');
  must(text.includes(from), `no ${from} in the configuration`);
  writeFileSync(file, text.replace(from, to));
  await v6edge(scene, 'reload');
}

/** HAProxy needs a second for each try (`option redispatch 1`), and waits between them. */
const longestMs = ({ edge }: Scene) => (edge.kind === 'v6edge' ? 1_000 : 4_500);

export const failover: Chapter = {
  title: 'Failover at 200 new connections a second',
  steps: [
    {
      tried: 'worker1 is killed (SIGKILL)',
      async run(scene) {
        const victim = scene.peers.nginx.get('worker1')!;
        let at = 0;
        const kill = async () => {
          victim.kill('SIGKILL');
          await victim.exited;
          at = Date.now();
        };
        const requests = await requestsWhile(scene, afterMs(scene), kill, load);
        await startNginx(scene.lab, scene.peers, 'worker1');
        return judge(requests, at, longestMs(scene));
      },
    },
    {
      tried: 'worker1 becomes a black hole: packets to it get no answer',
      async run(scene) {
        const worker = scene.lab.node('worker1');
        let at = 0;
        const hole = async () => {
          const rules =
            'table inet hole {\n chain in {\n type filter hook input priority 0\n tcp dport 80 drop\n }\n}\n';
          await worker.mustExec(['nft', '-f', '-'], { input: rules });
          at = Date.now();
        };
        const requests = await requestsWhile(scene, afterMs(scene), hole, load);
        await worker.mustExec(['nft', 'delete', 'table', 'inet', 'hole']);
        return judge(requests, at, longestMs(scene));
      },
    },
    {
      tried: 'worker1 hangs and goes on (SIGSTOP, SIGCONT): requests wait, none is lost',
      async run(scene) {
        const victim = scene.peers.nginx.get('worker1')!;
        const hangMs = scene.quick ? 1_000 : 5_000;
        let at = 0;
        const hang = async () => {
          victim.kill('SIGSTOP');
          at = Date.now();
          await pause(hangMs);
          victim.kill('SIGCONT');
        };
        const requests = await requestsWhile(scene, afterMs(scene) - hangMs / 2, hang, load);
        // Its kernel takes connections meanwhile: a TCP proxy cannot know better than to wait with them.
        return judge(requests, at, hangMs + longestMs(scene));
      },
    },
    {
      tried: '200 clients in a loop: a member drained, one added, a reload, a listener changed, all undone',
      only: 'v6edge',
      async run(scene) {
        const member = { name: 'second', address: slaacAddress('worker2'), port: 80 };
        const listener = ['{ name: http, ', '{ name: http, whenEmpty: close, '] as const;
        const changes = async () => {
          await v6edge(scene, 'member', 'http', 'worker1', '--state', 'drain');
          await change(scene, 'POST', '/v1/pools/http/members', member);
          await v6edge(scene, 'reload');
          await reconfigure(scene, ...listener);
          await change(scene, 'DELETE', '/v1/pools/http/members/second');
          await v6edge(scene, 'member', 'http', 'worker1', '--state', 'ready');
          await reconfigure(scene, listener[1], listener[0]);
        };
        const requests = await requestsWhile(scene, 500, changes, { loops: 200, pauseMs: 1_000 });
        const failed = requests.filter(([, , , ok]) => !ok);
        must(requests.length > 400, `only ${requests.length} requests`);
        must(failed.length === 0, `${failed.length} of ${requests.length} failed: ${failed[0]?.[2]}`);
        await waitFor('the pool as before', async () => /second/.test(await v6edge(scene, 'pools', 'http')) === false);
        return `0 of ${requests.length} failed`;
      },
    },
  ],
};
