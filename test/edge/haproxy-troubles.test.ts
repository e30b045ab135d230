/** What operators run into with HAProxy in front of Kubernetes (docs/haproxy.md), with the daemon as a process. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, descriptors, freePort } from './daemon-process.ts';

/** A member that sends back what it gets; `refuse` ends its listening, and leaves connections as they are. */
async function echoServer(t: Test): Promise<{ port: number; refuse: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, refuse: () => server.close() };
}

async function echoed(socket: Socket, word: string): Promise<void> {
  socket.write(word);
  const [data] = (await once(socket, 'data')) as [Buffer];
  t.equal(data.toString(), word);
}

t.test('reloads leave one process, as many threads and descriptors, and a session that goes through all', async (t) => {
  const home = new DaemonHome(t);
  const [port, other] = [await freePort(), await freePort()];
  const member = await echoServer(t);
  const config = (more: boolean) => `proxy:
  listeners:
    - { name: a, bind: ["127.0.0.1:${port}"], pool: p }
${more ? `    - { name: b, bind: ["127.0.0.1:${other}"], pool: q }\n` : ''}  pools:
    p: { check: { interval: 100ms }, members: [{ name: m, address: 127.0.0.1, port: ${member.port} }] }
    q: { check: none, members: [{ name: m, address: 127.0.0.1, port: ${member.port}, weight: ${more ? 1 : 2} }] }`;
  home.configure(config(false));
  const daemon = await home.start();
  const { pid } = daemon;
  const session = connect(port, '127.0.0.1');
  t.teardown(() => session.destroy());
  await echoed(session, 'before');
  const threads = () => readdirSync(`/proc/${pid}/task`).length;
  await home.json('/v1/status');
  const before = { threads: threads(), descriptors: descriptors(pid) };
  for (let i = 1; i <= 20; i++) {
    home.configure(config(i % 2 === 1));
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
  }
  await echoed(session, 'after');
  t.equal(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), '', 'no other process');
  t.equal((await home.json<{ pid: number }>('/v1/status')).pid, pid);
  // A check may be under way.
  await waitFor('as many as before', () => threads() <= before.threads && descriptors(pid) <= before.descriptors + 1);
});

t.test('a member that dies: its silent session ends with its check, and new clients are refused at once', async (t) => {
  const home = new DaemonHome(t);
  const port = await freePort();
  const member = await echoServer(t);
  home.configure(`proxy:
  listeners: [{ name: a, bind: ["127.0.0.1:${port}"], pool: p }]
  pools:
    p:
      check: { interval: 100ms, fall: 1 }
      members: [{ name: m, address: 127.0.0.1, port: ${member.port} }]`);
  await home.start();
  await waitFor('the member', async () => (await home.json<{ up: number }>('/v1/pools/p')).up === 1);
  const session = connect(port, '127.0.0.1');
  // `once` would reject for the reset that comes first.
  const ended = new Promise((resolve) => session.on('error', () => undefined).on('close', resolve));
  await echoed(session, 'hello');
  member.refuse();
  await ended;
  await waitFor('its check', async () => (await home.json<{ up: number }>('/v1/pools/p')).up === 0);
  const late = connect(port, '127.0.0.1');
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
  t.equal(error.code, 'ECONNRESET', 'never accepted and left to hang');
});
