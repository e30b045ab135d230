/** The page: asks the API every few seconds, at once after an event, and not at all while nobody looks. */
import { ApiError, askForToken, call, get } from './api.js';
import { draw } from './charts.js';
import { showDns } from './dns.js';
import { byId, h } from './dom.js';
import { followEvents } from './events.js';
import { bitRate, count, duration, percent } from './format.js';
import { showPools } from './pools.js';
import { showAdvertisements } from './ra.js';
import { followInput, readZones, showZones } from './zones.js';

const everyMs = 5000;
/** Events come in bursts. */
const afterEventMs = 300;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let asking = false;
let askAgain = false;

/** @param {unknown} error */
function showError(error) {
  const message = byId('message');
  message.hidden = error === undefined;
  if (error === undefined) return;
  message.textContent = error instanceof Error ? error.message : String(error);
}

async function refresh() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  clearTimeout(timer);
  try {
    const span = /** @type {HTMLInputElement} */ (document.querySelector('[name=span]:checked')).value;
    const [status, history, pools, dns, zones, ra, ready] = await Promise.all([
      get('/v1/status'),
      get(`/v1/history?span=${span}`),
      get('/v1/pools'),
      get('/v1/dns'),
      readZones(),
      get('/v1/ra'),
      readiness(),
    ]);
    showHealth(status, ready);
    showTiles(status, history, dns, pools);
    draw(history);
    showPools(pools, showError, () => void refresh());
    showDns(dns);
    showZones(zones, showError);
    showAdvertisements(ra);
    showError(undefined);
  } catch (error) {
    await explain(error);
  } finally {
    asking = false;
    schedule(askAgain ? 0 : everyMs);
    askAgain = false;
  }
}

/** @param {unknown} error */
async function explain(error) {
  if (error instanceof ApiError && error.isLate) {
    askAgain = true;
    return;
  }
  if (error instanceof ApiError && error.status === 401) {
    const health = byId('health');
    health.className = 'badge warn';
    health.textContent = 'a token is needed';
    await askForToken();
    return;
  }
  const health = byId('health');
  health.className = 'badge bad';
  health.textContent = error instanceof ApiError ? error.message : 'v6edge does not answer';
}

/** @param {number} delayMs */
function schedule(delayMs) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(() => void refresh(), delayMs);
}

async function readiness() {
  try {
    await call('/readyz');
    return undefined;
  } catch (error) {
    return error instanceof ApiError ? error.message : 'unknown';
  }
}

/** @param {any} status @param {string | undefined} notReady */
function showHealth(status, notReady) {
  const health = byId('health');
  health.className = `badge ${notReady === undefined ? 'good' : 'bad'}`;
  health.textContent = notReady === undefined ? `ready, up ${duration(status.uptimeSeconds)}` : notReady;
  byId('version').textContent = status.version;
}

/** @param {any} status @param {any} history @param {any} dns @param {any[]} pools */
function showTiles(status, history, dns, pools) {
  const last = (/** @type {string} */ figure) => history.series[figure]?.at(-1) ?? 0;
  const members = pools.flatMap((pool) => pool.members);
  const up = pools.reduce((sum, pool) => sum + pool.up, 0);
  const hits = last('answersCache') + last('answersStale');
  const healthy = dns.upstreams.filter((/** @type {any} */ one) => one.healthy).length;
  /** @type {[string, string, string?][]} */
  const tiles = [
    ['Members up', `${up} of ${members.length}`, up < members.length ? 'bad' : undefined],
    ['Open sessions', count(status.totals.sessionsNow ?? 0)],
    ['New connections', `${count(last('connections'))}/s`],
    ['To members', bitRate(last('bytesIn'))],
    ['To clients', bitRate(last('bytesOut'))],
    ['DNS queries', `${count(last('queries'))}/s`],
    ['From the cache', percent(hits, hits + last('answersForwarded'))],
    ['Upstreams up', `${healthy} of ${dns.upstreams.length}`, healthy < dns.upstreams.length ? 'bad' : undefined],
  ];
  byId('tiles').replaceChildren(
    ...tiles.map(([title, value, tone]) => h('div', {}, h('dt', {}, title), h('dd', { class: tone }, value))),
  );
}

byId('token-button').addEventListener('click', () => {
  void askForToken().then((given) => {
    if (given) void refresh();
  });
});
byId('span').addEventListener('change', () => void refresh());
document.addEventListener('visibilitychange', () => schedule(0));
followInput(showError);
followEvents(() => schedule(afterEventMs));
void refresh();
