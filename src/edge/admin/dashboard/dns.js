/** Upstreams, cache and response codes. */
import { badge, byId, h, replace, table } from './dom.js';
import { bytes, count, percent } from './format.js';

/** @param {any} dns */
export function showDns(dns) {
  const { upstreams, cache, totals, dns64 } = dns;
  const hits = (totals.answers_cache ?? 0) + (totals.answers_stale ?? 0);
  const asked = hits + (totals.cache_misses ?? 0);
  /** @type {Node[]} */
  const parts = [
    upstreams.length === 0
      ? h('p', { class: 'quiet' }, 'Nothing is forwarded.')
      : table(
          'Upstreams',
          [
            { title: 'Upstream' },
            { title: 'State' },
            { title: 'Round trip', number: true },
            { title: 'Sent', number: true },
            { title: 'Answered', number: true },
            { title: 'Timeouts', number: true },
            { title: 'Failures', number: true },
          ],
          upstreams.map((/** @type {any} */ one) => [
            h('code', { class: 'mono' }, one.endpoint),
            badge(one.healthy ? 'good' : 'bad', one.healthy ? 'healthy' : 'down'),
            one.rttMs === undefined ? '–' : `${one.rttMs.toFixed(1)} ms`,
            count(one.totals.sent),
            count(one.totals.answered),
            count(one.totals.timeouts),
            count(one.totals.failures),
          ]),
        ),
  ];
  if (cache.capacity > 0) {
    parts.push(
      h(
        'p',
        {},
        `Cache: ${count(cache.entries)} answers in ${bytes(cache.bytes)} of ${bytes(cache.capacity)}, `,
        `${percent(hits, asked)} of forwarded names answered from it, ${count(cache.evicted)} evicted.`,
      ),
    );
  }
  if (dns64 !== undefined) parts.push(h('p', {}, dns64Text(dns64)));
  const rcodes = Object.entries(totals)
    .filter(([name, value]) => name.startsWith('responses_') && /** @type {number} */ (value) > 0)
    .map(([name, value]) => `${name.slice('responses_'.length)} ${count(/** @type {number} */ (value))}`);
  if (rcodes.length > 0) parts.push(h('p', { class: 'quiet' }, `Responses since the start: ${rcodes.join(', ')}.`));
  replace(byId('dns-body'), ...parts);
}

/** @param {any} dns64 */
function dns64Text(dns64) {
  const prefixes = Array.isArray(dns64.prefixes) && dns64.prefixes.length > 0 ? `, ${dns64.prefixes.join(', ')}` : '';
  return `DNS64: ${dns64.mode ?? 'off'}${prefixes}.`;
}
