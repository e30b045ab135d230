/**
 * Sends what no DNS client should: random bytes, cut messages, counts that lie, names that point at themselves; over
 * UDP, then over TCP with connections that are silent, half done, reset or never read. Repeatable by its seed.
 *
 *   dns-noise.ts SERVER SEED DATAGRAMS CONNECTIONS
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { SeededRandom } from '../../../src/core/random.ts';

const [server, seed, datagrams, connections] = process.argv.slice(2);
const random = new SeededRandom(Number(seed));

/** edge.cluster.test. AAAA, EDNS. */
const query = Buffer.from(
  '1234 0100 0001 0000 0000 0001 04 65646765 07 636c7573746572 04 74657374 00 001c 0001 00 0029 04d0 00000000 0000'.replaceAll(
    ' ',
    '',
  ),
  'hex',
);

function noise(): Buffer {
  const kind = random.below(6);
  if (kind === 0) return random.fill(Buffer.alloc(random.below(700)));
  if (kind === 1) return query.subarray(0, random.below(query.length));
  const message = Buffer.from(query);
  if (kind === 2) message.writeUInt16BE(random.below(65536), 4 + 2 * random.below(4));
  // A compression pointer to itself, or to anywhere.
  if (kind === 3) message.writeUInt16BE(0xc000 | random.below(64), 12);
  // Any opcode and flags.
  if (kind === 4) message.writeUInt16BE(random.below(65536), 2);
  if (kind === 5) for (let i = 0; i < 4; i++) message[random.below(message.length)] = random.below(256);
  return message;
}

async function overUdp(): Promise<void> {
  const socket = createSocket('udp6');
  socket.on('message', () => undefined);
  const packets = Array.from({ length: Number(datagrams) }, noise);
  for (const packet of packets) {
    await new Promise<void>((resolve) => socket.send(packet, 53, server!, () => resolve()));
  }
  socket.close();
}

function overTcp(kind: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: server!, port: 53 });
    const body = noise();
    const length = Buffer.alloc(2);
    // The length may be right, or promise more than comes.
    length.writeUInt16BE(kind % 2 === 0 ? body.length : 65535);
    socket.on('connect', () => {
      if (kind % 5 === 0) socket.resetAndDestroy();
      else if (kind % 5 !== 1) socket.write(Buffer.concat([length, body]));
      setTimeout(() => (kind % 3 === 0 ? socket.resetAndDestroy() : socket.destroy()), 300);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    if (kind % 7 === 0) socket.pause();
    else socket.resume();
  });
}

await overUdp();
await Promise.all(Array.from({ length: Number(connections) }, (_, i) => overTcp(i)));
console.log('done');
