/** What tests send with: signed messages over UDP and TCP, AXFR as sorted lines. */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { systemClock } from '../../src/core/clock.ts';
import type { TsigKey } from '../../src/dns/config.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, type Message, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { canonicalRdata } from '../../src/dns/wire/rdata.ts';
import { CLASS, OPCODE, RCODE, TYPE, typeToText } from '../../src/dns/wire/types.ts';

/** An UPDATE for a zone (RFC 2136 §2). */
export function updateMessage(
  id: number,
  zone: string,
  prerequisites: readonly ResourceRecord[],
  updates: readonly ResourceRecord[],
): Message {
  return {
    id,
    flags: 0,
    opcode: OPCODE.UPDATE,
    rcode: 0,
    questions: [{ name: nameFromText(zone), type: TYPE.SOA, class: CLASS.IN }],
    answers: prerequisites,
    authority: updates,
    additional: [],
  };
}

/** A record from its parts; the owner as text. */
export function rr(name: string, cls: number, type: number, ttl: number, rdata: Uint8Array): ResourceRecord {
  return { name: nameFromText(name), class: cls, type, ttl, rdata };
}

/** A UDP client with one socket: one message at a time, sent again until it is answered. */
export class UdpClient {
  readonly #socket = dgram.createSocket('udp6');
  readonly #port: number;
  #timer: NodeJS.Timeout | undefined;
  #waiting: { id: number; resolve: (reply: Uint8Array) => void } | undefined;

  constructor(port: number) {
    this.#port = port;
    this.#socket.on('message', (message) => {
      if (this.#waiting === undefined || message.readUInt16BE(0) !== this.#waiting.id) return;
      this.#waiting.resolve(Uint8Array.from(message));
      this.#waiting = undefined;
    });
    // A server that is not there yet: the next try may find it.
    this.#socket.on('error', () => {});
  }

  /** Undefined when there was no reply within `tries` × `intervalMs`. */
  async send(message: Uint8Array, tries = 5, intervalMs = 1000): Promise<Uint8Array | undefined> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiting = { id: (message[0]! << 8) | message[1]!, resolve };
    const attempt = () => {
      if (tries-- > 0) this.#socket.send(message, this.#port, '::1');
      else resolve(undefined);
    };
    attempt();
    this.#timer = setInterval(attempt, intervalMs);
    const reply = await promise;
    clearInterval(this.#timer);
    this.#waiting = undefined;
    return reply;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }
}

/** The records of a zone by AXFR, one line each, sorted; names in lower case. */
export async function axfrLines(port: number, zone: string, key: TsigKey): Promise<string[]> {
  const records = await transfer(port, zone, key);
  return records.slice(0, -1).map(recordLine).sort();
}

/**
 * The records of a zone by IXFR, as `axfrLines` gives them: the differences applied to what `axfrLines` gave at `serial`.
 * Throws when the server has no differences to tell, or what goes is not there.
 */
export async function ixfrLines(
  port: number,
  zone: string,
  key: TsigKey,
  serial: number,
  lines: readonly string[],
): Promise<string[]> {
  const [newest, ...records] = await transfer(port, zone, key, serial);
  if (records.length === 0) return [...lines];
  if (records[0]?.type !== TYPE.SOA) throw new Error('IXFR: the zone came whole');
  const now = new Set(lines);
  let adding = true;
  // The last record is the newest SOA once more.
  for (const record of records.slice(0, -1)) {
    if (record.type === TYPE.SOA) adding = !adding;
    const line = recordLine(record);
    if (adding) now.add(line);
    else if (!now.delete(line)) throw new Error(`IXFR: ${line} goes, and is not there`);
  }
  if (!now.has(recordLine(newest!))) throw new Error('IXFR: it does not lead to the newest SOA');
  return [...now].sort();
}

/** The serial among lines of a zone. */
export function lineSerial(lines: readonly string[]): number {
  const soa = lines.find((line) => / SOA /.test(line))!;
  return Buffer.from(soa.slice(-40), 'hex').readUInt32BE(0);
}

/** The records of an AXFR, or with a serial of an IXFR. */
async function transfer(port: number, zone: string, key: TsigKey, serial?: number): Promise<ResourceRecord[]> {
  const soa = Buffer.alloc(22);
  soa.writeUInt32BE(serial ?? 0, 2);
  const query = encodeMessage({
    id: 4711,
    flags: 0,
    opcode: OPCODE.QUERY,
    rcode: 0,
    questions: [{ name: nameFromText(zone), type: serial === undefined ? TYPE.AXFR : TYPE.IXFR, class: CLASS.IN }],
    answers: [],
    authority: serial === undefined ? [] : [rr(zone, CLASS.IN, TYPE.SOA, 0, Uint8Array.from(soa))],
    additional: [],
  });
  const request = signRequest(query, key, systemClock);
  const socket = net.connect(port, '::1');
  await once(socket, 'connect');
  socket.write(Buffer.concat([Buffer.of(request.length >> 8, request.length), request]));
  const records: ResourceRecord[] = [];
  let held = Buffer.alloc(0);
  for await (const data of socket) {
    held = Buffer.concat([held, data as Buffer]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const message = parseMessage(Uint8Array.from(held.subarray(2, 2 + held.readUInt16BE(0))));
      held = held.subarray(2 + held.readUInt16BE(0));
      if (message.rcode !== RCODE.NOERROR) throw new Error(`transfer: rcode ${message.rcode}`);
      records.push(...message.answers);
    }
    if (isWhole(records, serial)) break;
  }
  socket.destroy();
  return records;
}

/** Whether a transfer has come to its end: the newest SOA again, for differences after it stood among them. */
function isWhole(records: readonly ResourceRecord[], serial: number | undefined): boolean {
  const first = records[0];
  if (first === undefined) return false;
  const differences = records[1]?.type === TYPE.SOA && serial !== undefined;
  const newest = recordLine(first);
  const seen = records.filter((record) => record.type === TYPE.SOA && recordLine(record) === newest).length;
  if (records.length === 1) return serial !== undefined;
  return seen === (differences ? 3 : 2);
}

/** A record as one line, canonical. */
export function recordLine({ name, ttl, type, rdata }: ResourceRecord): string {
  const data = Buffer.from(canonicalRdata(type, rdata)).toString('hex');
  return `${nameToText(name).toLowerCase()} ${ttl} ${typeToText(type)} ${data}`;
}
