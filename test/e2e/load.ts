/** What clients of an edge see while it is restarted: new connections and queries without a pause, each counted. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { encodeMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, TYPE } from '../../src/dns/wire/types.ts';
import { waitFor } from '../lab/process.ts';

/** A stub resolver asks again after this time or later (5 s in glibc and dig). */
const retryMs = 2_000;
const answerMs = 10_000;
/** Clients of each kind at a time, and their pause: some hundred new connections and queries a second. */
const clients = 4;
const pauseMs = 10;

/** Who a client is, as the PROXY header said. */
export interface Origin {
  readonly family: string;
  readonly source: string;
}

/** A pool member: reads a PROXY v2 header and a line, and answers with what the header said. */
export class Backend {
  #server: Server | undefined;

  async listen(host: string, port: number): Promise<void> {
    this.#server = createServer((socket) => {
      let read = Buffer.alloc(0);
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        read = Buffer.concat([read, chunk]);
        // 12 octets of signature, then command, family, length: 16 before the addresses (PROXY protocol, section 2.2).
        const addresses = 16;
        // A health check has none (LOCAL), and says nothing.
        if (read.length < addresses || read[12] !== 0x21 || !read.subarray(addresses).includes('who am I\n')) return;
        const isV4 = read[13] === 0x11;
        const groups = Array.from({ length: 8 }, (_, i) => read.readUInt16BE(addresses + 2 * i).toString(16));
        const source = isV4
          ? read.subarray(addresses, addresses + 4).join('.')
          : new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
        socket.end(`${JSON.stringify({ family: isV4 ? 'IPv4' : 'IPv6', source } satisfies Origin)}\n`);
      });
    });
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
  }

  /**
   * Connects to the edge and returns what the member answered; undefined when the connection ended without an answer.
   * @throws {Error} with the code of the system: ECONNREFUSED, ECONNRESET, ETIMEDOUT
   */
  async ask(edge: string, port = 80): Promise<Origin | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect(port, edge, () => socket.write('who am I\n'));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject).on('end', () => resolve(text));
    socket.setTimeout(answerMs, () => reject(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    try {
      const answer = await promise;
      return answer === '' ? undefined : (JSON.parse(answer) as Origin);
    } finally {
      socket.destroy();
    }
  }

  close(): void {
    this.#server?.close();
  }
}

/** What clients saw. */
export interface Seen {
  readonly connections: { served: number; failed: number; reasons: Record<string, number>; slowestMs: number };
  /** retried: answered at the second attempt. lost: not even then. */
  readonly queries: { answered: number; retried: number; lost: number };
}

export class Load {
  readonly #seen: Seen = {
    connections: { served: 0, failed: 0, reasons: {}, slowestMs: 0 },
    queries: { answered: 0, retried: 0, lost: 0 },
  };
  readonly #backend: Backend;
  readonly #edge: string;
  readonly #running: Promise<void>[];
  #ended = false;

  /** Runs until it is stopped, or the test ends. */
  constructor(t: Test, backend: Backend, edge: string) {
    t.teardown(() => this.stop());
    this.#backend = backend;
    this.#edge = edge;
    const each = (client: () => Promise<void>) => Array.from({ length: clients }, () => this.#repeat(client));
    this.#running = [...each(() => this.#connect()), ...each(() => this.#query())];
  }

  /** Resolves when so many more connections and queries have been served. */
  async served(more: number): Promise<void> {
    const { connections, queries } = this.#seen;
    const [first, second] = [connections.served + more, queries.answered + more];
    const enough = () => connections.served >= first && queries.answered >= second;
    await waitFor('clients to be served', enough, { timeoutMs: 60_000, why: () => JSON.stringify(this.#seen) });
  }

  async stop(): Promise<Seen> {
    this.#ended = true;
    await Promise.all(this.#running);
    return this.#seen;
  }

  async #repeat(client: () => Promise<void>): Promise<void> {
    while (!this.#ended) {
      await client();
      await delay(pauseMs);
    }
  }

  async #connect(): Promise<void> {
    const { connections } = this.#seen;
    const from = performance.now();
    let reason = 'closed without an answer';
    try {
      if ((await this.#backend.ask(this.#edge)) !== undefined) {
        connections.served++;
        connections.slowestMs = Math.max(connections.slowestMs, Math.round(performance.now() - from));
        return;
      }
    } catch (error) {
      reason = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    connections.failed++;
    connections.reasons[reason] = (connections.reasons[reason] ?? 0) + 1;
  }

  async #query(): Promise<void> {
    const { queries } = this.#seen;
    const socket = createSocket('udp6');
    // Where nobody listens the kernel says so: a stub resolver waits for its retry then.
    socket.on('error', () => undefined);
    const id = Math.floor(Math.random() * 65_536);
    const question = { name: nameFromText('edge.cluster.test'), type: TYPE.AAAA, class: CLASS.IN };
    const message = {
      id,
      opcode: OPCODE.QUERY,
      flags: FLAG.RD,
      rcode: 0,
      questions: [question],
      answers: [],
      authority: [],
      additional: [],
    };
    const bytes = encodeMessage(message);
    try {
      for (let attempt = 0; attempt < 2; attempt++) {
        socket.send(bytes, 53, this.#edge);
        const answer = once(socket, 'message', { signal: AbortSignal.timeout(retryMs) });
        const answered = await answer.then(
          () => true,
          () => false,
        );
        if (!answered) continue;
        queries.answered++;
        queries.retried += attempt;
        return;
      }
      queries.lost++;
    } finally {
      socket.close();
    }
  }
}
