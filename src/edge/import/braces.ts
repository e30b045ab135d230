/**
 * The syntax that BIND and radvd share: words, strings, `{ … }` blocks and `;`, with comments of C, C++ and the shell.
 * A statement is its words, with a block where one stands, up to the semicolon.
 */
import { ImportError, type Place, where } from './report.ts';

export interface Statement {
  readonly place: Place;
  /** Words and strings before a block, and between blocks. */
  readonly words: readonly string[];
  /** The statements of the (last) block. */
  readonly block: readonly Statement[] | undefined;
}

interface Token {
  readonly kind: 'word' | 'string' | '{' | '}' | ';' | ',';
  readonly text: string;
  readonly line: number;
}

/** Blocks within blocks: no configuration needs more. */
const maxDepth = 32;

/** @throws {ImportError} */
export function parseBraces(text: string, file: string): Statement[] {
  const tokens = tokenize(text, file);
  const parser = new Parser(tokens, file);
  return parser.statements(0);
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #file: string;
  #at = 0;

  constructor(tokens: readonly Token[], file: string) {
    this.#tokens = tokens;
    this.#file = file;
  }

  statements(depth: number): Statement[] {
    if (depth > maxDepth) throw this.#error(this.#tokens[this.#at]?.line ?? 0, 'blocks are nested too deep');
    const all: Statement[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined) {
        if (depth > 0) throw this.#error(this.#tokens.at(-1)?.line ?? 1, 'a block is not closed');
        return all;
      }
      if (token.kind === '}') {
        if (depth === 0) throw this.#error(token.line, '} without {');
        this.#at++;
        return all;
      }
      if (token.kind === ';') this.#at++;
      else all.push(this.#statement(depth));
    }
  }

  #statement(depth: number): Statement {
    const first = this.#tokens[this.#at]!;
    const words: string[] = [];
    let block: Statement[] | undefined;
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined || token.kind === '}') break;
      this.#at++;
      if (token.kind === ';') break;
      if (token.kind === '{') {
        block = this.statements(depth + 1);
        // radvd ends a block with `}` alone or `};`, BIND goes on behind some: `listen-on port 53 { … } …`.
        const next = this.#tokens[this.#at];
        if (next === undefined || next.kind !== 'word') {
          if (next?.kind === ';') this.#at++;
          break;
        }
        if (next.line !== token.line && next.line !== this.#tokens[this.#at - 1]!.line) break;
      } else if (token.kind !== ',') words.push(token.text);
    }
    return { place: { file: this.#file, line: first.line }, words, block };
  }

  #error(line: number, what: string): ImportError {
    return new ImportError('V6_IMPORT_SYNTAX', `${where({ file: this.#file, line })}: ${what}`);
  }
}

function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|#[^\n]*|"((?:[^"\\]|\\[\s\S])*)"|[{};,]|[^\s{};,"#]+|\s+|"/gy;
  let line = 1;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [whole, quoted] = match;
    if (whole === '"') throw new ImportError('V6_IMPORT_SYNTAX', `${where({ file, line })}: a string is not closed`);
    if (quoted !== undefined) tokens.push({ kind: 'string', text: quoted.replaceAll(/\\([\s\S])/g, '$1'), line });
    else if (/^[{};,]$/.test(whole)) tokens.push({ kind: whole as '{', text: whole, line });
    else if (/^\S/.test(whole) && !/^(\/\*|\/\/|#)/.test(whole)) tokens.push({ kind: 'word', text: whole, line });
    line += whole.split('\n').length - 1;
  }
  return tokens;
}
