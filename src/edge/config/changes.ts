/** What differs between two configurations, for the log and the operator: places only, since values may be secrets. */
import { isDeepStrictEqual } from 'node:util';
import type { EdgeConfig } from './types.ts';

/**
 * `proxy.listeners.http.whenEmpty changed`, `proxy.pools.web.members.w3 added`, in the order of the file. Entries of lists are
 * known by their name, interface or domain; other lists change as a whole.
 */
export function changesOf(old: EdgeConfig, config: EdgeConfig): string[] {
  const changes: string[] = [];
  compare(old, config, '', changes);
  return changes;
}

function compare(old: unknown, now: unknown, path: string, changes: string[]): void {
  if (isDeepStrictEqual(old, now)) return;
  const [before, after] = [entriesOf(old), entriesOf(now)];
  if (before === undefined || after === undefined) {
    changes.push(`${path} ${old === undefined ? 'added' : now === undefined ? 'removed' : 'changed'}`);
    return;
  }
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    compare(before.get(name), after.get(name), path === '' ? name : `${path}.${settingName(name)}`, changes);
  }
}

/** Settings, or list entries by what they are known by; undefined for what is one value. */
function entriesOf(value: unknown): Map<string, unknown> | undefined {
  if (Array.isArray(value)) {
    const names = value.map(entryName);
    if (value.length > 0 && names.some((name) => name === undefined)) return undefined;
    return new Map(value.map((each, i) => [names[i]!, each]));
  }
  const plain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
  return plain && !('kind' in value) ? new Map(Object.entries(value)) : undefined;
}

function entryName(entry: unknown): string | undefined {
  const { name, interface: link, domain, sni } = (entry ?? {}) as Record<string, unknown>;
  return [name, link, domain, sni].find((each) => typeof each === 'string') as string | undefined;
}

/** Units stand in the names of validated settings alone. */
function settingName(name: string): string {
  return name.replace(/(Ms|Seconds|Bytes)$/, '');
}
