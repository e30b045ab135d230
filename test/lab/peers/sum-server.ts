/**
 * A TCP peer that reads until end of file and only then answers, with what it got: `BYTES SHA256 CLIENT`. Works only if
 * half-close passes through whatever is in between. Wants a PROXY protocol v1 header, whose source address is CLIENT.
 *
 *   sum-server.ts PORT
 */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';

/** Longest v1 header, by the specification (§2.1). */
const maxHeader = 107;

function serve(socket: Socket): void {
  const hash = createHash('sha256');
  let bytes = 0;
  let head: Buffer | undefined = Buffer.alloc(0);
  let client = '';
  socket.on('data', (chunk: Buffer) => {
    let body = chunk;
    if (head !== undefined) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n');
      if (end < 0 && head.length <= maxHeader) return;
      const match = /^PROXY TCP[46] (\S+) (\S+) \d+ \d+$/.exec(head.toString('latin1', 0, Math.max(0, end)));
      if (match === null) {
        socket.destroy();
        return;
      }
      client = match[1]!;
      body = head.subarray(end + 2);
      head = undefined;
    }
    hash.update(body);
    bytes += body.length;
  });
  socket.on('end', () => socket.end(`${bytes} ${hash.digest('hex')} ${client}\n`));
  socket.on('error', () => socket.destroy());
}

createServer({ allowHalfOpen: true }, serve).listen(Number(process.argv[2]), '::', () => console.log('ready'));
