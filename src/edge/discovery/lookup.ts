/**
 * Looks up RRsets for the daemon itself: names in zones of ours are answered by our own zone code, all others by
 * forwarding. Aliases are followed across that border.
 */
import { V6edgeError, WireError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import { readUint32 } from '../../dns/wire/bytes.ts';
import { encodeMessage, type ParsedMessage, parseMessage } from '../../dns/wire/message.ts';
import { type Name, type NameKey, nameFromKey, nameFromText, nameKey, nameToText } from '../../dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, RCODE, rcodeToText, TYPE, typeToText } from '../../dns/wire/types.ts';

/** Sends a query and resolves to the reply; rejects when there is none. */
export type Ask = (query: Uint8Array) => Promise<Uint8Array>;

/** No answer, or none that says anything: what was known before still counts. */
export class LookupError extends V6edgeError {
  constructor(message: string, options?: ErrorOptions) {
    super('V6_LOOKUP', message, options);
  }
}

export interface Answer {
  /** Empty: the name or the type does not exist. */
  readonly rdata: readonly Uint8Array[];
  /** How long this holds; undefined for what our own zones say, who tell of each change. */
  readonly ttlMs: number | undefined;
  /** Names in our own zones that the answer rests on. */
  readonly own: readonly NameKey[];
}

export interface LookupContext {
  readonly random: Random;
  /** Whether a zone of ours has this name. */
  isOwn(name: NameKey): boolean;
  readonly askOwn: Ask;
  readonly askOthers: Ask;
}

/** An alias of an alias of an alias is a mistake. */
const maxAliases = 8;
/** For a negative answer without SOA (RFC 2308 §5 says not to cache those). */
const noSoaMs = 5_000;

/**
 * The records of one name and type.
 * @throws {LookupError}
 */
export async function lookup(context: LookupContext, name: string, type: number): Promise<Answer> {
  const own: NameKey[] = [];
  let key = nameKey(nameFromText(name));
  let ttlMs: number | undefined;
  for (let hop = 0; hop <= maxAliases; hop++) {
    const { message, forwarded } = await ask(context, key, type);
    const { end, path } = followAliases(message, key);
    own.push(...[key, ...path].filter((each) => context.isOwn(each)));
    if (forwarded) ttlMs = Math.min(ttlMs ?? Number.POSITIVE_INFINITY, timeToLive(message));
    const rdata = message.answers
      .filter((record) => record.type === type && nameKey(record.name) === end)
      .map((record) => record.rdata);
    const crossesOver = !forwarded && end !== key && !context.isOwn(end);
    const done = rdata.length > 0 || end === key || (message.rcode === RCODE.NXDOMAIN && !crossesOver);
    if (done) return { rdata, ttlMs, own };
    key = end;
  }
  throw new LookupError(`${name}: more than ${maxAliases} aliases`);
}

async function ask(
  context: LookupContext,
  key: NameKey,
  type: number,
): Promise<{ message: ParsedMessage; forwarded: boolean }> {
  const name = nameFromKey(key);
  if (context.isOwn(key)) {
    const message = await exchange(context, context.askOwn, name, type);
    // Below a delegation we are not the ones to ask.
    if ((message.flags & FLAG.AA) !== 0) return { message, forwarded: false };
  }
  return { message: await exchange(context, context.askOthers, name, type), forwarded: true };
}

async function exchange(context: LookupContext, ask: Ask, name: Name, type: number): Promise<ParsedMessage> {
  const id = context.random.below(65536);
  const query = encodeMessage({
    id,
    flags: FLAG.RD,
    opcode: OPCODE.QUERY,
    rcode: RCODE.NOERROR,
    questions: [{ name, type, class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] },
  });
  const what = `${nameToText(name)} ${typeToText(type)}`;
  let message: ParsedMessage;
  try {
    message = parseMessage(await ask(query));
  } catch (error) {
    if (error instanceof WireError || error instanceof LookupError) {
      throw new LookupError(`${what}: ${error.message}`, { cause: error });
    }
    throw error;
  }
  if (message.id !== id) throw new LookupError(`${what}: the answer is to another question`);
  if (message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN) {
    throw new LookupError(`${what}: ${rcodeToText(message.rcode)}`);
  }
  return message;
}

/** Where the CNAME records of an answer lead (RFC 1034 §3.6.2), and by way of which names. */
function followAliases(message: ParsedMessage, from: NameKey): { end: NameKey; path: NameKey[] } {
  const path: NameKey[] = [];
  let end = from;
  while (path.length < maxAliases) {
    const here = end;
    const alias = message.answers.find((record) => record.type === TYPE.CNAME && nameKey(record.name) === here);
    if (alias === undefined) break;
    end = nameKey(alias.rdata);
    path.push(end);
  }
  return { end, path };
}

function timeToLive(message: ParsedMessage): number {
  if (message.answers.length > 0) return Math.min(...message.answers.map(({ ttl }) => ttl)) * 1000;
  const soa = message.authority.find(({ type, rdata }) => type === TYPE.SOA && rdata.length >= 20);
  return soa === undefined ? noSoaMs : Math.min(soa.ttl, readUint32(soa.rdata, soa.rdata.length - 4)) * 1000;
}
