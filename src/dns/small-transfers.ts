/**
 * Zones that a data thread sends whole by itself: those that fit one message, to clients that need no key. What is longer has to
 * wait for its client, what is signed needs a secret, differences need the store: that is the control thread's (transfer-out.ts),
 * and so is every refusal.
 */
import { type Cidr, cidrContains, formatEndpoint, unmapAddress } from '../core/address.ts';
import { COUNT } from './counters.ts';
import type { Origin } from './origin.ts';
import type { QueryView } from './query-view.ts';
import type { ResponderContext } from './responder-context.ts';
import { expireOptions } from './served-zone.ts';
import { zoneCounter } from './slot-counters.ts';
import { axfrSets, TransferMessages } from './transfer.ts';
import { MessageWriter, tryParseMessage } from './wire/message.ts';
import { nameToText } from './wire/name.ts';
import { CLASS, RCODE, TYPE } from './wire/types.ts';

/** RRsets: of most zones with more, a message is filled for nothing. */
const MAX_SETS = 1500;

export class SmallTransfers {
  readonly #context: ResponderContext;
  readonly #writer = new MessageWriter();

  constructor(context: ResponderContext) {
    this.#context = context;
  }

  /** Answers a request for a zone. @returns bytes of the reply written at `at`; 0: it is the control thread's */
  answer(view: QueryView, origin: Origin, out: Buffer, at: number): number {
    const { clock, commits, counters, givenZone, log, openTransfers } = this.#context;
    if (openTransfers.size === 0 || origin.transport === 'udp') return 0;
    const query = view.query();
    if (query.type !== TYPE.AXFR || query.class !== CLASS.IN || query.signed || query.ednsVersion > 0) return 0;
    const allow = openTransfers.get(query.key);
    if (allow === undefined || !contains(allow, origin)) return 0;
    if (commits?.isBehind === true) commits.catchUp();
    const zone = givenZone(query.key);
    if (zone === undefined || zone.unavailable || zone.size > MAX_SETS) return 0;
    const message = tryParseMessage(view.message());
    if (message === undefined) return 0;
    const edns = message.edns === undefined ? undefined : expireOptions(zone, message.edns, clock.wall());
    const format = { id: query.id, question: message.questions[0]!, overhead: 0, edns };
    const transfer = new TransferMessages(format, axfrSets(zone), this.#writer);
    const reply = transfer.next();
    if (reply === undefined || !transfer.done) return 0;
    out.set(reply, at);
    counters.add(COUNT.TRANSFER);
    counters.add(zoneCounter(zone.slot, RCODE.NOERROR));
    const client = formatEndpoint(origin.client());
    const fields = { zone: nameToText(zone.name), client, kind: 'axfr', serial: zone.serial, messages: 1 };
    log.info({ ...fields, octets: reply.length }, 'zone transferred');
    return reply.length;
  }
}

function contains(allow: readonly Cidr[], origin: Origin): boolean {
  const { bytes } = unmapAddress(origin.client().address);
  return allow.some((cidr) => cidrContains(cidr, bytes));
}
