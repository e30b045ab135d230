/** The `query` verb: one DNS question by TCP, so that no answer is cut short, and what came of it. */
import { connect } from 'node:net';
import { formatAddress, formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import { errorMessage, WireError } from '../../core/errors.ts';
import { cryptoRandom } from '../../core/random.ts';
import { encodeMessage, type ParsedMessage, parseMessage } from '../../dns/wire/message.ts';
import { nameFromText, nameToText } from '../../dns/wire/name.ts';
import { rdataToText } from '../../dns/wire/rdata.ts';
import { CLASS, FLAG, OPCODE, RCODE, rcodeToText, typeFromText, typeToText } from '../../dns/wire/types.ts';
import { ApiError } from './client.ts';
import { formatTable, type Paint } from './table.ts';

const timeoutMs = 5000;

/**
 * Asks a server one question.
 * @throws {ApiError} it cannot be reached, or its answer is none
 * @throws {ValueError} name or type cannot be used
 */
export async function queryServer(server: InetEndpoint, name: string, type: string): Promise<ParsedMessage> {
  const id = cryptoRandom.below(65536);
  const query = encodeMessage({
    id,
    flags: FLAG.RD,
    opcode: OPCODE.QUERY,
    rcode: RCODE.NOERROR,
    questions: [{ name: nameFromText(name), type: typeFromText(type), class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: [] },
  });
  const fail = (reason: string) => new ApiError('V6_QUERY', `${formatEndpoint(server)}: ${reason}`);
  const bytes = await exchange(server, query).catch((error: unknown) => {
    throw fail(errorMessage(error));
  });
  try {
    const answer = parseMessage(bytes);
    if (answer.id !== id) throw fail('the answer is to another question');
    return answer;
  } catch (error) {
    if (error instanceof WireError) throw fail(`the answer does not parse: ${error.message}`);
    throw error;
  }
}

/** What `query` prints. */
export function showAnswer(answer: ParsedMessage, paint: Paint): string {
  const records = answer.answers.length > 0 ? answer.answers : answer.authority;
  const section =
    answer.answers.length > 0 ? 'answer' : records.length > 0 ? 'no such records; authority' : 'no records';
  const status = rcodeToText(answer.rcode);
  const head = `${paint(answer.rcode === RCODE.NOERROR ? 'green' : 'red', status)}, ${section}\n`;
  if (records.length === 0) return head;
  const rows = records.map((each) => [
    nameToText(each.name),
    String(each.ttl),
    typeToText(each.type),
    rdataToText(each.type, each.rdata),
  ]);
  return (
    head +
    formatTable([{ title: 'NAME' }, { title: 'TTL', right: true }, { title: 'TYPE' }, { title: 'DATA' }], rows, paint)
  );
}

/** Sends a message and resolves to the reply, both framed by RFC 1035 §4.2.2. */
function exchange(server: InetEndpoint, query: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const socket = connect({ host: formatAddress(server.address), port: server.port });
  let received = Buffer.alloc(0);
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
  socket.once('connect', () => {
    const frame = Buffer.alloc(2 + query.length);
    frame.writeUInt16BE(query.length, 0);
    frame.set(query, 2);
    socket.write(frame);
  });
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    resolve(received.subarray(2, 2 + received.readUInt16BE(0)));
    socket.destroy();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the connection was closed without an answer')));
  return promise;
}
