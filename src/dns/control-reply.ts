/** Replies of the control thread: to messages that parsed, to those that did not, and out of a writer's buffer. */
import { extendedErrorOptions, usualError } from './extended-error.ts';
import type { ReplySigner } from './tsig.ts';
import { copyBytes, readUint16, writeUint16 } from './wire/bytes.ts';
import { type EdnsOption, encodeMessage, type Message } from './wire/message.ts';
import { FLAG, OPCODE, RCODE, rcodeToText } from './wire/types.ts';

/** TSIG's 16 is BADSIG. */
export function tsigErrorText(error: number): string {
  return error === RCODE.BADSIG ? 'BADSIG' : rcodeToText(error);
}

/**
 * The reply to a message that parsed: its first section again, and OPT if it had one (RFC 6891 §6.1.1), with our options and
 * the extended error.
 */
export function replyTo(
  request: Uint8Array,
  message: Message,
  rcode: number,
  options: readonly EdnsOption[] = [],
  error = usualError(rcode),
): Uint8Array {
  return encodeMessage({
    id: readUint16(request, 0),
    flags: FLAG.QR | (message.opcode === OPCODE.QUERY ? message.flags & FLAG.RD : 0),
    opcode: message.opcode,
    rcode,
    questions: message.questions,
    answers: [],
    authority: [],
    additional: [],
    ...(message.edns === undefined
      ? {}
      : {
          edns: {
            udpSize: 1232,
            extendedRcode: 0,
            version: 0,
            do: message.edns.do,
            options: [...options, ...extendedErrorOptions(error)],
          },
        }),
  });
}

/** The reply to a message of which only the header is to be trusted. */
export function emptyReply(request: Uint8Array, rcode: number): Uint8Array {
  const reply = new Uint8Array(12);
  writeUint16(reply, 0, readUint16(request, 0));
  reply[2] = 0x80 | (request[2]! & 0x78);
  reply[3] = rcode;
  return reply;
}

/** A reply out of a writer's buffer, with the id that the request came with, signed if the request was. */
export function finishReply(reply: Uint8Array, request: Uint8Array, signer: ReplySigner | undefined): Uint8Array {
  const copy = copyBytes(reply);
  writeUint16(copy, 0, readUint16(request, 0));
  return signer?.sign(copy) ?? copy;
}
