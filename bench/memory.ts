/**
 * `node bench/memory.ts [--runs N] [--edge PROGRAM]` (root): private and resident memory of the idle daemon with one data thread, and its
 * time from start to ready, from source and as packaged, beside HAProxy, BIND and radvd doing the same work in the same run.
 * All live in a network namespace of their own.
 *
 * A process that is the only one to run its program has that file's pages for its own: USS counts them, anonymous memory does not.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Server } from './process.ts';
import { markdown, Results } from './table.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, edge: { type: 'string' } },
});
const root = join(import.meta.dirname, '..');
const namespace = `v6edge-memory-${process.pid}`;
const link = 'edge0';
/** From ready until memory is read: checks, first advertisements and the collector have run by then. */
const settleMs = 6_000;
const cores = '0-1023';

const zone =
  '$ORIGIN cluster.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns AAAA fd00:6:6::1\n';

function v6edgeConfig(dir: string): string {
  return `workers: 1
log: { level: info, format: json }
state: { dir: ${dir}/state }
admin: { listen: ["unix:${dir}/admin.sock"] }
proxy:
  listeners: [{ name: http, bind: ["[::]:80", "0.0.0.0:80"], pool: workers }]
  pools: { workers: { proxyProtocol: v2, check: { type: none }, members: [{ name: one, address: "fd00:6:6::21", port: 80 }] } }
dns:
  listen: ["[fd00:6:6::1]:53"]
  allow: ["fd00:6:6::/64"]
  forward: { upstreams: ["[fd00:6:6::1]:5399"] }
  zones: [{ name: cluster.test, ns: [ns.cluster.test], file: ${dir}/cluster.test.zone }]
ra: [{ interface: ${link}, prefixes: [{ prefix: "fd00:6:6::/64" }], rdnss: { servers: ["fd00:6:6::1"] } }]
`;
}

function writePeers(dir: string): void {
  writeFileSync(
    join(dir, 'haproxy.cfg'),
    `global
  nbthread 1
defaults
  mode tcp
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen http
  bind :::80 v6only
  bind :80
  server one [fd00:6:6::21]:80 send-proxy-v2
`,
  );
  writeFileSync(
    join(dir, 'named.conf'),
    `options {
  directory "${dir}"; pid-file none; session-keyfile none; lock-file none;
  listen-on { none; }; listen-on-v6 { fd00:6:6::1; };
  recursion yes; dnssec-validation no; forward only; forwarders { fd00:6:6::1 port 5399; };
};
controls {};
logging { category default { null; }; };
zone "cluster.test" { type primary; file "${dir}/cluster.test.zone"; };
`,
  );
  writeFileSync(
    join(dir, 'radvd.conf'),
    `interface ${link} { AdvSendAdvert on; prefix fd00:6:6::/64 {}; RDNSS fd00:6:6::1 {}; };\n`,
  );
}

function inside(...command: string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...command];
}

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

function isReady(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/readyz', timeout: 1_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

async function measureEdge(dir: string, name: string, program: string, cache: string, results: Results): Promise<void> {
  rmSync(join(dir, 'state'), { recursive: true, force: true });
  const env = { NODE_OPTIONS: '', NODE_COMPILE_CACHE: cache };
  const from = performance.now();
  const server = new Server(name, cores, inside(program, 'run', '--config', join(dir, 'v6edge.yaml')), env);
  try {
    while (!(await isReady(join(dir, 'admin.sock')))) {
      if (performance.now() - from > 15_000) throw new Error(`${name} is not ready:\n${server.output}`);
      await delay(5);
    }
    results.add('start', 'until /readyz says yes', 'ms', name, performance.now() - from);
    await delay(settleMs);
    const { rss, uss, anonymous } = server.memory();
    results.add('idle', 'private memory (USS)', 'MB', name, uss / 1024);
    results.add('idle', 'of no file (anonymous)', 'MB', name, anonymous / 1024);
    results.add('idle', 'resident memory (RSS)', 'MB', name, rss / 1024);
  } finally {
    await server.stop();
  }
}

async function measureTrio(dir: string, results: Results): Promise<void> {
  const trio = [
    new Server('haproxy', cores, inside('haproxy', '-db', '-f', join(dir, 'haproxy.cfg'))),
    new Server('named', cores, inside('named', '-f', '-n', '1', '-c', join(dir, 'named.conf'))),
    new Server(
      'radvd',
      cores,
      inside('radvd', '-n', '-m', 'stderr', '-C', join(dir, 'radvd.conf'), '-p', join(dir, 'pid')),
    ),
  ];
  try {
    await delay(settleMs);
    const memory = trio.map((server) => server.memory());
    const sum = (field: 'rss' | 'uss' | 'anonymous') => memory.reduce((total, one) => total + one[field], 0) / 1024;
    results.add('idle', 'private memory (USS)', 'MB', 'trio', sum('uss'));
    results.add('idle', 'of no file (anonymous)', 'MB', 'trio', sum('anonymous'));
    results.add('idle', 'resident memory (RSS)', 'MB', 'trio', sum('rss'));
  } finally {
    for (const server of trio) await server.stop();
  }
}

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-memory-'));
  const results = new Results();
  ip('netns', 'add', namespace);
  try {
    // Without duplicate address detection, whose second is not the daemon's.
    execFileSync(
      'ip',
      inside('sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.forwarding=1').slice(1),
    );
    ip('-n', namespace, 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'nodes0');
    ip('-n', namespace, 'link', 'set', 'nodes0', 'up');
    ip('-n', namespace, 'link', 'set', link, 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'addr', 'add', 'fd00:6:6::1/64', 'dev', link);
    mkdirSync(join(dir, 'cache'));
    writeFileSync(join(dir, 'cluster.test.zone'), zone);
    writeFileSync(join(dir, 'v6edge.yaml'), v6edgeConfig(dir));
    writePeers(dir);
    let packaged = values.edge;
    if (packaged === undefined) {
      const tree = join(dir, 'tree');
      execFileSync(process.execPath, [join(root, 'scripts/package.ts'), '--tree', tree]);
      packaged = join(tree, 'usr/bin/v6edge');
    }
    for (let run = 0; run < Number(values.runs); run++) {
      await measureEdge(dir, 'v6edge', packaged, join(dir, 'cache'), results);
      await measureEdge(dir, 'from source', join(root, 'bin/v6edge'), join(dir, 'cache-source'), results);
      await measureTrio(dir, results);
    }
    process.stdout.write(`${markdown(results.rows())}\n`);
  } finally {
    ip('netns', 'del', namespace);
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
