/** Files of messages for load.c: signed updates, a transfer's question. */
import { writeFileSync } from 'node:fs';
import { systemClock } from '../../src/core/clock.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { CLASS, OPCODE, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { questionMessage } from './ask.ts';
import { addressOf, key, ownZone } from './peers.ts';

/** What a node sends to announce itself: its addresses go, the new one comes. */
export function announcement(i: number, round: number, id: number): Uint8Array {
  const name = nameFromText(`node${i}.${ownZone}`);
  const message = encodeMessage({
    id,
    flags: 0,
    opcode: OPCODE.UPDATE,
    rcode: RCODE.NOERROR,
    questions: [{ name: nameFromText(ownZone), type: TYPE.SOA, class: CLASS.IN }],
    answers: [],
    authority: [
      { name, type: TYPE.AAAA, class: CLASS.ANY, ttl: 0, rdata: new Uint8Array(0) },
      { name, type: TYPE.AAAA, class: CLASS.IN, ttl: 300, rdata: rdataFromText(TYPE.AAAA, addressOf(i, round)) },
    ],
    additional: [],
  });
  return signRequest(message, key, systemClock);
}

/** The same for nsupdate. */
export function announcementText(i: number, round: number): string {
  const name = `node${i}.${ownZone}`;
  return `update delete ${name} AAAA\nupdate add ${name} 300 AAAA ${addressOf(i, round)}\nsend\n`;
}

/** Writes messages one after the other, each with its length before it. */
export function writeMessages(file: string, messages: readonly Uint8Array[]): void {
  writeFileSync(file, Buffer.concat(messages.flatMap((message) => [lengthOf(message), message])));
}

/** Writes the question for a whole zone as TCP takes it. */
export function writeAxfrQuestion(file: string): void {
  writeMessages(file, [questionMessage(ownZone, TYPE.AXFR, 1)]);
}

function lengthOf(message: Uint8Array): Uint8Array {
  return Uint8Array.of(message.length >> 8, message.length);
}
