/**
 * Passes updates for a secondary zone on to its primaries (RFC 2136 §6). The message goes as it came, its TSIG too: it is the
 * client whom the primary believes, not us, and the primary's signed answer goes back the same way (RFC 8945 §5.5).
 */
import { formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { RefusalLog } from '../refusal-log.ts';
import { equalBytes } from '../wire/bytes.ts';
import { FLAG, OPCODE } from '../wire/types.ts';
import { MessageStream, PrimaryError } from './message-stream.ts';

/** Clients wait about 5 s in all. */
const SILENCE_MS = 3000;
/** Updates under way. */
const MAX_FORWARDED = 64;

export class UpdateForwarder {
  readonly #clock: Clock;
  readonly #refusals: RefusalLog;
  readonly #stopping = new AbortController();
  #forwarded = 0;

  constructor(clock: Clock, refusals: RefusalLog) {
    this.#clock = clock;
    this.#refusals = refusals;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** The answer of the first primary that gives one, as it came; undefined: none did. */
  async forward(message: Uint8Array, primaries: readonly InetEndpoint[], log: Logger): Promise<Uint8Array | undefined> {
    if (this.#forwarded >= MAX_FORWARDED) {
      this.#refusals.warn(log, { forwarded: this.#forwarded }, 'update not forwarded: too many are under way');
      return undefined;
    }
    this.#forwarded++;
    try {
      for (const primary of primaries) {
        try {
          const reply = await this.#ask(message, primary);
          log.info({ primary: formatEndpoint(primary) }, 'update forwarded');
          return reply;
        } catch (error) {
          const fields = { primary: formatEndpoint(primary), reason: errorMessage(error) };
          this.#refusals.warn(log, fields, 'update could not be forwarded');
        }
      }
      return undefined;
    } finally {
      this.#forwarded--;
    }
  }

  async #ask(message: Uint8Array, primary: InetEndpoint): Promise<Uint8Array> {
    const options = { clock: this.#clock, silenceMs: SILENCE_MS, signal: this.#stopping.signal };
    const stream = await MessageStream.connect(primary, options);
    try {
      stream.send(message);
      // A connection of its own: the id may stay the client's.
      const reply = await stream.next();
      const isReply =
        reply.length >= 12 && (reply[2]! & (FLAG.QR >> 8)) !== 0 && ((reply[2]! >> 3) & 15) === OPCODE.UPDATE;
      if (!isReply || !equalBytes(reply.subarray(0, 2), message.subarray(0, 2)))
        throw new PrimaryError('what came is no answer');
      return Uint8Array.from(reply);
    } finally {
      stream.close();
    }
  }
}
