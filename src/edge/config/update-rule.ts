/** A rule of a zone's `update`: schema, and what follows from its own keys. */
import { parseDuration } from '../../core/duration.ts';
import { ValueError } from '../../core/errors.ts';
import type { UpdateRule } from '../../dns/config.ts';
import { MIN_LEASE_SECONDS } from '../../dns/lease-grant.ts';
import { readTypeLimit } from '../../dns/policy.ts';
import { targetTypes } from '../../dns/target.ts';
import { isDataType, typeToText } from '../../dns/wire/types.ts';
import { isInZone, readDomainName } from './domain-name.ts';
import { choice, cidr, integer, leaf, list, parsed, peers, requireText, section } from './fields.ts';
import type { KeyPath, Report } from './types.ts';

/** Seconds, none or a lifetime that can be kept up. */
export const lease = () => leaf({ kind: 'duration', allowed: `0s, or ${MIN_LEASE_SECONDS}s to 365d` }, readLease);

/** One entry of `update`. */
export const updateRule = section({
  key: leaf({ kind: 'key name', allowed: 'or a list of them' }, readKeyNames).describe(
    'keys of `dns.keys`; `*.example.org` is every key whose name is below example.org',
  ),
  match: choice(['self', 'selfsub', 'selfwild', 'name', 'subdomain', 'wildcard', 'zonesub']).describe(
    'which names: the key’s own; that and below it; below it alone; `name` alone; `name` and below; what the wildcard `name` covers; all in the zone',
  ),
  name: parsed({ kind: 'domain name' }, readDomainName)
    .optional()
    .describe('for name, subdomain and wildcard; else the zone’s own'),
  types: list(parsed({ kind: 'record type' }, readType))
    .prefault([])
    .describe(
      'record types, `AAAA(2)` with the most of them a name may have; an empty list is every type but SOA, NS, RRSIG, NSEC and NSEC3',
    ),
  from: list(peers()).prefault([]).describe('where such updates may come from; empty = everywhere'),
  maxRecords: integer(0, 100_000).prefault(0).describe('records of all types that a name may have; 0 = no limit'),
  lease: lease().optional().describe('how long records last that are not refreshed; else as the zone says'),
  target: choice(['self'])
    .optional()
    .describe('with `types` of SRV and PTR alone: records that lead to the key’s own name, and no others beside them'),
  addresses: list(cidr())
    .prefault([])
    .describe(
      'networks that added A and AAAA records must lead into; empty = anywhere. Types without addresses are not concerned',
    ),
}).transform(
  ({ key, lease, target, ...rest }): UpdateRule => ({
    ...rest,
    name: rest.name,
    keys: key,
    leaseSeconds: lease,
    target,
  }),
);

/** Reports a name that does not go with the rule's `match`, and a `target` that goes with none of its types. */
export function checkRule(path: KeyPath, rule: UpdateRule, zone: string, report: Report): void {
  const leads = rule.types.length > 0 && rule.types.every((type) => targetTypes.has(readTypeLimit(type).type));
  if (rule.target !== undefined && !leads) {
    report([...path, 'target'], 'goes with `types` of SRV and PTR alone: records of other types lead nowhere');
  }
  if (rule.name === undefined) {
    if (rule.match === 'wildcard') report(path, 'match: wildcard needs a `name` that begins with *.');
    return;
  }
  if (rule.match.startsWith('self') || rule.match === 'zonesub') {
    report([...path, 'name'], `match: ${rule.match} takes no name`);
  } else if (!isInZone(rule.name, zone)) {
    report([...path, 'name'], `"${rule.name}" is not in the zone "${zone}"`);
  }
  if (rule.match === 'wildcard' && !rule.name.startsWith('*.')) {
    report([...path, 'name'], `"${rule.name}" is no wildcard: it begins with *.`);
  }
}

function readType(value: string): string {
  const { type, max } = readTypeLimit(value);
  const text = typeToText(type);
  // ANY and its like stand for no records of their own.
  if (!isDataType(type) || ['SOA', 'RRSIG', 'NSEC', 'NSEC3'].includes(text)) {
    throw new ValueError(`${text} records cannot be changed by an update`);
  }
  return max === 0 ? text : `${text}(${max})`;
}

function readLease(value: unknown): number {
  const ms = value === 0 ? 0 : parseDuration(requireText(value));
  if (ms === 0) return 0;
  if (ms < MIN_LEASE_SECONDS * 1000 || ms > 365 * 86_400_000 || ms % 1000 !== 0) {
    throw new ValueError(`"${value}" is no lease (allowed: 0s, or ${MIN_LEASE_SECONDS}s to 365d, in whole seconds)`);
  }
  return ms / 1000;
}

/** One key name or several, as `dns.keys` has them. */
function readKeyNames(value: unknown): string[] {
  const names = Array.isArray(value) ? value.map(requireText) : [requireText(value)];
  if (names.length === 0) throw new ValueError('an empty list: a rule is about one key at least');
  return names.map(readDomainName);
}
