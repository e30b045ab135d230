/** What data threads learned of the upstreams' NAT64 (RFC 7050): for `ra[].pref64.prefix: auto`, and for readiness. */
import type { DnsConfig } from '../dns/config.ts';
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

/**
 * Whether names with IPv4 addresses alone get IPv6 ones, in words: nothing where nobody is to make them.
 * @param reports of the data threads; each asks the upstreams for ipv4only.arpa itself
 */
export function dns64Notes(dns: DnsConfig | undefined, reports: readonly ThreadReport[]): readonly string[] {
  if (dns?.forward === undefined || dns.dns64.mode === 'off') return [];
  const prefixes = [...new Set(reports.flatMap(({ dns64 }) => dns64.prefixes))].join(', ');
  if (dns.dns64.mode === 'synthesize') {
    return [
      prefixes === ''
        ? 'dns64: no prefix is known yet, so nothing is synthesized: upstreams do not synthesize ipv4only.arpa, or do not answer'
        : `dns64: we synthesize with ${prefixes}`,
    ];
  }
  const said = new Set(reports.map(({ dns64 }) => dns64.upstreams));
  if (said.has('no')) return ['dns64: upstreams do not synthesize (ipv4only.arpa has no AAAA records there)'];
  if (said.has('yes')) return [`dns64: upstreams synthesize${prefixes === '' ? '' : ` with ${prefixes}`}`];
  return ['dns64: not known whether upstreams synthesize: they have not answered for ipv4only.arpa'];
}
