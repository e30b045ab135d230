/** `$GENERATE` (BIND's extension of RFC 1035 §5.1): one line that stands for many, `$` being the number of each. */
import { ValueError } from '../core/errors.ts';
import type { Token } from './wire/master-text.ts';

/** Records of one directive: a /16 of IPv4 addresses. */
const MAX_GENERATED = 65_536;
const MAX_WIDTH = 255;

/** The numbers of a range `start-stop[/step]`. */
export interface GenerateRange {
  readonly start: number;
  readonly stop: number;
  readonly step: number;
}

/** @throws {ValueError} */
export function parseRange(text: string): GenerateRange {
  const match = /^(\d{1,9})-(\d{1,9})(?:\/(\d{1,9}))?$/.exec(text);
  if (match === null) throw new ValueError(`"${text}" is no range; write for example 1-20 or 0-254/2`);
  const [start, stop, step] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 1)];
  if (step === 0 || stop < start) throw new ValueError(`the range "${text}" has no numbers`);
  if ((stop - start) / step >= MAX_GENERATED) throw new ValueError(`more than ${MAX_GENERATED} records by one line`);
  return { start, stop, step };
}

/**
 * The token for one number: `$` is the number, `${offset,width,base}` another form of it, `$$` and `\$` a dollar sign.
 * @throws {ValueError}
 */
export function substitute({ text, quoted }: Token, number: number): Token {
  if (!text.includes('$')) return { text, quoted };
  const replaced = text.replaceAll(
    /\\.|\$\$|\$(?:\{([^}]*)\})?/gs,
    (found: string, form: string | undefined, at: number): string => {
      if (found === '$$') return '\\$';
      if (found.startsWith('\\')) return found;
      if (form !== undefined) return formatNumber(form, number);
      if (text[at + 1] === '{') throw new ValueError(`"${text}": a brace is not closed`);
      return String(number);
    },
  );
  return { text: replaced, quoted };
}

function formatNumber(form: string, number: number): string {
  const match = /^([+-]?\d{1,9})(?:,(\d{1,3})(?:,([doxXnN]))?)?$/.exec(form);
  const width = Number(match?.[2] ?? 0);
  if (match === null || width > MAX_WIDTH) {
    throw new ValueError(`"\${${form}}" is no form of a number; write \${offset,width,base}, base one of d o x X n N`);
  }
  const value = number + Number(match[1]);
  const base = match[3] ?? 'd';
  if (value < 0 && base !== 'd') throw new ValueError(`"\${${form}}" makes ${value} of ${number}`);
  switch (base) {
    case 'o':
      return value.toString(8).padStart(width, '0');
    case 'x':
      return value.toString(16).padStart(width, '0');
    case 'X':
      return value.toString(16).toUpperCase().padStart(width, '0');
    case 'n':
      return nibbles(value, width);
    case 'N':
      return nibbles(value, width).toUpperCase();
    default:
      return value < 0 ? `-${String(-value).padStart(width - 1, '0')}` : String(value).padStart(width, '0');
  }
}

/** Hexadecimal digits from the lowest up, a dot between: labels of ip6.arpa. The width counts the dots. */
function nibbles(value: number, width: number): string {
  const digits = [...value.toString(16)].reverse();
  while (2 * digits.length - 1 < width) digits.push('0');
  return digits.join('.');
}
