/** Why an UPDATE is refused: thrown by its steps, caught by `processUpdate` alone. */
import type { ResourceRecord } from './wire/message.ts';
import { nameToText } from './wire/name.ts';
import { classToText, typeToText } from './wire/types.ts';

/** The rcode to answer and what to write in the log. */
export class Refusal extends Error {
  readonly rcode: number;

  constructor(rcode: number, reason: string) {
    super(reason);
    this.name = 'Refusal';
    this.rcode = rcode;
  }
}

/** A record in a log line: owner, class, type. */
export function recordText(record: Pick<ResourceRecord, 'name' | 'class' | 'type'>): string {
  return `${nameToText(record.name)} ${classToText(record.class)} ${typeToText(record.type)}`;
}
