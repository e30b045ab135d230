/** How messages get to a data thread: those of one turn of the event loop as one, since each wakes the thread. */
import type { Worker } from 'node:worker_threads';
import type { Down, OneDown } from './protocol.ts';

export interface Mailbox {
  readonly worker: Worker;
  /** What is sent at the end of this turn, and the memory that goes with it. */
  readonly outbox: OneDown[];
  readonly passed: ArrayBuffer[];
  /** Called before and after messages are sent. */
  readonly sending: () => void;
  readonly sent: () => void;
}

/** Sends a message behind all before it: those of one turn of the event loop go together. */
export function post(to: Mailbox, message: OneDown, passed: readonly ArrayBuffer[] = []): void {
  const { outbox, worker } = to;
  outbox.push(message);
  to.passed.push(...passed);
  if (outbox.length > 1) return;
  process.nextTick(() => {
    const messages = outbox.splice(0);
    const one: Down = messages.length === 1 ? messages[0]! : { kind: 'several', messages };
    to.sending();
    worker.postMessage(one, to.passed.splice(0));
    to.sent();
  });
}

/** The memory of messages that own theirs: it is passed on, not copied. */
export function buffersOf(messages: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer, byteLength } of messages) {
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffers.add(buffer);
  }
  return [...buffers];
}
