import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseEndpoint } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { serverSentEvent } from '../../../src/edge/admin/event-reader.ts';
import { startAdmin } from '../../../src/edge/admin/server.ts';
import type { AdminSource } from '../../../src/edge/admin/source.ts';
import { type EdgeEvent, EventStream } from '../../../src/edge/events.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-events-'));
t.teardown(() => rmSync(folder, { recursive: true }));
let count = 0;

async function start(t: Test) {
  const stream = new EventStream(new FakeClock());
  const path = join(folder, `${++count}.sock`);
  const config = { listen: [parseEndpoint(`unix:${path}`)], tokenFile: undefined, token: undefined };
  const admin = await startAdmin(config, { events: stream } as unknown as AdminSource, new MemoryLogger());
  t.teardown(() => admin.close());
  return { stream, path, admin };
}

/** A reader of the stream; `text` resolves with what it got once that matches. */
function reader(path: string, headers: Record<string, string> = {}) {
  let text = '';
  let check = () => {};
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const request = get({ socketPath: path, path: '/v1/events', headers }, (response) => {
    text += `${response.statusCode} ${response.headers['content-type']}\n`;
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
      check();
    });
    response.on('close', end);
  });
  request.on('error', () => end());
  const until = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      check = () => {
        if (pattern.test(text)) resolve(text);
      };
      check();
    });
  return { until, ended, destroy: () => request.destroy() };
}

function reload(text: string): EdgeEvent {
  return { kind: 'reload', errors: [text], overridden: [], changed: [] };
}

t.test('events arrive as they happen; who comes back gets what was missed', async (t) => {
  const { stream, path } = await start(t);
  stream.emit(reload('before'));
  const first = reader(path);
  await first.until(/retry/);
  stream.emit(reload('one\ntwo'));
  const text = await first.until(/data/);
  t.match(text, /^200 text\/event-stream; charset=utf-8\nretry: 2000\n\nid: \d+\nevent: reload\ndata: \{.*\}\n\n$/);
  t.match(text, /"errors":\["one\\ntwo"\]/, 'an event is one line');
  t.notMatch(text, /before/);
  first.destroy();
  await first.ended;

  stream.emit(reload('missed'));
  const id = /id: (\d+)/.exec(text)![1]!;
  const again = reader(path, { 'last-event-id': id });
  t.match(await again.until(/missed/), /missed/);
  t.notMatch(await again.until(/missed/), /one/);
  again.destroy();
  await again.ended;
  const odd = reader(path, { 'last-event-id': 'x' });
  t.match(await odd.until(/retry/), /^200/);
  odd.destroy();
  await odd.ended;
});

t.test('a server that stops ends its readers', async (t) => {
  const { path, admin } = await start(t);
  const one = reader(path);
  await one.until(/retry/);
  await admin.close();
  await one.ended;
  t.pass('both ended');
});

t.test('a reader that reads nothing is cut off and holds nothing', async (t) => {
  const { stream, path } = await start(t);
  const socket = await new Promise<Socket>((resolve) => {
    const opened: Socket = connect(path, () => resolve(opened));
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {});
  socket.write('GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await new Promise<void>((resolve) => {
    socket.once('readable', () => {
      socket.read();
      resolve();
    });
  });
  const large = reload('x'.repeat(10_000));
  // Beyond what kernel, HTTP server and stream hold between them.
  for (let round = 0; stream.readers > 0 && round < 1000; round++) {
    for (let i = 0; i < 20; i++) stream.emit(large);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(stream.readers, 0);
  socket.resume();
  await closed;
});

t.test('readers are counted', async (t) => {
  const { stream, path } = await start(t);
  const readers = Array.from({ length: 32 }, () => reader(path));
  await Promise.all(readers.map((each) => each.until(/retry/)));
  const late = reader(path);
  t.match(await late.until(/readers/), /^503 application\/problem\+json/);
  for (const each of readers) each.destroy();
  while (stream.readers > 0) await new Promise((resolve) => setImmediate(resolve));
  const next = reader(path);
  t.match(await next.until(/retry/), /^200/);
  next.destroy();
});

t.test('an event in text', (t) => {
  t.equal(
    serverSentEvent({ id: 7, at: 5, cause: undefined, event: reload('x') }),
    'id: 7\nevent: reload\ndata: {"kind":"reload","errors":["x"],"overridden":[],"changed":[],"at":5}\n\n',
  );
  t.end();
});
