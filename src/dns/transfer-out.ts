/**
 * Answers requests for zone transfers: AXFR (RFC 5936), IXFR (RFC 1995) from the store's change sets.
 *
 * A transfer is a copy of references to the zone's sets, then one message after the other, each made while the one before
 * is on its way: the control thread is held up for no longer than a message takes, and a client that does not read costs
 * no more memory than its connection may.
 */

import { formatEndpoint } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import { Tally } from '../core/tally.ts';
import { transferCounter } from './control-counters.ts';
import { finishReply, replyTo } from './control-reply.ts';
import { EDE } from './extended-error.ts';
import { RefusalLog } from './refusal-log.ts';
import { expireOptions, type Served } from './served-zone.ts';
import type { HandoffRequest, OwnedRRset, SendReplies } from './snapshot.ts';
import type { ZoneStore } from './store.ts';
import {
  axfrSets,
  isCurrent,
  ixfrSerial,
  ixfrSets,
  mayTransfer,
  soaSets,
  type TransferFormat,
  TransferMessages,
} from './transfer.ts';
import type { ReplySigner, TsigOutcome } from './tsig.ts';
import { readUint16 } from './wire/bytes.ts';
import { MessageWriter, type ParsedMessage } from './wire/message.ts';
import { nameToText } from './wire/name.ts';
import { MAX_UDP_SIZE } from './wire/query.ts';
import { RCODE, rcodeToText, TYPE } from './wire/types.ts';

/** Transfers at a time, and those of one client: others come again later, as after any SERVFAIL. */
const MAX_TRANSFERS = 16;
const MAX_PER_CLIENT = 4;
const MIN_UDP_SIZE = 512;
/** RRsets: differences up to here are sent as such also where the whole zone is less. */
const SHORT_DIFFERENCES = 1000;

export interface TransferServerContext {
  readonly clock: Clock;
  readonly log: Logger;
  /** Window for `controlCounters`. */
  readonly counters?: CounterStripe;
}

/** A request for a transfer, its signature checked. */
export interface TransferRequest {
  readonly message: ParsedMessage;
  readonly request: HandoffRequest;
  readonly outcome: TsigOutcome;
  /** The zone asked for, if it is ours. */
  readonly served: Served | undefined;
}

/** Sends transfers; there is one for the process. */
export class TransferServer {
  readonly #context: TransferServerContext;
  /** Of all transfers: a message is made in one go. */
  readonly #writer = new MessageWriter();
  readonly #running = new Tally<string>();
  readonly #refusals: RefusalLog;

  constructor(context: TransferServerContext) {
    this.#context = context;
    this.#refusals = new RefusalLog(context.clock, context.log);
  }

