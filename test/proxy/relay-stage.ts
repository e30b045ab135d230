/** Streams through a proxy engine, for tests: written with back-pressure, read at any pace, compared by hash. */
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET, SOL_SOCKET } from '../../src/linux/constants.ts';
import { closeFd, setSocketInt } from '../../src/linux/libc.ts';
import { PipePool } from '../../src/linux/pipes.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { acceptTcp, connectTcp, listenTcp, Memory, openTcp, resetTcp, SockaddrSlot } from '../../src/linux/tcp.ts';
import { Relay, type RelayOwner } from '../../src/proxy/relay.ts';
import { RelayIo } from '../../src/proxy/relay-io.ts';
import { freePort, Harness, listener, member, pool, snapshot, Upstream, until } from './harness.ts';

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

const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
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

/** Both ends of a connection, as descriptors. */
interface TcpPair {
  readonly ours: number;
  readonly theirs: number;
}

/**
 * Both relays of a session without the session, on TCP connections with buffers of so many bytes. They move bytes through memory:
 * pipes would move it all in one turn. `ends` has what they told their owner.
 */
export async function bareRelays(t: Test, { sndbuf, rcvbuf }: { sndbuf: number; rcvbuf: number }) {
  const endpoint = parseInetEndpoint(`127.0.0.1:${await freePort()}`);
  const listening = listenTcp(endpoint, { backlog: 2, keepaliveSeconds: 0 });
  setSocketInt(listening, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf);
  const open = new Set([listening]);
  t.teardown(() => {
    for (const fd of open) closeFd(fd);
  });
  const slot = new SockaddrSlot();
  const connection = async (): Promise<TcpPair> => {
    const ours = openTcp(AF_INET);
    open.add(ours);
    setSocketInt(ours, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf);
    setSocketInt(ours, SOL_SOCKET, SO_SNDBUFFORCE, sndbuf);
    connectTcp(ours, Memory.of(encodeSockaddr(endpoint.address, endpoint.port)));
    let theirs = -1;
    await until(() => {
      theirs = acceptTcp(listening, slot);
      return theirs >= 0;
    }, 'a connection');
    open.add(theirs);
    setSocketInt(theirs, SOL_SOCKET, SO_SNDBUFFORCE, sndbuf);
    return { ours, theirs };
  };
  const [toMember, toClient] = [await connection(), await connection()];
  const ends: string[] = [];
  const owner: RelayOwner = {
    relaying: true,
    onEarlyEvents: () => undefined,
    onBytes: () => undefined,
    onHalfClosed: () => ends.push('half-closed'),
    onFinished: () => ends.push('finished'),
    onBroken: () => ends.push('broken'),
  };
  const io = new RelayIo(new PipePool(0, 1));
  const [client, upstream] = [new Relay(owner, io), new Relay(owner, io)];
  client.other = upstream;
  upstream.other = client;
  client.fd = toClient.ours;
  upstream.fd = toMember.ours;
  const reset = (fd: number) => {
    open.delete(fd);
    resetTcp(fd);
  };
  return { io, client, upstream, toMember, toClient, ends, reset };
}
