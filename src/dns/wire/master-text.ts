/** The text of master files (RFC 1035 §5.1): entries and tokens, and what a token says. Escapes stay in a token's text. */
import { ValueError } from '../../core/errors.ts';
import { type Name, nameFromText } from './name.ts';

/** A token; `quoted` if it stood in double quotes. */
export interface Token {
  readonly text: string;
  readonly quoted: boolean;
}

/** One entry: a line, or several that parentheses join. */
export interface MasterEntry {
  /** Where it begins, from 1. */
  readonly line: number;
  /** Whether it begins with a blank: the owner is the last one. */
  readonly startsBlank: boolean;
  readonly tokens: readonly Token[];
  /** What is wrong with its form. */
  readonly fault?: string;
}

/** The entries of a text that have tokens; comments and empty lines left out. */
export function* masterEntries(text: string): Generator<MasterEntry> {
  const scanner = new Scanner(text);
  for (;;) {
    const entry = scanner.next();
    if (entry === undefined) return;
    if (entry.tokens.length > 0 || entry.fault !== undefined) yield entry;
  }
}

/**
 * The tokens of one record's data.
 * @throws {ValueError}
 */
export function tokenize(text: string): readonly Token[] {
  const [first, second] = [...masterEntries(` ${text}`)];
  if (first?.fault !== undefined || second !== undefined) {
    throw new ValueError(first?.fault ?? 'record data must be on one line');
  }
  return first?.tokens ?? [];
}

const DELIMITERS = ' \t\r\n();"';

