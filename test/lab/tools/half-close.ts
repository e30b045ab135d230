/**
 * Sends BYTES, closes its sending side and prints what comes back until the other side closes, too.
 *
 *   half-close.ts HOST PORT BYTES
 */
import { connect } from 'node:net';

const [host, port, bytes] = process.argv.slice(2);
const socket = connect({ host: host!, port: Number(port), allowHalfOpen: true });
socket.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
socket.on('data', (chunk) => process.stdout.write(chunk));
socket.on('end', () => socket.destroy());
socket.end(Buffer.alloc(Number(bytes), 'half-close '));
