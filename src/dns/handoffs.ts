/** Messages that only the control thread answers: passed up as bytes, its replies sent as they come back. */
import { cidrContains, unmapAddress } from '../core/address.ts';
import { errorMessage } from '../core/errors.ts';
import { COUNT, responseCounter } from './counters.ts';
import type { Origin, Outstanding, ReplySink } from './origin.ts';
import { HEADER_LENGTH, type QueryView } from './query-view.ts';
import type { ResponderContext } from './responder-context.ts';
import type { HandoffRequest, SendReplies } from './snapshot.ts';

/** Messages at the control thread at a time. */
const MAX_HANDOFFS = 1024;
const MAX_MESSAGE = 65535;

export class Handoffs {
  readonly #context: ResponderContext;
  readonly #outstanding: Outstanding;
  readonly #scratch = Buffer.alloc(MAX_MESSAGE + 1);
  #count = 0;
  #closed = false;

  constructor(context: ResponderContext, outstanding: Outstanding) {
    this.#context = context;
    this.#outstanding = outstanding;
  }

  /** Whether a client that may not ask otherwise has to do with our zones. */
  isPeer(origin: Origin): boolean {
    const { zonePeers } = this.#context;
    if (zonePeers.length === 0) return false;
    const { bytes } = unmapAddress(origin.client().address);
    return zonePeers.some((cidr) => cidrContains(cidr, bytes));
  }

  /** Passes the view's message up. */
  take(view: QueryView, origin: Origin): void {
    const { counters, handoff, log } = this.#context;
    counters.add(COUNT.HANDOFF);
    if (this.#count >= MAX_HANDOFFS) {
      counters.add(COUNT.OVERLOAD);
      return;
    }
    this.#count++;
    this.#outstanding.add();
    const sink = origin.hold();
    const { transport } = origin;
    const request = inOnePiece({
      message: view.message(),
      client: origin.client(),
      local: origin.local(),
      transport,
      way: sink.way,
    });
    const partly: SendReplies = (replies) => {
      if (this.#closed) return Promise.resolve(false);
      this.#send(sink, replies);
      return sink.drained();
    };
    void handoff(request, partly, (rcode) => this.#answered(rcode)).then(
      (replies) => this.#handedBack(sink, replies),
      (error: unknown) => {
        log.error({ error: errorMessage(error) }, 'the control thread could not answer');
        this.#handedBack(sink, []);
      },
    );
  }

  /** Sends nothing any more. */
  close(): void {
    this.#closed = true;
  }

  #handedBack(sink: ReplySink, replies: readonly Uint8Array[]): void {
    this.#count--;
    if (this.#closed) return;
    this.#send(sink, replies);
    this.#outstanding.settle(sink);
  }

  #answered(rcode: number): void {
    const { counters } = this.#context;
    counters.add(COUNT.HANDOFF_ANSWERED);
    counters.add(responseCounter(rcode));
  }

  #send(sink: ReplySink, replies: readonly Uint8Array[]): void {
    for (const reply of replies) {
      if (reply.length < HEADER_LENGTH || reply.length > MAX_MESSAGE) continue;
      this.#answered(reply[3]! & 15);
      this.#scratch.set(reply);
      sink.send(this.#scratch, 0, reply.length);
    }
  }
}

/** A request whose octets are all in one memory of their own: memory is what makes a message to another thread dear. */
function inOnePiece({ message, client, local, transport, way }: HandoffRequest): HandoffRequest {
  const parts = [message, client.address.bytes, local.address.bytes];
  if (way !== undefined) parts.push(way.path.name, way.path.control);
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  const [own, from, to, name, control] = parts.map((part) => {
    all.set(part, at);
    at += part.length;
    return all.subarray(at - part.length, at);
  });
  return {
    message: own!,
    client: { ...client, address: { ...client.address, bytes: from! } },
    local: { ...local, address: { ...local.address, bytes: to! } },
    transport,
    way: way === undefined ? undefined : { loan: way.loan, path: { name: name!, control: control! } },
  };
}
