/**
 * A member dies under load: v6edge, HAProxy as it comes, and HAProxy with `option redispatch 1`, at once in one network, before the
 * same two workers, with the same checks. 200 new connections a second through each for 12 s; the fault comes after 3 s.
 *
 *   node bench/failover.ts          as root; builds the lab's network, some two minutes
 *
 * Prints how many requests were lost and how long the slowest took. Requests that were inside the member when it died are counted
 * apart for SIGKILL: no proxy can repeat them unseen.
 */
import { join } from 'node:path';
import { listening, startNginx, unconfined } from '../test/lab/peers/peers.ts';
import { edgePublic4, slaacAddress } from '../test/lab/plan.ts';
import type { LabProcess } from '../test/lab/process.ts';
import { waitFor } from '../test/lab/process.ts';
import { bothWorkers } from '../test/lab/steps/proxy.ts';
import { type Stage, setStage } from '../test/lab/walk.ts';

const loops = 50;
const pauseMs = 250;
const before = 3_000;
const after = 9_000;

const proxies = { v6edge: 80, 'HAProxy, default': 8081, 'HAProxy, redispatch 1': 8082 } as const;
type Proxy = keyof typeof proxies;
type Requests = readonly (readonly [started: number, ended: number, text: string, ok: boolean])[];

interface Fault {
  readonly name: string;
  /** Resolves when the fault is there. */
  begin(stage: Stage): Promise<void>;
  end(stage: Stage): Promise<void>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const faults: readonly Fault[] = [
  { name: 'nothing', begin: async () => undefined, end: async () => undefined },
  {
    name: 'SIGKILL',
    async begin({ scene }) {
      const victim = scene.peers.nginx.get('worker1')!;
      victim.kill('SIGKILL');
      await victim.exited;
    },
    end: async ({ lab, scene }) => void (await startNginx(lab, scene.peers, 'worker1')),
  },
  {
    name: 'black hole',
    async begin({ lab }) {
      const rules = 'table inet hole {\n chain in {\n type filter hook input priority 0\n tcp dport 80 drop\n }\n}\n';
      await lab.node('worker1').mustExec(['nft', '-f', '-'], { input: rules });
    },
    end: async ({ lab }) => void (await lab.node('worker1').mustExec(['nft', 'delete', 'table', 'inet', 'hole'])),
  },
  {
    name: 'SIGSTOP for 5 s',
    async begin({ scene }) {
      const victim = scene.peers.nginx.get('worker1')!;
      victim.kill('SIGSTOP');
      setTimeout(() => victim.kill('SIGCONT'), 5_000);
    },
    end: async () => undefined,
  },
];

function haproxyConfig(): string {
  const servers = (['worker1', 'worker2'] as const)
    .map((name) => `  server ${name} [${slaacAddress(name)}]:80 check send-proxy-v2`)
    .join('\n');
  const listen = (name: string, port: number, option: string) =>
    `listen ${name}\n  bind ${edgePublic4}:${port}\n  ${option}\n${servers}\n`;
  return `defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 3
  balance roundrobin
  default-server inter 500ms fall 2 rise 2
${listen('default', 8081, '')}${listen('redispatch', 8082, 'option redispatch 1')}`;
}

async function run(stage: Stage, fault: Fault): Promise<void> {
  const { lab, scene } = stage;
  await bothWorkers(scene);
  const script = join(import.meta.dirname, '../test/lab/tools/load.ts');
  const loads = new Map<Proxy, LabProcess>();
  for (const [name, port] of Object.entries(proxies) as [Proxy, number][]) {
    const url = `http://${edgePublic4}:${port}/whoami`;
    loads.set(name, lab.node('client').spawn([process.execPath, script, url, String(loops), String(pauseMs)]));
  }
  for (const load of loads.values()) await waitFor('the load', () => load.stdout.includes('running'));
  await pause(before);
  const faultAt = Date.now();
  await fault.begin(stage);
  const thereAt = Date.now();
  await pause(after);
  for (const load of loads.values()) load.kill('SIGTERM');
  for (const [name, load] of loads) {
    const { stdout } = await load.exited;
    const { requests } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { requests: Requests };
    console.log(row(fault, name, requests, faultAt, thereAt));
  }
  await fault.end(stage);
}

function row(fault: Fault, name: string, requests: Requests, faultAt: number, thereAt: number): string {
  // Begun before the fault was whole and ended after it began: with the member in that moment.
  const inside = requests.filter(([started, ended]) => started <= thereAt && ended >= faultAt);
  const lostInside = inside.filter(([, , , ok]) => !ok).length;
  const lost = requests.filter(([, , , ok]) => !ok).length - lostInside;
  const times = requests.filter(([started]) => started > thereAt).map(([started, ended]) => ended - started);
  times.sort((a, b) => a - b);
  const p99 = times[Math.floor(times.length * 0.99)];
  const cells = [fault.name.padEnd(16), name.padEnd(22), String(requests.length).padStart(6), String(lost).padStart(5)];
  const tail = [lostInside, p99, times.at(-1)].map((each) => String(each).padStart(8));
  return [...cells, ...tail].join('  ');
}

const stage = await setStage('v6edge', true, () => undefined);
try {
  const haproxy = stage.lab
    .node('edge')
    .spawn([unconfined(stage.lab, 'haproxy'), '-db', '-f', stage.lab.file('edge/failover.cfg', haproxyConfig())]);
  await listening(stage.lab, 'edge', 'tcp', [8081, 8082], haproxy);
  console.log('fault             proxy                   requests   lost   inside   p99 ms   max ms');
  for (const fault of faults) await run(stage, fault);
} finally {
  stage.lab.close();
}
