/** Server-sent events (HTML Living Standard §9.2): the event stream as the body of one response. */
import { Readable } from 'node:stream';
import type { EventStream, NumberedEvent } from '../events.ts';
import { toJson } from './json.ts';
import { ProblemError } from './problem.ts';

/** Readers at once: a dashboard or two, a pager, and some to spare. */
const maxReaders = 32;
/** A reader that leaves more than this unread is cut off; it may come back with its Last-Event-ID. */
const maxUnread = 256 * 1024;
/** Shorter than the server's limit for connections without traffic; it also finds readers that are gone. */
const heartbeatMs = 5_000;

/**
 * A body that never ends. Without `lastId` it begins with what happens next.
 * @throws {ProblemError} 503: too many read already
 */
export function eventBody(stream: EventStream, lastId: number | undefined): Readable {
  if (stream.readers >= maxReaders) {
    throw new ProblemError(503, `${maxReaders} readers are connected already`, { headers: { 'retry-after': '10' } });
  }
  const body = new Readable({ read: () => undefined, highWaterMark: maxUnread });
  const push = (text: string) => {
    if (!body.push(text)) body.destroy();
  };
  const end = stream.read((event) => push(serverSentEvent(event)));
  const heartbeat = setInterval(() => push(':\n\n'), heartbeatMs);
  body.once('close', () => {
    end();
    clearInterval(heartbeat);
  });
  push(`retry: 2000\n\n${lastId === undefined ? '' : stream.since(lastId).map(serverSentEvent).join('')}`);
  return body;
}

/** One event; JSON has no line breaks. */
export function serverSentEvent({ id, at, cause, event }: NumberedEvent): string {
  return `id: ${id}\nevent: ${event.kind}\ndata: ${toJson({ ...event, at, cause })}\n\n`;
}
