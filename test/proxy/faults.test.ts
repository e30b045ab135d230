/** What goes wrong with either peer, stage by stage: the termination in the log, and no descriptor and no place left behind. */
import { once } from 'node:events';
import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { type Fault, testFaults } from './fault-stage.ts';
import { type Harness, timeouts } from './harness.ts';

const fromFront = { acceptProxy: true, trusted: [parseCidr('127.0.0.0/8')] };
const byName = { routes: [{ sni: 'a.example', alpn: [], pool: 'pool' }] };
const inPreface = { state: 'CR', cause: 'client aborted before it had said what it must' };
const inQueue = { state: 'CQ', cause: 'client aborted in the queue' };
const inConnect = { state: 'CC', cause: 'client aborted before a member was connected' };
const clientAborted = { state: 'CD', cause: 'client aborted' };
const memberAborted = { state: 'SD', cause: 'member aborted' };

testFaults(t, [
  {
    name: 'client: RST before its PROXY header',
    listener: fromFront,
    run: async ({ client, reached }) => {
      await reached('header');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: RST within its PROXY header',
    listener: fromFront,
    run: async ({ client, reached }) => {
      client.write('PROXY TCP4 1');
      await reached('header');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: FIN within its PROXY header',
    listener: fromFront,
    run: async ({ client }) => void client.end('PROXY TCP4 1'),
    ...inPreface,
  },
  ...['GET / HTTP/1.1\r\n\r\n', '\0', 'PROXY\t', '\r\n\r\n\0\r\nQUIX', `PROXY TCP4 ${'1'.repeat(200)}`].map(
    (garbage): Fault => ({
      name: `client: garbage ${JSON.stringify(garbage.slice(0, 16))} for a PROXY header`,
      listener: fromFront,
      run: async ({ client }) => void client.write(garbage),
      state: 'PR',
      cause: 'bad PROXY header',
    }),
  ),
  {
    name: 'client: no PROXY header',
    listener: fromFront,
    run: async ({ clock, reached }) => {
      await reached('header');
      clock.advance(timeouts.proxyHeaderMs + 100);
    },
    state: 'cR',
    cause: 'no PROXY header in time',
  },
  {
    name: 'client: RST within its TLS hello',
    listener: byName,
    run: async ({ client, reached }) => {
      client.write(Buffer.of(22, 3, 1));
      await reached('hello');
      client.resetAndDestroy();
    },
    ...inPreface,
  },
  {
    name: 'client: RST in the queue',
    member: 'full',
    run: async ({ client, reached }) => {
      await reached('waiting');
      client.resetAndDestroy();
    },
    ...inQueue,
  },
  {
    name: 'client: FIN in the queue, not a byte before it',
    member: 'full',
    run: async ({ client, reached }) => {
      await reached('waiting');
      client.end();
    },
    ...inQueue,
  },
  {
    name: 'client: FIN in the queue behind a request, which may be answered yet',
    member: 'full',
    run: async ({ harness, client, clock, reached }) => {
      client.write('ping');
      await reached('waiting');
      client.end();
      await once(client, 'finish');
      clock.advance(4900);
      t.equal(harness.sessions.length, 0, 'it waits');
      clock.advance(200);
    },
    state: 'sQ',
    cause: 'queue timed out',
  },
  {
    name: 'client: RST while connecting',
    member: 'black hole',
    run: async ({ client, clock, reached }) => {
      await reached('connecting');
      client.resetAndDestroy();
      clock.advance(100);
    },
    ...inConnect,
  },
  {
    name: 'client: FIN while connecting, not a byte before it',
    member: 'black hole',
    run: async ({ client, clock, reached }) => {
      await reached('connecting');
      client.end();
      clock.advance(100);
    },
    ...inConnect,
  },
  {
    name: 'member: refuses',
    member: 'refuses',
    pool: { retries: 0 },
    run: async () => {},
    state: 'SC',
    cause: 'connect failed',
  },
  {
    name: 'member: silent to the connect',
    member: 'black hole',
    pool: { retries: 0 },
    run: async ({ clock, reached }) => {
      await reached('connecting');
      clock.advance(timeouts.connectMs + 100);
    },
    state: 'sC',
    cause: 'connect timed out',
  },
  {
    name: 'member: RST right after it accepted',
    run: async ({ server }) => void (await server()).resetAndDestroy(),
    ...memberAborted,
  },
  {
    name: 'client: RST while relaying',
    run: async ({ client, relaying }) => {
      await relaying();
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'member: RST while relaying',
    run: async ({ relaying }) => void (await relaying()).resetAndDestroy(),
    ...memberAborted,
  },
  {
    name: 'client: RST after its FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'member: RST after its FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      server.resetAndDestroy();
    },
    ...memberAborted,
  },
  {
    name: 'member: RST after the client’s FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      server.resetAndDestroy();
    },
    ...memberAborted,
  },
  {
    name: 'client: RST after the member’s FIN',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'client: zero window, then RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      client.pause();
      server.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      client.resetAndDestroy();
    },
    ...clientAborted,
  },
  {
    name: 'client: zero window, then the member’s RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      client.pause();
      server.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      server.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.resume();
    },
    ...memberAborted,
  },
  {
    name: 'member: zero window, then the client’s RST',
    run: async ({ harness, client, relaying }) => {
      const server = await relaying();
      server.pause();
      client.write(Buffer.alloc(64 << 20));
      await stalled(harness);
      client.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      server.resume();
    },
    ...clientAborted,
  },
]);

/** Nothing moves any more: buffers are full. */
async function stalled(harness: Harness): Promise<void> {
  const total = () => {
    const [session] = harness.engine.sessions();
    return session === undefined ? 0 : session.bytesIn + session.bytesOut;
  };
  for (let before = -1; before !== total() || before < 100_000; ) {
    before = total();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
