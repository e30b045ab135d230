/** DNS messages over one TCP connection that we open (RFC 7766): each with its length before it. */
import { once } from 'node:events';
import net from 'node:net';
import { formatAddress, formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { V6edgeError } from '../../core/errors.ts';

const LENGTH_OCTETS = 2;

/** A primary that cannot be reached, says nothing, or says what is no answer. Code V6_DNS_PRIMARY. */
export class PrimaryError extends V6edgeError {
  constructor(message: string, options?: ErrorOptions) {
    super('V6_DNS_PRIMARY', message, options);
  }
}

/** One connection; a silence of `silenceMs` at any point ends it. */
export class MessageStream {
  readonly #socket: net.Socket;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #messages: AsyncGenerator<Uint8Array>;
  #silence: Timer | undefined;

  private constructor(socket: net.Socket, clock: Clock, silenceMs: number) {
    this.#socket = socket;
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#messages = this.#read();
    this.#watch('it does not accept the connection');
  }

  /**
   * Connects.
   * @throws {PrimaryError}
   */
  static async connect(
    to: InetEndpoint,
    options: { readonly clock: Clock; readonly silenceMs: number; readonly signal: AbortSignal },
  ): Promise<MessageStream> {
    if (options.signal.aborted) throw new PrimaryError('given up');
    const host = formatAddress(to.address);
    const socket = net.connect({ host, port: to.port, noDelay: true, signal: options.signal });
    // What goes wrong later is found by who reads.
    socket.on('error', () => {});
    const stream = new MessageStream(socket, options.clock, options.silenceMs);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      stream.close();
      throw failure(`cannot connect to ${formatEndpoint(to)}`, cause);
    }
    return stream;
  }

  send(message: Uint8Array): void {
    this.#socket.write(Buffer.concat([Buffer.of(message.length >> 8, message.length), message]));
  }

  /**
   * The next message.
   * @throws {PrimaryError} the connection failed, ended, or was silent too long
   */
  async next(): Promise<Uint8Array> {
    this.#watch('it is silent');
    try {
      const { value, done } = await this.#messages.next();
      if (done === true) throw new PrimaryError('it closed the connection');
      return value;
    } catch (error) {
      throw error instanceof PrimaryError ? error : failure('the connection failed', error);
    } finally {
      this.#silence?.cancel();
    }
  }

  close(): void {
    this.#silence?.cancel();
    this.#socket.destroy();
  }

  #watch(what: string): void {
    this.#silence?.cancel();
    const error = new PrimaryError(`${what} for ${this.#silenceMs / 1000} s`);
    this.#silence = this.#clock.after(this.#silenceMs, () => this.#socket.destroy(error));
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    let parts: Buffer[] = [];
    let held = 0;
    let wanted = LENGTH_OCTETS;
    for await (const part of this.#socket) {
      parts.push(part as Buffer);
      held += (part as Buffer).length;
      if (held < wanted) continue;
      let bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      for (;;) {
        wanted = LENGTH_OCTETS + (bytes.length < LENGTH_OCTETS ? 0 : bytes.readUInt16BE(0));
        if (bytes.length < wanted || bytes.length < LENGTH_OCTETS) break;
        yield bytes.subarray(LENGTH_OCTETS, wanted);
        bytes = bytes.subarray(wanted);
      }
      parts = bytes.length === 0 ? [] : [bytes];
      held = bytes.length;
    }
  }
}

function failure(what: string, cause: unknown): PrimaryError {
  if (cause instanceof PrimaryError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new PrimaryError(`${what}: ${code}`, { cause });
}
