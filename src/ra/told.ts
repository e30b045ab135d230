/**
 * What the hosts of one link were told and may still hold, and of that, what is to be taken back (RFC 9096 §3.5).
 *
 * What we do not say any more goes out with lifetime 0 until the lifetime that hosts were given has run out: a host that
 * slept or missed packets holds it that long. A prefix is deprecated at once; its valid lifetime counts down from two
 * hours, which is the least that hosts grant an address anyway (RFC 4862 §5.5.3 e), so that the on-link route lasts as
 * long as the addresses, and then stays 0.
 */
import { maxWithdrawnItems, maxWithdrawnMs, withdrawnValidSeconds } from './constants.ts';
import { encodeOption, type NdOption, parseOptions } from './wire/options.ts';
import { itemKey, lifetimeOf, optionItems, withdrawOption } from './withdrawal.ts';

/** Something that is being taken back; wall-clock milliseconds. */
interface Withdrawn {
  readonly option: NdOption;
  readonly since: number;
  readonly until: number;
}

/** `Told` as it stands in the state file; options as they are on the wire, in hex. */
export interface ToldJson {
  readonly said: readonly string[];
  readonly withdrawn: readonly { readonly option: string; readonly since: number; readonly until: number }[];
}

const nothing: readonly NdOption[] = [];

export class Told {
  /** What hosts hold by our last word, by item. */
  readonly #said = new Map<string, NdOption>();
  readonly #withdrawn = new Map<string, Withdrawn>();

  /**
   * What an earlier process left.
   * @throws whatever a damaged file leads to
   */
  static fromJson(json: ToldJson, now: number): Told {
    const told = new Told();
    for (const hex of json.said) {
      const option = fromHex(hex);
      told.#said.set(itemKey(option), option);
    }
    for (const { option: hex, since, until } of json.withdrawn) {
      const option = fromHex(hex);
      // A clock that was wrong when this was written must not make it last for ever.
      if (!(until > now)) continue;
      told.#withdraw(option, Math.min(since, now), Math.min(until, now + maxWithdrawnMs));
    }
    return told;
  }

  /** Notes what is said from now on. Returns whether anything but the same was said before. */
  say(options: readonly NdOption[], now: number): boolean {
    this.#forget(now);
    const before = JSON.stringify(this.toJson());
    const items = new Map(
      options
        .flatMap(optionItems)
        .filter((item) => lifetimeOf(item) !== undefined)
        .map((item) => [itemKey(item), item]),
    );
    for (const [key, option] of this.#said) {
      if (items.has(key)) continue;
      this.#said.delete(key);
      this.#withdraw(option, now, now + Math.min(maxWithdrawnMs, lifetimeOf(option)! * 1000));
    }
    for (const [key, option] of items) {
      this.#withdrawn.delete(key);
      // Said with lifetime 0, it is being taken back in our configuration's own words; some may hold the old one still.
      if (lifetimeOf(option)! > 0) this.#said.set(key, option);
    }
    return JSON.stringify(this.toJson()) !== before;
  }

  /** What is to be taken back now, with lifetime 0. */
  withdrawn(now: number): readonly NdOption[] {
    if (this.#withdrawn.size === 0) return nothing;
    this.#forget(now);
    return [...this.#withdrawn.values()].map(({ option, since }) => {
      const form = withdrawOption(option)!;
      if (form.kind !== 'prefix-information') return form;
      const left = Math.floor(withdrawnValidSeconds - (now - since) / 1000);
      return { ...form, validSeconds: Math.max(0, Math.min(form.validSeconds, left)) };
    });
  }

  toJson(): ToldJson {
    return {
      said: [...this.#said.values()].map(toHex),
      withdrawn: [...this.#withdrawn.values()].map((one) => ({ ...one, option: toHex(one.option) })),
    };
  }

  #withdraw(option: NdOption, since: number, until: number): void {
    this.#withdrawn.set(itemKey(option), { option, since, until });
    if (this.#withdrawn.size > maxWithdrawnItems) this.#withdrawn.delete(this.#withdrawn.keys().next().value!);
  }

  #forget(now: number): void {
    for (const [key, { until }] of this.#withdrawn) if (until <= now) this.#withdrawn.delete(key);
  }
}

function toHex(option: NdOption): string {
  return Buffer.from(encodeOption(option)).toString('hex');
}

function fromHex(hex: string): NdOption {
  const [option] = parseOptions(Buffer.from(hex, 'hex'), 0);
  if (option === undefined || lifetimeOf(option) === undefined)
    throw new TypeError(`"${hex}" is no option we withdraw`);
  return option;
}
