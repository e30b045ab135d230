/** dig and nsupdate, run on a node and read. */
import type { Key } from '../edge/keys.ts';
import type { Node } from '../lab.ts';
import { edgePrivate } from '../plan.ts';
import { describe } from '../process.ts';
import { must } from './step.ts';

/** What dig printed, taken apart. */
export interface Answer {
  readonly status: string;
  readonly flags: readonly string[];
  /** Record lines of a section: name, TTL, class, type, data. */
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly truncatedFirst: boolean;
  readonly text: string;
}

/** Asks the edge. */
export async function dig(node: Node, args: readonly string[], server = edgePrivate): Promise<Answer> {
  const result = await node.exec(['dig', `@${server}`, '+time=3', '+tries=2', ...args]);
  const text = result.stdout;
  const header = /status: (\w+)/.exec(text);
  must(header !== null, describe(result));
  const section = (name: string) => {
    const body = new RegExp(`;; ${name} SECTION:\\n([^]*?)(\\n\\n|$)`).exec(text)?.[1] ?? '';
    return body.split('\n').filter((line) => line !== '' && !line.startsWith(';'));
  };
  return {
    status: header[1]!,
    flags: (/flags: ([a-z ]*);/.exec(text)?.[1] ?? '').split(' '),
    answer: section('ANSWER'),
    authority: section('AUTHORITY'),
    truncatedFirst: text.includes(';; Truncated, retrying in TCP mode'),
    text,
  };
}

/** `TYPE data` of record lines. */
export function records(lines: readonly string[]): string[] {
  return lines.map((line) => line.split(/\s+/).slice(3).join(' '));
}

/** How an update ended: the rcode nsupdate reported, NOERROR if it was content. */
export interface UpdateResult {
  readonly rcode: string;
  readonly text: string;
}

/** Sends an update with BIND's nsupdate. */
export async function nsupdate(node: Node, key: Key | undefined, lines: readonly string[]): Promise<UpdateResult> {
  const input = [`server ${edgePrivate}`, ...lines, 'send', ''].join('\n');
  const result = await node.exec(['nsupdate', '-t', '5', ...(key === undefined ? [] : ['-k', key.path])], { input });
  if (result.code === 0) return { rcode: 'NOERROR', text: '' };
  const rcode = /update failed: (\S+)/.exec(result.stderr + result.stdout)?.[1];
  return { rcode: rcode ?? describe(result), text: result.stderr + result.stdout };
}
