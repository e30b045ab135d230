/** Messages that data threads hand over: the signature first, then by opcode to who answers them. */
import { formatEndpoint } from '../core/address.ts';
import { WireError } from '../core/errors.ts';
import type { DnsControlContext } from './control-context.ts';
import { tsigCounter, updateCounter } from './control-counters.ts';
import type { ControlQueries } from './control-queries.ts';
import { emptyReply, replyTo, tsigErrorText } from './control-reply.ts';
import { answerUpdate, type UpdateAnswer } from './control-updates.ts';
import type { Keys } from './dynamic-keys.ts';
import { RefusalLog } from './refusal-log.ts';
import type { Secondaries } from './secondary/secondaries.ts';
import type { Served } from './served-zone.ts';
import type { HandoffRequest, SendReplies } from './snapshot.ts';
import { type TsigOutcome, verifyRequest } from './tsig.ts';
import { type Message, type ParsedMessage, parseMessage } from './wire/message.ts';
import { type NameKey, nameKey } from './wire/name.ts';
import { CLASS, OPCODE, opcodeToText, RCODE } from './wire/types.ts';
import type { ZoneWriter } from './zone-writer.ts';

/** What answers them, as it is at the moment. */
export interface MessageHost {
  readonly keys: Keys;
  readonly queries: ControlQueries;
  secondaries(): Secondaries;
  served(): ReadonlyMap<NameKey, Served>;
  writer(): ZoneWriter;
  /** Set while a configuration is being taken over. */
  gate(): Promise<void> | undefined;
}

export class ControlMessages {
  readonly #context: DnsControlContext;
  readonly #host: MessageHost;
  readonly #refusals: RefusalLog;

  constructor(context: DnsControlContext, host: MessageHost) {
    this.#context = context;
    this.#refusals = new RefusalLog(context.clock, context.log);
    this.#host = host;
  }

  /** Answers one; without `send` all replies come at once. */
  async answer(request: HandoffRequest, send?: SendReplies): Promise<readonly Uint8Array[]> {
    const { clock, counters, log, saw } = this.#context;
    const { keys, queries } = this.#host;
    const { message } = request;
    if (message.length < 12 || (message[2]! & 0x80) !== 0) return [];
    const outcome = verifyRequest(message, keys.ring, clock);
    const opcode = (message[2]! >> 3) & 15;
    if (opcode === OPCODE.UPDATE) {
      const replies = await this.#host.secondaries().forwardUpdate(request, outcome, this.#host.served());
      if (replies !== undefined) return replies;
    }
    if (outcome.kind === 'malformed' || outcome.kind === 'failed') return [this.#refuseSignature(request, outcome)];
    const inner = outcome.kind === 'verified' ? outcome.message : message;
    const sign = (reply: Uint8Array) => (outcome.kind === 'verified' ? outcome.signer.sign(reply) : reply);
    let parsed: ParsedMessage;
    try {
      parsed = parseMessage(inner);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      log.debug({ client: formatEndpoint(request.client), reason: error.message }, 'message does not parse');
      if (opcode === OPCODE.UPDATE) counters?.add(updateCounter(RCODE.FORMERR));
      return [sign(emptyReply(message, RCODE.FORMERR))];
    }
    if ((parsed.edns?.version ?? 0) > 0) return [sign(replyTo(message, parsed, RCODE.BADVERS))];
    switch (opcode) {
      case OPCODE.UPDATE: {
        while (this.#host.gate() !== undefined) await this.#host.gate();
        // The reply is worked out while the disk writes, and held until it is done.
        let answered = false;
        let ahead: Uint8Array | undefined;
        const expect = (expected: UpdateAnswer): void => {
          if (answered) return;
          try {
            const reply = replyTo(message, parsed, expected.rcode, expected.options);
            ahead = outcome.kind === 'verified' ? outcome.signer.copy().sign(reply) : reply;
          } catch {
            // It throws again below, to whoever handed the message over.
          }
        };
        // By a way of its own the reply leaves before anything else is done about the update.
        let left = false;
        const durable = (): void => {
          if (ahead === undefined || request.way === undefined || send === undefined) return;
          left = true;
          void send([ahead]);
        };
        const refusals = this.#refusals;
        const context = { log, refusals, writer: this.#host.writer(), saw, expect, durable };
        const { rcode, options } = await answerUpdate(parsed, request, outcome, this.#zoneOf(parsed), context);
        answered = true;
        counters?.add(updateCounter(rcode));
        if (rcode === RCODE.NOERROR && outcome.kind === 'verified') keys.noteUpdate(outcome.key.name, clock.wall());
        if (left) return [];
        if (rcode === RCODE.NOERROR && ahead !== undefined) return [ahead];
        return [sign(replyTo(message, parsed, rcode, options))];
      }
      case OPCODE.QUERY:
        return queries.answer(inner, parsed, request, outcome, send);
      case OPCODE.NOTIFY:
        return [sign(replyTo(message, parsed, this.#notified(parsed, request, outcome)))];
      default:
        return [sign(replyTo(message, parsed, RCODE.NOTIMP))];
    }
  }

  /** A NOTIFY for a zone of ours; those that we are the primary of need none. */
  #notified(message: ParsedMessage, { client }: HandoffRequest, outcome: TsigOutcome): number {
    const served = this.#zoneOf(message);
    if (served === undefined) return RCODE.NOTAUTH;
    if (served.secondary === undefined) return RCODE.REFUSED;
    const key = outcome.kind === 'verified' ? outcome.key : undefined;
    return this.#host.secondaries().notified(message, client, key, served.secondary, served.config.secondary!);
  }

  #refuseSignature(request: HandoffRequest, outcome: TsigOutcome & { kind: 'malformed' | 'failed' }): Uint8Array {
    const { counters, log, saw } = this.#context;
    const failed = outcome.kind === 'failed' ? outcome : undefined;
    counters?.add(tsigCounter(failed?.error ?? RCODE.FORMERR));
    const rcode = failed === undefined ? RCODE.FORMERR : RCODE.NOTAUTH;
    const error = failed === undefined ? 'FORMERR' : tsigErrorText(failed.error);
    const opcode = (request.message[2]! >> 3) & 15;
    const { keyName: key, clockBehindSeconds } = failed ?? {};
    const fields = { client: formatEndpoint(request.client), opcode: opcodeToText(opcode), key, error };
    this.#refusals.warn(log, { ...fields, clockBehindSeconds, reason: outcome.reason }, 'signature refused');
    const { address: client } = request.client;
    saw?.({ client, key, names: [], result: error, reason: outcome.reason, clockBehindSeconds });
    if (opcode === OPCODE.UPDATE) counters?.add(updateCounter(rcode));
    const reply = emptyReply(request.message, rcode);
    return failed?.signer.sign(reply) ?? reply;
  }

  /** The zone of ours whose name is the one in the first section. */
  #zoneOf(message: Message): Served | undefined {
    const [entry] = message.questions;
    return entry === undefined || entry.class !== CLASS.IN ? undefined : this.#host.served().get(nameKey(entry.name));
  }
}
