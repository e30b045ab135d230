/** Other routers on a link: what in their advertisements makes nodes do something else than ours say. */
import type { Evidence } from './evidence.ts';
import type { Finding } from './report.ts';
import { ago } from './words.ts';

/** Options that configure nodes. */
const sources = new Set(['prefix-information', 'rdnss', 'dnssl']);

/** @param interfaces those that are looked at */
export function routerFindings({ ra, now }: Evidence, interfaces: readonly string[]): Finding[] {
  return ra
    .filter((one) => interfaces.includes(one.interface))
    .flatMap(({ interface: name, routers }) =>
      routers.map(({ source, lastSeen, contradictions, advertisement }): Finding => {
        const says = contradictions.map(({ what, ours, theirs }) => `${what} ${theirs} (ours ${ours})`);
        // Whoever is only the way out is no second source of addresses and name servers.
        const onlyGateway = says.length === 0 && !advertisement.options.some(({ kind }) => sources.has(String(kind)));
        return {
          id: 'two-routers',
          severity: onlyGateway ? 'note' : 'warning',
          subject: `${name} ${source}`,
          text:
            `two routers advertise on ${name}: ${source} as well (heard ${ago(now, Date.parse(lastSeen))})` +
            (says.length === 0 ? '' : `; it contradicts us in ${says.join(', ')}`),
          run: onlyGateway
            ? []
            : [
                `v6edge ra watch --interface ${name}   # what it says`,
                'end the other (an old radvd?), or make both say the same',
              ],
          where: 'edge',
        };
      }),
    );
}
