/**
 * `node bench/memory.ts [--runs N] [--edge PROGRAM] [--names N] [--quick]` (root): memory of the daemon with one data thread, and its
 * time from start to ready, from source and as packaged, beside HAProxy, BIND and radvd doing the same work in the same run.
 * All live in a network namespace of their own.
 *
 * Memory is read when the start has settled, right after load (queries and connections for ten seconds), and when things have been
 * quiet for long enough to settle again, two minutes later; `--quick` leaves the load out. `--names` is how many the zone has.
 *
 * A process that is the only one to run its program has that file's pages for its own: USS counts them, anonymous memory does not.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runLoad, Server, temporaryFolder, undoAtEnd } from './process.ts';
import { markdown, Results } from './table.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    edge: { type: 'string' },
    names: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
  },
});
const root = join(import.meta.dirname, '..');
const namespace = `v6edge-memory-${process.pid}`;
const link = 'edge0';
/**
 * From ready until memory is read: checks, first advertisements and the collector have run by then, and V8 has given back the heap
 * of the thread that read the configuration, which it keeps for 8 s (edge/settle.ts).
 */
const settleMs = 15_000;
/** From load until a quiet minute is over and what it left is given back: two looks of a minute, and a bit. */
const settleAgainMs = 130_000;
const loadSeconds = 5;
const cores = '0-1023';

/** A member that answers every connection in a line, whatever it is sent. */
const backend = `require('node:net').createServer((socket) => {
  socket.on('error', () => {}).once('data', () => socket.end('HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\nconnection: close\\r\\n\\r\\nhi'));
}).listen(8081, 'fd00:6:6::1');`;

function zoneText(names: number): string {
  const head =
    '$ORIGIN cluster.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns AAAA fd00:6:6::1\n';
  const more = Array.from(
    { length: names - 1 },
    (_, i) => `host-${i} AAAA fd00:6:6::${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}\n`,
  );
  return head + more.join('');
}

function v6edgeConfig(dir: string): string {
  return `workers: 1
log: { level: info, format: json }
state: { dir: ${dir}/state }
admin: { listen: ["unix:${dir}/admin.sock"] }
proxy:
  listeners: [{ name: http, bind: ["[::]:80", "0.0.0.0:80"], pool: workers }]
  pools: { workers: { proxyProtocol: v2, check: { type: none }, members: [{ name: one, address: "fd00:6:6::1", port: 8081 }] } }
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
  server one [fd00:6:6::1]:8081 send-proxy-v2
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
  // As the unit has it; certificates of the machine's own would be read into memory.
  const env = { NODE_OPTIONS: '', NODE_EXTRA_CA_CERTS: '', NODE_COMPILE_CACHE: cache };
  const from = performance.now();
  const server = new Server(name, cores, inside(program, 'run', '--config', join(dir, 'v6edge.yaml')), env);
  try {
    while (!(await isReady(join(dir, 'admin.sock')))) {
      if (performance.now() - from > 15_000) throw new Error(`${name} is not ready:\n${server.output}`);
      await delay(5);
    }
    results.add('start', 'until /readyz says yes', 'ms', name, performance.now() - from);
    await measureMemory(dir, name, [server], results);
  } finally {
    await server.stop();
  }
}

/** Memory at each moment, of all processes together. */
async function measureMemory(dir: string, name: string, servers: readonly Server[], results: Results): Promise<void> {
  const measure = (moment: string) => {
    const memory = servers.map((server) => server.memory());
    const sum = (field: 'rss' | 'uss' | 'anonymous') => memory.reduce((total, one) => total + one[field], 0) / 1024;
    results.add(moment, 'private memory (USS)', 'MiB', name, sum('uss'));
    results.add(moment, 'of it of no file (anonymous)', 'MiB', name, sum('anonymous'));
    results.add(moment, 'of it the program’s file', 'MiB', name, sum('uss') - sum('anonymous'));
    results.add(moment, 'resident memory (RSS)', 'MiB', name, sum('rss'));
  };
  await delay(settleMs);
  measure('idle, settled');
  if (values.quick) return;
  await load(dir);
  measure('after load');
  await delay(settleAgainMs);
  measure('idle again');
}

/** Queries of the zone and connections with one request, as many as there can be. */
async function load(dir: string): Promise<void> {
  const seconds = String(loadSeconds);
  const queries = join(dir, 'queries');
  writeFileSync(queries, 'ns.cluster.test AAAA\nnone.cluster.test AAAA\n');
  await runLoad(cores, inside('dnsperf', '-s', 'fd00:6:6::1', '-d', queries, '-l', seconds));
  const member = new Server('member', cores, inside(process.execPath, '-e', backend));
  try {
    const address = 'http://[fd00:6:6::1]/';
    await runLoad(cores, inside('wrk', '-t', '1', '-c', '16', '-d', seconds, '-H', 'connection: close', address));
  } finally {
    await member.stop();
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
    await measureMemory(dir, 'trio', trio, results);
  } finally {
    for (const server of trio) await server.stop();
  }
}

async function main(): Promise<void> {
  const [dir, removeFolder] = temporaryFolder('v6edge-memory');
  const results = new Results();
  const removeNamespace = undoAtEnd(() => ip('netns', 'del', namespace));
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
    writeFileSync(join(dir, 'cluster.test.zone'), zoneText(Number(values.names)));
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
    removeNamespace();
    removeFolder();
  }
}

await main();
