/** Zones and their records, with a search that the daemon does. */
import { call, get } from './api.js';
import { byId, h, replace, table } from './dom.js';
import { ago, count } from './format.js';

const pageSize = 100;
const select = /** @type {HTMLSelectElement} */ (byId('zone-select'));
const search = /** @type {HTMLInputElement} */ (byId('zone-search'));
const more = /** @type {HTMLButtonElement} */ (byId('zone-more'));

/** @type {any[]} */
let zones = [];
/** @type {any[]} */
let shown = [];
/** @type {string | undefined} */
let next;
/** Of the zone and search that are shown: an answer to an older wish is dropped. */
let wish = 0;

/** @param {any[]} list @param {(error: unknown) => void} onError */
export function showZones(list, onError) {
  const before = zones.find(({ name }) => name === select.value);
  const same = list.length === zones.length && list.every(({ name }, i) => name === zones[i].name);
  zones = list;
  if (!same) {
    const chosen = select.value;
    select.replaceChildren(...list.map(({ name }) => h('option', { value: name, selected: name === chosen }, name)));
  }
  const now = zones.find(({ name }) => name === select.value);
  byId('zone-summary').textContent =
    now === undefined
      ? 'No zones are configured.'
      : `serial ${now.serial}, ${count(now.records)} records, ${now.lastUpdate === undefined ? 'no update since the start' : `last update ${ago(now.lastUpdate)}`}${copyOf(now)}`;
  if (now !== undefined && (before === undefined || before.name !== now.name || before.serial !== now.serial))
    load(onError);
}

/** Where a secondary zone comes from, and how it is. @param {any} zone */
function copyOf({ secondary }) {
  if (secondary === undefined) return '';
  const { state, primary, primaries, lastRefresh, lastError } = secondary;
  const why = lastError === undefined ? '' : ` (${lastError})`;
  return `; copied from ${primary ?? primaries[0]}, ${state}, confirmed ${ago(lastRefresh)}${why}`;
}

/** @param {(error: unknown) => void} onError */
export function followInput(onError) {
  select.addEventListener('change', () => load(onError));
  search.addEventListener('input', () => load(onError));
  byId('zone-form').addEventListener('submit', (event) => event.preventDefault());
  more.addEventListener('click', () => void page(wish, next).catch(onError));
}

/** @param {(error: unknown) => void} onError */
function load(onError) {
  wish++;
  const query = new URLSearchParams({ limit: String(pageSize) });
  if (search.value !== '') query.set('search', search.value);
  shown = [];
  void page(wish, `/v1/zones/${encodeURIComponent(select.value)}/records?${query}`).catch(onError);
}

/** @param {number} of @param {string | undefined} path */
async function page(of, path) {
  if (path === undefined) return;
  const response = await call(path);
  const records = await response.json();
  if (of !== wish) return;
  shown = [...shown, ...records];
  next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  more.hidden = next === undefined;
  const rows = shown.map(({ name, type, ttl, data }) => [
    h('code', { class: 'mono' }, name),
    type,
    ttl,
    h(
      'code',
      { class: 'mono' },
      data.flatMap((/** @type {string} */ one, /** @type {number} */ i) => (i === 0 ? [one] : [h('br'), one])),
    ),
  ]);
  const caption = `${select.value}: ${shown.length}${next === undefined ? '' : ' of more'} RRsets`;
  const columns = [{ title: 'Name' }, { title: 'Type' }, { title: 'TTL', number: true }, { title: 'Data' }];
  replace(
    byId('zone-records'),
    rows.length === 0 ? h('p', { class: 'quiet' }, 'No such names.') : table(caption, columns, rows),
  );
}

/** The zones there are. */
export function readZones() {
  return get('/v1/zones');
}
