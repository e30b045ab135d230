/** What is compared: v6edge and others, set up for the same work. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../compile.ts';
import type { BenchOptions } from '../options.ts';
import { type Cores, hasProgram, runLoad, Server } from '../process.ts';
import type { Results } from '../table.ts';

/** What every part of the proxy benchmarks is given. */
export interface ProxyBench extends BenchOptions {
  readonly dir: string;
  readonly cores: Cores;
  readonly results: Results;
  readonly programs: Readonly<Record<'load' | 'pace' | 'relay', string>>;
  readonly peers: readonly Peer[];
  say(line: string): void;
}

/** A proxy from `port` on 127.0.0.1 to the origin. */
export interface Peer {
  readonly name: string;
  readonly port: number;
  /** Writes its configuration and says how it is started. `sessions`: as many as it must be ready to hold at once. */
  prepare(dir: string, sessions: number): string[];
}

/** What `load` and `pace` print. */
export interface LoadReport {
  readonly done: number;
  readonly failed: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

/** Where the origin listens on ::1, with a PROXY header and without. */
export const origin = 18_700;
export const plainOrigin = 18_709;

function haproxyConfig(port: number, splice: boolean, sessions: number): string {
  return `global
  nbthread 1
  maxconn ${sessions}
  maxpipes 64
  log stdout format raw daemon
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

/** It sends version 1 headers, and has no checks of its own. Its fields of the log are those of HAProxy's that it has. */
function nginxConfig(dir: string, port: number, sessions: number): string {
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/nginx-error.log;
events { worker_connections ${2 * sessions + 64}; }
stream {
  log_format session '$remote_addr:$remote_port [$time_local] $upstream_addr $upstream_connect_time $session_time $bytes_received $bytes_sent $status';
  access_log ${dir}/nginx-sessions.log session;
  upstream b { least_conn; server [::1]:${origin}; }
  server { listen 127.0.0.1:${port}; proxy_pass b; proxy_protocol on; proxy_timeout 1h; tcp_nodelay on; }
}
`;
}

function v6edgeConfig(dir: string, port: number): string {
  return `workers: 1
log: { level: info, format: json }
state: { dir: ${dir}/state }
admin: { listen: ["unix:${dir}/admin.sock"] }
proxy:
  listeners:
    - { name: bench, bind: ["127.0.0.1:${port}"], pool: origin, log: true }
  pools:
    origin:
      proxyProtocol: v2
      balance: leastconn
      check: { type: tcp, interval: 2s }
      members: [{ name: o, address: "::1", port: ${origin} }]
`;
}

/** The peers that are installed; says which are not. */
export function findPeers(relay: string, say: (line: string) => void): Peer[] {
  const write = (dir: string, name: string, text: string) => {
    const file = join(dir, name);
    writeFileSync(file, text);
    return file;
  };
  const haproxy = (name: string, port: number, splice: boolean): Peer => ({
    name,
    port,
    prepare: (dir, sessions) => [
      'haproxy',
      '-db',
      '-f',
      write(dir, `${port}.cfg`, haproxyConfig(port, splice, sessions)),
    ],
  });
  const peers: Peer[] = [
    {
      name: 'v6edge',
      port: 18_701,
      prepare: (dir) => ['bin/v6edge', 'run', '--config', write(dir, 'proxy.yaml', v6edgeConfig(dir, 18_701))],
    },
  ];
  if (hasProgram('haproxy')) peers.push(haproxy('haproxy', 18_702, false), haproxy('haproxy splice', 18_703, true));
  else say('haproxy is not installed: no comparison');
  if (hasProgram('nginx') && hasStreamModule()) {
    peers.push({
      name: 'nginx',
      port: 18_704,
      prepare: (dir, sessions) => [
        'nginx',
        '-p',
        dir,
        '-c',
        write(dir, 'nginx.conf', nginxConfig(dir, 18_704, sessions)),
      ],
    });
  } else say('nginx or its stream module (libnginx-mod-stream) is not installed: no comparison');
  peers.push({ name: 'C relay', port: 18_705, prepare: () => [relay, '18705', String(origin)] });
  return peers;
}

function hasStreamModule(): boolean {
  try {
    readFileSync('/usr/lib/nginx/modules/ngx_stream_module.so');
    return true;
  } catch {
    return false;
  }
}

export function compilePrograms(dir: string): ProxyBench['programs'] {
  return {
    load: compile(dir, 'proxy/load'),
    pace: compile(dir, 'proxy/pace'),
    relay: compile(dir, 'proxy/relay'),
  };
}

/** Runs `load` or `pace` on the cores for that, and reads its report. */
export async function report(bench: ProxyBench, program: 'load' | 'pace', ...args: unknown[]): Promise<LoadReport> {
  return JSON.parse(await runLoad(bench.cores.rest, [bench.programs[program], ...args.map(String)])) as LoadReport;
}

/** Both origins. */
export async function startOrigins(bench: ProxyBench): Promise<Server[]> {
  const start = (port: number, kind: string) => {
    const command = [bench.programs.load, 'server', String(port), kind];
    const server = new Server('origin', bench.cores.rest, command);
    return server.ready(() => server.output.includes('ready'));
  };
  return [await start(origin, 'proxy'), await start(plainOrigin, 'plain')];
}

/** Starts a peer on the core that is measured, and waits until it relays. */
export async function startPeer(bench: ProxyBench, peer: Peer, sessions: number): Promise<Server> {
  const server = new Server(peer.name, bench.cores.measured, peer.prepare(bench.dir, sessions));
  try {
    await server.ready(async () => {
      try {
        return (await report(bench, 'load', 'connect', '127.0.0.1', peer.port, 1, 0.05)).done > 0;
      } catch {
        return false;
      }
    });
    server.discardOutput(bench.cores.rest);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}
