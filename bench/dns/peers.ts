/**
 * The DNS servers under measurement, each with one thread for queries, told to do the same: one zone of their own, and, those
 * that can, everything else by way of another server. None of them logs, limits rates or validates.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatKeyFile, makeKey } from '../../src/dns/keyfile.ts';
import { Server } from '../process.ts';
import { isAnswered } from './ask.ts';

/** Not under test., which Unbound answers by itself without looking at its cache. */
export const ownZone = 'nodes.example';
export const otherZone = 'world.example';
export const upstreamPort = 18_800;

/** Between two questions to a server that starts. */
const probeMs = 2;

/** What signs updates and transfers. */
export const key = makeKey('bench-key', 'hmac-sha256', Buffer.alloc(32, 7).toString('base64'));

/** What a server is started for. */
export interface Job {
  /** A folder of the server's own. */
  readonly dir: string;
  readonly port: number;
  /** The zone file of `ownZone`. */
  readonly zoneFile: string;
  /** Whether it forwards other names to `upstreamPort`. */
  readonly forwards: boolean;
  /** Whether it takes signed updates and transfers. */
  readonly writable: boolean;
}

/** Writes what the server reads and returns its command. */
type Peer = (job: Job) => string[];

export const peers = {
  v6edge: (job) => {
    const file = join(job.dir, 'v6edge.yaml');
    const allowed = job.writable
      ? `keys: { bench-key: { algorithm: ${key.algorithm}, secret: "${Buffer.from(key.secret).toString('base64')}" } }`
      : '';
    const rules = job.writable
      ? 'update: [{ key: bench-key, match: zonesub }]\n      transfer: { allow: ["127.0.0.0/8"] }'
      : '';
    writeFileSync(
      file,
      `workers: 1
log: { level: warn, format: json }
state: { dir: ${job.dir}/state }
admin: { listen: ["unix:${job.dir}/admin.sock"] }
dns:
  listen: ["127.0.0.1:${job.port}"]
  allow: ["127.0.0.0/8"]
  rateLimit: { responsesPerSecond: 0 }
  ${job.forwards ? `forward: { upstreams: ["127.0.0.1:${upstreamPort}"] }` : ''}
  ${allowed}
  zones:
    - name: ${ownZone}
      ns: [ns.${ownZone}]
      soa: { mname: ns.${ownZone}, rname: hostmaster.${ownZone}, refresh: 1h, retry: 10m, expire: 1d, minimum: 5m }
      ttl: 1h
      file: ${job.zoneFile}
      ${rules}
`,
    );
    return ['bin/v6edge', 'run', '--config', file];
  },
  bind: (job) => {
    writeFileSync(join(job.dir, 'bench.key'), formatKeyFile(key));
    return named(job, ownZone);
  },
  unbound: (job) => {
    const file = join(job.dir, 'unbound.conf');
    writeFileSync(
      file,
      `server:
  interface: 127.0.0.1@${job.port}
  num-threads: 1
  chroot: ""
  directory: "${job.dir}"
  pidfile: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
auth-zone:
  name: "${ownZone}"
  zonefile: "${job.zoneFile}"
forward-zone:
  name: "${otherZone}"
  forward-addr: 127.0.0.1@${upstreamPort}
remote-control:
  control-enable: no
`,
    );
    return ['unbound', '-d', '-c', file];
  },
  knot: (job) => {
    const file = join(job.dir, 'knot.conf');
    writeFileSync(
      file,
      `server:
    rundir: "${job.dir}"
    listen: 127.0.0.1@${job.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "${job.dir}"
log:
  - target: stderr
    any: error
zone:
  - domain: ${ownZone}
    file: "${job.zoneFile}"
    journal-content: none
`,
    );
    return ['knotd', '-c', file];
  },
  dnsmasq: (job) => {
    const file = join(job.dir, 'dnsmasq.conf');
    writeFileSync(
      file,
      `port=${job.port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
no-negcache
user=root
pid-file=
cache-size=10000
server=127.0.0.1#${upstreamPort}
`,
    );
    return ['dnsmasq', '-k', '-C', file];
  },
} satisfies Record<string, Peer>;

export type PeerName = keyof typeof peers;

/** A `named` with one zone; `upstream` of the others is one, too. */
export function named(job: Job, zone: string): string[] {
  const file = join(job.dir, 'named.conf');
  const rules = job.writable ? ` allow-update { key "${key.name}"; }; allow-transfer { 127.0.0.0/8; };` : '';
  writeFileSync(
    file,
    `options {
  directory "${job.dir}"; pid-file none; session-keyfile none; lock-file none;
  listen-on port ${job.port} { 127.0.0.1; }; listen-on-v6 { none; };
  recursion ${job.forwards ? 'yes' : 'no'}; dnssec-validation no; minimal-responses yes; empty-zones-enable no; notify no;
  ${job.forwards ? `forward only; forwarders { 127.0.0.1 port ${upstreamPort}; };` : ''}
};
controls {};
logging { category default { null; }; };
${job.writable ? formatKeyFile(key) : ''}
zone "${zone}" { type primary; file "${job.zoneFile}";${rules} };
`,
  );
  return ['named', '-g', '-n', '1', '-c', file];
}

/** Starts a server and waits until it answers for `node0` of a zone; milliseconds until then come back with it. */
export async function startPeer(
  name: string,
  pinned: string,
  job: Job,
  command: (job: Job) => string[],
  zone = ownZone,
): Promise<{ server: Server; startMs: number }> {
  mkdirSync(job.dir, { recursive: true });
  const words = command(job);
  const from = performance.now();
  const server = new Server(name, pinned, words);
  try {
    await server.ready(() => isAnswered(job.port, `node0.${zone}`), probeMs);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { server, startMs: performance.now() - from };
}

/** `count` names with one address each, as a zone file. */
export function zoneText(zone: string, count: number): string {
  const lines = [
    `$ORIGIN ${zone}.`,
    '$TTL 3600',
    '@ IN SOA ns hostmaster 1 3600 600 86400 300',
    '@ IN NS ns',
    'ns IN AAAA 2001:db8:6::1',
    'alias IN CNAME node0',
    'text IN TXT "one" "two"',
  ];
  for (let i = 0; i < count; i++) lines.push(`node${i} IN AAAA ${addressOf(i)}`);
  return `${lines.join('\n')}\n`;
}

/** How many records `zoneText` makes of `count` names. */
export function recordCount(count: number): number {
  return count + 5;
}

/** The address of a name; another one for each `round`. */
export function addressOf(i: number, round = 0): string {
  // A private address from an upstream would be taken for an attack (rebinding).
  return `2001:db8:6:${round.toString(16)}::${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}`;
}
