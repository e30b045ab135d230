/** What becomes of a listener of a data thread: it listens, or what keeps it from that is said once and it is tried again. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** One listener: whether it listens, why not, and when it is tried again. */
export class Opening {
  readonly endpoint: InetEndpoint;
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** Why it does not listen. */
  error: string | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #open: () => void;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;

  /** @param open tries once, and tells `succeeded` or `failed` */
  constructor(
    { clock, log }: { readonly clock: Clock; readonly log: Logger },
    endpoint: InetEndpoint,
    transport: Opening['transport'],
    open: () => void,
  ) {
    this.#clock = clock;
    this.#log = log;
    this.endpoint = endpoint;
    this.transport = transport;
    this.#open = open;
  }

  /** @param bound where it listens */
  succeeded(bound: InetEndpoint): void {
    this.error = undefined;
    this.#log.info({ endpoint: formatEndpoint(bound), transport: this.transport }, 'DNS listens');
  }

  /** It is tried again after a pause, which doubles each time. */
  failed(error: unknown): void {
    const message = errorMessage(error);
    if (message !== this.error) {
      const fields = { endpoint: formatEndpoint(this.endpoint), transport: this.transport, error: message };
      this.#log.error(fields, 'DNS cannot listen; trying again');
    }
    this.error = message;
    this.#retry = this.#clock.after(this.#retryMs, this.#open);
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  /** Tries no more. */
  cancel(): void {
    this.#retry?.cancel();
  }
}
