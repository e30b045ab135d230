/**
 * Asks a primary for a zone: its SOA, and where that is newer than what we have the differences (RFC 1995) or the whole zone
 * (RFC 5936), all on one TCP connection. Asking for the SOA by TCP as well costs two packets more than by UDP, and needs no
 * defence against forged answers; a primary that takes no TCP could not give the zone either.
 */
import type { InetEndpoint } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { errorMessage, WireError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import type { TsigKey } from '../config.ts';
import { serialGreater, soaSerial } from '../soa.ts';
import { signRequest } from '../tsig.ts';
import { StreamVerifier } from '../tsig-stream.ts';
import { ASK_EXPIRE, readExpire } from '../wire/expire.ts';
import { encodeMessage, type ParsedMessage, parseMessage } from '../wire/message.ts';
import { equalNames, type Name } from '../wire/name.ts';
import { MAX_UDP_SIZE } from '../wire/query.ts';
import { locateTsig } from '../wire/tsig.ts';
import { CLASS, FLAG, OPCODE, RCODE, rcodeToText, TYPE, typeToText } from '../wire/types.ts';
import { MessageStream, PrimaryError } from './message-stream.ts';
import { TransferReader, type Transferred } from './transfer-reader.ts';

/** Longest silence of a primary, and longest time for all of a transfer. */
const SILENCE_MS = 20_000;
const WHOLE_MS = 30 * 60_000;
const SOA_NUMBERS_OCTETS = 5 * 4;
/** What servers say to an OPT record that they cannot read. */
const EDNS_UNKNOWN: ReadonlySet<number> = new Set([RCODE.FORMERR, RCODE.NOTIMP, RCODE.BADVERS]);

/** What is wanted of a primary. */
export interface PrimaryRequest {
  readonly primary: InetEndpoint;
  readonly zone: Name;
  /** Signs; undefined = nothing is signed. */
  readonly key: TsigKey | undefined;
  /** The SOA's RDATA that we have; undefined = none, or the whole zone is wanted whatever its serial. */
  readonly soa: Uint8Array | undefined;
  /** Ends it at once. */
  readonly signal: AbortSignal;
}

/** What came of it. `older`: the primary has a lower serial than we. */
export type PrimaryAnswer = (Transferred | { readonly kind: 'older'; readonly serial: number }) & {
  readonly octets: number;
  /** For how many seconds the zone is good yet at the primary (RFC 7314 §3); undefined: it does not say. */
  readonly expire?: number | undefined;
};

/** Asks one primary. @throws {PrimaryError} with what is wrong, in words */
export type AskPrimary = (request: PrimaryRequest) => Promise<PrimaryAnswer>;

/** Where an IXFR cannot be had, AXFR may. */
class IxfrError extends PrimaryError {}

/** It may not know EDNS (RFC 6891 §7). */
class EdnsError extends PrimaryError {}

/** What a primary may not be able to: then it is asked without. */
interface Form {
  readonly differences: boolean;
  readonly edns: boolean;
}

/** The real thing. */
export function primaryAsker(context: { readonly clock: Clock; readonly random: Random }): AskPrimary {
  return async (request) => {
    let form: Form = { differences: request.soa !== undefined, edns: true };
    for (;;) {
      try {
        return await ask(context, request, form);
      } catch (error) {
        if (error instanceof EdnsError) form = { ...form, edns: false };
        else if (error instanceof IxfrError) form = { ...form, differences: false };
        else throw error;
      }
    }
  };
}

async function ask(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  { primary, zone, key, soa, signal }: PrimaryRequest,
  { differences, edns }: Form,
): Promise<PrimaryAnswer> {
  const stream = await MessageStream.connect(primary, { clock, silenceMs: SILENCE_MS, signal });
  const deadline: Timer = clock.after(WHOLE_MS, () => stream.close());
  const newExchange = (type: number, authority?: Uint8Array) =>
    new Exchange({ stream, clock, zone, key, type, id: random.below(65536), authority, edns });
  try {
    const { serial, expire } = await readSoa(newExchange(TYPE.SOA));
    const ours = soa === undefined ? undefined : soaSerial(soa);
    if (ours !== undefined && !serialGreater(serial, ours)) {
      return { kind: serial === ours ? 'current' : 'older', serial, octets: 0, expire };
    }
    const exchange = differences ? newExchange(TYPE.IXFR, soa) : newExchange(TYPE.AXFR);
    const reader = new TransferReader(zone, differences ? ours : undefined);
    let told: number | undefined;
    for (;;) {
      const { message, octets } = await exchange.next();
      told ??= readExpire(message.edns);
      const result = reader.take(message, octets);
      if (result === undefined) continue;
      exchange.end();
      return { ...result, octets: reader.octets, expire: told ?? expire };
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const text = `its ${differences ? 'IXFR' : 'AXFR'} is none of this zone: ${error.message}`;
    throw differences ? new IxfrError(text) : new PrimaryError(text);
  } finally {
    deadline.cancel();
    stream.close();
  }
}

interface ExchangeOptions {
  readonly stream: MessageStream;
  readonly clock: Clock;
  readonly zone: Name;
  readonly key: TsigKey | undefined;
  readonly type: number;
  readonly id: number;
  /** RDATA of the SOA in an IXFR's authority section. */
  readonly authority: Uint8Array | undefined;
  /** Whether it has an OPT record, which asks how long the zone is good yet. */
  readonly edns: boolean;
}

/** One question, and the messages that answer it. */
class Exchange {
  readonly #options: ExchangeOptions;
  readonly #verifier: StreamVerifier | undefined;
  #first = true;

  constructor(options: ExchangeOptions) {
    const { stream, clock, zone, key, type, id, authority, edns } = options;
    this.#options = options;
    const soa = { name: zone, type: TYPE.SOA, class: CLASS.IN, ttl: 0 };
    const plain = encodeMessage({
      id,
      flags: 0,
      opcode: OPCODE.QUERY,
      rcode: RCODE.NOERROR,
      questions: [{ name: zone, type, class: CLASS.IN }],
      answers: [],
      authority: authority === undefined ? [] : [{ ...soa, rdata: authority }],
      additional: [],
      ...(edns
        ? { edns: { udpSize: MAX_UDP_SIZE, extendedRcode: 0, version: 0, do: false, options: [ASK_EXPIRE] } }
        : {}),
    });
    if (key === undefined) {
      stream.send(plain);
      return;
    }
    const signed = signRequest(plain, key, clock);
    this.#verifier = new StreamVerifier(key, locateTsig(signed)!.record.mac, clock);
    stream.send(signed);
  }

  /** @throws {PrimaryError} no answer, or one that says no */
  async next(): Promise<{ message: ParsedMessage; octets: number }> {
    const { stream, zone, type, id, edns } = this.#options;
    const bytes = await stream.next();
    const message = parse(bytes);
    const [question] = message.questions;
    const echoes = question === undefined ? !this.#first : equalNames(question.name, zone) && question.type === type;
    const answers = message.id === id && (message.flags & FLAG.QR) !== 0 && message.opcode === OPCODE.QUERY;
    const failed = message.rcode !== RCODE.NOERROR;
    // Some leave the question out of an error.
    if (!answers || !(echoes || (failed && question === undefined))) this.#fail('what came is no answer');
    // Not signed perhaps, and worth no more than another question.
    if (edns && type === TYPE.SOA && EDNS_UNKNOWN.has(message.rcode)) throw new EdnsError('it knows no EDNS');
    const wrong = this.#verifier?.check(bytes);
    if (wrong !== undefined) this.#fail(`the answer does not verify: ${wrong}`);
    if (failed) this.#fail(`it answers ${rcodeToText(message.rcode)}`);
    if ((message.flags & FLAG.TC) !== 0) this.#fail('the answer is truncated');
    this.#first = false;
    return { message, octets: bytes.length };
  }

  /** Says that the last message came. @throws {PrimaryError} it was not signed */
  end(): void {
    if (this.#verifier?.settled === false) this.#fail('the last message is not signed (RFC 8945 §5.3.1)');
  }

  #fail(what: string): never {
    const { type } = this.#options;
    const text = `${typeToText(type)}: ${what}`;
    throw type === TYPE.IXFR ? new IxfrError(text) : new PrimaryError(text);
  }
}

async function readSoa(exchange: Exchange): Promise<{ serial: number; expire: number | undefined }> {
  const { message } = await exchange.next();
  exchange.end();
  const [question] = message.questions;
  const soa = message.answers.find(({ type, name }) => type === TYPE.SOA && equalNames(name, question!.name));
  if (soa === undefined || soa.rdata.length < 1 + 1 + SOA_NUMBERS_OCTETS)
    throw new PrimaryError('it has no SOA for the zone');
  if ((message.flags & FLAG.AA) === 0) throw new PrimaryError('its answer is not authoritative');
  return { serial: soaSerial(soa.rdata), expire: readExpire(message.edns) };
}

function parse(bytes: Uint8Array): ParsedMessage {
  try {
    return parseMessage(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new PrimaryError(`what came does not parse: ${errorMessage(error)}`);
  }
}
