/** The table of the walk: a row as soon as a step is done, aligned, coloured on terminals only. */

export interface Row {
  readonly chapter: string;
  readonly tried: string;
  readonly got: string;
  readonly ok: boolean;
  readonly ms: number;
}

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const triedWidth = 72;
const margin = 7;

/** Breaks words into lines of at most `width`; words longer than that stand alone. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.length === 0 ? [''] : lines;
}

export class Table {
  readonly #out: Output;
  readonly #tty: boolean;
  #progress = false;

  constructor(out: Output, environment: Readonly<Record<string, string | undefined>> = process.env) {
    this.#out = out;
    this.#tty = out.isTTY === true && environment.NO_COLOR === undefined && environment.TERM !== 'dumb';
  }

  title(text: string): void {
    this.#clear();
    this.#out.write(`\n${this.#paint('1', text)}\n`);
  }

  row({ tried, got, ok }: Row): void {
    this.#clear();
    const gotWidth = Math.max(40, (this.#out.columns ?? 160) - margin - triedWidth - 2);
    const left = wrap(tried, triedWidth);
    const right = wrap(got, gotWidth);
    const mark = ok ? this.#paint('32', 'ok') : this.#paint('31;1', 'FAIL');
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const head = i === 0 ? ` ${mark}${' '.repeat(margin - 1 - (ok ? 2 : 4))}` : ' '.repeat(margin);
      const line = `${head}${(left[i] ?? '').padEnd(triedWidth)}  ${right[i] ?? ''}`;
      this.#out.write(`${line.trimEnd()}\n`);
    }
  }

  /** A line that the next one replaces; nothing when nobody watches. */
  progress(text: string): void {
    if (!this.#tty) return;
    this.#clear();
    const width = (this.#out.columns ?? 80) - margin - 4;
    this.#out.write(`${' '.repeat(margin)}${this.#paint('2', `${text.slice(0, width)} ...`)}`);
    this.#progress = true;
  }

  text(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
  }

  #clear(): void {
    if (this.#progress) this.#out.write('\r\x1b[K');
    this.#progress = false;
  }

  #paint(code: string, text: string): string {
    return this.#tty ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
