/**
 * The three daemons that v6edge replaces, set up as an operator would. The lab's steps hold for them too: what they ask
 * of v6edge is what the field's own programs do.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { listening, unconfined } from '../peers/peers.ts';
import {
  edgePrivate,
  edgePublic4,
  edgePublic6,
  ports,
  prefix,
  reverseZone,
  slaacAddress,
  upstream6,
  zone,
} from '../plan.ts';
import { describe } from '../process.ts';
import { type EdgeDaemon, firstRecords } from './edge.ts';
import { type Keys, updaters } from './keys.ts';

export async function startReference(lab: Lab, keys: Keys): Promise<EdgeDaemon> {
  const node = lab.node('edge');
  const folder = lab.folder('edge');
  const haproxy = node.spawn([unconfined(lab, 'haproxy'), '-db', '-f', lab.file('edge/haproxy.cfg', haproxyConfig())]);
  if (!existsSync(join(folder, 'node.zone'))) {
    lab.file('edge/node.zone', zoneHead(zone) + firstRecords);
    lab.file('edge/reverse.zone', zoneHead(reverseZone));
  }
  const named = node.spawn([
    unconfined(lab, 'named'),
    '-g',
    '-c',
    lab.file('edge/named.conf', namedConfig(folder, keys)),
  ]);
  const radvdConfig = lab.file('edge/radvd.conf', radvdText, 0o644);
  const radvd = node.spawn([
    unconfined(lab, 'radvd'),
    '-n',
    '-m',
    'stderr',
    '-C',
    radvdConfig,
    '-p',
    `${folder}/radvd.pid`,
  ]);
  const all = { haproxy, named, radvd };
  await Promise.all([
    // HAProxy here follows no SRV records: `found` is v6edge's.
    listening(
      lab,
      'edge',
      'tcp',
      Object.values(ports).filter((port) => port !== ports.found),
      haproxy,
    ),
    listening(lab, 'edge', 'udp', [53], named),
  ]);
  return {
    kind: 'reference',
    ended() {
      const gone = Object.entries(all).find(([, program]) => program.result !== undefined);
      return gone && `${gone[0]}: ${describe(gone[1].result!)}`;
    },
    log: () =>
      Object.values(all)
        .map((program) => program.stderr.split('\n').slice(-8).join('\n'))
        .join('\n'),
    async stop() {
      const results = await Promise.all(Object.values(all).map((program) => program.stop(5000)));
      // HAProxy ends with 143 after SIGTERM, radvd and named with 0.
      const wrong = results.find((result) => result.code !== 0 && result.code !== 143 && result.signal !== 'SIGTERM');
      if (wrong !== undefined) throw new Error(describe(wrong));
      return `${results.length} daemons ended`;
    },
    async kill() {
      for (const program of Object.values(all)) program.kill('SIGKILL');
      await Promise.all(Object.values(all).map((program) => program.exited));
    },
  };
}

function haproxyConfig(): string {
  const front = (port: number) =>
    `bind ${edgePublic4}:${port}\n  bind [${edgePublic6}]:${port} v6only\n  bind [${edgePrivate}]:${port} v6only`;
  const servers = (port: number, option: string) =>
    (['worker1', 'worker2'] as const)
      .map((name) => `  server ${name} [${slaacAddress(name)}]:${port} check ${option}`)
      .join('\n');
  return `global
  log stderr format raw local0 info
defaults
  mode tcp
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  option redispatch 1
  retries 3
  balance roundrobin
  default-server inter 500ms fall 2 rise 2
listen http
  ${front(ports.http)}
${servers(80, 'send-proxy-v2')}
listen https
  ${front(ports.https)}
${servers(443, 'send-proxy-v2')}
listen kube-api
  ${front(ports.kubeApi)}
  option httpchk GET /readyz
  server master1 [${slaacAddress('master1')}]:${ports.kubeApi} check check-ssl verify none
listen sum
  ${front(ports.sum)}
${servers(ports.sum, 'send-proxy')}
listen judge1
  ${front(ports.judgeV1)}
${servers(ports.judgeV1, 'send-proxy')}
listen judge2
  ${front(ports.judgeV2)}
${servers(ports.judgeV2, 'send-proxy-v2')}
`;
}

function namedConfig(folder: string, keys: Keys): string {
  const grants = updaters(keys).map(({ name }) => `grant ${name} zonesub AAAA A TXT SRV SSHFP PTR;`);
  const policy = `update-policy { ${grants.join(' ')} };`;
  return `${updaters(keys)
    .map(({ path }) => `include "${path}";\n`)
    .join('')}include "${keys.stranger.path}";
options {
  directory "${folder}"; pid-file "${folder}/named.pid"; session-keyfile "${folder}/session.key"; lock-file none;
  managed-keys-directory "${folder}";
  listen-on { none; }; listen-on-v6 { ${edgePrivate}; ::1; ${edgePublic6}; };
  allow-query { ${prefix}; ::1; }; allow-transfer { none; }; recursion yes; forward only; forwarders { ${upstream6}; };
  // "yes" without trust anchors: the only setting with which named forwards with CD=0, which DNS64 needs.
  dnssec-validation yes;
  empty-zones-enable no;
};
controls { };
zone "${zone}" { type primary; file "${folder}/node.zone"; ${policy} };
zone "${reverseZone}" { type primary; file "${folder}/reverse.zone"; ${policy} };
`;
}

function zoneHead(origin: string): string {
  return `$ORIGIN ${origin}.\n$TTL 300\n@ IN SOA edge.${zone}. admin.${zone}. 1 3600 600 86400 60\n  IN NS edge.${zone}.\n`;
}

const radvdText = `interface prv0 {
  AdvSendAdvert on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  AdvDefaultLifetime 0;
  prefix ${prefix} { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 3600; AdvPreferredLifetime 1800; };
  RDNSS ${edgePrivate} { AdvRDNSSLifetime 60; };
  DNSSL ${zone} { AdvDNSSLLifetime 60; };
};
`;
