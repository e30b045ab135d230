/** What tests of the answering side need around it: an engine, upstreams that misbehave on purpose, and a client. */
import dgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { Test } from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { ForwardConfig, UpstreamConfig } from '../../src/dns/config.ts';
import { dnsGauges } from '../../src/dns/counters.ts';
import { DnsEngine } from '../../src/dns/engine.ts';
import { dnsCounterCount } from '../../src/dns/slot-counters.ts';
import type { DnsSettings, Handoff, ZoneData } from '../../src/dns/snapshot.ts';
import {
  type EdnsOption,
  encodeMessage,
  type Message,
  parseMessage,
  type ResourceRecord,
} from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { Reactor } from '../../src/linux/reactor.ts';

export interface AskOptions {
  readonly type?: number;
  readonly class?: number;
  readonly flags?: number;
  readonly id?: number;
  readonly edns?: {
    readonly udpSize: number;
    readonly do?: boolean;
    readonly version?: number;
    readonly options?: readonly EdnsOption[];
  };
}

/** A query as bytes. */
export function query(name: string, options: AskOptions = {}): Uint8Array {
  const { type = TYPE.AAAA, class: cls = CLASS.IN, flags = FLAG.RD, id = 0x1234, edns } = options;
  const message: Message = {
    id,
    flags,
    opcode: 0,
    rcode: 0,
    questions: [{ name: nameFromText(name), type, class: cls }],
    answers: [],
    authority: [],
    additional: [],
  };
  if (edns === undefined) return encodeMessage(message);
  const { udpSize, do: dnssecOk = false, version = 0, options: ednsOptions = [] } = edns;
  return encodeMessage({
    ...message,
    edns: { udpSize, do: dnssecOk, version, extendedRcode: 0, options: [...ednsOptions] },
  });
}

export function aaaa(name: string, last: number, ttl = 300): ResourceRecord {
  const rdata = new Uint8Array(16);
  rdata.set([0x20, 0x01, 0x0d, 0xb8]);
  rdata[15] = last;
  return { name: nameFromText(name), type: TYPE.AAAA, class: CLASS.IN, ttl, rdata };
}

export function txt(name: string, bytes: number, ttl = 300): ResourceRecord {
  const parts: number[] = [];
  for (let left = bytes; left > 0; left -= 255) {
    const length = Math.min(255, left);
    parts.push(length, ...new Array<number>(length).fill(0x78));
  }
  return { name: nameFromText(name), type: TYPE.TXT, class: CLASS.IN, ttl, rdata: Uint8Array.from(parts) };
}

export function soa(zone: string, ttl = 300, minimum = 60): ResourceRecord {
  const numbers = Buffer.alloc(20);
  [1, 3600, 600, 86400, minimum].forEach((value, i) => void numbers.writeUInt32BE(value, i * 4));
  const rdata = Buffer.concat([nameFromText(`ns.${zone}`), nameFromText(`host.${zone}`), numbers]);
  return { name: nameFromText(zone), type: TYPE.SOA, class: CLASS.IN, ttl, rdata };
}

/** A zone of the given records and an SOA. */
export function zone(name: string, records: readonly ResourceRecord[]): ZoneData {
  const rrsets = [soa(name), ...records].map(({ name: owner, type, ttl, rdata }) => ({
    owner,
    rrset: { type, ttl, rdata: [rdata] },
  }));
  return { name: nameFromText(name), rrsets };
}

/** The name a message asks for. */
export function askedName({ questions }: Message): string {
  return nameToText(questions[0]!.name);
}

/** The reply to a message: same id and question. */
export function reply(to: Message, parts: Partial<Message>): Uint8Array {
  const { id, questions, opcode } = to;
  const base: Message = {
    id,
    opcode,
    questions,
    flags: FLAG.QR | FLAG.RD | FLAG.RA,
    rcode: RCODE.NOERROR,
    answers: [],
    authority: [],
    additional: [],
  };
  const edns = to.edns === undefined ? {} : { edns: { ...to.edns, udpSize: 1232 } };
  return encodeMessage({ ...base, ...edns, ...parts });
}

export interface Seen {
  readonly message: Message;
  readonly bytes: Buffer;
  readonly transport: 'udp' | 'tcp';
  readonly port: number;
}

