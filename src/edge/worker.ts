/**
 * A data thread: one reactor, the proxy's and the DNS server's data paths on it. Whatever throws here ends the thread: its
 * sockets are closed first, so that nothing in the kernel outlives it, and the control thread starts another.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { formatEndpoint, parseInetEndpoint } from '../core/address.ts';
import { systemClock } from '../core/clock.ts';
import { CounterTable } from '../core/counters.ts';
import { assert } from '../core/errors.ts';
import { cryptoRandom, SeededRandom } from '../core/random.ts';
import { DnsEngine } from '../dns/engine.ts';
import type { HandoffRequest, SendReplies } from '../dns/snapshot.ts';
import { Lender } from '../linux/lent-fd.ts';
import { Notifier } from '../linux/notify.ts';
import { Reactor } from '../linux/reactor.ts';
import { ProxyEngine } from '../proxy/engine.ts';
import type { SessionQuery } from '../proxy/session-list.ts';
import { CommitWatch } from './commit-count.ts';
import { counterLayout, dnsWindow, proxyWindow } from './counter-layout.ts';
import { type LogSink, openLog } from './log.ts';
import {
  type BindReport,
  type Down,
  failedExit,
  type OneDown,
  type ThreadReport,
  type ThreadSessions,
  type ThreadStart,
  type Up,
} from './protocol.ts';
import { settleInTime, threadSettling } from './settle.ts';
import { socketKeeper } from './sockets.ts';

/** Handed-over messages that may wait for the control thread at once; further ones are dropped and the client asks again. */
const maxHandoffs = 1_000;

/** How long queries that are with upstreams may take when another daemon follows and sessions have ended. */
const lastQueriesMs = 500;

/** What is done with the replies to a message that the control thread has. */
interface HandedOver {
  readonly send: SendReplies;
  readonly left: (rcode: number) => void;
  resolve(replies: readonly Uint8Array[]): void;
}

class DataThread {
  readonly #reactor = new Reactor();
  readonly #proxy: ProxyEngine;
  readonly #dns: DnsEngine;
  readonly #thread: number;
  readonly #notifier = new Notifier();
  readonly #port: MessagePort;
  readonly #commits: CommitWatch;
  /** Messages that came and were not seen to yet. */
  readonly #inbox: OneDown[] = [];
  readonly #handoffs = new Map<number, HandedOver>();
  #handoffId = 0;
  #ready = false;
  #failed = false;

