/** haproxy.cfg as sections of lines of words (HAProxy configuration manual §2.2: quotes, backslashes, comments). */
import { ImportError, type Place, where } from './report.ts';

export interface Line {
  readonly place: Place;
  readonly words: readonly string[];
}

export interface HaproxySection {
  readonly place: Place;
  readonly kind: string;
  readonly name: string;
  readonly lines: readonly Line[];
}

const kinds = new Set(
  'global defaults frontend backend listen resolvers peers program userlist mailers cache http-errors ring log-forward'.split(
    ' ',
  ),
);

/** @throws {ImportError} */
export function parseHaproxy(text: string, file: string): HaproxySection[] {
  const sections: { place: Place; kind: string; name: string; lines: Line[] }[] = [];
  for (const [index, content] of text.split('\n').entries()) {
    const place = { file, line: index + 1 };
    const words = splitWords(content, place);
    const [first = '', name = ''] = words;
    if (first === '') continue;
    if (kinds.has(first)) sections.push({ place, kind: first, name, lines: [] });
    else if (sections.length === 0) {
      throw new ImportError(
        'V6_IMPORT_SYNTAX',
        `${where(place)}: "${first}" stands before any section; is this haproxy.cfg?`,
      );
    } else sections.at(-1)!.lines.push({ place, words });
  }
  return sections;
}

function splitWords(content: string, place: Place): string[] {
  const words: string[] = [];
  let word = '';
  let started = false;
  let quote = '';
  for (let i = 0; i < content.length; i++) {
    const char = content[i]!;
    if (char === '\\' && quote !== "'") {
      const code = /^x([0-9a-f]{2})/i.exec(content.slice(i + 1));
      word += code === null ? escaped(content[i + 1] ?? '') : String.fromCharCode(Number.parseInt(code[1]!, 16));
      i += code === null ? 1 : 3;
      started = true;
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      started = true;
    } else if (char === '#') break;
    else if (/\s/.test(char)) {
      if (started || word !== '') words.push(word);
      word = '';
      started = false;
    } else word += char;
  }
  if (quote !== '') throw new ImportError('V6_IMPORT_SYNTAX', `${where(place)}: a quote is not closed`);
  if (started || word !== '') words.push(word);
  return words;
}

/** §2.2: `\\r`, `\\n` and `\\t` are what they are in C; any other character stands for itself. */
function escaped(char: string): string {
  return { r: '\r', n: '\n', t: '\t' }[char] ?? char;
}

/** HAProxy's durations are milliseconds unless a unit follows. */
export function haproxyTime(text: string): string {
  if (/^\d+$/.test(text)) return `${text}ms`;
  return text.endsWith('us') ? '1ms' : text;
}
