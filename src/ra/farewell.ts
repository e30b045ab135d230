/**
 * Last words from a link-local address that we do not send from any more (RFC 4861 §6.2.8): hosts know a router by that
 * address, and would go on using the default route and the routes they learned from it. Addresses, DNS servers and the
 * rest are said again from the new one and need no last words.
 */
import { type Address, equalAddress } from '../core/address.ts';
import { MAX_FINAL_RTR_ADVERTISEMENTS } from './constants.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';
import { withdrawOption } from './withdrawal.ts';

/** One last word. */
interface LastWord {
  readonly source: Address;
  readonly advertisement: RouterAdvertisement;
}

export class Farewell {
  /** What hosts know, and by which address. */
  #known: (LastWord & { readonly ifindex: number }) | undefined;
  #lastWord: LastWord | undefined;
  #left = 0;

  /** We begin to send from `source`. */
  begin(ifindex: number, source: Address): void {
    const known = this.#known;
    if (known === undefined || known.ifindex !== ifindex) {
      this.#left = 0;
    } else if (!equalAddress(known.source, source)) {
      const routes = known.advertisement.options.filter((option) => option.kind === 'route-information');
      const matters = known.advertisement.lifetimeSeconds > 0 || routes.length > 0;
      this.#left = matters ? MAX_FINAL_RTR_ADVERTISEMENTS : 0;
      this.#lastWord = {
        source: known.source,
        advertisement: {
          ...known.advertisement,
          preference: 'medium',
          lifetimeSeconds: 0,
          options: routes.map((route) => withdrawOption(route)!),
        },
      };
    } else if (this.#lastWord !== undefined && equalAddress(this.#lastWord.source, source)) {
      this.#left = 0;
    }
  }

  /** We have sent this. */
  spoke(ifindex: number, source: Address, advertisement: RouterAdvertisement): void {
    this.#known = { ifindex, source, advertisement };
  }

  /** The last word that is due with this multicast, if one is. */
  next(): LastWord | undefined {
    if (this.#left === 0) return undefined;
    this.#left--;
    return this.#lastWord;
  }
}
