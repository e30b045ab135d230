/** What happens, the newest first. */
import { readEvents } from './api.js';
import { byId, h } from './dom.js';
import { duration, timeOfDay } from './format.js';

const kept = 200;
/** Of what an update changed. */
const namesShown = 3;

/**
 * Events of one cause stand under one another, folded into one line once there is more than one of them.
 * @type {Map<string, { item: HTMLElement, line: HTMLElement, list?: HTMLElement, summary?: HTMLElement }>}
 */
const stories = new Map();

/** @param {() => void} onEvent called after each, so that what it changed is shown at once */
export function followEvents(onEvent) {
  const list = byId('events-list');
  void readEvents('/v1/events', ({ kind, data }) => {
    if (!join(kind, data)) {
      const line = lineOf(kind, data);
      const item = h('li', {}, line);
      list.prepend(item);
      if (data.cause) stories.set(data.cause, { item, line });
    }
    while (list.childElementCount > kept) list.lastElementChild?.remove();
    for (const [cause, { item }] of stories) if (!item.isConnected) stories.delete(cause);
    onEvent();
  });
}

/** @param {string} kind @param {any} data */
function lineOf(kind, data) {
  const at = new Date(data.at);
  return h(
    'span',
    { class: 'event' },
    h('time', { datetime: at.toISOString() }, timeOfDay(data.at, true)),
    h('span', { class: toneOf(data) }, inWords(kind, data)),
  );
}

/** Puts an event to the others of its story. False: it has none yet. @param {string} kind @param {any} data */
function join(kind, data) {
  const story = data.cause ? stories.get(data.cause) : undefined;
  if (story === undefined) return false;
  if (story.list === undefined) {
    story.list = h('ol', {}, h('li', {}, story.line.cloneNode(true)));
    story.summary = h('summary', {}, story.line);
    story.item.replaceChildren(h('details', { class: 'story' }, story.summary, story.list));
  }
  // The story's own event says all of it in one line.
  if (kind === 'story') story.summary?.replaceChildren(lineOf(kind, data));
  else story.list.append(h('li', {}, lineOf(kind, data)));
  return true;
}

/** @param {any} data */
function toneOf(data) {
  if (
    data.to === 'down' ||
    (data.kind === 'pool' && data.state === 'empty') ||
    data.errors?.length > 0 ||
    data.kind === 'zone-expired'
  )
    return 'bad';
  return data.to === 'up' ? 'good' : '';
}

/** The first few of what changed. @param {string[]} changed @param {number} others that are not in the list */
function names(changed, others = 0) {
  const more = changed.length + others - namesShown;
  return `${changed.slice(0, namesShown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** @param {string} kind @param {any} data */
function inWords(kind, data) {
  switch (kind) {
    case 'member':
      return `${data.pool}/${data.member}: ${data.from} → ${data.to} (${data.reason})`;
    case 'zone-updated':
      return `zone ${data.zone}: ${names(data.changed, data.more)} (serial ${data.serial}${data.by ? `, by ${data.by}` : ''})`;
    case 'zone-transferred':
      return `zone ${data.zone}: serial ${data.serial}, by ${data.method.toUpperCase()} from ${data.primary}`;
    case 'zone-expired':
      return `zone ${data.zone} has expired: no primary has confirmed it`;
    case 'story':
      return data.text;
    case 'discovery':
      return `pool ${data.pool}: ${[...data.added.map((/** @type {string} */ each) => `+${each}`), ...data.gone.map((/** @type {string} */ each) => `−${each}`)].join(' ')}`;
    case 'pool':
      return data.state === 'empty'
        ? `pool ${data.pool} turns clients away: ${data.reason}`
        : `pool ${data.pool} serves again: ${data.reason}`;
    case 'member-removed':
      return `${data.pool}/${data.member} is gone`;
    case 'ra-state':
      return `${data.interface}: ${data.state}${data.reason ? ` (${data.reason})` : ''}`;
    case 'ra-router-seen':
      return `${data.interface}: another router, ${data.router}${data.lifetimeSeconds > 0 ? `, a default router for ${duration(data.lifetimeSeconds)}` : ''}`;
    case 'ra-router-gone':
      return `${data.interface}: router ${data.router} is gone`;
    case 'ra-contradiction':
      return `${data.interface}: router ${data.router} says ${data.what} ${data.theirs}, we say ${data.ours}`;
    case 'member-warning':
      return `${data.pool}/${data.member}: ${data.reason}`;
    case 'node-joined':
      return `node ${data.node} joined as ${data.role}, from ${data.source}`;
    case 'node-removed':
      return `node ${data.node} was removed`;
    case 'reload':
      return data.errors.length > 0 ? `reload refused: ${data.errors.join('; ')}` : 'configuration reloaded';
    default: {
      const { at: _at, kind: _kind, cause: _cause, ...rest } = data;
      return `${kind}: ${Object.entries(rest)
        .filter(([, value]) => value !== undefined && value !== null)
        .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
        .join(', ')}`;
    }
  }
}
