/** A DNS client for tests: one UDP socket, queries and signed updates, each with its own bounded wait. */
import { createSocket, type Socket } from 'node:dgram';
import { parseAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { makeKey } from '../../src/dns/keyfile.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import {
  encodeMessage,
  type Message,
  type ParsedMessage,
  parseMessage,
  type ResourceRecord,
} from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, TYPE } from '../../src/dns/wire/types.ts';
import { keyName, keySecret } from './daemon-process.ts';

const key = makeKey(keyName, 'hmac-sha256', keySecret);

export class DnsClient {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #host: string;
  readonly #waiting = new Map<number, (reply: ParsedMessage) => void>();
  #id = 1;

  constructor(port: number, host = '127.0.0.1') {
    this.#port = port;
    this.#host = host;
    this.#socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    // A daemon that is away is a wait without an answer, as on a network.
    this.#socket.on('error', () => undefined);
    this.#socket.on('message', (bytes) => {
      const id = bytes.readUInt16BE(0);
      this.#waiting.get(id)?.(parseMessage(bytes));
      this.#waiting.delete(id);
    });
  }

  close(): void {
    this.#socket.close();
  }

  /** Undefined when no answer came in time. */
  query(name: string, type: number, waitMs = 2_000): Promise<ParsedMessage | undefined> {
    return this.#ask({ ...this.#message(name, type), opcode: OPCODE.QUERY, flags: FLAG.RD }, false, waitMs);
  }

  /** Adds records to a zone with a signed update; the reply's code, or undefined when no answer came in time. */
  async add(zone: string, records: readonly ResourceRecord[], waitMs = 2_000): Promise<number | undefined> {
    const message = { ...this.#message(zone, TYPE.SOA), opcode: OPCODE.UPDATE, flags: 0, authority: records };
    return (await this.#ask(message, true, waitMs))?.rcode;
  }

  #message(name: string, type: number): Omit<Message, 'opcode' | 'flags'> {
    this.#id = (this.#id % 65_535) + 1;
    const questions = [{ name: nameFromText(name), type, class: CLASS.IN }];
    return { id: this.#id, rcode: 0, questions, answers: [], authority: [], additional: [] };
  }

  #ask(message: Message, signed: boolean, waitMs: number): Promise<ParsedMessage | undefined> {
    const plain = encodeMessage(message);
    const bytes = signed ? signRequest(plain, key, systemClock) : plain;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(message.id);
        resolve(undefined);
      }, waitMs);
      this.#waiting.set(message.id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.#socket.send(bytes, this.#port, this.#host);
    });
  }
}

export function aaaa(name: string, address: string): ResourceRecord {
  return { name: nameFromText(name), type: TYPE.AAAA, class: CLASS.IN, ttl: 60, rdata: parseAddress(address).bytes };
}

export function txt(name: string, text: string): ResourceRecord {
  const rdata = Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
  return { name: nameFromText(name), type: TYPE.TXT, class: CLASS.IN, ttl: 60, rdata: Uint8Array.from(rdata) };
}
