/** What the engine is given: time, randomness, the network and a socket, so that tests can give their own. */
import type { Address } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import type { StateFile } from '../core/state-file.ts';
import type { Icmp6Handler, Icmp6Sender } from '../linux/icmp6.ts';
import type { NetworkView } from '../linux/netlink.ts';
import type { Sysctl } from '../linux/sysctl.ts';
import type { RaState } from './status.ts';

/** Something that people want to hear of. */
export type RaEvent =
  | { readonly kind: 'ra-state'; readonly interface: string; readonly state: RaState; readonly reason: string }
  | {
      readonly kind: 'ra-router-seen';
      readonly interface: string;
      readonly router: string;
      readonly lifetimeSeconds: number;
    }
  | { readonly kind: 'ra-router-gone'; readonly interface: string; readonly router: string }
  | {
      readonly kind: 'ra-contradiction';
      readonly interface: string;
      readonly router: string;
      readonly what: string;
      readonly ours: string;
      readonly theirs: string;
    };

/** Context of `RaControl`. */
export interface RaContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** A window with `raCounters` and `raGauges`. */
  readonly counters: CounterStripe;
  readonly network: NetworkView;
  readonly sysctl: Sysctl;
  /** Keeps what has to outlive the process; absent = nothing does. */
  readonly stateFile?: StateFile | undefined;
  /** Opens the raw socket for types 133 and 134; throws `SystemError` without CAP_NET_RAW. */
  openSocket(handler: Icmp6Handler): Icmp6Sender;
  emit(event: RaEvent): void;
  /** Told of each valid solicitation, once it is answered. @param mac of its source link-layer address option */
  solicited?(on: string, source: Address, mac: Uint8Array | undefined): void;
}
