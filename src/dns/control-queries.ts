/** Queries that only the control thread answers: signed ones, and those for a zone transfer. */
import type { Clock } from '../core/clock.ts';
import { assert } from '../core/errors.ts';
import { answerFromZone, errorReply } from './answer.ts';
import { finishReply } from './control-reply.ts';
import { EDE, usualError } from './extended-error.ts';
import { expireOptions, type Served } from './served-zone.ts';
import type { HandoffRequest, SendReplies } from './snapshot.ts';
import type { ZoneStore } from './store.ts';
import { TransferServer, type TransferServerContext } from './transfer-out.ts';
import type { TsigOutcome } from './tsig.ts';
import { MessageWriter, type ParsedMessage } from './wire/message.ts';
import { type NameKey, nameKey } from './wire/name.ts';
import { Query, VERDICT } from './wire/query.ts';
import { CLASS, RCODE, TYPE } from './wire/types.ts';
import type { ZoneTable } from './zone.ts';

/** What it answers from. */
export interface QuerySources {
  readonly served: ReadonlyMap<NameKey, Served>;
  readonly zones: ZoneTable;
  readonly store: Pick<ZoneStore, 'journal'>;
  /** Whether we forward: replies say so (RA). */
  readonly recursion: boolean;
}

export class ControlQueries {
  readonly #transfers: TransferServer;
  readonly #clock: Clock;
  readonly #query = new Query();
  readonly #writer = new MessageWriter();
  #sources: QuerySources | undefined;

  constructor(context: TransferServerContext) {
    this.#clock = context.clock;
    this.#transfers = new TransferServer(context);
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
  async answer(
    inner: Uint8Array,
    message: ParsedMessage,
    request: HandoffRequest,
    outcome: TsigOutcome,
    send: SendReplies | undefined,
  ): Promise<readonly Uint8Array[]> {
    assert(this.#sources !== undefined, 'queries come when zones are there');
    const { served: all, zones, store, recursion } = this.#sources;
    const signer = outcome.kind === 'verified' ? outcome.signer : undefined;
    const query = this.#query;
    const verdict = query.read(inner);
    if (verdict === VERDICT.DROP) return [];
    if (verdict === VERDICT.HANDOFF && (query.type === TYPE.AXFR || query.type === TYPE.IXFR)) {
      const [question] = message.questions;
      const served = question!.class === CLASS.IN ? all.get(nameKey(question!.name)) : undefined;
      return this.#transfers.answer({ message, request, outcome, served }, store, send);
    }
    const overhead = signer?.overhead ?? 0;
    const limit = (request.transport === 'udp' ? query.udpLimit : 65535) - overhead;
    const asked = query.type === TYPE.SOA && query.class === CLASS.IN ? all.get(query.key) : undefined;
    const edns = expireOptions(asked?.zone, message.edns, this.#clock.wall());
    const options = { limit, recursionAvailable: recursion, edns };
    // SIG(0) is not spoken here: such a query counts as unsigned.
    const rcode = verdict === VERDICT.HANDOFF ? RCODE.NOERROR : verdict;
    const answer = rcode === RCODE.NOERROR ? answerFromZone(zones, query, options, this.#writer)?.bytes : undefined;
    // A name of no zone of ours is not refused to this client, but to all.
    const error = rcode === RCODE.NOERROR ? EDE.NOT_AUTHORITATIVE : usualError(rcode);
    const reply = answer ?? errorReply(query, rcode || RCODE.REFUSED, recursion, this.#writer, error);
    return [finishReply(reply, request.message, signer)];
  }
}
