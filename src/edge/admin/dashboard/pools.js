/** Pools and members, with the orders one may give. */
import { change } from './api.js';
import { badge, byId, h, replace, table } from './dom.js';
import { ago, bytes, count } from './format.js';

/** @type {Record<string, 'good' | 'warn' | 'bad' | 'quiet'>} */
const tones = { up: 'good', drain: 'warn', draining: 'warn', maint: 'quiet', down: 'bad', unknown: 'quiet' };
/** @type {[order: string, label: string][]} */
const orders = [
  ['ready', 'Ready'],
  ['drain', 'Drain'],
  ['maint', 'Maint'],
];

/**
 * @param {any[]} pools
 * @param {(error: unknown) => void} onError
 * @param {() => void} onChanged
 */
export function showPools(pools, onError, onChanged) {
  const tables = pools.map((pool) =>
    h(
      'div',
      {},
      table(
        `${pool.name}: ${pool.up} of ${pool.members.length} up, ${pool.balance}, PROXY protocol ${pool.proxyProtocol}, check ${pool.check}`,
        [
          { title: 'Member' },
          { title: 'State' },
          { title: 'Weight', number: true },
          { title: 'Sessions', number: true },
          { title: 'Traffic', number: true },
          { title: 'Last check' },
          { title: 'Orders' },
        ],
        pool.members.map((/** @type {any} */ member) => memberRow(pool.name, member, onError, onChanged)),
      ),
      pool.discovery !== undefined && h('p', { class: 'quiet' }, discoveryText(pool.discovery)),
    ),
  );
  replace(
    byId('pools-body'),
    ...(tables.length > 0 ? tables : [h('p', { class: 'quiet' }, 'No pools are configured.')]),
  );
}

/**
 * @param {string} pool @param {any} member
 * @param {(error: unknown) => void} onError @param {() => void} onChanged
 */
function memberRow(pool, member, onError, onChanged) {
  const path = `/v1/pools/${encodeURIComponent(pool)}/members/${encodeURIComponent(member.name)}`;
  const buttons = orders.map(([state, label]) =>
    h(
      'button',
      {
        type: 'button',
        'data-key': `${pool}/${member.name}/${state}`,
        'aria-label': `${label}: ${member.name} of ${pool}`,
        'aria-pressed': String(member.admin === state),
        disabled: member.admin === state,
        onclick: () => void change('PATCH', path, { state }).then(onChanged, onError),
      },
      label,
    ),
  );
  const check = member.lastCheck;
  const totals = member.totals;
  return [
    h('span', {}, member.name, ' ', h('code', { class: 'mono quiet' }, address(member))),
    h(
      'span',
      {},
      badge(tones[member.state] ?? 'quiet', member.leaving ? 'leaving' : member.state),
      ' ',
      h('span', { class: 'quiet' }, `${member.reason}, `, whole(ago(member.since))),
    ),
    member.weight === member.configuredWeight ? member.weight : `${member.weight} of ${member.configuredWeight}`,
    h('span', {}, whole(`${count(member.active)} now`), ', ', whole(`${count(totals.sessions ?? 0)} in all`)),
    h('span', {}, whole(`${bytes(totals.bytesIn ?? 0)} in`), ', ', whole(`${bytes(totals.bytesOut ?? 0)} out`)),
    check === undefined
      ? '–'
      : h(
          'span',
          {},
          h('span', { class: check.ok ? 'good' : 'bad' }, check.code),
          h(
            'span',
            { class: 'quiet' },
            ` ${check.reason}, `,
            whole(`${Math.round(check.durationMs)} ms`),
            ', ',
            whole(ago(check.at)),
          ),
        ),
    h('span', { class: 'buttons' }, buttons),
  ];
}

/** Text that is not broken. @param {string} text */
function whole(text) {
  return h('span', { class: 'whole' }, text);
}

/** @param {any} member */
function address({ address, port }) {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** @param {any} discovery */
function discoveryText({ name, members, lastGood, error }) {
  const failed = error === undefined ? '' : `; the last lookup failed: ${error}`;
  return `Members come from ${name}: ${members}, last answer ${ago(lastGood)}${failed}`;
}
