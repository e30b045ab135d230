/** How messages get to a data thread: those of one turn of the event loop as one, since each wakes the thread. */
import type { Worker } from 'node:worker_threads';
import type { Down } from './protocol.ts';

export interface Mailbox {
  readonly worker: Worker;
  /** What is sent at the end of this turn, and the memory that goes with it. */
  readonly outbox: Down[];
  readonly passed: ArrayBuffer[];
}

/** Sends a message behind all before it: those of one turn of the event loop go together. */
export function post(to: Mailbox, message: Down, passed: readonly ArrayBuffer[] = []): void {
  const { outbox, worker } = to;
  outbox.push(message);
  to.passed.push(...passed);
  if (outbox.length > 1) return;
  process.nextTick(() => {
    const messages = outbox.splice(0);
    const one: Down = messages.length === 1 ? messages[0]! : { kind: 'several', messages };
    worker.postMessage(one, to.passed.splice(0));
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
