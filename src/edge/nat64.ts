/** The NAT64 prefix that data threads learned from the upstreams (RFC 7050), for `ra[].pref64.prefix: auto`. */
import type { ThreadReport } from './protocol.ts';

/**
 * The prefixes to announce: what some thread knows. Threads that know nothing (just started, no answer yet) change nothing;
 * none are left when a thread knows that upstreams do not synthesize.
 * @param before what was announced so far
 */
export function nat64Prefixes(reports: readonly ThreadReport[], before: readonly string[]): readonly string[] {
  const known = reports.find(({ dns64 }) => dns64.prefixes.length > 0);
  if (known !== undefined) return known.dns64.prefixes;
  return reports.some(({ dns64 }) => dns64.upstreams === 'no' || dns64.mode === 'off') ? [] : before;
}
