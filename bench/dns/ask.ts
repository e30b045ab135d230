/** Single questions by UDP, and what of the answers counts as content. */
import dgram from 'node:dgram';
import { encodeMessage, type ParsedMessage, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { canonicalRdata } from '../../src/dns/wire/rdata.ts';
import { CLASS, FLAG, OPCODE, RCODE, rcodeToText, TYPE, typeToText } from '../../src/dns/wire/types.ts';

/** A question as the servers are asked it. */
export function questionMessage(name: string, type: number, id: number): Uint8Array {
  return encodeMessage({
    id,
    flags: FLAG.RD,
    opcode: OPCODE.QUERY,
    rcode: RCODE.NOERROR,
    questions: [{ name: nameFromText(name), type, class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
  });
}

/** Asks a server on 127.0.0.1, one question after the other; an answer that does not come is undefined. */
export async function ask(
  port: number,
  questions: readonly (readonly [name: string, type: number])[],
  timeoutMs = 2000,
): Promise<(ParsedMessage | undefined)[]> {
  const socket = dgram.createSocket('udp4');
  const answers: (ParsedMessage | undefined)[] = [];
  let answered: (message: Buffer | undefined) => void = () => {};
  socket.on('message', (message) => answered(message));
  // Nobody listens there yet.
  socket.on('error', () => answered(undefined));
  try {
    await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve));
    for (const [id, [name, type]] of questions.entries()) {
      const message = await new Promise<Buffer | undefined>((resolve) => {
        const timer = setTimeout(() => answered(undefined), timeoutMs);
        answered = (message) => {
          if (message !== undefined && message.readUInt16BE(0) !== id) return;
          clearTimeout(timer);
          resolve(message);
        };
        socket.send(questionMessage(name, type, id));
      });
      answers.push(message === undefined ? undefined : parseMessage(Uint8Array.from(message)));
    }
  } finally {
    socket.close();
  }
  return answers;
}

/** Whether a server has an answer for the address of a name by now. */
export async function isAnswered(port: number, name: string): Promise<boolean> {
  const [answer] = await ask(port, [[name, TYPE.AAAA]], 100);
  return answer !== undefined && answer.answers.length > 0;
}

/**
 * What must be the same whoever answers: rcode, the records of the answer, the SOA of a negative one. TTLs count down in a cache,
 * and what else a server adds is its own choice.
 */
export function contentOf(answer: ParsedMessage | undefined): string {
  if (answer === undefined) return 'no answer';
  const negative = answer.answers.length === 0 ? answer.authority.filter(({ type }) => type === TYPE.SOA) : [];
  return [rcodeToText(answer.rcode), ...[...answer.answers, ...negative].map(recordText).sort()].join('\n');
}

function recordText({ name, type, rdata }: ResourceRecord): string {
  const data = Buffer.from(canonicalRdata(type, rdata)).toString('hex');
  return `${nameToText(name).toLowerCase()} ${typeToText(type)} ${data}`;
}
