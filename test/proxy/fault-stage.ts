/** One session of which something goes wrong: what is left of it afterwards. */
import { once } from 'node:events';
import net from 'node:net';
import type { Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { listenerGaugeBase, memberGaugeBase, ProxyGauge } from '../../src/proxy/counters.ts';
import type { PoolSnapshot } from '../../src/proxy/snapshot.ts';
import {
  blackHole,
  freePort,
  Harness,
  type ListenerSettings,
  listener,
  member,
  openDescriptors,
  pool,
  snapshot,
  Upstream,
  until,
} from './harness.ts';

/** One session under test, both its ends in hand. */
interface Stage {
  readonly harness: Harness;
  readonly clock: FakeClock;
  readonly client: net.Socket;
  /** The member's end, once it is there. */
  readonly server: () => Promise<net.Socket>;
  /** The session has come this far. */
  readonly reached: (state: string) => Promise<void>;
  /** Bytes have gone through both ways. */
  readonly relaying: () => Promise<net.Socket>;
}

/** What goes wrong, and how the log says that it ended. */
export interface Fault {
  readonly name: string;
  readonly listener?: ListenerSettings;
  readonly pool?: Partial<PoolSnapshot>;
  readonly member?: 'black hole' | 'refuses' | 'full';
  readonly run: (stage: Stage) => Promise<void>;
  readonly state: string;
  readonly cause: string;
}

/** Each fault as a test of its own: the termination in the log, and no descriptor and no place left behind. */
export function testFaults(t: Test, faults: readonly Fault[]): void {
  for (const fault of faults) {
    t.test(fault.name, async (t) => {
      // The hole is the test's own and goes with it: opened before descriptors are counted.
      const hole = fault.member === 'black hole' ? await blackHole(t) : 0;
      // Before the count: the first port draws a descriptor that holds the process's block of ports.
      const port = await freePort();
      const before = openDescriptors();
      const clock = new FakeClock();
      const harness = new Harness(clock);
      const upstream = await new Upstream().listen();
      const refusing = fault.member === 'refuses' ? await freePort() : 0;
      const maxConnections = fault.member === 'full' ? 1 : 0;
      const members = [member('m1', hole || refusing || upstream.port, { maxConnections })];
      harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`, fault.listener)], [pool(members, fault.pool)]));
      const first = fault.member === 'full' ? net.connect(port, '127.0.0.1') : undefined;
      if (first !== undefined) await until(() => upstream.sockets.length === 1, 'the place to be taken');

      const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      client.on('error', () => {});
      client.resume();
      const server = async () => {
        await until(() => upstream.sockets.length === 1, 'the member to have a connection');
        return upstream.sockets[0]!;
      };
      const reached = (state: string) =>
        until(() => harness.engine.sessions().some((session) => session.state === state), `a session to be ${state}`);
      const relaying = async () => {
        client.write('ping');
        const socket = await server();
        socket.write('pong');
        await Promise.all([once(client, 'data'), until(() => upstream.received[0]!.length === 4, 'the ping')]);
        return socket;
      };
      await fault.run({ harness, clock, client, server, reached, relaying });
      t.match(await harness.session(), { state: fault.state, cause: fault.cause });

      first?.destroy();
      client.destroy();
      upstream.close();
      await until(() => harness.engine.sessions().length === 0, 'no session');
      for (const gauge of [ProxyGauge.sessions, listenerGaugeBase(0), memberGaugeBase(1)]) {
        t.equal(harness.counters.gauge(gauge), 0);
      }
      harness.close();
      await until(() => openDescriptors() <= before, `no more than ${before} descriptors`);
    });
  }
}
