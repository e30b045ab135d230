/** Answers everything but a query of class IN from a client that may ask. */
import { COUNT } from './counters.ts';
import { EDE } from './extended-error.ts';
import type { Handoffs } from './handoffs.ts';
import type { Origin } from './origin.ts';
import type { QueryView } from './query-view.ts';
import { writeAnswer, writeRcode } from './reply.ts';
import type { ResponderContext } from './responder-context.ts';
import { SmallTransfers } from './small-transfers.ts';
import { VERDICT } from './wire/query.ts';
import { CLASS, RCODE } from './wire/types.ts';

const MAX_MESSAGE = 65535;

export class Exceptions {
  readonly #context: ResponderContext;
  readonly #handoffs: Handoffs;
  readonly #transfers: SmallTransfers;
  /** The whole code of the answer written last: its upper bits stand in OPT. */
  rcode: number = RCODE.NOERROR;

  constructor(context: ResponderContext, handoffs: Handoffs) {
    this.#context = context;
    this.#handoffs = handoffs;
    this.#transfers = new SmallTransfers(context);
  }

  /**
   * Answers the view's message, or passes it up.
   * @param verdict as `QueryView.read` gave it, `allowed` the filter's
   * @param flags RA, if we forward
   * @returns bytes of the reply written at `at`; 0 when there is none, or none yet
   */
  answer(
    view: QueryView,
    verdict: number,
    allowed: boolean,
    origin: Origin,
    flags: number,
    out: Buffer,
    at: number,
  ): number {
    const { counters, identity } = this.#context;
    if (verdict === VERDICT.DROP) {
      counters.add(view.faultCounter());
      return 0;
    }
    const plain = verdict === RCODE.NOERROR && view.class === CLASS.IN;
    const peer = !allowed && (plain || verdict === VERDICT.HANDOFF) && this.#handoffs.isPeer(origin);
    if (!allowed && !peer) counters.add(COUNT.NOT_ALLOWED);
    else if (peer || verdict === VERDICT.HANDOFF) {
      this.rcode = RCODE.NOERROR;
      const transferred = verdict === VERDICT.HANDOFF ? this.#transfers.answer(view, origin, out, at) : 0;
      if (transferred > 0) return transferred;
      this.#handoffs.take(view, origin);
      return 0;
    } else if (verdict === RCODE.FORMERR) counters.add(view.faultCounter());
    if (allowed && verdict === RCODE.NOERROR && view.class === CLASS.CH) {
      const told = identity.answer(view.copyQuestion());
      this.rcode = RCODE.NOERROR;
      if (told !== undefined) {
        const limit = origin.transport === 'udp' ? view.udpLimit : MAX_MESSAGE;
        return writeAnswer(counters, view, told, limit, out, at);
      }
    }
    if (allowed && verdict === RCODE.NOERROR && view.questionLength === 0) {
      // RFC 7873 §5.4: who asks nothing wants a cookie.
      this.rcode = RCODE.NOERROR;
      return writeRcode(view, RCODE.NOERROR, flags, out, at);
    }
    // Any other class than IN is nobody's business.
    const rcode = !allowed || verdict === RCODE.NOERROR ? RCODE.REFUSED : verdict;
    if (!allowed) view.extendedError = EDE.PROHIBITED;
    else if (rcode === RCODE.NOTIMP || verdict === RCODE.NOERROR) view.extendedError = EDE.NOT_SUPPORTED;
    this.rcode = rcode;
    return writeRcode(view, rcode, flags, out, at);
  }
}
