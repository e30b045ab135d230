/** Domains, asked whether a name is in one of them. */
import { type NameKey, nameFromText, nameKey, nameKeyAt } from './wire/name.ts';

export class DomainSet {
  readonly #keys: ReadonlySet<NameKey>;

  /** @param domains as the configuration has them */
  constructor(domains: readonly string[]) {
    this.#keys = new Set(domains.map((domain) => nameKey(nameFromText(domain))));
  }

  /** Octets of the nearest domain that the name of a question is in, -1 when it is in none. */
  depthOf(question: Uint8Array): number {
    if (this.#keys.size === 0) return -1;
    const key = nameKeyAt(question, 0, question.length - 4);
    for (let from = 0; from < key.length; from += key.charCodeAt(from) + 1) {
      if (this.#keys.has(key.slice(from))) return key.length - from;
    }
    return -1;
  }

  has(question: Uint8Array): boolean {
    return this.depthOf(question) >= 0;
  }
}
