/**
 * The DNS server against BIND 9 and Unbound, each with one thread: names of an own zone, and names of another server's
 * zone answered from the cache. dnsperf asks; CPU per query is what counts, the rate stands beside it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions } from './options.ts';
import { type Cores, hasProgram, runLoad, Server } from './process.ts';
import type { Results } from './table.ts';

const names = 1000;
const upstream = 18_800;
const ports = { v6edge: 18_801, bind: 18_802, unbound: 18_803 };
/** Not under test., which Unbound answers by itself without looking at its cache. */
const ownZone = 'nodes.example';
const otherZone = 'world.example';

function zoneText(zone: string): string {
  const records = Array.from({ length: names }, (_, i) => `node${i} 3600 IN AAAA fd00:6:6::${(i + 16).toString(16)}\n`);
  return `$ORIGIN ${zone}.\n$TTL 3600\n@ IN SOA ns hostmaster 1 3600 600 86400 300\n@ IN NS ns\nns IN AAAA fd00:6:6::1\n${records.join('')}`;
}

function namedConfig(dir: string, name: string, port: number, zone: string, forward: boolean): string {
  return `options {
  directory "${dir}/${name}"; pid-file none; session-keyfile none; lock-file none;
  listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; };
  recursion ${forward ? 'yes' : 'no'}; dnssec-validation no; minimal-responses yes; empty-zones-enable no;
  ${forward ? `forward only; forwarders { 127.0.0.1 port ${upstream}; };` : ''}
};
controls {};
logging { category default { null; }; };
zone "${zone}" { type primary; file "${dir}/${zone}.zone"; };
`;
}

function unboundConfig(dir: string): string {
  return `server:
  interface: 127.0.0.1@${ports.unbound}
  num-threads: 1
  chroot: ""
  directory: "${dir}"
  pidfile: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
auth-zone:
  name: "${ownZone}"
  zonefile: "${dir}/${ownZone}.zone"
forward-zone:
  name: "${otherZone}"
  forward-addr: 127.0.0.1@${upstream}
remote-control:
  control-enable: no
`;
}

function v6edgeConfig(dir: string): string {
  return `workers: 1
log: { level: warn, format: json }
state: { dir: ${dir}/state-dns }
admin: { listen: ["unix:${dir}/admin-dns.sock"] }
dns:
  listen: ["127.0.0.1:${ports.v6edge}"]
  allow: ["127.0.0.0/8"]
  rateLimit: { responsesPerSecond: 0 }
  forward: { upstreams: ["127.0.0.1:${upstream}"] }
  zones:
    - { name: ${ownZone}, ns: [ns.${ownZone}], file: ${dir}/${ownZone}.zone }
`;
}

interface Report {
  readonly completed: number;
  readonly rate: number;
  readonly lost: number;
}

/** dnsperf's summary. */
export function parseDnsperf(output: string): Report {
  const field = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  return {
    completed: field(/Queries completed:\s+(\d+)/),
    lost: field(/Queries lost:\s+(\d+)/),
    rate: field(/Queries per second:\s+([\d.]+)/),
  };
}

function ask(cores: string, port: number, file: string, limit: string[]): Promise<string> {
  return runLoad(cores, [
    'dnsperf',
    '-s',
    '127.0.0.1',
    '-p',
    String(port),
    '-d',
    file,
    '-c',
    '8',
    '-q',
    '64',
    ...limit,
  ]);
}

export async function benchDns(
  dir: string,
  cores: Cores,
  options: BenchOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const servers: Server[] = [];
  const works = [
    { name: 'authoritative', file: join(dir, 'own.txt'), zone: ownZone },
    { name: 'cached', file: join(dir, 'other.txt'), zone: otherZone },
  ];
  for (const { file, zone } of works) {
    writeFileSync(file, Array.from({ length: names }, (_, i) => `node${i}.${zone} AAAA\n`).join(''));
    writeFileSync(join(dir, `${zone}.zone`), zoneText(zone));
  }
  const start = async (name: string, pinned: string, command: string[], port: number, zone: string) => {
    const server = new Server(name, pinned, command);
    servers.push(server);
    const probe = join(dir, 'probe.txt');
    writeFileSync(probe, `node0.${zone} AAAA\n`);
    await server.ready(
      async () => parseDnsperf(await ask(cores.rest, port, probe, ['-n', '1', '-t', '1'])).completed === 1,
    );
  };
  try {
    for (const name of ['upstream', 'bind']) mkdirSync(join(dir, name), { recursive: true });
    const upstreamConfig = join(dir, 'upstream.conf');
    writeFileSync(upstreamConfig, namedConfig(dir, 'upstream', upstream, otherZone, false));
    await start('upstream', cores.rest, ['named', '-g', '-n', '1', '-c', upstreamConfig], upstream, otherZone);
    writeFileSync(join(dir, 'dns.yaml'), v6edgeConfig(dir));
    await start(
      'v6edge',
      cores.measured,
      ['bin/v6edge', 'run', '--config', join(dir, 'dns.yaml')],
      ports.v6edge,
      ownZone,
    );
    writeFileSync(join(dir, 'bind.conf'), namedConfig(dir, 'bind', ports.bind, ownZone, true));
    await start('bind', cores.measured, ['named', '-g', '-n', '1', '-c', join(dir, 'bind.conf')], ports.bind, ownZone);
    if (hasProgram('unbound')) {
      writeFileSync(join(dir, 'unbound.conf'), unboundConfig(dir));
      await start(
        'unbound',
        cores.measured,
        ['unbound', '-d', '-c', join(dir, 'unbound.conf')],
        ports.unbound,
        ownZone,
      );
    } else say('unbound is not installed: no comparison');
    const measured = servers.slice(1);
    for (const work of works.filter(({ name }) => options.wants(name))) {
      for (let run = 0; run <= options.runs; run++) {
        for (const server of measured) {
          const before = server.cpu();
          const port = ports[server.name as keyof typeof ports];
          const report = parseDnsperf(await ask(cores.rest, port, work.file, ['-l', String(options.seconds)]));
          const after = server.cpu();
          // The first run fills the caches; what is lost there does not count.
          if (run === 0) continue;
          if (report.lost > report.completed / 1000) throw new Error(`${server.name} lost ${report.lost} queries`);
          results.add(
            `${work.name} query`,
            'CPU per query',
            'µs',
            server.name,
            (after.total - before.total) / report.completed,
          );
          results.add(
            `${work.name} query`,
            'of that in user space',
            'µs',
            server.name,
            (after.user - before.user) / report.completed,
          );
          results.add(`${work.name} query`, 'rate', '1/s', server.name, report.rate);
        }
        if (run > 0) say(`${work.name} query: run ${run} of ${options.runs}`);
      }
    }
    for (const server of measured)
      results.add('after all', 'private memory', 'MiB', server.name, server.memory().uss / 1024);
  } finally {
    for (const server of servers.reverse()) await server.stop();
  }
}
