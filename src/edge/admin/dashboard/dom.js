/** Elements without markup in strings: text stays text, whoever sent it. */

/**
 * @typedef {string | number | Node | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | undefined | (() => void)>} Attributes
 */

/**
 * @param {string} tag
 * @param {Attributes} [attributes] `on…` are listeners; false and undefined leave one out
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** The element with an id; the page has it. @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no #${id}`);
  return element;
}

/** @param {'good' | 'warn' | 'bad' | 'quiet'} tone @param {string} text */
export function badge(tone, text) {
  return h('span', { class: `badge ${tone}` }, text);
}

/**
 * @typedef {{ title: string, number?: boolean }} Column
 * @param {string} caption
 * @param {Column[]} columns the first is the row's heading
 * @param {Child[][]} rows
 */
export function table(caption, columns, rows) {
  return h(
    'table',
    {},
    h('caption', {}, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        columns.map(({ title, number }) => h('th', { scope: 'col', class: number === true && 'number' }, title)),
      ),
    ),
    h(
      'tbody',
      {},
      rows.map((cells) =>
        h(
          'tr',
          {},
          cells.map((cell, i) => {
            const column = columns[i];
            if (i === 0) return h('th', { scope: 'row' }, cell);
            return h('td', { 'data-label': column?.title, class: column?.number === true && 'number' }, cell);
          }),
        ),
      ),
    ),
  );
}

/** While a pointer is down nothing is put in place of what it is on: the click would be lost. */
let pressed = false;
/** @type {Map<HTMLElement, Node[]>} */
const waiting = new Map();
document.addEventListener('pointerdown', () => (pressed = true), true);
for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => setTimeout(released), true);

function released() {
  pressed = false;
  const content = [...waiting];
  waiting.clear();
  for (const [place, nodes] of content) replace(place, ...nodes);
}

/**
 * Puts new content in place without taking the focus away: what had it is found again by its `data-key`.
 * @param {HTMLElement} place @param {...Node} content
 */
export function replace(place, ...content) {
  if (pressed) {
    waiting.set(place, content);
    return;
  }
  const { activeElement } = document;
  const key = place.contains(activeElement) ? activeElement?.getAttribute('data-key') : null;
  place.replaceChildren(...content);
  if (key === null || key === undefined) return;
  const again = place.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (again instanceof HTMLElement) again.focus();
}
