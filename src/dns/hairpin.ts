/**
 * Names of our own ingress, as machines inside should see them: with the edge's private addresses, so that what they send
 * there comes by the way that speaks the PROXY protocol. Other types of these names are asked for outside as ever.
 */
import type { Address } from '../core/address.ts';
import { DomainSet } from './domain-set.ts';
import { readUint16 } from './wire/bytes.ts';
import { MessageWriter } from './wire/message.ts';
import { FLAG, RCODE, SECTION, TYPE } from './wire/types.ts';

const TTL = 60;
const MAX_MESSAGE = 4096;

export class Hairpin {
  readonly #writer = new MessageWriter(new Uint8Array(MAX_MESSAGE));
  #domains = new DomainSet([]);
  #addresses: readonly Address[] = [];

  apply(settings: { readonly ingressDomains: readonly string[]; readonly addresses: readonly Address[] }): void {
    this.#domains = new DomainSet(settings.ingressDomains);
    this.#addresses = settings.addresses;
  }

  /** The answer to a question about addresses of such a name, in the form the cache keeps; else undefined. */
  answer(question: Uint8Array): Uint8Array | undefined {
    const end = question.length - 4;
    const type = readUint16(question, end);
    // HTTPS and SVCB may carry addresses too (RFC 9460 §7.3): they have none here.
    if (type !== TYPE.A && type !== TYPE.AAAA && type !== TYPE.HTTPS && type !== TYPE.SVCB) return undefined;
    if (!this.#domains.has(question)) return undefined;
    const writer = this.#writer;
    const name = question.subarray(0, end);
    const cls = readUint16(question, end + 2);
    writer.begin(MAX_MESSAGE);
    writer.question(name, type, cls);
    for (const { family, bytes } of this.#addresses) {
      if (type === (family === 4 ? TYPE.A : TYPE.AAAA)) writer.record(SECTION.ANSWER, name, type, cls, TTL, bytes);
    }
    writer.header(0, FLAG.QR | FLAG.RA, 0, RCODE.NOERROR);
    return Uint8Array.from(writer.finish());
  }
}