class Scanner {
  readonly #text: string;
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  next(): MasterEntry | undefined {
    const text = this.#text;
    if (this.#at >= text.length) return undefined;
    const line = this.#line;
    const startsBlank = text[this.#at] === ' ' || text[this.#at] === '\t';
    const tokens: Token[] = [];
    let depth = 0;
    for (; this.#at < text.length; ) {
      const char = text[this.#at]!;
      if (char === '\n') {
        this.#at++;
        this.#line++;
        if (depth === 0) return { line, startsBlank, tokens };
      } else if (char === ' ' || char === '\t' || char === '\r') {
        this.#at++;
      } else if (char === ';') {
        this.#skipLine();
      } else if (char === '(' || char === ')') {
        this.#at++;
        depth += char === '(' ? 1 : -1;
        if (depth < 0) return this.#fault(line, startsBlank, 'a closing parenthesis without an opening one');
      } else {
        const token = char === '"' ? this.#quoted() : this.#word();
        if (token === undefined) return this.#fault(line, startsBlank, 'a quotation mark without its partner');
        tokens.push(token);
      }
    }
    if (depth > 0) return this.#fault(line, startsBlank, 'an opening parenthesis without a closing one');
    return { line, startsBlank, tokens };
  }

  /** Goes on at the next line, so that later faults are found as well. */
  #fault(line: number, startsBlank: boolean, fault: string): MasterEntry {
    this.#skipLine();
    this.#at++;
    this.#line++;
    return { line, startsBlank, tokens: [], fault };
  }

  #skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  #quoted(): Token | undefined {
    const start = ++this.#at;
    if (!this.#toQuote()) return undefined;
    return { text: this.#text.slice(start, this.#at++), quoted: true };
  }

  /** Everything up to a delimiter; quotes after `=` belong to the word: `alpn="h2,h3"` (RFC 9460 §2.1). */
  #word(): Token | undefined {
    const text = this.#text;
    const start = this.#at;
    for (; this.#at < text.length; this.#at++) {
      const char = text[this.#at]!;
      if (char === '\\' && this.#at + 1 < text.length && text[this.#at + 1] !== '\n') this.#at++;
      else if (char === '"' && text[this.#at - 1] === '=') {
        this.#at++;
        if (!this.#toQuote()) return undefined;
      } else if (DELIMITERS.includes(char)) break;
    }
    return { text: text.slice(start, this.#at), quoted: false };
  }

  /** Moves to the closing quotation mark; a line's end is none (a lost mark would swallow the file). */
  #toQuote(): boolean {
    const text = this.#text;
    for (; this.#at < text.length && text[this.#at] !== '\n'; this.#at++) {
      if (text[this.#at] === '\\') this.#at++;
      else if (text[this.#at] === '"') return true;
    }
    return false;
  }
}

/** A record's data as tokens, read one after the other. Every method throws `ValueError` when it cannot give its kind. */
export class RdataReader {
  readonly #tokens: readonly Token[];
  readonly #origin: Name | undefined;
  #at = 0;

  /** @param origin what relative names are relative to; undefined = the root */
  constructor(tokens: readonly Token[], origin?: Name) {
    this.#tokens = tokens;
    this.#origin = origin;
  }

  get more(): boolean {
    return this.#at < this.#tokens.length;
  }

  /** The next token, left where it is. */
  peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  token(what: string): Token {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new ValueError(`${what} is missing`);
    return token;
  }

  integer(max: number, what: string): number {
    const { text } = this.token(what);
    if (!/^\d{1,20}$/.test(text) || Number(text) > max) {
      throw new ValueError(`${what} is a number from 0 to ${max}, not "${text}"`);
    }
    return Number(text);
  }

  name(what: string): Name {
    const { text } = this.token(what);
    if (text === '@') return this.#origin ?? nameFromText('.');
    return nameFromText(text, this.#origin ?? nameFromText('.'));
  }

  /** A character-string's octets (RFC 1035 §3.3). */
  octets(what: string): Uint8Array {
    return tokenOctets(this.token(what).text);
  }

  /** All that is left as one word: long hexadecimal and base64 data may be split by blanks. */
  rest(): string {
    let text = '';
    while (this.more) text += this.token('').text;
    return text;
  }

  /** Says that all was read. */
  end(): void {
    if (this.more) throw new ValueError(`"${this.token('').text}" is more than the record's type has`);
  }
}

/**
 * The octets of a token: `\DDD` and `\X` resolved, other characters in UTF-8.
 * @throws {ValueError}
 */
export function tokenOctets(text: string): Uint8Array {
  if (!text.includes('\\')) return Uint8Array.from(Buffer.from(text));
  const parts: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf('\\', at);
    parts.push(Buffer.from(text.slice(at, next < 0 ? text.length : next)));
    if (next < 0) break;
    const digits = /^\d{3}/.exec(text.slice(next + 1, next + 4))?.[0];
    if (digits === undefined ? next + 1 >= text.length : Number(digits) > 255) {
      throw new ValueError(`"${text}" has a bad escape in it`);
    }
    const escaped = String.fromCodePoint(text.codePointAt(next + 1)!);
    parts.push(digits === undefined ? Buffer.from(escaped) : Buffer.of(Number(digits)));
    at = next + 1 + (digits ?? escaped).length;
  }
  return Uint8Array.from(Buffer.concat(parts));
}

/** Octets as a quoted character-string. */
export function quote(octets: Uint8Array): string {
  let text = '"';
  for (const octet of octets) {
    if (octet < 0x20 || octet >= 0x7f) text += `\\${String(octet).padStart(3, '0')}`;
    else text += (octet === 0x22 || octet === 0x5c ? '\\' : '') + String.fromCharCode(octet);
  }
  return `${text}"`;
}

/**
 * Seconds, as a number or with units: `3600`, `1h`, `1w2d` (BIND's form).
 * @throws {ValueError}
 */
export function ttlFromText(text: string): number {
  const units: Record<string, number> = { w: 604800, d: 86400, h: 3600, m: 60, s: 1 };
  let seconds = 0;
  if (/^\d{1,10}$/.test(text)) seconds = Number(text);
  else if (/^(\d{1,10}[wdhms])+$/i.test(text)) {
    for (const [, count, unit] of text.matchAll(/(\d+)([a-z])/gi))
      seconds += Number(count) * units[unit!.toLowerCase()]!;
  } else throw new ValueError(`"${text}" is no time; write seconds, or for example 1h30m`);
  // RFC 2181 §8: 31 bits.
  if (seconds > 0x7fffffff) throw new ValueError(`"${text}" is more than 2147483647 seconds`);
  return seconds;
}
