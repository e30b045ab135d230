/** Text for people: aligned columns, and colour where a terminal reads. */
import { styleText } from 'node:util';

export type Colour = 'green' | 'red' | 'yellow' | 'bold' | 'dim';

/** How to colour words. */
export type Paint = (colour: Colour, text: string) => string;

/** Colours for a terminal, none elsewhere or where NO_COLOR is set (no-color.org). */
export function paintFor(isTerminal: boolean, env: NodeJS.ProcessEnv): Paint {
  if (!isTerminal || (env.NO_COLOR ?? '') !== '') return (_, text) => text;
  return (colour, text) => styleText(colour, text, { validateStream: false });
}

/** One column: its heading, and `right` for numbers. */
export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Lines of columns as wide as they need to be, two spaces apart; the last is never padded. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[], paint: Paint): string {
  const widths = columns.map((column, i) => Math.max(column.title.length, ...rows.map((row) => visible(row[i] ?? ''))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        const fill = ' '.repeat(Math.max(0, widths[i]! - visible(cell)));
        return columns[i]?.right ? fill + cell : i === columns.length - 1 ? cell : cell + fill;
      })
      .join('  ')
      .trimEnd();
  const head = line(columns.map((column) => paint('bold', column.title)));
  return `${[head, ...rows.map(line)].join('\n')}\n`;
}

/** Characters that take a place on the screen. */
function visible(text: string): number {
  return text.replaceAll(/\p{Cc}\[[0-9;]*m/gu, '').length;
}

/** `3d 4h`, `2m 5s`: the two largest units. */
export function formatAge(ms: number): string {
  let rest = Math.max(0, Math.floor(ms / 1000));
  if (rest === 0) return '0s';
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    if (rest >= size || parts.length > 0) {
      if (Math.floor(rest / size) > 0) parts.push(`${Math.floor(rest / size)}${unit}`);
      rest %= size;
      if (parts.length === 2) break;
    }
  }
  return parts.join(' ');
}

/** `1.2 GB`: decimal units, as networks count. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'kB', 'MB', 'GB', 'TB']) {
    if (value < 1000 || unit === 'TB') return `${unit === 'B' ? value : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${bytes} B`;
}
