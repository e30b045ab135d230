/** Queries that only the control thread answers: signed ones, and zone transfers out. */
import { formatEndpoint } from '../core/address.ts';
import type { CounterStripe } from '../core/counters.ts';
import { assert } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { answerFromZone, errorReply } from './answer.ts';
import { transferCounter } from './control-counters.ts';
import { finishReply, replyTo } from './control-reply.ts';
import type { Served } from './served-zone.ts';
import type { HandoffRequest } from './snapshot.ts';
import type { ZoneStore } from './store.ts';
import {
  axfrRecords,
  isCurrent,
  ixfrRecords,
  ixfrSerial,
  mayTransfer,
  soaRecords,
  transferMessages,
} from './transfer.ts';
import type { TsigOutcome } from './tsig.ts';
import { readUint16 } from './wire/bytes.ts';
import { MessageWriter, type ParsedMessage } from './wire/message.ts';
import { type NameKey, nameKey, nameToText } from './wire/name.ts';
import { Query, VERDICT } from './wire/query.ts';
import { CLASS, RCODE, rcodeToText, TYPE } from './wire/types.ts';
import type { ZoneTable } from './zone.ts';

/** What it needs from above. */
export interface ControlQueriesContext {
  readonly log: Logger;
  /** Window for `controlCounters`. */
  readonly counters?: CounterStripe;
}

/** What it answers from. */
export interface QuerySources {
  readonly served: ReadonlyMap<NameKey, Served>;
  readonly zones: ZoneTable;
  readonly store: Pick<ZoneStore, 'journal'>;
  /** Whether we forward: replies say so (RA). */
  readonly recursion: boolean;
}

export class ControlQueries {
  readonly #context: ControlQueriesContext;
  readonly #query = new Query();
  readonly #writer = new MessageWriter();
  #sources: QuerySources | undefined;

  constructor(context: ControlQueriesContext) {
    this.#context = context;
  }

  /** Answers from these zones from now on. */
  apply(sources: QuerySources): void {
    this.#sources = sources;
  }

  /**
   * Answers a query. Signed ones are answered from our zones alone: who signs (nsupdate, a secondary) asks for a zone it
   * has a key for, and replies of an upstream would need the control thread to be signed.
   * @param inner the message without its signature, `message` the same parsed
   */
  answer(inner: Uint8Array, message: ParsedMessage, request: HandoffRequest, outcome: TsigOutcome): Uint8Array[] {
    assert(this.#sources !== undefined, 'queries come when zones are there');
    const { zones, recursion } = this.#sources;
    const signer = outcome.kind === 'verified' ? outcome.signer : undefined;
    const query = this.#query;
    const verdict = query.read(inner);
    if (verdict === VERDICT.DROP) return [];
    if (verdict === VERDICT.HANDOFF && (query.type === TYPE.AXFR || query.type === TYPE.IXFR)) {
      return this.#transfer(this.#sources, message, request, outcome);
    }
    const overhead = signer?.overhead ?? 0;
    const limit = (request.transport === 'udp' ? query.udpLimit : 65535) - overhead;
    const options = { limit, recursionAvailable: recursion };
    // SIG(0) is not spoken here: such a query counts as unsigned.
    const rcode = verdict === VERDICT.HANDOFF ? RCODE.NOERROR : verdict;
    const answer = rcode === RCODE.NOERROR ? answerFromZone(zones, query, options, this.#writer)?.bytes : undefined;
    const reply = answer ?? errorReply(query, rcode || RCODE.REFUSED, recursion, this.#writer);
    return [finishReply(reply, request.message, signer)];
  }

  #transfer(
    { served: all, store }: QuerySources,
    message: ParsedMessage,
    request: HandoffRequest,
    outcome: TsigOutcome,
  ): Uint8Array[] {
    const key = outcome.kind === 'verified' ? outcome.key : undefined;
    const signer = outcome.kind === 'verified' ? outcome.signer : undefined;
    const [question] = message.questions;
    const zone = nameToText(question!.name);
    const log = this.#context.log.child({ zone, client: formatEndpoint(request.client), key: key?.name });
    const refuse = (rcode: number): Uint8Array[] => {
      this.#context.counters?.add(transferCounter('refused'));
      log.warn({ rcode: rcodeToText(rcode) }, 'zone transfer refused');
      return [finishReply(replyTo(request.message, message, rcode), request.message, signer)];
    };
    const served = question!.class === CLASS.IN ? all.get(nameKey(question!.name)) : undefined;
    if (served === undefined) return refuse(RCODE.NOTAUTH);
    if (!mayTransfer(served.config, request, key)) return refuse(RCODE.REFUSED);
    const udp = request.transport === 'udp';
    const ixfr = question!.type === TYPE.IXFR;
    // RFC 5936 §4.2: AXFR is not for UDP.
    if (udp && !ixfr) return refuse(RCODE.FORMERR);
    const serial = ixfr ? ixfrSerial(message.authority) : undefined;
    if (ixfr && serial === undefined) return refuse(RCODE.FORMERR);
    const current = serial !== undefined && isCurrent(served.zone, serial);
    const journal = serial === undefined || current || udp ? undefined : store.journal(served.zone.key, serial);
    const content =
      current || udp
        ? soaRecords(served.zone)
        : journal === undefined
          ? axfrRecords(served.zone)
          : ixfrRecords(served.zone, journal);
    this.#context.counters?.add(transferCounter(ixfr ? 'ixfr' : 'axfr'));
    log.info({ serial: served.zone.serial, from: serial }, 'zone transfer');
    const messages = transferMessages(readUint16(request.message, 0), question!, content, signer?.overhead ?? 0);
    return messages.map((reply) => signer?.sign(reply) ?? reply);
  }
}
