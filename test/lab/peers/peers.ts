/** The world around the edge: nginx on the workers, a stand-in for kube-apiserver, a DNS64 upstream with NAT64. */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { nat64Prefix, ports, upstream6, workers } from '../plan.ts';
import { type LabProcess, mustExec, waitFor } from '../process.ts';

/** Programs that run on one node. */
export interface Peers {
  readonly nginx: Map<string, LabProcess>;
}

/** Web server of the IPv4 internet, reached by NAT64 only. */
export const v4WebAddress = '203.0.113.80';

/** Starts all peers and waits until they listen. */
export async function startPeers(lab: Lab): Promise<Peers> {
  await makeCertificate(lab);
  const peers: Peers = { nginx: new Map() };
  await Promise.all([
    ...workers.map((name) => startWorker(lab, peers, name)),
    startKubeApi(lab),
    startUpstream(lab),
    startNat64(lab),
  ]);
  return peers;
}

/** nginx on a worker: plain and TLS, both with the PROXY protocol, as ingress-nginx listens with use-proxy-protocol. */
export async function startNginx(lab: Lab, peers: Peers, name: (typeof workers)[number]): Promise<LabProcess> {
  const folder = lab.folder(name);
  const config = lab.file(
    `${name}/nginx.conf`,
    nginxConfig(
      folder,
      `server {
        listen [::]:80 proxy_protocol;
        listen [::]:443 ssl proxy_protocol;
        ssl_certificate ${lab.directory}/tls.crt;
        ssl_certificate_key ${lab.directory}/tls.key;
        location = /whoami { default_type text/plain; return 200 "$proxy_protocol_addr ${name} $scheme\\n"; }
        location = /big { alias ${lab.directory}/big.bin; }
      }`,
    ),
  );
  const nginx = lab.node(name).spawn(['nginx', '-c', config, '-p', folder]);
  peers.nginx.set(name, nginx);
  await listening(lab, name, 'tcp', [80, 443], nginx);
  return nginx;
}

async function startWorker(lab: Lab, peers: Peers, name: (typeof workers)[number]): Promise<void> {
  await startNginx(lab, peers, name);
  const script = join(import.meta.dirname, 'sum-server.ts');
  const sum = lab.node(name).spawn([process.execPath, script, String(ports.sum)]);
  await waitFor(`${name}'s sum server`, () => sum.stdout.includes('ready'), { why: () => sum.output });
}

/** Speaks TLS and no PROXY protocol, as kube-apiserver does. */
async function startKubeApi(lab: Lab): Promise<void> {
  const folder = lab.folder('master1');
  const config = lab.file(
    'master1/nginx.conf',
    nginxConfig(
      folder,
      `server {
        listen [::]:6443 ssl;
        ssl_certificate ${lab.directory}/tls.crt;
        ssl_certificate_key ${lab.directory}/tls.key;
        default_type text/plain;
        location = /readyz { return 200 "ok"; }
        location = /whoami { return 200 "$remote_addr master1 $scheme\\n"; }
      }`,
    ),
  );
  const nginx = lab.node('master1').spawn(['nginx', '-c', config, '-p', folder]);
  await listening(lab, 'master1', 'tcp', [ports.kubeApi], nginx);
}

/** Unbound with DNS64 in front of named, which knows the names of "the internet". */
async function startUpstream(lab: Lab): Promise<void> {
  const folder = lab.folder('upstream');
  const node = lab.node('upstream');
  lab.file('upstream/inet.zone', inetZone());
  lab.file('upstream/ipv4only.zone', ipv4onlyZone);
  const authority = node.spawn([
    unconfined(lab, 'named'),
    '-g',
    '-c',
    lab.file('upstream/named.conf', authorityConfig(folder)),
  ]);
  await listening(lab, 'upstream', 'udp', [5353], authority);
  // dns64 synthesizes nothing from local-data, hence the two programs; and test. is a local zone unless told otherwise.
  const config = `server:
  interface: ${upstream6}
  access-control: ::/0 allow
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: "${folder}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  module-config: "dns64 iterator"
  dns64-prefix: ${nat64Prefix}
  do-not-query-localhost: no
  local-zone: "test." nodefault
stub-zone:
  name: "inet.test"
  stub-addr: ::1@5353
stub-zone:
  name: "ipv4only.arpa"
  stub-addr: ::1@5353
remote-control:
  control-enable: no
`;
  const unbound = node.spawn([unconfined(lab, 'unbound'), '-d', '-c', lab.file('upstream/unbound.conf', config)]);
  await listening(lab, 'upstream', 'udp', [53], unbound);
}

