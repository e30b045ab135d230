/** v6edge in the edge namespace, with a configuration that has short times and is otherwise an operator's. */
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { edgePrivate, edgePublic6, ports, prefix, reverseZone, slaacAddress, upstream6, zone } from '../plan.ts';
import { describe, waitFor } from '../process.ts';
import { type EdgeDaemon, firstRecords } from './edge.ts';
import { type Keys, updaters } from './keys.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');

/** Where the admin API answers inside the edge namespace. */
export const adminUrl = 'http://[::1]:8653';

export async function startV6edge(lab: Lab, keys: Keys): Promise<EdgeDaemon> {
  const node = lab.node('edge');
  lab.file('edge/node.zone', firstRecords);
  const config = lab.file('edge/v6edge.yaml', v6edgeConfig(lab.folder('edge'), keys));
  const daemon = node.spawn([program, 'run', '--config', config]);
  const log = (lines = 8) => daemon.output.trim().split('\n').slice(-lines).join('\n');
  await waitFor(
    'v6edge ready',
    async () => {
      if (daemon.result !== undefined) throw new Error(`v6edge ended: ${describe(daemon.result)}`);
      return (await node.exec(['curl', '-sf', '-m2', '-o/dev/null', `${adminUrl}/readyz`])).code === 0;
    },
    { timeoutMs: 15_000, why: log },
  );
  return {
    kind: 'v6edge',
    ended: () => daemon.result && describe(daemon.result),
    log,
    reload: () => daemon.kill('SIGHUP'),
    async stop(signal = 'SIGTERM') {
      const result = await daemon.stop(10_000, signal);
      if (result.code !== 0) throw new Error(describe(result));
      return 'exit 0';
    },
    async kill() {
      daemon.kill('SIGKILL');
      await daemon.exited;
    },
  };
}

/** The daemon's whole configuration in the lab. */
export function v6edgeConfig(folder: string, keys: Keys): string {
  const bind = (port: number) => `["0.0.0.0:${port}", "[::]:${port}"]`;
  const members = (port: number) =>
    (['worker1', 'worker2'] as const)
      .map((name) => `        - { name: ${name}, address: "${slaacAddress(name)}", port: ${port} }`)
      .join('\n');
  const grants = (types: string) =>
    updaters(keys)
      .map(({ name }) => `        - { key: ${name}, match: zonesub, types: ${types} }`)
      .join('\n');
  const check = '{ type: tcp, interval: 500ms, timeout: 500ms, rise: 2, fall: 2 }';
  return `log: { level: info, format: json }
state: { dir: ${folder}/state }
admin:
  listen: ["unix:${folder}/admin.sock", "[::1]:8653"]

proxy:
  timeouts: { idle: 60s }
  listeners:
    - { name: http, bind: ${bind(ports.http)}, pool: http }
    - { name: https, bind: ${bind(ports.https)}, pool: https }
    - { name: kube-api, bind: ${bind(ports.kubeApi)}, pool: masters }
    - { name: sum, bind: ${bind(ports.sum)}, pool: sum }
    - { name: judge1, bind: ${bind(ports.judgeV1)}, pool: judge1 }
    - { name: judge2, bind: ${bind(ports.judgeV2)}, pool: judge2 }
    - { name: found, bind: ${bind(ports.found)}, pool: found }
  pools:
    http:
      proxyProtocol: v2
      balance: roundrobin
      check: ${check}
      members:
${members(80)}
    https:
      proxyProtocol: v2
      balance: leastconn
      check: ${check}
      members:
${members(443)}
    masters:
      proxyProtocol: none
      check: ${check}
      members:
        - { name: master1, address: "${slaacAddress('master1')}", port: ${ports.kubeApi} }
    sum:
      proxyProtocol: v1
      check: ${check}
      members:
${members(ports.sum)}
    judge1:
      proxyProtocol: v1
      check: ${check}
      members:
${members(ports.judgeV1)}
    judge2:
      proxyProtocol: v2
      check: ${check}
      members:
${members(ports.judgeV2)}
    found:
      proxyProtocol: v2
      balance: roundrobin
      check: ${check}
      discover: { srv: _found._tcp.${zone} }

dns:
  listen: ["[${edgePrivate}]:53", "[::1]:53", "[${edgePublic6}]:53"]
  allow: ["${prefix}", "::1/128"]
  forward:
    upstreams: ["${upstream6}"]
    timeout: 2s
  keys:
${updaters(keys)
  .map(({ name, path }) => `    ${name}: { file: ${path} }`)
  .join('\n')}
    stranger-key: { file: ${keys.stranger.path} }
  zones:
    - name: ${zone}
      ns: [edge.${zone}]
      file: ${folder}/node.zone
      update:
${grants('[AAAA, A, TXT, SRV, SSHFP]')}
    - name: ${reverseZone}
      ns: [edge.${zone}]
      update:
${grants('[PTR]')}

ra:
  - interface: prv0
    interval: { min: 3s, max: 4s }
    defaultLifetime: 0s
    prefixes: [{ prefix: "${prefix}", onLink: true, autonomous: true, valid: 1h, preferred: 30m }]
    rdnss: { servers: ["${edgePrivate}"], lifetime: 60s }
    dnssl: { domains: [${zone}], lifetime: 60s }
`;
}
