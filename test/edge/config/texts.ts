/** What the tests of the configuration's sections share: texts, and what the parser says of them. */
import type { Test } from 'tap';
import { parseConfig } from '../../../src/edge/config/load.ts';
import { formatProblem } from '../../../src/edge/config/problem-text.ts';
import type { EdgeConfig } from '../../../src/edge/config/types.ts';

const file = '/etc/v6edge/none.yaml';

/** Every problem of a text, as LINE:COL: path: message. */
export function problems(text: string): string[] {
  const result = parseConfig(text, file);
  return 'errors' in result ? result.errors.map((p) => formatProblem(p).replace(`${file}:`, '')) : [];
}

/** What a text without a problem says. */
export function config(text: string): EdgeConfig {
  const result = parseConfig(text, file);
  if ('errors' in result) throw new Error(result.errors.map(formatProblem).join('\n'));
  return result.config;
}

/** A text with one section, which is good but for `rest`. */
export const dns = (rest: string) => `dns:\n  listen: ["[::1]:53"]\n${rest}`;
export const ra = (rest: string) => `ra:\n  - interface: eth1\n${rest}`;
export const proxy = (listener: string, pools = '{ p: {} }') =>
  `proxy:\n  listeners:\n    - { name: l, bind: ["[::]:80"], pool: p, ${listener} }\n  pools: ${pools}\n`;

/** name, text, every problem in order: LINE:COL: path: message. */
export type Bad = readonly [name: string, text: string, expected: readonly (string | RegExp)[]];

/** Texts with problems: those that are expected, and no other. */
export function testBad(t: Test, bad: readonly Bad[]): void {
  t.test('bad configurations', (t) => {
    for (const [name, text, expected] of bad) {
      t.test(name, (t) => {
        const found = problems(text);
        t.equal(found.length, expected.length, `${expected.length} problem(s) in ${JSON.stringify(found)}`);
        for (const [i, each] of expected.entries()) {
          if (typeof each === 'string') t.equal(found[i], each);
          else t.match(found[i], each);
        }
        t.end();
      });
    }
    t.end();
  });
}
