/** Makes answers for IPv6 of answers for IPv4 (RFC 6147 §5): messages in, messages out. */
import { type Cidr, cidrContains, parseCidr } from '../../core/address.ts';
import { type ForwardAnswer, readAnswer } from '../forwarder/answer.ts';
import { readUint16 } from '../wire/bytes.ts';
import { encodeMessage, type Message, parseMessage, type ResourceRecord } from '../wire/message.ts';
import type { Name } from '../wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../wire/types.ts';
import { embedIpv4, mayEmbed } from './address.ts';

/** The lifetime when no SOA tells one (RFC 6147 §5.1.7). */
const DEFAULT_TTL = 600;
/** TTLs were bounded when the answers came. */
const UNBOUNDED = { minTtlSeconds: 0, maxTtlSeconds: 2 ** 31 - 1, maxNegativeTtlSeconds: 2 ** 31 - 1 };
/** RFC 6147 §5.1.4: IPv4-mapped addresses are never meant. */
const mapped = parseCidr('::ffff:0:0/96');

/** What is synthesized with. */
export interface SynthesisRules {
  readonly prefixes: readonly Cidr[];
  /** Addresses, of both families, that are taken for absent. */
  readonly exclude: readonly Cidr[];
}

/** Whether the answer has IPv6 addresses that count. */
export function hasUsableAddress(answer: ForwardAnswer, exclude: readonly Cidr[]): boolean {
  return parseMessage(answer.message).answers.some((record) => record.type === TYPE.AAAA && isUsable(record, exclude));
}

/** The answer without the IPv6 addresses that do not count (RFC 6147 §5.1.4). */
export function withoutExcluded(answer: ForwardAnswer, exclude: readonly Cidr[]): ForwardAnswer | undefined {
  const message = parseMessage(answer.message);
  const answers = message.answers.filter((record) => record.type !== TYPE.AAAA || isUsable(record, exclude));
  if (answers.length === message.answers.length) return answer;
  // What is left is not what was signed.
  const kept = answers.filter((record) => !isSignatureOf(record, TYPE.AAAA));
  return finished({ ...message, flags: message.flags & ~FLAG.AD, answers: kept });
}

/**
 * AAAA records for the A records of `ipv4`, aliases before them kept; undefined when none may be made.
 * @param question of the client
 * @param native what was answered when AAAA was asked for
 */
export function synthesize(
  question: Uint8Array,
  native: ForwardAnswer | undefined,
  ipv4: ForwardAnswer,
  rules: SynthesisRules,
): ForwardAnswer | undefined {
  const message = parseMessage(ipv4.message);
  const most = negativeTtl(native);
  const answers: ResourceRecord[] = [];
  let made = 0;
  for (const record of message.answers) {
    if (record.type !== TYPE.A) {
      if (!isSignatureOf(record, TYPE.A)) answers.push(record);
      continue;
    }
    // Who sends a broken address may be wrong about the others.
    if (record.rdata.length !== 4) return undefined;
    if (rules.exclude.some((range) => cidrContains(range, record.rdata))) continue;
    for (const prefix of rules.prefixes) {
      if (!mayEmbed(prefix, record.rdata)) continue;
      const rdata = embedIpv4(prefix, record.rdata);
      answers.push({ ...record, type: TYPE.AAAA, ttl: Math.min(record.ttl, most), rdata });
      made++;
    }
  }
  if (made === 0 || message.rcode !== RCODE.NOERROR) return undefined;
  return finished({ ...message, ...asked(question), flags: FLAG.QR | FLAG.RA, answers, authority: [], additional: [] });
}

/** The answer to PTR of an address that embeds an IPv4 one: an alias to that one's name, and what stands there (§5.3.1). */
export function aliasedTo(question: Uint8Array, target: Name, answer: ForwardAnswer): ForwardAnswer | undefined {
  const message = parseMessage(answer.message);
  const { questions } = asked(question);
  const { name } = questions[0]!;
  const alias = { name, type: TYPE.CNAME, class: CLASS.IN, ttl: Math.min(DEFAULT_TTL, answer.ttl), rdata: target };
  return finished({ ...message, questions, flags: FLAG.QR | FLAG.RA, answers: [alias, ...message.answers] });
}

function isUsable({ rdata }: ResourceRecord, exclude: readonly Cidr[]): boolean {
  return !cidrContains(mapped, rdata) && !exclude.some((range) => cidrContains(range, rdata));
}

function isSignatureOf({ type, rdata }: ResourceRecord, covered: number): boolean {
  return type === TYPE.RRSIG && rdata.length >= 2 && readUint16(rdata, 0) === covered;
}

/** RFC 6147 §5.1.7: not longer than the absence of the AAAA record is known. */
function negativeTtl(native: ForwardAnswer | undefined): number {
  if (native === undefined) return DEFAULT_TTL;
  const { authority } = parseMessage(native.message);
  return authority.some(({ type }) => type === TYPE.SOA) ? native.ttl : DEFAULT_TTL;
}

function asked(question: Uint8Array): Pick<Message, 'questions'> {
  const end = question.length - 4;
  return {
    questions: [
      { name: question.subarray(0, end), type: readUint16(question, end), class: readUint16(question, end + 2) },
    ],
  };
}

function finished(message: Message): ForwardAnswer | undefined {
  const { edns: _, ...plain } = message;
  const bytes = encodeMessage({ ...plain, id: 0 });
  const name = plain.questions[0]!.name;
  return readAnswer(bytes, name.length + 4, UNBOUNDED);
}