type Behaviour = (seen: Seen) => Uint8Array | Uint8Array[] | undefined;

/** A server that answers as told, on UDP and TCP of one port of 127.0.0.1. */
export class FakeUpstream {
  readonly seen: Seen[] = [];
  port = 0;
  #behaviour: Behaviour;
  #udp = dgram.createSocket('udp4');
  readonly #tcp = net.createServer((socket) => this.#serve(socket));
  readonly #sockets = new Set<net.Socket>();

  private constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
  }

  static async start(t: Test, behaviour: Behaviour): Promise<FakeUpstream> {
    const upstream = new FakeUpstream(behaviour);
    await upstream.#listen();
    t.teardown(() => upstream.stop());
    return upstream;
  }

  set behaviour(behaviour: Behaviour) {
    this.#behaviour = behaviour;
  }

  get config(): UpstreamConfig {
    const address = parseAddress('127.0.0.1');
    return { transport: 'udp', endpoint: { kind: 'inet', address, port: this.port }, serverName: undefined };
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = [once(this.#udp, 'close'), once(this.#tcp, 'close')];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
    this.stop = async () => {};
  }

  /** A port of 127.0.0.1 where nobody listens. */
  static async closedPort(t: Test): Promise<UpstreamConfig> {
    const upstream = await FakeUpstream.start(t, () => undefined);
    const { config } = upstream;
    await upstream.stop();
    return config;
  }

  /** Takes a port that is free on UDP and TCP both. */
  async #listen(): Promise<void> {
    this.#tcp.listen(0, '127.0.0.1');
    await once(this.#tcp, 'listening');
    this.port = (this.#tcp.address() as net.AddressInfo).port;
    this.#udp.bind(this.port, '127.0.0.1');
    try {
      await once(this.#udp, 'listening');
    } catch {
      this.#udp = dgram.createSocket('udp4');
      this.#tcp.close();
      await once(this.#tcp, 'close');
      await this.#listen();
      return;
    }
    this.#udp.on('message', (bytes, from) => {
      const send = (data: Uint8Array) => void this.#udp.send(data, from.port, from.address);
      this.#answer({ message: parseMessage(bytes), bytes, transport: 'udp', port: from.port }, send);
    });
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    readFrames(socket, (bytes) => {
      const send = (data: Uint8Array) => void socket.write(frame(data));
      this.#answer({ message: parseMessage(bytes), bytes, transport: 'tcp', port: socket.remotePort! }, send);
    });
  }

  #answer(seen: Seen, send: (data: Uint8Array) => void): void {
    this.seen.push(seen);
    const out = this.#behaviour(seen);
    if (out === undefined) return;
    for (const data of Array.isArray(out) ? out : [out]) send(data);
  }
}

/** A message with its length before it (RFC 1035 §4.2.2). */
export function frame(data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(2 + data.length);
  bytes.writeUInt16BE(data.length);
  bytes.set(data, 2);
  return bytes;
}

/** Calls `got` with every message of a connection. */
export function readFrames(socket: net.Socket, got: (message: Buffer) => void): void {
  let buffer: Buffer = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    buffer = Buffer.concat([buffer, data]);
    while (buffer.length >= 2 && buffer.length >= 2 + buffer.readUInt16BE(0)) {
      const end = 2 + buffer.readUInt16BE(0);
      got(buffer.subarray(2, end));
      buffer = buffer.subarray(end);
    }
  });
}

export interface EngineOptions {
  readonly upstreams?: readonly UpstreamConfig[];
  readonly forward?: Partial<Omit<ForwardConfig, 'upstreams'>>;
  readonly cache?: Partial<ForwardConfig['cache']>;
  readonly settings?: Partial<DnsSettings>;
  readonly clock?: Clock;
  readonly handoff?: Handoff;
}

