/** An answer from our zones in the form the cache keeps: no id, no client's flags, no OPT. */

import { answerFromZone, isParentElsewhere, type ZoneAnswer } from './answer.ts';
import { ABSENT } from './client-filter.ts';
import { HEADER_LENGTH, type QueryView } from './query-view.ts';
import type { ResponderContext } from './responder-context.ts';
import { concatBytes, copyBytes, readUint16 } from './wire/bytes.ts';
import { MessageWriter, type ResourceRecord, tryParseMessage } from './wire/message.ts';
import { nameKey } from './wire/name.ts';
import { FLAG, RCODE, SECTION, TYPE } from './wire/types.ts';

const MAX_MESSAGE = 65535;
const NOTHING = new Uint8Array(0);

export class ZoneReply {
  /** A view into the writer's buffer, good until that begins another message. */
  readonly message: Uint8Array;
  /** The question (wire form) that an alias out of our zones leads to. */
  readonly continuation: Uint8Array | undefined;
  /** The slot of its zone among the counters. */
  readonly slot: number;
  /** The bucket of the rate limit for what a wildcard or DNAME makes or what is not there: names without end; 0: its own. */
  readonly bucket: number;
  /** Whether it may be told to everyone who asks the same. */
  readonly keeps: boolean;
  readonly #chain: readonly ResourceRecord[];
  readonly #question: Uint8Array;

  constructor(
    message: Uint8Array,
    slot: number,
    { pattern, childOnly }: ZoneAnswer,
    question: Uint8Array = NOTHING,
    continuation?: Uint8Array,
    chain: readonly ResourceRecord[] = [],
  ) {
    this.message = message;
    this.slot = slot;
    const absent = (message[3]! & 15) === RCODE.NXDOMAIN ? ABSENT : 0;
    this.bucket = pattern === 0 ? absent : pattern;
    this.keeps = continuation === undefined && !childOnly;
    this.#question = question;
    this.continuation = continuation;
    this.#chain = chain;
  }

  /**
   * The chain of aliases with what the forwarder found at its end; without that, SERVFAIL. AA tells of the first name
   * (RFC 1035 §4.1.1), AD would have to tell of all.
   */
  continued(rest: Uint8Array | undefined, writer: MessageWriter): Uint8Array {
    writer.begin(MAX_MESSAGE);
    const question = this.#question;
    const fixed = question.length - 4;
    writer.question(question.subarray(0, fixed), readUint16(question, fixed), readUint16(question, fixed + 2));
    const found = rest === undefined ? undefined : tryParseMessage(rest);
    if (found === undefined) {
      writer.header(0, FLAG.QR | FLAG.RA, 0, RCODE.SERVFAIL);
      return Uint8Array.from(writer.finish());
    }
    const sections = [
      [SECTION.ANSWER, [...this.#chain, ...found.answers]],
      [SECTION.AUTHORITY, found.authority],
    ] as const;
    for (const [section, records] of sections) {
      for (const { name, type, class: cls, ttl, rdata } of records) {
        writer.record(section, name, type, cls, ttl, rdata);
      }
    }
    writer.header(0, FLAG.QR | FLAG.RA | FLAG.AA, 0, found.rcode);
    return Uint8Array.from(writer.finish());
  }
}

/** Makes them, one after the other: what lies in a message holds until the next is made. */
export class ZoneReplies {
  readonly #context: ResponderContext;
  readonly #writer = new MessageWriter();

  constructor(context: ResponderContext) {
    this.#context = context;
  }

  /** Answers a query from the zones in at most `limit` octets; undefined when that is not ours to do (`answerFromZone`). */
  make(view: QueryView, limit = MAX_MESSAGE): ZoneReply | undefined {
    const { zones, forwarder, reverseOf } = this.#context;
    if (zones.size === 0) return undefined;
    const alias = view.type === TYPE.PTR ? reverseOf(view.copyQuestion()) : undefined;
    const query = view.query();
    const zone = zones.find(alias === undefined ? query.key : nameKey(alias));
    if (zone === undefined) return undefined;
    query.hasEdns = false;
    query.id = 0;
    query.flags = 0;
    const recursionAvailable = forwarder !== undefined;
    const forwards = recursionAvailable && view.recursionDesired;
    const answer = answerFromZone(zones, query, { limit, recursionAvailable, forwards, alias }, this.#writer);
    if (answer === undefined) return undefined;
    const { bytes, target } = answer;
    if (target === undefined) return new ZoneReply(bytes, zone.slot, answer);
    const question = copyBytes(query.message, HEADER_LENGTH, query.questionEnd);
    const continuation = concatBytes([target, question.subarray(-4)]);
    // What is to be said later must not lie in the query's memory, which others take.
    const chain = answer.chain.map((record) => ({ ...record, name: copyBytes(record.name) }));
    return new ZoneReply(bytes, zone.slot, answer, question, continuation, chain);
  }

  /** As `ZoneReply.continued`. */
  continued(reply: ZoneReply, rest: Uint8Array | undefined): Uint8Array {
    return reply.continued(rest, this.#writer);
  }

  /** Whether DS is asked for of a zone here whose parent is not: who wants no recursion hears what we say ourselves. */
  isParents(view: QueryView): boolean {
    return isParentElsewhere(this.#context.zones, view.query().key);
  }
}
