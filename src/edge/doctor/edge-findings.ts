/** What is wrong with the edge itself. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { errorMessage } from '../../core/errors.ts';
import { isClockSynchronised } from '../../linux/clock-state.ts';
import { fileLimit } from '../../linux/limits.ts';
import { kernelSysctl } from '../../linux/sysctl.ts';
import { takesSessions } from '../../proxy/snapshot.ts';
import type { AdminSource } from '../admin/source.ts';
import type { Edge } from '../edge.ts';
import { possibleSessions } from '../file-limit.ts';
import type { Evidence } from './evidence.ts';
import { portFinding } from './port-findings.ts';
import type { Finding } from './report.ts';
import { routerFindings } from './router-findings.ts';
import { ago } from './words.ts';

/** Less is room for some days of updates at most. */
const leastFreeBytes = 64 * 1024 * 1024;
const leastFreeShare = 0.03;

/** All of it; the kernel and the file system are asked as well. */
export function edgeFindings(edge: Edge, source: AdminSource, evidence: Evidence): Finding[] {
  return [
    ...threadFindings(edge),
    ...bindFindings(edge),
    ...zoneFindings(source),
    ...upstreamFindings(source, evidence),
    ...poolFindings(evidence),
    ...interfaceFindings(evidence),
    ...routerFindings(
      evidence,
      evidence.ra.map((one) => one.interface),
    ),
    ...stateFindings(evidence.config.stateDir),
    ...limitFindings(evidence),
    ...clockFindings(evidence),
  ];
}

function threadFindings(edge: Edge): Finding[] {
  return edge.threads
    .list()
    .filter(({ state }) => state === 'silent' || state === 'restarting')
    .map(({ name, state, restarts }) => ({
      id: 'thread-ill',
      severity: 'error',
      subject: name,
      text: `data thread ${name} is ${state} (restarted ${restarts} times): its share of the traffic waits`,
      run: ['journalctl -u v6edge -p err -n 50', 'systemctl restart v6edge'],
      where: 'edge',
    }));
}

function bindFindings(edge: Edge): Finding[] {
  const seen = new Set<string>();
  return edge.reports
    .flatMap(({ binds }) => binds)
    .flatMap(({ role, name, endpoint, error }) => {
      const key = `${role} ${name} ${endpoint}`;
      if (error === undefined || seen.has(key)) return [];
      seen.add(key);
      return [portFinding(`${role} ${name}`, endpoint, error)];
    });
}

function zoneFindings(source: AdminSource): Finding[] {
  return source.zones().flatMap(({ name, secondary }): Finding[] => {
    if (secondary === undefined || secondary.state === 'loaded') return [];
    const state = secondary.state === 'missing' ? 'has not come from its primaries' : 'has expired';
    const text = `secondary zone ${name} ${state}: ${secondary.lastError ?? 'they are being asked'}`;
    const run = [`v6edge query ${name} SOA --server ${secondary.primaries[0] ?? 'PRIMARY'}`];
    return [{ id: 'zone-missing', severity: 'error', subject: name, text, run, where: 'edge' }];
  });
}

function upstreamFindings(source: AdminSource, { config }: Evidence): Finding[] {
  if (config.dns?.forward === undefined) return [];
  const { upstreams, dns64 } = source.dns();
  const down = upstreams.filter(({ healthy }) => !healthy);
  const none = upstreams.length > 0 && down.length === upstreams.length;
  const findings = down.map(
    ({ endpoint, reason = 'it does not answer', transport }): Finding => ({
      id: none ? 'upstreams-down' : 'upstream-down',
      severity: none ? 'error' : 'warning',
      subject: endpoint,
      text: `upstream ${endpoint} is down: ${reason}${none ? '; no other is up, so nothing but our zones and the cache is answered' : ''}`,
      run: [
        transport === 'tls' || transport === 'https'
          ? 'v6edge status'
          : `v6edge query example.com AAAA --server ${endpoint}`,
      ],
      where: 'edge',
    }),
  );
  const lacks = config.dns.dns64.mode === 'upstream' && dns64?.upstreams === 'no';
  const noPrefix = config.dns.dns64.mode === 'synthesize' && dns64?.prefixes.length === 0;
  if (!none && (lacks || noPrefix)) {
    findings.push({
      id: 'dns64-missing',
      severity: 'warning',
      subject: 'dns64',
      text: lacks
        ? 'upstreams do not synthesize (ipv4only.arpa has no AAAA records there): names with IPv4 addresses alone do not work for the nodes'
        : 'no NAT64 prefix is known, so that nothing is synthesized',
      run: [
        'name upstreams with DNS64 under dns.forward, or set dns64: { mode: synthesize, prefix: … }; mode: off says that none is wanted',
      ],
      where: 'edge',
    });
  }
  return findings;
}

