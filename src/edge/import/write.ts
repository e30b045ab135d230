/** The new configuration as YAML, with a comment at everything that was not taken over. */
import { Document, isNode, type Node } from 'yaml';
import { type Note, type Section, where } from './report.ts';

/** @param about lines for the head of the file */
export function writeConfig(config: Section, notes: readonly Note[], about: readonly string[]): string {
  const document = new Document(config);
  const comments = new Map<string, Note[]>();
  for (const note of notes) {
    const path = nearest(document, note.path);
    const key = JSON.stringify(path);
    comments.set(key, [...(comments.get(key) ?? []), note]);
  }
  const head = [...about];
  for (const [key, list] of comments) {
    const path = JSON.parse(key) as (string | number)[];
    const text = list.map(noteText).join('\n');
    const target = path.length === 0 ? undefined : keyNode(document, path);
    if (target === undefined) head.push('', ...list.map(noteText));
    else target.commentBefore = indent(text);
  }
  document.commentBefore = indent(head.join('\n'));
  return document.toString({ lineWidth: 140, flowCollectionPadding: true });
}

function noteText({ place, text, why }: Note): string {
  return `${where(place)}: ${text}\n  -> ${why}`;
}

/** yaml puts `#` before each line as it is. */
function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : ` ${line}`))
    .join('\n');
}

/** The longest part of a path that is there. */
function nearest(document: Document, path: readonly (string | number)[]): readonly (string | number)[] {
  for (let length = path.length; length > 0; length--) {
    if (document.hasIn(path.slice(0, length))) return path.slice(0, length);
  }
  return [];
}

/** Where a comment above an entry belongs: at its key in a mapping, at the item in a list. */
function keyNode(document: Document, path: readonly (string | number)[]): Node | undefined {
  const last = path.at(-1);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (typeof last === 'number') {
    const item = document.getIn(path, true);
    return isNode(item) ? item : undefined;
  }
  const pairs = (parent as { items?: { key: unknown }[] } | null)?.items ?? [];
  const index = pairs.findIndex(
    ({ key }) => (isNode(key) ? (key as unknown as { value: unknown }).value : key) === last,
  );
  if (index < 0) return undefined;
  const pair = pairs[index]!;
  if (!isNode(pair.key)) pair.key = document.createNode(pair.key);
  return pair.key as Node;
}
