/**
 * What of an answer belongs to its question (RFC 5452 §6): records of the name asked for and of those its aliases lead to, the
 * zone's word on what does not exist, and the addresses of names that the answer mentions. The rest nobody asked for.
 */
import { readUint16 } from '../wire/bytes.ts';
import type { Message, ResourceRecord } from '../wire/message.ts';
import { isSubdomainKey, type NameKey, nameKey, nameKeyAt, scanPlainName } from '../wire/name.ts';
import { targetOffset } from '../wire/rdata-names.ts';
import { TYPE } from '../wire/types.ts';

/** Aliases that are followed. */
const MAX_CHAIN = 32;
/** What shows that something does not exist (RFC 4034, RFC 5155), its owners being neighbours of the name. */
const DENIAL: ReadonlySet<number> = new Set([TYPE.NSEC, TYPE.NSEC3, TYPE.RRSIG, TYPE.DS]);

/** The message without what is beside its question. */
export function prune(message: Message): Message {
  const question = message.questions[0];
  if (question === undefined) return message;
  const chain = chainOf(nameKey(question.name), message.answers);
  const onChain = ({ name, type }: ResourceRecord) => {
    const key = nameKey(name);
    if (chain.has(key)) return true;
    // A DNAME stands above the name it makes an alias for, and is signed there.
    return (type === TYPE.DNAME || type === TYPE.RRSIG) && isAbove(key, chain);
  };
  const answers = message.answers.filter(onChain);
  const authority = message.authority.filter(
    ({ name, type }) => DENIAL.has(type) || ((type === TYPE.SOA || type === TYPE.NS) && isAbove(nameKey(name), chain)),
  );
  const mentioned = new Set([...answers, ...authority].map(targetOf));
  const additional = message.additional.filter(
    ({ name, type }) => (type === TYPE.A || type === TYPE.AAAA || type === TYPE.RRSIG) && mentioned.has(nameKey(name)),
  );
  return { ...message, answers, authority, additional };
}

/** The name asked for, and those that its aliases lead to, in whatever order they stand. */
function chainOf(asked: NameKey, answers: readonly ResourceRecord[]): ReadonlySet<NameKey> {
  const aliases = new Map<NameKey, NameKey>();
  for (const { name, type, rdata } of answers) {
    if (type === TYPE.CNAME && rdata.length > 0) aliases.set(nameKey(name), nameKey(rdata));
  }
  const chain = new Set([asked]);
  for (let at = aliases.get(asked); at !== undefined && chain.size <= MAX_CHAIN; at = aliases.get(at)) {
    if (chain.has(at)) break;
    chain.add(at);
  }
  return chain;
}

function isAbove(key: NameKey, chain: ReadonlySet<NameKey>): boolean {
  for (const name of chain) if (isSubdomainKey(name, key)) return true;
  return false;
}

/** The name whose addresses a client will want next. */
function targetOf({ name, type, rdata }: ResourceRecord): NameKey | undefined {
  const offset = targetOffset(type);
  const end = offset < 0 ? -1 : scanPlainName(rdata, offset, rdata.length);
  if (end < 0) return undefined;
  // RFC 9460 §2.5.2: in ServiceMode "." is the owner itself.
  const own = (type === TYPE.SVCB || type === TYPE.HTTPS) && rdata[offset] === 0 && readUint16(rdata, 0) > 0;
  return own ? nameKey(name) : nameKeyAt(rdata, offset, end);
}
