/** Settings that the schema takes and this version does not act on yet; the daemon warns of each, so that nobody is fooled. */

import { formatPath } from './problems.ts';
import type { EdgeConfig } from './types.ts';

interface Check {
  /** As in the reference page. */
  readonly setting: string;
  /** Where the configuration asks for it. */
  readonly found: (config: EdgeConfig) => string[];
}

/** The one list: whoever brings the feature takes its line out. */
const checks: readonly Check[] = [
  listenerCheck('acceptProxy', (l) => l.acceptProxy),
  listenerCheck('rate', (l) => l.rate.perSource > 0),
  poolCheck('discover', (p) => p.discover !== undefined),
  poolCheck('balance', (p) => p.balance === 'random2' || p.balance === 'source'),
  poolCheck('check.type', (p) => ['tls', 'http', 'https'].includes(p.check.type)),
  poolCheck('members.slowStart', (p) => p.members.some((m) => m.slowStartMs > 0)),
  dnsCheck('dns64.mode: synthesize', (dns) => dns.dns64.mode === 'synthesize'),
  dnsCheck('forward.upstreams: tls://', (dns) => dns.forward?.upstreams.some((u) => u.transport === 'tls') === true),
  zoneCheck('transfer', (z) => z.transfer.allow.length > 0 || z.transfer.notify.length > 0),
  zoneCheck('reverse', (z) => z.reverse),
];

/** Names every setting of this configuration that has no effect yet. */
export function settingsNotInEffect(config: EdgeConfig): string[] {
  return checks.flatMap((check) => check.found(config));
}

function listenerCheck(setting: string, uses: (l: EdgeConfig['proxy']['listeners'][number]) => boolean): Check {
  return {
    setting: `proxy.listeners[].${setting}`,
    found: ({ proxy }) =>
      proxy.listeners.filter(uses).map((l) => `${formatPath(['proxy', 'listeners', l.name])}.${setting}`),
  };
}

function poolCheck(setting: string, uses: (p: EdgeConfig['proxy']['pools'][number]) => boolean): Check {
  return {
    setting: `proxy.pools.*.${setting}`,
    found: ({ proxy }) => proxy.pools.filter(uses).map((p) => `${formatPath(['proxy', 'pools', p.name])}.${setting}`),
  };
}

function dnsCheck(setting: string, uses: (dns: NonNullable<EdgeConfig['dns']>) => boolean): Check {
  return {
    setting: `dns.${setting}`,
    found: ({ dns }) => (dns !== undefined && uses(dns) ? [`dns.${setting}`] : []),
  };
}

function zoneCheck(setting: string, uses: (z: NonNullable<EdgeConfig['dns']>['zones'][number]) => boolean): Check {
  return {
    setting: `dns.zones[].${setting}`,
    found: ({ dns }) =>
      (dns?.zones ?? []).filter(uses).map((z) => `${formatPath(['dns', 'zones', z.name])}.${setting}`),
  };
}
