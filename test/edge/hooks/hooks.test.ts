import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { FakeClock, systemClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { EventStream } from '../../../src/edge/events.ts';
import type { Outgoing } from '../../../src/edge/hooks/event.ts';
import { Hooks } from '../../../src/edge/hooks/hooks.ts';
import { waitFor } from '../../lab/process.ts';

const down = (member: string) =>
  ({ kind: 'member', pool: 'web', member, from: 'up', to: 'down', reason: 'connection refused', at: 1 }) as const;

/** Hooks whose receivers are functions; `sent` has what each got. */
function setUp(answer: (body: string) => Promise<void>) {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const stream = new EventStream(clock);
  const sent: string[] = [];
  const post = (url: string, body: string, signal: AbortSignal) => {
    sent.push(`${url} ${(JSON.parse(body) as { member: string }).member}`);
    return Promise.race([answer(body), once(signal, 'abort').then(() => Promise.reject(signal.reason as Error))]);
  };
  const hooks = new Hooks({ clock, log, stream, post });
  t.teardown(() => hooks.stop());
  return { clock, log, stream, sent, hooks };
}

/** Lets promises that wait for nothing come to their end. */
const settled = () => new Promise((resolve) => setImmediate(resolve));
const hook = { url: 'http://pager.test/secret', events: ['member'], timeoutMs: 5000 };

t.test('the real thing: what is sent', async (t) => {
  const got: { headers: IncomingMessage['headers']; body: string; method: string | undefined }[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      got.push({ headers: request.headers, body, method: request.method });
      response.writeHead(got.length === 1 ? 503 : 204).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?x=1`;
  const stream = new EventStream(systemClock);
  const hooks = new Hooks({ clock: systemClock, log: new MemoryLogger(), stream });
  t.teardown(() => hooks.stop());
  hooks.apply([{ ...hook, url }]);
  stream.emit({ kind: 'reload', errors: [], overridden: [], changed: [] });
  stream.emit(down('m1'));
  await waitFor('the second try', () => got.length === 2);
  t.equal(got[0]!.body, got[1]!.body, 'the same once more');
  t.equal(got[0]!.method, 'POST');
  t.match(got[0]!.headers, { 'content-type': 'application/json', 'user-agent': 'v6edge' });
  t.match(JSON.parse(got[0]!.body), {
    kind: 'member',
    member: 'm1',
    to: 'down',
    reason: String,
    id: Number,
    host: String,
  });
});

t.test('one after the other, in order; kinds that are not wanted are left out', async (t) => {
  let release = () => {};
  const { stream, sent, hooks } = setUp(() => new Promise<void>((resolve) => (release = resolve)));
  hooks.apply([hook, { ...hook, url: 'http://other.test/', events: ['reload'] }]);
  for (const name of ['a', 'b', 'c']) stream.emit(down(name));
  await settled();
  t.strictSame(sent, ['http://pager.test/secret a']);
  release();
  await settled();
  t.strictSame(sent, ['http://pager.test/secret a', 'http://pager.test/secret b']);
});

t.test('a receiver that is named twice has events of its own for each, also after a reload', async (t) => {
  const { stream, sent, hooks } = setUp(() => Promise.resolve());
  const both = [hook, { ...hook, events: ['reload'] }];
  for (const configs of [both, both, [...both].reverse()]) {
    hooks.apply(configs);
    sent.length = 0;
    stream.emit(down('a'));
    stream.emit({ kind: 'reload', errors: [], overridden: [], changed: [] });
    await settled();
    t.strictSame(sent, [`${hook.url} a`, `${hook.url} undefined`]);
  }
  hooks.apply([hook]);
  sent.length = 0;
  stream.emit({ kind: 'reload', errors: [], overridden: [], changed: [] });
  stream.emit(down('b'));
  await settled();
  t.strictSame(sent, [`${hook.url} b`]);
});

t.test(
  'a receiver that fails is tried again, then the event is given up; that is told once, and when it ends',
  async (t) => {
    let answers = false;
    const { clock, log, stream, sent, hooks } = setUp(() =>
      answers ? Promise.resolve() : Promise.reject(new Error('status 500')),
    );
    hooks.apply([hook]);
    for (const name of ['a', 'b', 'c', 'd']) stream.emit(down(name));
    const tries: number[] = [];
    for (const pauseMs of [0, 1_000, 5_000, 30_000]) {
      clock.advance(pauseMs);
      await settled();
      tries.push(sent.length);
    }
    t.strictSame(tries, [1, 2, 3, 5], 'the fourth is the last, and the next event follows at once');
    for (const pauseMs of [1_000, 5_000, 30_000]) {
      clock.advance(pauseMs);
      await settled();
    }
    t.match(log.lines, [{ level: 'warn', fields: { receiver: 'pager.test', kind: 'member', reason: 'status 500' } }]);
    t.equal(log.lines.length, 1, 'of two');
    t.notMatch(JSON.stringify(log.lines), /secret/);
    t.strictSame(hooks.status(), [{ receiver: 'pager.test', told: 0, missed: 2 }]);
    answers = true;
    clock.advance(1_000);
    await settled();
    t.match(log.lines.slice(1), [{ level: 'info', fields: { receiver: 'pager.test', missed: 2 } }]);
    t.strictSame(hooks.status(), [{ receiver: 'pager.test', told: 2, missed: 2 }]);
    answers = false;
    stream.emit(down('e'));
    for (const pauseMs of [0, 1_000, 5_000, 30_000]) {
      clock.advance(pauseMs);
      await settled();
    }
    t.equal(log.lines.length, 3, 'another time that it fails is told again');
  },
);

t.test('a receiver that says nothing: its time is bounded, and so is what waits for it', async (t) => {
  const { clock, log, stream, sent, hooks } = setUp(() => new Promise(() => {}));
  hooks.apply([hook]);
  for (let i = 0; i < 150; i++) stream.emit(down(`m${i}`));
  await settled();
  t.equal(sent.length, 1);
  t.match(log.lines, [{ level: 'warn', fields: { reason: 'too many events wait for it' } }]);
  t.equal(hooks.status()[0]!.missed, 49, 'one is being sent and a hundred wait');
  for (const pauseMs of [5_000, 1_000, 5_000, 5_000, 5_000, 30_000, 5_000]) {
    clock.advance(pauseMs);
    await settled();
  }
  t.strictSame(
    sent.map((line) => line.split(' ')[1]),
    ['m0', 'm0', 'm0', 'm0', 'm50'],
    'the oldest of those that wait',
  );
  hooks.apply([{ ...hook, timeoutMs: 100 }]);
  clock.advance(5_000);
  await settled();
  t.equal(sent.length, 5, 'waits before it is tried again');
  hooks.stop();
  await settled();
  t.equal(clock.pending, 0, 'no timer is left');
  stream.emit(down('late'));
  await settled();
  t.equal(sent.length, 5);
});

t.test('programs: one at a time, not in a row without a pause, and not again when they fail', async (t) => {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const stream = new EventStream(clock);
  const ran: string[] = [];
  let end = (_failure?: Error) => {};
  const run = (command: readonly string[], event: Outgoing, signal: AbortSignal) => {
    ran.push(`${command.join(' ')} ${event.member} ${clock.now()}`);
    return new Promise<void>((resolve, reject) => {
      end = (failure) => (failure === undefined ? resolve() : reject(failure));
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  };
  const hooks = new Hooks({ clock, log, stream, run });
  t.teardown(() => hooks.stop());
  hooks.apply([{ exec: ['/notify', '--token', 'secret'], events: ['member'], timeoutMs: 5000 }]);
  const from = clock.now();
  const at = (ms: number) => from + ms;
  for (const name of ['a', 'b', 'c', 'd']) stream.emit(down(name));
  await settled();
  t.strictSame(ran, [`/notify --token secret a ${from}`]);
  end();
  await settled();
  t.equal(ran.length, 1, 'a pause after the start');
  clock.advance(99);
  await settled();
  t.equal(ran.length, 1);
  clock.advance(1);
  await settled();
  t.equal(ran[1], `/notify --token secret b ${at(100)}`);
  clock.advance(1_000);
  end(new Error('ended with status 1'));
  await settled();
  t.equal(ran[2], `/notify --token secret c ${at(1_100)}`, 'long enough ago; the one that failed is not run again');
  clock.advance(5_000);
  await settled();
  t.equal(ran[3], `/notify --token secret d ${at(6_100)}`, 'its time was over');
  t.strictSame(hooks.status(), [{ receiver: '/notify', told: 1, missed: 2 }]);
  t.match(log.lines, [{ level: 'warn', fields: { receiver: '/notify', reason: 'ended with status 1' } }]);
  t.equal(log.lines.length, 1);
  t.notMatch(JSON.stringify(log.lines), /secret/);
  hooks.stop();
  await settled();
  t.equal(clock.pending, 0);
});