function poolFindings({ pools }: Evidence): Finding[] {
  return pools.flatMap(({ name, members, discovery }): Finding[] => {
    if (members.some(takesSessions)) return [];
    const why =
      members.length > 0
        ? members.map(outText).join('; ')
        : discovery === undefined
          ? 'it has none'
          : (discovery.error ?? `${discovery.name} names none yet`);
    const text = `no member of pool ${name} takes sessions: ${why}`;
    return [{ id: 'pool-empty', severity: 'error', subject: name, text, run: [`v6edge pools ${name}`], where: 'edge' }];
  });
}

function outText({ name, state, reason }: Evidence['pools'][number]['members'][number]): string {
  return state === 'up' ? `${name} has weight 0` : `${name} ${state}: ${reason}`;
}

function interfaceFindings({ ra }: Evidence): Finding[] {
  return ra.flatMap(({ interface: name, state, reason }): Finding[] => {
    const findings: Finding[] = [];
    if (state !== 'advertising') {
      findings.push({
        id: 'interface-silent',
        severity: 'error',
        subject: name,
        text: `${name} does not advertise: ${reason === '' ? state : reason}`,
        run: [
          `ip -6 addr show dev ${name}`,
          ...(state === 'no-link-local'
            ? [`sysctl net.ipv6.conf.${name}.disable_ipv6 net.ipv6.conf.${name}.addr_gen_mode`]
            : []),
        ],
        where: 'edge',
      });
    }
    const setting = (key: string) => kernelSysctl.read(`net/ipv6/conf/${name}/${key}`);
    const acceptRa = setting('accept_ra');
    // 1 accepts advertisements unless forwarding is on, 2 in any case (ip-sysctl).
    if (acceptRa === '2' || (acceptRa === '1' && setting('forwarding') !== '1')) {
      findings.push({
        id: 'accept-ra',
        severity: 'warning',
        subject: name,
        text: `accept_ra is ${acceptRa} on ${name}, where we advertise: this host takes addresses and routes from whoever else advertises there`,
        run: [`sysctl -w net.ipv6.conf.${name}.accept_ra=0   # and in /etc/sysctl.d/`],
        where: 'edge',
      });
    }
    return findings;
  });
}

/** Whether the store can be written, and has room. */
export function stateFindings(folder: string): Finding[] {
  const base = { severity: 'error', subject: folder, where: 'edge' } as const;
  try {
    accessSync(folder, constants.R_OK | constants.W_OK);
  } catch (error) {
    const text = `updates cannot be stored: ${errorMessage(error)}`;
    return [{ ...base, id: 'state-dir', text, run: [`ls -ld ${folder}`, `chown -R v6edge: ${folder}`] }];
  }
  const { bavail, blocks, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= leastFreeBytes && bavail >= blocks * leastFreeShare) return [];
  const text = `${Math.floor(free / 2 ** 20)} MiB are free where the zones are kept: when it is full, updates are answered with SERVFAIL`;
  return [{ ...base, id: 'disk-full', text, run: [`df -h ${folder}`, 'journalctl --vacuum-size=200M'] }];
}

function limitFindings({ config }: Evidence): Finding[] {
  const { soft } = fileLimit();
  const { maxConnections } = config.proxy;
  // The daemon lowers what it cannot keep to this very number.
  if (config.proxy.listeners.length === 0 || maxConnections < possibleSessions(soft)) return [];
  const text = `${soft} descriptors are allowed: proxy.maxConnections was lowered to ${maxConnections} sessions`;
  const run = ['systemctl edit v6edge   # [Service] LimitNOFILE=1048576', 'systemctl restart v6edge'];
  return [{ id: 'file-limit', severity: 'warning', subject: 'descriptors', text, run, where: 'edge' }];
}

function clockFindings({ config, ledger, now }: Evidence): Finding[] {
  if ((config.dns?.keys.length ?? 0) === 0 || isClockSynchronised() !== false) return [];
  const refused = ledger.flatMap(({ updates }) => updates?.lastRefused ?? []);
  const bad = refused.filter(({ sighting }) => sighting.result === 'BADTIME').at(-1);
  const seen = bad === undefined ? '' : `; ${ago(now, bad.at)} an update was refused with BADTIME`;
  const known = existsSync('/run/systemd/timesync') ? 'timedatectl timesync-status' : 'timedatectl set-ntp true';
  return [
    {
      id: 'clock-unsynchronised',
      severity: bad === undefined ? 'note' : 'warning',
      subject: 'clock',
      text: `the kernel says that nobody keeps this clock right: signatures of updates count for 300 s${seen}`,
      run: [known],
      where: 'edge',
    },
  ];
}
