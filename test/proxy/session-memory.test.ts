/** What an idle session takes of V8's heap. Clients and member are bare descriptors: no object of theirs is counted with it. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { connectTcp, listenTcp, Memory, openTcp } from '../../src/linux/tcp.ts';
import { freePort, member, serve, until } from './harness.ts';

const warmUp = 200;
const count = 2000;
/**
 * In a heap snapshot: session 296, two relays 384, six numbers 96, the span of the client's address 56, places in tables 57. This
 * way of counting comes to 1,055, code that was compiled meanwhile included; an array of its own for the address makes it 1,300.
 */
const mostOctets = 1150;

t.test('an idle session is 900 bytes of objects', async (t) => {
  const port = await freePort();
  // The kernel completes connections that nobody accepts.
  const options = { backlog: warmUp + count, keepaliveSeconds: 0 };
  const upstream = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), options);
  const clients: number[] = [];
  t.teardown(() => {
    for (const fd of [upstream, ...clients]) closeFd(fd);
  });
  const front = await serve(t, [member('m1', port)], { pool: { keepaliveMs: 10_000, userTimeoutMs: 30_000 } });
  const { engine } = front.harness;
  const { address } = parseInetEndpoint(front.bind);
  const name = Memory.of(encodeSockaddr(address, front.port));
  const relaying = () => engine.sessions().filter(({ state }) => state === 'relaying').length;
  const open = async (sessions: number) => {
    const all = clients.length + sessions;
    while (clients.length < all) {
      // As many as the listening socket's queue takes.
      for (let i = 0; i < 100 && clients.length < all; i++) {
        const fd = check(openTcp(AF_INET), 'socket');
        clients.push(fd);
        connectTcp(fd, name);
      }
      await until(() => relaying() === clients.length, `${clients.length} sessions`);
    }
  };
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('globalThis.gc') as () => void;
  const used = () => {
    collect();
    return getHeapStatistics().used_heap_size;
  };
  await open(warmUp);
  const before = used();
  await open(count);
  const octets = (used() - before) / count;
  t.comment(`${Math.round(octets)} bytes`);
  t.ok(octets > 300, 'they are there');
  t.ok(octets < mostOctets, `${octets} bytes`);
});
