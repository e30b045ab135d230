/** References from one part of the file to another: checked on what is written, whatever else is wrong around it. */
import type { KeyPath, Report } from './types.ts';

/** Reports every listener whose pool and every rule whose key is nowhere in the file, and what a secondary zone cannot have. */
export function checkReferences(raw: unknown, report: Report): void {
  const pools = Object.keys(record(at(raw, 'proxy', 'pools')));
  for (const [i, listener] of items(at(raw, 'proxy', 'listeners'))) {
    checkReference(listener, 'pool', ['proxy', 'listeners', i], pools, 'proxy.pools', report);
    for (const [j, route] of items(at(listener, 'routes'))) {
      checkReference(route, 'pool', ['proxy', 'listeners', i, 'routes', j], pools, 'proxy.pools', report);
    }
  }
  for (const [i, entry] of items(at(raw, 'ra'))) {
    if (at(entry, 'pref64', 'prefix') !== 'auto') continue;
    if (at(raw, 'dns', 'forward') !== undefined && at(raw, 'dns', 'dns64', 'mode') !== 'off') continue;
    report(
      ['ra', i, 'pref64', 'prefix'],
      'auto needs dns.forward, and a dns64.mode other than off, to learn the prefix',
    );
  }
  const keys = Object.keys(record(at(raw, 'dns', 'keys')));
  for (const [i, zone] of items(at(raw, 'dns', 'zones'))) {
    const path = ['dns', 'zones', i];
    checkReference(zone, 'key', path, keys, 'dns.keys', report);
    if (at(zone, 'primaries') !== undefined) checkCopied(zone, path, report);
    checkReference(at(zone, 'transfer'), 'key', [...path, 'transfer'], keys, 'dns.keys', report);
    for (const [j, rule] of items(at(zone, 'update'))) {
      checkKeys(at(rule, 'key'), [...path, 'update', j, 'key'], keys, report);
    }
  }
}

/** What a secondary zone has comes from its primaries. */
function checkCopied(zone: unknown, path: KeyPath, report: Report): void {
  for (const key of ['ns', 'soa', 'ttl', 'file', 'update', 'lease', 'reverse']) {
    if (at(zone, key) === undefined) continue;
    report([...path, key], 'a zone with `primaries` is what they have: this belongs to the primary');
  }
}

function checkReference(
  from: unknown,
  key: string,
  path: KeyPath,
  known: readonly string[],
  where: string,
  report: Report,
): void {
  const name = at(from, key);
  if (typeof name !== 'string' || name === '') return;
  if (known.some((each) => sameName(each, name, key === 'key'))) return;
  report([...path, key], `there is no "${name}" in ${where} (allowed: ${known.join(', ') || 'none is configured'})`);
}

/** The keys of an update rule: one, a list, or a wildcard that some key is below. */
function checkKeys(value: unknown, path: KeyPath, known: readonly string[], report: Report): void {
  for (const [i, name] of Array.isArray(value) ? items(value) : ([[undefined, value]] as const)) {
    if (typeof name !== 'string' || name === '') continue;
    const suffix = /^\*(\.|$)/.test(name) ? name.slice(1).toLowerCase().replace(/\.$/, '') : undefined;
    const found = known.some((key) =>
      suffix === undefined ? sameName(key, name, true) : key.toLowerCase().replace(/\.$/, '').endsWith(suffix),
    );
    if (found) continue;
    const allowed = known.join(', ') || 'none is configured';
    report(i === undefined ? path : [...path, i], `there is no "${name}" in dns.keys (allowed: ${allowed})`);
  }
}

/** TSIG key names are domain names: case and a final dot make no difference. */
function sameName(a: string, b: string, domainName: boolean): boolean {
  const plain = (name: string) => name.toLowerCase().replace(/\.$/, '');
  return domainName ? plain(a) === plain(b) : a === b;
}

/** The value under keys, undefined where the way ends. */
export function at(value: unknown, ...keys: string[]): unknown {
  let here = value;
  for (const key of keys) here = Object.hasOwn(record(here), key) ? record(here)[key] : undefined;
  return here;
}

/** The entries of a list with their positions; none of anything else. */
export function items(value: unknown): [number, unknown][] {
  return Array.isArray(value) ? [...value.entries()] : [];
}

/** A mapping as it is; anything else as an empty one. */
function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

/** Whether a YAML value is a mapping. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
