/**
 * Ports for tests. "Bind port 0, close, use the number" races with every other socket of the machine: the kernel gives such
 * numbers to whoever asks next, outgoing connections included. These come from below the range that it gives out
 * (net.ipv4.ip_local_port_range begins at 32768), and from a block that this process alone draws from.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

const firstPort = 12_000;
const blockSize = 100;
const blocks = 200;

let block: Promise<number> | undefined;
let drawn = 0;

/** A port that is free for TCP and UDP on `host`, and was not given out by this process before it drew them all. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  block ??= claimBlock();
  const base = await block;
  for (let tries = 0; tries < blockSize; tries++) {
    const port = base + (drawn++ % blockSize);
    if ((await tcpIsFree(host, port)) && (await udpIsFree(host, port))) return port;
  }
  throw new Error(`none of the ports ${base} to ${base + blockSize - 1} is free on ${host}`);
}

/** Takes a block for the life of this process: an abstract Unix socket says so, and the kernel lets go of it at the end. */
async function claimBlock(): Promise<number> {
  for (let tries = 0; tries < blocks; tries++) {
    const number = (process.pid + tries) % blocks;
    const claim = createServer().unref();
    claim.listen(`\0v6edge-test-ports-${number}`);
    if (await settles(once(claim, 'listening'))) return firstPort + number * blockSize;
  }
  throw new Error(`all ${blocks} blocks of ports for tests are taken`);
}

async function tcpIsFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, host);
  if (!(await settles(once(server, 'listening')))) return false;
  server.close();
  await once(server, 'close');
  return true;
}

async function udpIsFree(host: string, port: number): Promise<boolean> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, host);
  const free = await settles(once(socket, 'listening'));
  socket.close();
  await once(socket, 'close');
  return free;
}

/** Whether it resolves; `once` rejects on an `error` event. */
async function settles(event: Promise<unknown>): Promise<boolean> {
  return event.then(
    () => true,
    () => false,
  );
}