  /** Answers one request; without `send` all messages are returned at once. */
  async answer(
    { message, request, outcome, served }: TransferRequest,
    store: Pick<ZoneStore, 'journal'>,
    send: SendReplies | undefined,
  ): Promise<readonly Uint8Array[]> {
    const key = outcome.kind === 'verified' ? outcome.key : undefined;
    const signer = outcome.kind === 'verified' ? outcome.signer : undefined;
    const [question] = message.questions;
    const zone = nameToText(question!.name);
    const log = this.#context.log.child({ zone, client: formatEndpoint(request.client), key: key?.name });
    const refuse = (rcode: number, reason: string, error?: number): Uint8Array[] => {
      this.#context.counters?.add(transferCounter('refused'));
      this.#refusals.warn(log, { rcode: rcodeToText(rcode), reason }, 'zone transfer refused');
      return [finishReply(replyTo(request.message, message, rcode, [], error), request.message, signer)];
    };
    if (served === undefined) return refuse(RCODE.NOTAUTH, 'no zone of ours has this name');
    if (!mayTransfer(served.config, request, key)) return refuse(RCODE.REFUSED, 'transfer.allow and transfer.key');
    if (served.zone.unavailable) {
      return refuse(RCODE.SERVFAIL, 'we have no data of this zone that are still good', EDE.INVALID_DATA);
    }
    const udp = request.transport === 'udp';
    const ixfr = question!.type === TYPE.IXFR;
    if (udp && !ixfr) return refuse(RCODE.FORMERR, 'AXFR is not for UDP (RFC 5936 §4.2)');
    const serial = ixfr ? ixfrSerial(message.authority) : undefined;
    if (ixfr && serial === undefined) return refuse(RCODE.FORMERR, 'IXFR without the serial the client has');

    const format: TransferFormat = {
      id: readUint16(request.message, 0),
      question: question!,
      overhead: signer?.overhead ?? 0,
      edns:
        message.edns === undefined ? undefined : expireOptions(served.zone, message.edns, this.#context.clock.wall()),
    };
    const { kind, sets } = contentFor(served, serial, store, udp);
    if (udp) {
      const udpSize = Math.min(MAX_UDP_SIZE, Math.max(MIN_UDP_SIZE, message.edns?.udpSize ?? MIN_UDP_SIZE));
      this.#count(kind);
      return sign([inOneMessage({ ...format, limit: udpSize }, sets, served, this.#writer)], signer);
    }
    const client = Buffer.from(request.client.address.bytes).toString('latin1');
    const held = this.#running.of(client);
    if (this.#running.total >= MAX_TRANSFERS || held >= MAX_PER_CLIENT) {
      return refuse(RCODE.SERVFAIL, `${this.#running.total} transfers are under way, ${held} of them to this client`);
    }
    this.#running.add(client);
    try {
      const { messages, octets, complete, last } = await stream(
        new TransferMessages(format, sets, this.#writer),
        signer,
        send,
      );
      const fields = { kind, serial: served.zone.serial, from: serial, messages, octets };
      if (!complete) {
        log.warn(fields, 'the client of a zone transfer went away');
        return [];
      }
      this.#count(kind);
      log.info(fields, 'zone transferred');
      return last;
    } finally {
      this.#running.remove(client);
    }
  }

  #count(kind: 'axfr' | 'ixfr' | 'current'): void {
    this.#context.counters?.add(transferCounter(kind));
  }
}

/** What is to be sent: differences where they are kept and no longer than the zone, or all of it. */
function contentFor(
  { zone }: Served,
  serial: number | undefined,
  store: Pick<ZoneStore, 'journal'>,
  udp: boolean,
): { kind: 'axfr' | 'ixfr' | 'current'; sets: Iterable<OwnedRRset> } {
  if (serial === undefined) return { kind: 'axfr', sets: axfrSets(zone) };
  if (isCurrent(zone, serial)) return { kind: 'current', sets: soaSets(zone) };
  const journal = store.journal(zone.key, serial);
  // Taken over whole from a primary, a zone may have changed under the same serial: no step tells of that.
  const told = journal?.every(({ changes }) => changes.length === 0 || changes.some(({ type }) => type === TYPE.SOA));
  const differences = journal === undefined || told !== true ? undefined : ixfrSets(zone, journal);
  if (differences !== undefined && differences.length <= Math.max(zone.size, SHORT_DIFFERENCES)) {
    return { kind: 'ixfr', sets: differences };
  }
  // Over UDP the whole zone has no place: the client comes back by TCP (RFC 1995 §2).
  return udp ? { kind: 'current', sets: soaSets(zone) } : { kind: 'axfr', sets: axfrSets(zone) };
}

/** RFC 1995 §2: what does not fit into a datagram is answered with the SOA alone. */
function inOneMessage(
  format: TransferFormat,
  sets: Iterable<OwnedRRset>,
  { zone }: Served,
  writer: MessageWriter,
): Uint8Array {
  const messages = new TransferMessages(format, sets, writer);
  const first = messages.next()!;
  return messages.done ? first : new TransferMessages(format, soaSets(zone), writer).next()!;
}

interface Streamed {
  readonly messages: number;
  readonly octets: number;
  /** False: the client is gone. */
  readonly complete: boolean;
  readonly last: readonly Uint8Array[];
}

async function stream(
  transfer: TransferMessages,
  signer: ReplySigner | undefined,
  send: SendReplies | undefined,
): Promise<Streamed> {
  const held: Uint8Array[] = [];
  let room: Promise<boolean> = Promise.resolve(true);
  let messages = 0;
  let octets = 0;
  for (let message = transfer.next(); message !== undefined; message = transfer.next()) {
    const [signed] = sign([message], signer);
    messages++;
    octets += signed!.length;
    held.push(signed!);
    // The last one goes back as the answer: its client has room for the one before it, so nobody has to wait for this one.
    if (send === undefined || transfer.done) continue;
    // Made while the one before it is on its way.
    if (!(await room)) return { messages, octets, complete: false, last: [] };
    room = send(held.splice(0));
  }
  if (!(await room)) return { messages, octets, complete: false, last: [] };
  return { messages, octets, complete: true, last: held };
}

function sign(messages: readonly Uint8Array[], signer: ReplySigner | undefined): Uint8Array[] {
  return messages.map((message) => signer?.sign(message) ?? message);
}