/** tayga translates between the nodes' IPv6 and a web server that has only IPv4. */
async function startNat64(lab: Lab): Promise<void> {
  const node = lab.node('upstream');
  const folder = lab.folder('nat64');
  const config = lab.file(
    'nat64/tayga.conf',
    `tun-device nat64\nipv4-addr 192.0.2.1\nipv6-addr 2001:db8:64::1\nprefix ${nat64Prefix}\n` +
      `dynamic-pool 192.0.2.0/24\ndata-dir ${folder}\n`,
  );
  await node.mustExec(['tayga', '--mktun', '--config', config]);
  await node.mustExec(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.ip_forward=1']);
  const commands = [
    'link set nat64 up',
    `address add ${v4WebAddress}/32 dev lo`,
    'route add 192.0.2.0/24 dev nat64',
    `route add ${nat64Prefix} dev nat64`,
  ];
  await mustExec(['ip', '-n', node.namespace, '-batch', '-'], { input: commands.join('\n') });
  node.spawn(['tayga', '--nodetach', '--config', config]);
  const web = nginxConfig(
    folder,
    `server { listen ${v4WebAddress}:80; location / { default_type text/plain; return 200 "v4web saw $remote_addr\\n"; } }`,
  );
  const nginx = node.spawn(['nginx', '-c', lab.file('nat64/nginx.conf', web), '-p', folder]);
  await listening(lab, 'upstream', 'tcp', [80], nginx);
}

/**
 * A copy of the program in the lab's directory. Debian confines some daemons by AppArmor profiles that go by path and
 * let them read their own folders under /etc only.
 */
export function unconfined(lab: Lab, program: 'named' | 'unbound' | 'radvd' | 'haproxy'): string {
  const copy = join(lab.directory, 'bin', program);
  mkdirSync(join(lab.directory, 'bin'), { recursive: true });
  if (!existsSync(copy)) copyFileSync(join('/usr/sbin', program), copy);
  return copy;
}

/** Waits until something listens on all these ports of a node. */
export async function listening(
  lab: Lab,
  name: Parameters<Lab['node']>[0],
  protocol: 'tcp' | 'udp',
  wanted: readonly number[],
  by: LabProcess,
): Promise<void> {
  const node = lab.node(name);
  await waitFor(
    `${name} listening on ${protocol} ${wanted.join(', ')}`,
    async () => {
      if (by.result !== undefined) throw new Error(`${by.name} ended`);
      const table = await node.mustExec(['ss', '-Hln', protocol === 'tcp' ? '-t' : '-u']);
      const open = new Set(table.split('\n').map((line) => Number(line.split(/\s+/)[3]?.split(':').at(-1))));
      return wanted.every((port) => open.has(port));
    },
    { why: () => by.output.trim().split('\n').slice(-5).join(' | ') },
  );
}

function nginxConfig(folder: string, server: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ');
  return `daemon off; master_process off; user root; pid ${folder}/nginx.pid; error_log stderr;
    events { worker_connections 1024; }
    http { access_log off; sendfile on; ${temporary} ${server} }
  `;
}

async function makeCertificate(lab: Lab): Promise<void> {
  await mustExec([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=cluster.test', '-addext', 'subjectAltName=DNS:cluster.test,DNS:*.cluster.test'],
    ...['-keyout', join(lab.directory, 'tls.key'), '-out', join(lab.directory, 'tls.crt')],
  ]);
}

function authorityConfig(folder: string): string {
  return `options {
    directory "${folder}"; listen-on { none; }; listen-on-v6 port 5353 { ::1; };
    pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key"; lock-file none;
    managed-keys-directory "${folder}"; recursion no; dnssec-validation no;
  };
  controls { };
  zone "inet.test" { type primary; file "${folder}/inet.zone"; };
  zone "ipv4only.arpa" { type primary; file "${folder}/ipv4only.zone"; };
`;
}

function inetZone(): string {
  const big = Array.from({ length: 14 }, (_, i) => `"${String.fromCharCode(97 + i).repeat(220)}"`).join(' ');
  return `$TTL 300
@       IN SOA  ns.inet.test. admin.inet.test. 1 3600 600 86400 60
        IN NS   ns.inet.test.
ns      IN AAAA ${upstream6}
v4only  IN A    ${v4WebAddress}
fresh   IN A    ${v4WebAddress}
alias   IN CNAME v4only.inet.test.
dual    IN A    203.0.113.81
        IN AAAA 2001:db8:1::81
big     IN TXT  ${big}
`;
}

/** RFC 7050: what a client asks to find the NAT64 prefix. */
const ipv4onlyZone = `$TTL 300
@ IN SOA ns.inet.test. admin.inet.test. 1 3600 600 86400 60
  IN NS ns.inet.test.
  IN A 192.0.0.170
  IN A 192.0.0.171
`;
