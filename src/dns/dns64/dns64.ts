/**
 * DNS64 (RFC 6147): which questions are answered by more than asking them, and how. Without validation of our own, what is
 * synthesized is never marked authentic, and a client that validates itself (DO and CD set) gets nothing made up (§5.5).
 */
import { type Cidr, formatCidr } from '../../core/address.ts';
import { KEY_CD, KEY_DO } from '../cache.ts';
import type { Dns64Config } from '../config.ts';
import { DomainSet } from '../domain-set.ts';
import type { FlightPlan } from '../forwarder/flight.ts';
import { readUint16 } from '../wire/bytes.ts';
import { nameFromText } from '../wire/name.ts';
import { CLASS, RCODE, TYPE } from '../wire/types.ts';
import { extractIpv4 } from './address.ts';
import { type DiscoveryContext, PrefixDiscovery, type Synthesis } from './discovery.ts';
import { aliasedTo, hasUsableAddress, synthesize, withoutExcluded } from './synthesis.ts';

/** Name of 32 nibbles in ip6.arpa. */
const REVERSE_LENGTH = 32 * 2 + 10;
const BOTH = KEY_CD | KEY_DO;

/** DNS64 as operators see it. */
export interface Dns64Status {
  readonly mode: Dns64Config['mode'];
  /** What addresses are made with: configured, or found. */
  readonly prefixes: readonly string[];
  /** Whether upstreams synthesize. */
  readonly upstreams: Synthesis;
}

export class Dns64 {
  readonly #discovery: PrefixDiscovery;
  #config: Dns64Config = { mode: 'off', prefix: 'auto', exclude: [], force: [], exempt: [] };
  #force = new DomainSet([]);
  #exempt = new DomainSet([]);

  constructor(context: DiscoveryContext) {
    this.#discovery = new PrefixDiscovery(context);
  }

  /** @param forwards whether there are upstreams to ask */
  apply(config: Dns64Config, forwards: boolean): void {
    this.#config = config;
    this.#force = new DomainSet(config.force);
    this.#exempt = new DomainSet(config.exempt);
    const wanted = forwards && config.mode !== 'off' && (config.prefix === 'auto' || config.mode === 'upstream');
    if (wanted) this.#discovery.start();
    else this.#discovery.stop();
  }

  get prefixes(): readonly Cidr[] {
    const { mode, prefix } = this.#config;
    if (mode === 'off') return [];
    return prefix === 'auto' ? this.#discovery.prefixes : [prefix];
  }

  get status(): Dns64Status {
    const { mode } = this.#config;
    return { mode, prefixes: this.prefixes.map(formatCidr), upstreams: this.#discovery.synthesis };
  }

  stop(): void {
    this.#discovery.stop();
  }

  /** What a question takes beside asking it. */
  plan(question: Uint8Array, key: number): FlightPlan | undefined {
    const { prefixes } = this;
    const end = question.length - 4;
    if (prefixes.length === 0 || (key & BOTH) === BOTH || readUint16(question, end + 2) !== CLASS.IN) return undefined;
    const type = readUint16(question, end);
    if (type === TYPE.AAAA) return this.#planAddress(question, prefixes);
    if (type === TYPE.PTR && this.#config.mode === 'synthesize') return planReverse(question, prefixes);
    return undefined;
  }

  #planAddress(question: Uint8Array, prefixes: readonly Cidr[]): FlightPlan | undefined {
    const { mode, exclude } = this.#config;
    const forced = this.#force.depthOf(question);
    const exempt = this.#exempt.depthOf(question);
    if (exempt > forced) {
      // Upstreams may have made some up.
      const made = [...exclude, ...prefixes];
      return {
        first: question,
        next: (answer) => ({ answer: answer === undefined ? undefined : withoutExcluded(answer, made) }),
        combine: (first) => first,
      };
    }
    if (forced < 0 && mode !== 'synthesize') return undefined;
    return {
      first: question,
      next: (answer) => {
        // RFC 6147 §5.1.2, §5.1.3: the name does not exist; any other error may concern AAAA alone.
        const passes =
          answer !== undefined && (answer.rcode !== RCODE.NOERROR || (forced < 0 && hasUsableAddress(answer, exclude)));
        return passes ? { answer: withoutExcluded(answer, exclude) } : { ask: withType(question, TYPE.A) };
      },
      combine: (first, second) => {
        const made = second && synthesize(question, first, second, { prefixes, exclude });
        return made ?? (first && withoutExcluded(first, exclude));
      },
    };
  }
}

function planReverse(question: Uint8Array, prefixes: readonly Cidr[]): FlightPlan | undefined {
  const address = reverseAddress(question);
  if (address === undefined) return undefined;
  for (const prefix of prefixes) {
    const ipv4 = extractIpv4(prefix, address);
    if (ipv4 === undefined) continue;
    const target = nameFromText(`${[...ipv4].reverse().join('.')}.in-addr.arpa`);
    const first = new Uint8Array(target.length + 4);
    first.set(target);
    first.set(question.subarray(question.length - 4), target.length);
    return {
      first,
      next: (answer) => ({ answer: answer && aliasedTo(question, target, answer) }),
      combine: (answer) => answer,
    };
  }
  return undefined;
}

/** The address whose name in ip6.arpa (RFC 3596 §2.5) is asked for. */
function reverseAddress(question: Uint8Array): Uint8Array | undefined {
  if (question.length !== REVERSE_LENGTH + 4) return undefined;
  const suffix = '\x03ip6\x04arpa\x00';
  const tail = Buffer.from(question.subarray(64, REVERSE_LENGTH)).toString('latin1').toLowerCase();
  if (tail !== suffix) return undefined;
  const address = new Uint8Array(16);
  for (let i = 0; i < 32; i++) {
    const nibble = Number.parseInt(String.fromCharCode(question[2 * i + 1]!), 16);
    if (question[2 * i] !== 1 || Number.isNaN(nibble)) return undefined;
    const at = 31 - i;
    address[at >> 1]! |= (at & 1) === 0 ? nibble << 4 : nibble;
  }
  return address;
}

function withType(question: Uint8Array, type: number): Uint8Array {
  const changed = Uint8Array.from(question);
  changed[question.length - 3] = type;
  return changed;
}
