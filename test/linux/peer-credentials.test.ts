import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { peerCredentials } from '../../src/linux/peer-credentials.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-peer-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** The descriptor of the accepted end. */
async function accepted(listen: string | number): Promise<{ fd: number; end: () => void }> {
  const server = createServer();
  server.listen(listen as number);
  await once(server, 'listening');
  const address = server.address();
  const client = typeof address === 'string' ? connect(address) : connect(address!.port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket & { _handle: { fd: number } }];
  const end = () => {
    client.destroy();
    socket.destroy();
    server.close();
  };
  return { fd: socket._handle.fd, end };
}

t.test('no descriptor, and what is no UNIX socket', async (t) => {
  t.equal(peerCredentials(-1), undefined);
  const tcp = await accepted(0);
  t.teardown(tcp.end);
  t.equal(peerCredentials(tcp.fd), undefined);
});

t.test('a UNIX socket: this very process', async (t) => {
  const unix = await accepted(join(folder, 'socket'));
  t.teardown(unix.end);
  t.strictSame(peerCredentials(unix.fd), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
});
