/** What is advertised on each interface, and which routers say something else. */
import { badge, byId, h, replace, table } from './dom.js';
import { ago, count } from './format.js';

/** @param {any[]} interfaces */
export function showAdvertisements(interfaces) {
  const parts = interfaces.map((one) =>
    h(
      'div',
      {},
      h(
        'h3',
        {},
        `${one.interface} `,
        badge(one.state === 'advertising' ? 'good' : 'bad', one.state),
        h('span', { class: 'quiet' }, one.reason ? ` ${one.reason}` : ''),
      ),
      h(
        'p',
        { class: 'quiet' },
        `last sent ${ago(one.lastSent)}, last solicitation ${ago(one.lastSolicitation)}`,
        one.lastSolicitedBy ? ` from ${one.lastSolicitedBy}` : '',
        `; ${count(one.totals.sentMulticast ?? 0)} multicast and ${count(one.totals.sentUnicast ?? 0)} unicast sent, `,
        `${count(one.totals.sendFailures ?? 0)} failed`,
        one.lastError ? ` (${one.lastError})` : '',
      ),
      one.asConfig &&
        h(
          'pre',
          { class: 'mono', tabindex: 0, 'aria-label': `Advertised on ${one.interface}` },
          lines(one.asConfig.entry),
        ),
      ...(one.withdrawn?.length > 0
        ? [h('p', { class: 'warn' }, `Taken back, with lifetime 0: ${one.withdrawn.map(flow).join(', ')}`)]
        : []),
      routers(one),
    ),
  );
  replace(byId('ra-body'), ...(parts.length > 0 ? parts : [h('p', { class: 'quiet' }, 'No interface advertises.')]));
}

/** @param {any} one */
function routers(one) {
  if (!one.routers || one.routers.length === 0) return h('p', { class: 'quiet' }, 'No other router was heard.');
  return table(
    `Other routers on ${one.interface}`,
    [{ title: 'Router' }, { title: 'Last heard' }, { title: 'Default router for' }, { title: 'Contradictions' }],
    one.routers.map((/** @type {any} */ router) => [
      h('code', { class: 'mono' }, router.source),
      ago(Date.parse(router.lastSeen)),
      router.advertisement.lifetime === 0
        ? 'no'
        : `${router.advertisement.lifetime} s, ${router.advertisement.preference}`,
      router.contradictions.length === 0
        ? badge('good', 'none')
        : h(
            'span',
            { class: 'bad' },
            router.contradictions
              .map((/** @type {any} */ c) => `${c.what}: ours ${c.ours}, theirs ${c.theirs}`)
              .join('; '),
          ),
    ]),
  );
}

/** An entry of the configuration, a line a key; an entry of a list is one line as well. @param {Record<string, unknown>} entry */
function lines(entry) {
  return Object.entries(entry)
    .map(([key, value]) =>
      Array.isArray(value) && value.some((each) => typeof each === 'object')
        ? [`${key}:`, ...value.map((each) => `  - ${flow(each)}`)].join('\n')
        : `${key}: ${flow(value)}`,
    )
    .join('\n');
}

/** A value in YAML's flow style. @param {unknown} value @returns {string} */
function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'string') return /^[\w./-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, each]) => `${key}: ${flow(each)}`)
    .join(', ')} }`;
}
