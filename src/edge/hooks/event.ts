import { hostname } from 'node:os';
import type { NumberedEvent } from '../events.ts';

/** An event as hooks get it: its fields, and what it is numbered by. */
export type Outgoing = Readonly<Record<string, unknown>> & {
  readonly kind: string;
  readonly id: number;
  /** Wall-clock milliseconds. */
  readonly at: number;
  readonly host: string;
};

/** Makes an event of the stream ready for hooks. */
export function outgoing({ id, at, cause, event }: NumberedEvent): Outgoing {
  return { ...event, id, at, cause, host: hostname() };
}