  constructor(port: MessagePort, start: ThreadStart, { log, drain }: LogSink) {
    this.#port = port;
    this.#thread = start.thread;
    this.#commits = new CommitWatch(start.commits, start.thread, start.commit, () => this.#takeZones());
    const stripe = new CounterTable(counterLayout(start.threads), start.counters).stripe(start.thread);
    const clock = systemClock;
    this.#proxy = new ProxyEngine({
      reactor: this.#reactor,
      clock,
      random: new SeededRandom(cryptoRandom.below(2 ** 32)),
      log: log.child({ module: 'proxy' }),
      counters: proxyWindow(stripe),
      sources: { table: start.sources, thread: start.thread },
      queues: { table: start.queues, thread: start.thread },
      report: (event) => this.#send({ kind: 'proxy-event', event }),
      keeper: socketKeeper(this.#notifier, start.thread),
    });
    this.#dns = new DnsEngine({
      reactor: this.#reactor,
      clock,
      random: cryptoRandom,
      log: log.child({ module: 'dns' }),
      counters: dnsWindow(stripe),
      handoff: (request, send, left) => this.#handOver(request, send, left),
      lender: new Lender(start.loans),
      commits: this.#commits,
      keepers: {
        udp: socketKeeper(this.#notifier, start.thread, 'udp'),
        tcp: socketKeeper(this.#notifier, start.thread),
      },
    });
    for (const { endpoint, fd, kind } of start.sockets) {
      const bound = parseInetEndpoint(endpoint);
      if (kind === 'dns-udp') this.#dns.adopt('udp', bound, fd);
      else if (kind === 'dns-tcp') this.#dns.adopt('tcp', bound, fd);
      else if (kind === 'spare') this.#proxy.adoptSpare(bound, fd);
      else this.#proxy.adopt(bound, { fd, lent: kind === 'lent' });
    }
    process.once('uncaughtException', (error) => {
      log.error({ err: error }, 'data thread throws');
      this.#failed = true;
      let code = 1;
      try {
        this.close();
        code = failedExit;
      } finally {
        // Everything is closed by now: what is left of the thread waits for its last line to be written.
        void drain().then(() => process.exit(code));
      }
    });
  }

  /** Lets go of every descriptor: each part does, whatever happens in the others. */
  close(): void {
    try {
      this.#proxy.close();
    } finally {
      try {
        this.#dns.close();
      } finally {
        this.#reactor.close();
        this.#notifier.close();
      }
    }
  }

  onMessage(message: Down): void {
    this.#keep(message);
    this.#work();
  }

  #keep(message: Down): void {
    if (message.kind === 'several') this.#inbox.push(...message.messages);
    else this.#inbox.push(message);
  }

  #work(): void {
    for (let message = this.#inbox.shift(); message !== undefined; message = this.#inbox.shift()) {
      if (!this.#failed) this.#handle(message);
    }
  }

  /**
   * Takes in what was sent of zones, whatever stands before it, in the middle of answering a query; all else has its turn after
   * that, for it may close what is being answered on.
   */
  #takeZones(): void {
    const quiet = this.#inbox.length === 0;
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      this.#keep(got.message as Down);
    }
    const others: OneDown[] = [];
    for (const message of this.#inbox.splice(0)) {
      if (message.kind === 'publish') this.#handle(message);
      else others.push(message);
    }
    this.#inbox.push(...others);
    // The port has no event for what was taken out of it.
    if (quiet && others.length > 0) setImmediate(() => this.#work());
  }

  #handle(message: OneDown): void {
    switch (message.kind) {
      case 'proxy':
        this.#proxy.apply(message.snapshot);
        return;
      case 'dns':
        this.#dns.apply(message.settings);
        return;
      case 'publish':
        this.#publish(message.publication);
        this.#commits.took(message.commit);
        return;
      case 'replies':
        this.#takeReplies(message);
        return;
      case 'ask':
        if (message.question === 'clients') {
          this.#send({ kind: 'done', ticket: message.ticket, value: this.#dns.clients() });
        } else if (message.question === 'taken') this.#send({ kind: 'done', ticket: message.ticket });
        else this.#answer(message.ticket);
        return;
      case 'sessions':
        this.#send({ kind: 'done', ticket: message.ticket, value: this.#sessions(message) });
        return;
      case 'close-session':
        this.#send({ kind: 'done', ticket: message.ticket, value: this.#proxy.closeSession(message.id) });
        return;
      case 'close-sessions':
        this.#proxy.closeSessionsOf(message.pool, message.member);
        return;
      case 'flush-cache':
        this.#dns.flushCache(message.name);
        return;
      case 'settle':
        void this.#proxy
          .settle(message.graceMs)
          .then(() => this.#send({ kind: 'done', ticket: message.ticket, value: true }));
        return;
      case 'stop':
        void this.#stop(message.graceMs, message.handOver);
        this.#send({ kind: 'stopping' });
        return;
    }
  }

  #publish(publication: Extract<Down, { kind: 'publish' }>['publication']): void {
    if (publication.kind === 'zone') this.#dns.setZone(publication.data);
    else if (publication.kind === 'delta') this.#dns.applyDelta(publication.delta);
    else if (publication.kind === 'zone-expiry') this.#dns.setExpiry(publication.name, publication.expiresAt);
    else this.#dns.removeZone(publication.name);
  }

  #answer(ticket: number): void {
    // The first question follows the initial state: whoever can answer it has taken that in.
    if (!this.#ready) {
      this.#ready = true;
      this.#send({ kind: 'ready' });
      settleInTime(systemClock, threadSettling);
    }
    this.#dns.sweepClients();
    this.#send({ kind: 'done', ticket, value: this.#report() });
  }

  #sessions(query: SessionQuery): ThreadSessions {
    return { thread: this.#thread, sessions: this.#proxy.sessions(query) };
  }

  #report(): ThreadReport {
    return {
      thread: this.#thread,
      binds: [
        ...this.#proxy.listening.map(
          ({ listener, endpoint, code }): BindReport => ({ role: 'proxy', name: listener, endpoint, error: code }),
        ),
        ...this.#dns.listening.map(
          ({ transport, endpoint, error }): BindReport => ({
            role: 'dns',
            name: transport,
            endpoint: formatEndpoint(endpoint),
            error,
          }),
        ),
      ],
      upstreams: this.#dns.upstreams(),
      cache: this.#dns.cacheStatus(),
      dns64: this.#dns.dns64Status(),
    };
  }

  #handOver(request: HandoffRequest, send: SendReplies, left: HandedOver['left']): Promise<readonly Uint8Array[]> {
    if (this.#handoffs.size >= maxHandoffs) return Promise.resolve([]);
    const id = this.#handoffId++;
    return new Promise((resolve) => {
      this.#handoffs.set(id, { resolve, send, left });
      this.#send({ kind: 'handoff', id, request });
    });
  }

  #takeReplies({ id, messages, last, left }: Extract<Down, { kind: 'replies' }>): void {
    const handoff = this.#handoffs.get(id);
    for (const rcode of left ?? []) handoff?.left(rcode);
    if (last) {
      this.#handoffs.delete(id);
      handoff?.resolve(messages);
    } else {
      const room = handoff?.send(messages) ?? Promise.resolve(false);
      void room.then((open) => this.#send({ kind: 'handoff-more', id, open }));
    }
  }

  async #stop(graceMs: number, handOver: boolean): Promise<void> {
    const sessions = this.#proxy.stop(graceMs, handOver);
    // Another daemon follows: queries are answered here for as long as there is anything here.
    if (handOver) await sessions;
    await Promise.all([sessions, this.#dns.stop(handOver ? lastQueriesMs : graceMs, handOver)]);
    this.close();
    this.#port.close();
  }

  #send(message: Up): void {
    this.#port.postMessage(message);
  }
}

assert(parentPort !== null, 'a data thread is started by the control thread');
const start = workerData as ThreadStart;
const thread = new DataThread(parentPort, start, await openLog(start.log, { fields: { thread: start.thread } }));
parentPort.on('message', (message: Down) => thread.onMessage(message));
