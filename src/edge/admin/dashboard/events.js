/** What happens, the newest first. */
import { readEvents } from './api.js';
import { byId, h } from './dom.js';

const kept = 200;

/** @param {() => void} onEvent called after each, so that what it changed is shown at once */
export function followEvents(onEvent) {
  const list = byId('events-list');
  void readEvents('/v1/events', ({ kind, data }) => {
    const at = new Date(data.at);
    list.prepend(
      h(
        'li',
        {},
        h('time', { datetime: at.toISOString() }, at.toLocaleTimeString()),
        h('span', { class: toneOf(data) }, inWords(kind, data)),
      ),
    );
    while (list.childElementCount > kept) list.lastElementChild?.remove();
    onEvent();
  });
}

/** @param {any} data */
function toneOf(data) {
  if (data.to === 'down' || data.errors?.length > 0 || data.kind === 'zone-expired') return 'bad';
  return data.to === 'up' ? 'good' : '';
}

/** @param {string} kind @param {any} data */
function inWords(kind, data) {
  switch (kind) {
    case 'member':
      return `${data.pool}/${data.member}: ${data.from} → ${data.to} (${data.reason})`;
    case 'zone-updated':
      return `zone ${data.zone}: serial ${data.serial}${data.by ? `, by ${data.by}` : ''}`;
    case 'zone-transferred':
      return `zone ${data.zone}: serial ${data.serial}, by ${data.method.toUpperCase()} from ${data.primary}`;
    case 'zone-expired':
      return `zone ${data.zone} has expired: no primary has confirmed it`;
    case 'reload':
      return data.errors.length > 0 ? `reload refused: ${data.errors.join('; ')}` : 'configuration reloaded';
    default: {
      const { at: _at, kind: _kind, ...rest } = data;
      return `${kind}: ${Object.entries(rest)
        .filter(([, value]) => value !== undefined && value !== null)
        .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
        .join(', ')}`;
    }
  }
}
