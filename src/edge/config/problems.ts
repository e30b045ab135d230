/** From what zod and the YAML parser found to what an operator reads: file, line, column, key, reason. */

import { type Document, isMap, isNode, type LineCounter, type Node } from 'yaml';
import type { z } from 'zod';
import { show } from './fields.ts';
import { formatPath } from './problem-text.ts';
import type { ConfigProblem, KeyPath } from './types.ts';

/** Finds the line and column of a key path in a parsed document: its value's, or those of the nearest parent that is there. */
export class Positions {
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #file: string;

  constructor(file: string, document: Document, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  /** A problem with the value at `path`. */
  at(path: KeyPath, message: string): ConfigProblem {
    for (let length = path.length; length >= 0; length--) {
      const node = this.#node(path.slice(0, length));
      const start = node?.range?.[0];
      if (start !== undefined) return this.#problem(start, path, message);
    }
    return { file: this.#file, line: 0, column: 0, path: formatPath(path), message };
  }

  /** A problem with a key itself, not with its value. */
  atKey(parent: KeyPath, key: string, message: string): ConfigProblem {
    const map = this.#node(parent);
    if (isMap(map)) {
      const pair = map.items.find((item) => isNode(item.key) && String(item.key) === key);
      const start = isNode(pair?.key) ? pair.key.range?.[0] : undefined;
      if (start !== undefined) return this.#problem(start, [...parent, key], message);
    }
    return this.at([...parent, key], message);
  }

  /** A problem at an offset in the text. */
  atOffset(offset: number, message: string): ConfigProblem {
    return this.#problem(offset, [], message);
  }

  #node(path: KeyPath): Node | undefined {
    const node = path.length === 0 ? this.#document.contents : this.#document.getIn(path, true);
    return isNode(node) ? node : undefined;
  }

  #problem(offset: number, path: KeyPath, message: string): ConfigProblem {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line, column: col, path: formatPath(path), message };
  }
}

/** What zod's issues mean; `knownKeys` gives the keys a section has, by the issue's list of unknown ones. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  positions: Positions,
  knownKeys: ReadonlyMap<readonly string[], readonly string[]>,
): ConfigProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map((key) => (typeof key === 'number' ? key : String(key)));
    if (issue.code !== 'unrecognized_keys') return [positions.at(path, messageOf(issue))];
    const known = knownKeys.get(issue.keys) ?? [];
    return issue.keys.map((key) => positions.atKey(path, key, unknownKeyMessage(key, known)));
  });
}

/** What a zod issue says of the value at its path. */
export function messageOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type': {
      const wanted = issue.expected === 'array' ? 'a list' : 'a mapping';
      return issue.input === undefined
        ? `is missing: ${wanted} is needed here`
        : `${show(issue.input)} where ${wanted} is wanted`;
    }
    case 'too_small':
      return `needs at least ${issue.minimum === 1 ? 'one entry' : `${issue.minimum} entries`}`;
    default:
      return issue.message;
  }
}

function unknownKeyMessage(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near !== undefined) return `unknown key; did you mean "${near}"?`;
  return `unknown key (allowed: ${known.join(', ')})`;
}

/** The known word closest to `word`, if it is close: a slip of the finger or of the case. */
function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const each of known) {
    const distance = editDistance(word.toLowerCase(), each.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = each;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance; `limit` if it is that or more. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return Math.min(limit, row[b.length]!);
}
