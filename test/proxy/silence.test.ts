/** Peers that have no more to say, or nothing at all: half-closed sessions and each timeout, with the termination in the log. */
import { once } from 'node:events';
import t from 'tap';
import { testFaults } from './fault-stage.ts';
import { timeouts } from './harness.ts';

const done = { state: '--', cause: 'done' };

testFaults(t, [
  {
    name: 'FIN of the client first',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      server.end();
    },
    ...done,
  },
  {
    name: 'FIN of the member first',
    run: async ({ client, relaying }) => {
      const server = await relaying();
      server.end();
      await once(client, 'end');
      client.end();
    },
    ...done,
  },
  {
    name: 'half-open after the client’s FIN',
    run: async ({ client, clock, relaying }) => {
      const server = await relaying();
      client.end();
      await once(server, 'end');
      clock.advance(timeouts.serverFinMs - 200);
      server.write('still here');
      await once(client, 'data');
      clock.advance(timeouts.serverFinMs + 200);
    },
    state: 'sD',
    cause: 'client half-closed, member timeout',
  },
  {
    name: 'half-open after the member’s FIN',
    run: async ({ client, clock, relaying }) => {
      (await relaying()).end();
      await once(client, 'end');
      clock.advance(timeouts.clientFinMs + 100);
    },
    state: 'cD',
    cause: 'member half-closed, client timeout',
  },
  {
    name: 'both silent',
    run: async ({ clock, relaying }) => {
      await relaying();
      clock.advance(timeouts.idleMs + 100);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'silent after both have spoken: the time of tunnels, longer than that of others',
    pool: { timeouts: { ...timeouts, idleMs: 5_000, tunnelMs: 20_000 } },
    run: async ({ harness, clock, client, relaying }) => {
      const server = await relaying();
      clock.advance(19_800);
      t.equal(harness.sessions.length, 0);
      server.write('still here');
      await once(client, 'data');
      clock.advance(19_800);
      t.equal(harness.sessions.length, 0);
      clock.advance(300);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'silent after both have spoken: the time of tunnels, shorter than that of others',
    pool: { timeouts: { ...timeouts, idleMs: 60_000, tunnelMs: 5_000 } },
    run: async ({ harness, clock, server, relaying }) => {
      await server();
      clock.advance(30_000);
      t.equal(harness.sessions.length, 0, 'nobody has spoken yet');
      await relaying();
      clock.advance(5_200);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'one side alone has spoken: idle, by the time of its pool',
    pool: { timeouts: { ...timeouts, idleMs: 5_000, tunnelMs: 0 } },
    run: async ({ harness, clock, client, server }) => {
      (await server()).write('hello');
      await once(client, 'data');
      clock.advance(4_800);
      t.equal(harness.sessions.length, 0);
      clock.advance(300);
    },
    state: 'cD',
    cause: 'idle timeout',
  },
  {
    name: 'older than may be, though bytes flow',
    pool: { maxAgeMs: 10_000 },
    run: async ({ harness, client, clock, relaying }) => {
      await relaying();
      clock.advance(8_900);
      t.equal(harness.sessions.length, 0, 'not before 0.9 of it');
      client.write('x');
      clock.advance(2_200);
    },
    state: 'KD',
    cause: 'maximum age',
  },
]);
