/** Streams through a proxy engine, for tests: written with back-pressure, read at any pace, compared by hash. */
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Test } from 'tap';
import { freePort, Harness, listener, member, pool, snapshot, Upstream } from './harness.ts';

export async function through(t: Test, onConnection: (socket: net.Socket) => void) {
  const upstream = await new Upstream(onConnection).listen();
  const port = await freePort();
  const harness = new Harness();
  t.teardown(() => {
    harness.close();
    upstream.close();
  });
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const connect = () => net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  return { harness, upstream, connect };
}

export const SO_SNDBUFFORCE = 32;
export const chunk = randomFillSync(Buffer.alloc(1 << 20));

/** Writes `megabytes` of pseudo-random bytes with back-pressure, then the end. Resolves to their hash. */
export async function pour(socket: net.Socket, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let i = 0; i < megabytes; i++) {
    // Each piece starts elsewhere, so that one lost or doubled is noticed.
    const piece = chunk.subarray(i * 7);
    hash.update(piece);
    if (!socket.write(piece)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

/** Hashes what comes until the end, resting now and then as a slow reader does. */
export async function soak(socket: net.Socket, restEvery: number): Promise<string> {
  const hash = createHash('sha256');
  let sinceRest = 0;
  for await (const data of socket as AsyncIterable<Buffer>) {
    hash.update(data);
    sinceRest += data.length;
    if (sinceRest < restEvery) continue;
    sinceRest = 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return hash.digest('hex');
}
