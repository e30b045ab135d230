/** What requests may carry, in the fields of the configuration: each is checked by what describes it. */
import { parseDuration } from '../../core/duration.ts';
import { ValueError } from '../../core/errors.ts';
import { readDomainName } from '../config/domain-name.ts';
import { choice, flag, integer, leaf, list, milliseconds, parsed, section, show, text } from '../config/fields.ts';
import { roles } from '../join/state.ts';

export { member as newMember } from '../config/proxy.ts';

/** RFC 2181 §8. */
const maxTtl = 2 ** 31 - 1;

/** An operator's word on a member. */
export const memberOrder = section({
  state: choice(['ready', 'drain', 'maint']).optional().describe('whether it takes new sessions'),
  weight: integer(0, 256).optional().describe('in place of the configured weight'),
}).superRefine(({ state, weight }, ctx) => {
  if (state === undefined && weight === undefined) {
    ctx.addIssue({ code: 'custom', message: 'state or weight is wanted' });
  }
});

/** An RRset that replaces what is there. */
export const recordSet = section({
  ttl: leaf({ kind: 'TTL', allowed: `seconds from 0 to ${maxTtl}, or a duration` }, readTtl).describe('of all records'),
  data: list(text('RDATA'), 1).describe('one text a record, as in a zone file (RFC 1035 §5)'),
});

/** What to forget. */
export const cacheFlush = section({
  name: parsed({ kind: 'domain name' }, readDomainName)
    .optional()
    .describe('this name and all below it; without it everything'),
});

/** How a secondary zone's primaries are asked. */
export const zoneRefresh = section({
  whole: flag().prefault(false).describe('take all of the zone over, whatever its serial'),
});

/** A token for a node that is to join. */
export const nodeToken = section({
  role: choice(roles).describe('what the node is to be'),
  ttl: milliseconds(60_000, 30 * 86_400_000)
    .optional()
    .describe('how long it lasts; else as `join.ttl` says'),
  name: text('name').optional().describe('the only node it is good for; it may replace one that is there'),
});

/** What `kubeadm join` needs. */
export const joinMaterial = section({
  text: text('lines').describe(
    'lines of NAME=value: BOOTSTRAP_TOKEN and CA_CERT_HASHES, for control planes CERTIFICATE_KEY, with BOOTSTRAP_TOKEN_EXPIRES and CERTIFICATE_KEY_EXPIRES',
  ),
});

function readTtl(value: unknown): number {
  const seconds = typeof value === 'string' ? parseDuration(value) / 1000 : value;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 0 || seconds > maxTtl) {
    throw new ValueError(`${show(value)}: whole seconds from 0 to ${maxTtl} are wanted`);
  }
  return seconds;
}
