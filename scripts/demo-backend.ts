/** A small HTTP server behind the proxy: it says who it is, and whom the PROXY header named as its client. */
import { createServer, type Server, type Socket } from 'node:net';
import { formatEndpoint } from '../src/core/address.ts';
import { parseProxyHeader } from '../src/proxy/wire/parse.ts';

/** More than a PROXY header and a request take; whoever sends more without end is cut off. */
const maxRequestBytes = 16_384;

/** Listens on 127.0.0.1; rejects if the port is taken. */
export function startBackend(name: string, port: number): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<Server>();
  const server = createServer((socket) => serve(name, socket));
  server.once('error', reject);
  server.listen(port, '127.0.0.1', () => resolve(server));
  return promise;
}

function serve(name: string, socket: Socket): void {
  let received = Buffer.alloc(0);
  // Health checks come and go, some with a reset.
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    const reply = answer(name, received);
    if (reply !== undefined) socket.end(reply);
    else if (received.length > maxRequestBytes) socket.destroy();
  });
}

/** The whole response, once a PROXY header and an HTTP request are there. */
function answer(name: string, received: Buffer): string | undefined {
  const header = parseProxyHeader(received);
  // A health check names no client (the LOCAL command), and says nothing more.
  if (header.kind === 'incomplete' || header.kind === 'unaddressed') return undefined;
  if (header.kind !== 'proxied') return response(400, 'this server wants a PROXY header that names a client\n');
  if (!received.subarray(header.bytes).includes('\r\n\r\n')) return undefined;
  const { source, sourcePort } = header.addresses;
  const client = formatEndpoint({ kind: 'inet', address: source, port: sourcePort });
  return response(200, `backend ${name}: you are ${client}, says the PROXY header\n`);
}

function response(status: number, body: string): string {
  const length = Buffer.byteLength(body);
  return `HTTP/1.1 ${status} -\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${body}`;
}
