/** Whether the daemon does all that it is to do, and what it waits for. */
import type { ReadyReport } from './admin/source.ts';
import type { Edge } from './edge.ts';
import { dns64Notes } from './nat64.ts';
import type { BindReport } from './protocol.ts';

/** What is not yet as the configuration wants it, for /readyz. */
export function readiness(edge: Edge): ReadyReport {
  const notes = dns64Notes(edge.config.dns, edge.reports);
  if (edge.state !== 'serving') return { ready: false, waitingFor: [`v6edge is ${edge.state}`], notes };
  const waitingFor = [
    ...binds(edge)
      .filter(({ error }) => error !== undefined)
      .map(({ role, name, endpoint, error }) => `${role} ${name} cannot listen on ${endpoint}: ${error}`),
    ...edge.threads
      .list()
      .filter(({ state }) => state !== 'running')
      .map(({ name, state }) => `thread ${name} is ${state}`),
    ...(edge.config.dns?.zones ?? [])
      .filter((zone) => edge.dns.zone(zone.name) === undefined)
      .map((zone) => `zone ${zone.name} is not loaded`),
    ...edge.dns.zones().flatMap(({ name, secondary }) => {
      if (secondary === undefined || secondary.state === 'loaded') return [];
      const state = secondary.state === 'missing' ? 'has not come from its primaries yet' : 'has expired';
      return [`secondary zone ${name} ${state}: ${secondary.lastError ?? 'they are being asked'}`];
    }),
    ...edge.join
      .listening()
      .filter(({ error }) => error !== undefined)
      .map(({ endpoint, error }) => `join cannot listen on ${endpoint}: ${error}`),
    ...edge.ra
      .status()
      .filter(({ state }) => state !== 'advertising')
      .map((one) => `${one.interface} does not advertise: ${one.reason === '' ? one.state : one.reason}`),
  ];
  return { ready: waitingFor.length === 0, waitingFor, notes };
}

/** Each wanted bind once: with the error of the first thread that could not open it. */
export function binds(edge: Edge): BindReport[] {
  const all = new Map<string, BindReport>();
  for (const bind of edge.reports.flatMap((report) => report.binds)) {
    const key = `${bind.role} ${bind.name} ${bind.endpoint}`;
    if (all.get(key)?.error === undefined) all.set(key, bind);
  }
  return [...all.values()];
}
