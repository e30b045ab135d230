/** The same questions to the old DNS server and to ours: rcode, flags and sections compared. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { InetEndpoint } from '../../core/address.ts';
import { errorMessage } from '../../core/errors.ts';
import type { ParsedMessage, ParsedRecord } from '../../dns/wire/message.ts';
import { nameToText } from '../../dns/wire/name.ts';
import { rdataToText } from '../../dns/wire/rdata.ts';
import { FLAG, rcodeToText, TYPE, typeToText } from '../../dns/wire/types.ts';
import { queryServer } from '../cli/query.ts';
import type { Compared, Difference } from './report.ts';

export interface Question {
  readonly name: string;
  readonly type: string;
}

/** What a client may see different of one server as well. */
const reasons = {
  serial: 'our copy of the zone counts its serials by itself',
  ttl: 'forwarded answers were cached at different moments',
  authority: 'the authority section of a positive answer is optional (BIND: minimal-responses)',
  additional: 'additional records are optional (RFC 1034 §3.7)',
} as const;

/** @param zones ours: there TTLs have to be the same, @param perSecond questions to each */
export async function compareDns(
  pair: { readonly old: InetEndpoint; readonly ours: InetEndpoint },
  questions: readonly Question[],
  zones: readonly string[],
  perSecond: number,
): Promise<Compared> {
  const differences: Difference[] = [];
  const remarks: string[] = [];
  let refused = 0;
  for (const question of questions) {
    const next = sleep(1000 / perSecond);
    const [old, ours] = await Promise.all([ask(pair.old, question), ask(pair.ours, question)]);
    const what = `${question.name} ${question.type}`;
    if (typeof old === 'string' || typeof ours === 'string') {
      if (old !== ours) {
        const text = (answer: ParsedMessage | string) => (typeof answer === 'string' ? answer : 'an answer');
        differences.push({ of: 'dns', what, part: 'reply', old: text(old), ours: text(ours), accepted: undefined });
      }
    } else {
      if (rcodeToText(old.rcode) === 'REFUSED' && rcodeToText(ours.rcode) === 'REFUSED') refused++;
      const own = zones.some((zone) => question.name === zone || question.name.endsWith(`.${zone}`));
      differences.push(...compareAnswers(what, old, ours, own));
    }
    await next;
  }
  if (refused > 0) remarks.push(`${refused} questions were refused by both: this host's address may not ask`);
  return { count: questions.length, differences, remarks };
}

async function ask(server: InetEndpoint, { name, type }: Question): Promise<ParsedMessage | string> {
  try {
    return await queryServer(server, name, type);
  } catch (error) {
    return errorMessage(error).replace(/^\S+: /, '');
  }
}

/** What differs in two answers. @param own the question is about a zone of ours */
export function compareAnswers(what: string, old: ParsedMessage, ours: ParsedMessage, own: boolean): Difference[] {
  const found: Difference[] = [];
  const differ = (part: string, before: string, after: string, accepted?: string) => {
    if (before !== after) found.push({ of: 'dns', what, part, old: before, ours: after, accepted });
  };
  differ('rcode', rcodeToText(old.rcode), rcodeToText(ours.rcode));
  for (const flag of ['AA', 'TC', 'RA', 'AD'] as const) {
    const has = (message: ParsedMessage) => ((message.flags & FLAG[flag]) === 0 ? 'no' : 'yes');
    differ(flag, has(old), has(ours));
  }
  const positive = old.answers.length > 0;
  for (const [part, accepted] of [
    ['answer', undefined],
    ['authority', positive ? reasons.authority : undefined],
    ['additional', reasons.additional],
  ] as const) {
    const section = part === 'answer' ? 'answers' : part;
    differ(part, textOf(old[section], false), textOf(ours[section], false), accepted);
    if (textOf(old[section], false) !== textOf(ours[section], false)) continue;
    differ(`${part} TTL`, ttlsOf(old[section]), ttlsOf(ours[section]), own ? accepted : reasons.ttl);
    differ(`${part} serial`, textOf(old[section], true), textOf(ours[section], true), reasons.serial);
  }
  return found;
}

/** A section as a set; without the serials of SOA records unless `serials`. */
function textOf(records: readonly ParsedRecord[], serials: boolean): string {
  const lines = records.map(({ name, type, rdata }) => {
    const text = rdataToText(type, rdata);
    const fields = text.split(' ');
    if (type === TYPE.SOA && !serials) fields[2] = 'SERIAL';
    return `${nameToText(name).toLowerCase()} ${typeToText(type)} ${fields.join(' ')}`;
  });
  return [...new Set(lines)].sort().join('; ') || 'nothing';
}

function ttlsOf(records: readonly ParsedRecord[]): string {
  return records
    .map(({ name, type, ttl }) => `${nameToText(name).toLowerCase()} ${typeToText(type)} ${ttl}`)
    .sort()
    .join('; ');
}

/**
 * Questions in a file: `name type` a line, BIND's query log (`query: name IN AAAA +E(0)K (…)`), or ours (JSON with `name` and
 * `type`). Each once, in the order they come in; lines of another kind are passed over.
 */
export function readQuestions(text: string, most: number): Question[] {
  const found = new Map<string, Question>();
  for (const line of text.split('\n')) {
    const question = questionOf(line.trim());
    if (question !== undefined) found.set(`${question.name} ${question.type}`, question);
    if (found.size === most) break;
  }
  return [...found.values()];
}

function questionOf(line: string): Question | undefined {
  if (line.startsWith('{')) {
    try {
      const { name, type } = JSON.parse(line) as { name?: unknown; type?: unknown };
      return typeof name === 'string' && typeof type === 'string' ? { name: plain(name), type } : undefined;
    } catch {
      return undefined;
    }
  }
  const match = /\bquery: (\S+) IN (\S+)/.exec(line) ?? /^(\S+)\s+(?:IN\s+)?([A-Z][A-Z0-9]*)$/.exec(line);
  return match === null ? undefined : { name: plain(match[1]!), type: match[2]! };
}

function plain(name: string): string {
  return name.toLowerCase().replace(/(?<=.)\.$/, '');
}
