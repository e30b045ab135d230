/** What the server says of itself in class CHAOS (RFC 4892) and by NSID (RFC 5001): nothing, unless it is configured to. */
import type { IdentityConfig } from './config.ts';
import { NO_NSID } from './query-view.ts';
import { MessageWriter } from './wire/message.ts';
import { type NameKey, nameFromText, nameKey, nameKeyAt } from './wire/name.ts';
import { CLASS, FLAG, RCODE, SECTION, TYPE } from './wire/types.ts';

const MAX_MESSAGE = 1024;
const QUESTION_TAIL = 4;
/** With it, an error whose question is as long as can be still fits 512 octets. */
const MAX_NSID = 160;

export class Identity {
  readonly #writer = new MessageWriter(new Uint8Array(MAX_MESSAGE));
  #texts: ReadonlyMap<NameKey, string> = new Map();
  #nsid = NO_NSID;

  /** What NSID says, the first 160 octets of `id`; empty: nothing. */
  get nsid(): Uint8Array {
    return this.#nsid;
  }

  apply({ version, id }: IdentityConfig): void {
    this.#nsid = Buffer.from(id, 'utf8').subarray(0, MAX_NSID);
    const texts = [
      ['version.bind', version],
      ['version.server', version],
      ['hostname.bind', id],
      ['id.server', id],
    ] as const;
    this.#texts = new Map(
      texts.filter(([, text]) => text !== '').map(([name, text]) => [nameKey(nameFromText(name)), text]),
    );
  }

  /** The answer to a question of class CH, in the form the cache keeps; undefined: there is none. */
  answer(question: Uint8Array): Uint8Array | undefined {
    if (this.#texts.size === 0) return undefined;
    const end = question.length - QUESTION_TAIL;
    const type = (question[end]! << 8) | question[end + 1]!;
    const text = this.#texts.get(nameKeyAt(question, 0, end));
    if (text === undefined) return undefined;
    const writer = this.#writer;
    const name = question.subarray(0, end);
    const data = Buffer.from(text, 'utf8');
    writer.begin(MAX_MESSAGE);
    writer.question(name, type, CLASS.CH);
    if (type === TYPE.TXT || type === TYPE.ANY) {
      writer.record(SECTION.ANSWER, name, TYPE.TXT, CLASS.CH, 0, Uint8Array.of(data.length, ...data));
    }
    writer.header(0, FLAG.QR | FLAG.AA, 0, RCODE.NOERROR);
    return Uint8Array.from(writer.finish());
  }
}
