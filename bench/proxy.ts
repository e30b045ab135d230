/**
 * The TCP proxy against HAProxy with one thread: both relay to the same origin with PROXY v2, health checks and session
 * logging on, in TCP mode. HAProxy runs with and without `option splice-auto`; its better result counts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from './compile.ts';
import type { BenchOptions } from './options.ts';
import { type Cores, hasProgram, runLoad, Server } from './process.ts';
import type { Results } from './table.ts';

const origin = 18_700;
/** Listening port of each peer. */
const ports = { v6edge: 18_701, haproxy: 18_702, 'haproxy splice': 18_703 };

interface Work {
  readonly name: string;
  /** The load generator's verb and connections. */
  readonly verb: 'connect' | 'request' | 'bulk';
  readonly connections: number;
}

const works: readonly Work[] = [
  { name: 'new connection', verb: 'connect', connections: 32 },
  { name: 'keep-alive request', verb: 'request', connections: 32 },
  { name: 'bulk', verb: 'bulk', connections: 4 },
];

interface LoadReport {
  readonly done: number;
  readonly failed: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

function haproxyConfig(port: number, splice: boolean): string {
  return `global
  nbthread 1
  maxconn 4000
  log /dev/stdout format raw daemon
defaults
  mode tcp
  log global
  option tcplog
  ${splice ? 'option splice-auto' : 'no option splice-auto'}
  timeout connect 3s
  timeout client 1h
  timeout server 1h
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  balance leastconn
  server o [::1]:${origin} send-proxy-v2 check inter 2s
`;
}

function v6edgeConfig(dir: string): string {
  return `workers: 1
log: { level: info, format: json }
state: { dir: ${dir}/state }
admin: { listen: ["unix:${dir}/admin.sock"] }
proxy:
  listeners:
    - { name: bench, bind: ["127.0.0.1:${ports.v6edge}"], pool: origin, log: true }
  pools:
    origin:
      proxyProtocol: v2
      balance: leastconn
      check: { type: tcp, interval: 2s }
      members: [{ name: o, address: "::1", port: ${origin} }]
`;
}

async function answers(cores: string, load: string, port: number): Promise<boolean> {
  try {
    const report = JSON.parse(
      await runLoad(cores, [load, 'connect', '127.0.0.1', String(port), '1', '0.05']),
    ) as LoadReport;
    return report.done > 0;
  } catch {
    return false;
  }
}

/** Runs every work `runs` times, the peers in turn within each run, so that noise meets all of them. */
export async function benchProxy(
  dir: string,
  cores: Cores,
  options: BenchOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const load = compile(dir, 'load');
  const servers: Server[] = [];
  const start = async (
    name: string,
    pinned: string,
    command: string[],
    ready: (server: Server) => Promise<boolean>,
  ) => {
    const server = new Server(name, pinned, command);
    servers.push(server);
    await server.ready(() => ready(server));
  };
  try {
    await start('origin', cores.rest, [load, 'server', String(origin), 'proxy'], async (s) =>
      s.output.includes('ready'),
    );
    writeFileSync(join(dir, 'proxy.yaml'), v6edgeConfig(dir));
    const run = ['bin/v6edge', 'run', '--config', join(dir, 'proxy.yaml')];
    await start('v6edge', cores.measured, run, () => answers(cores.rest, load, ports.v6edge));
    if (hasProgram('haproxy')) {
      for (const [name, splice] of [
        ['haproxy', false],
        ['haproxy splice', true],
      ] as const) {
        const file = join(dir, `${name.replace(' ', '-')}.cfg`);
        writeFileSync(file, haproxyConfig(ports[name], splice));
        await start(name, cores.measured, ['haproxy', '-db', '-f', file], () => answers(cores.rest, load, ports[name]));
      }
    } else say('haproxy is not installed: no comparison');
    const measured = servers.slice(1);
    for (const work of works.filter(({ name }) => options.wants(name))) {
      for (let run = 0; run <= options.runs; run++) {
        // Run 0 warms up (code gets compiled, sockets allocated) and is not kept.
        for (const server of measured)
          await measure(server, work, load, cores, options.seconds, run > 0 ? results : undefined);
        if (run > 0) say(`${work.name}: run ${run} of ${options.runs}`);
      }
    }
    for (const server of measured)
      results.add('after all', 'private memory', 'MiB', server.name, server.memory().uss / 1024);
  } finally {
    for (const server of servers.reverse()) await server.stop();
  }
}

async function measure(
  server: Server,
  work: Work,
  load: string,
  cores: Cores,
  seconds: number,
  results?: Results,
): Promise<void> {
  const port = ports[server.name as keyof typeof ports];
  const before = server.cpu();
  const report = JSON.parse(
    await runLoad(cores.rest, [load, work.verb, '127.0.0.1', String(port), String(work.connections), String(seconds)]),
  ) as LoadReport;
  const after = server.cpu();
  if (report.failed > 0) throw new Error(`${server.name}, ${work.name}: ${report.failed} of ${report.done} failed`);
  if (results === undefined) return;
  const bulk = work.verb === 'bulk';
  const amount = bulk ? report.bytes / 1e9 : report.done;
  const each = bulk ? 'GB' : work.name;
  results.add(
    work.name,
    `CPU per ${each}`,
    bulk ? 'ms' : 'µs',
    server.name,
    (after.total - before.total) / amount / (bulk ? 1000 : 1),
  );
  results.add(
    work.name,
    'of that in user space',
    bulk ? 'ms' : 'µs',
    server.name,
    (after.user - before.user) / amount / (bulk ? 1000 : 1),
  );
  results.add(
    work.name,
    'rate',
    bulk ? 'MB/s' : '1/s',
    server.name,
    (bulk ? report.bytes / 1e6 : report.done) / report.seconds,
  );
  if (!bulk) results.add(work.name, 'p99', 'ms', server.name, report.p99Ms);
}