export function settings(options: EngineOptions): DnsSettings {
  const cache = {
    sizeBytes: 1 << 20,
    minTtlSeconds: 0,
    maxTtlSeconds: 86400,
    maxNegativeTtlSeconds: 3600,
    serveStaleSeconds: 0,
    prefetch: false,
    ...options.cache,
  };
  const rebind = { protect: true, allow: [] };
  const forward: ForwardConfig | undefined =
    options.upstreams === undefined
      ? undefined
      : {
          policy: 'ordered',
          ca: undefined,
          timeoutMs: 1000,
          domains: [],
          rebind,
          ...options.forward,
          upstreams: options.upstreams,
          cache,
        };
  return {
    listen: [{ kind: 'inet', address: parseAddress('127.0.0.1'), port: 0 }],
    allow: [parseCidr('127.0.0.0/8')],
    rateLimit: { responsesPerSecond: 0, slip: 2 },
    clientLimit: { queriesPerSecond: 0 },
    queryLog: { sample: 0, maxPerSecond: 0 },
    identity: { version: '', id: '' },
    tls: undefined,
    forward,
    dns64: { mode: 'off', prefix: 'auto', exclude: [], force: [], exempt: [] },
    hairpin: { ingressDomains: [], addresses: [] },
    slots: { zones: {}, upstreams: {} },
    cookieSecret: Buffer.from('e5e973e5a6b2a43f48e7dc849e37bfcf', 'hex'),
    ...options.settings,
  };
}

/** Whether more than one UDP socket of this namespace has a port (proc(5), /proc/net/udp). */
function isShared(port: number | undefined): boolean {
  if (port === undefined) return false;
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/udp', 'latin1').split('\n');
  return lines.filter((line) => line.trim().split(/\s+/)[1]?.endsWith(local)).length > 1;
}

/** An engine on a port of 127.0.0.1, and a client of it. */
export class Bench {
  readonly engine: DnsEngine;
  readonly counters = CounterStripe.alone(dnsCounterCount, dnsGauges.length);
  readonly log = new MemoryLogger();
  readonly reactor = new Reactor();
  readonly #client = dgram.createSocket('udp4');
  readonly #waiting: ((message: Buffer) => void)[] = [];

  constructor(options: EngineOptions) {
    const { counters, log, reactor } = this;
    const handoff = options.handoff ?? (async () => []);
    const clock = options.clock ?? systemClock;
    const make = (): DnsEngine => {
      const engine = new DnsEngine({ reactor, clock, random: new SeededRandom(7), log, counters, handoff });
      engine.apply(settings(options));
      return engine;
    };
    // The port that UDP was given may be taken on TCP; or be another engine's, since sockets with SO_REUSEPORT may share one.
    let engine = make();
    const taken = () =>
      engine.listening.some(
        ({ transport, error, bound }) => transport !== 'tls' && (error !== undefined || isShared(bound?.port)),
      );
    while (taken()) {
      engine.close();
      engine = make();
    }
    this.engine = engine;
    this.#client.on('message', (message) => this.#waiting.shift()?.(message));
  }

  static async start(t: Test, options: EngineOptions = {}): Promise<Bench> {
    const bench = new Bench(options);
    bench.#client.bind(0, '127.0.0.1');
    await once(bench.#client, 'listening');
    t.teardown(() => {
      bench.engine.close();
      bench.reactor.close();
      bench.#client.close();
    });
    return bench;
  }

  get port(): number {
    return this.engine.listening[0]!.bound!.port;
  }

  /** Sends bytes and resolves with the next datagram that comes back. */
  exchange(bytes: Uint8Array): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.send(bytes);
    });
  }

  /** Sends bytes and resolves with the first datagram that is accepted. */
  exchangeUntil(bytes: Uint8Array, accept: (message: Buffer) => boolean): Promise<Buffer> {
    return new Promise((resolve) => {
      const take = (message: Buffer): void => {
        if (accept(message)) resolve(message);
        else this.#waiting.unshift(take);
      };
      this.#waiting.push(take);
      this.send(bytes);
    });
  }

  send(bytes: Uint8Array): void {
    this.#client.send(bytes, this.port, '127.0.0.1');
  }

  async ask(name: string, options?: AskOptions): Promise<Message> {
    return parseMessage(await this.exchange(query(name, options)));
  }

  async connect(t: Test): Promise<net.Socket> {
    const socket = net.connect(this.port, '127.0.0.1');
    socket.on('error', () => {});
    t.teardown(() => void socket.destroy());
    await once(socket, 'connect');
    return socket;
  }
}
