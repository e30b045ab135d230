/** A TCP proxy that closes its first connections in mid-answer, as a line does that is cut. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import type { Test } from 'tap';

export interface CutProxy {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
}

/** @param cutAfter octets of the answer that come through on each of the first connections; later ones are whole */
export async function startCutProxy(t: Test, to: number, cutAfter: readonly number[]): Promise<CutProxy> {
  let connections = 0;
  const server = createServer((client) => {
    const limit = cutAfter[connections++] ?? Number.POSITIVE_INFINITY;
    const upstream = connect(to, '::1');
    let passed = 0;
    upstream.on('data', (chunk) => {
      const part = chunk.subarray(0, Math.max(0, limit - passed));
      passed += part.length;
      client.write(part);
      if (passed < limit) return;
      client.destroySoon();
      upstream.destroy();
    });
    client.pipe(upstream);
    upstream.on('end', () => client.end());
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
  });
  server.listen(0, '::1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
  };
}
