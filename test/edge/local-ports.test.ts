/** No local port is left towards a member, as behind a busy listener: nobody's fault but this host's, and told as that. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { waitFor } from '../lab/process.ts';
import { inNamespace } from '../linux/netns.ts';
import { DaemonHome, logged } from './daemon-process.ts';

/** What there is for connections to one address and port. */
const ports = 4;
const range = { first: 40_000, last: 40_000 + ports - 1 };
/** Beyond the range: the test's own connections take none of it. */
let nextPort = 50_000;

async function echoServer(t: Test, host: string, port: number): Promise<Set<Socket>> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.pipe(socket);
  });
  await once(server.listen(port, host), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return sockets;
}

if (inNamespace(t, import.meta.filename)) {
  writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', `${range.first} ${range.last}`);
  for (const host of ['127.0.0.1', '::1']) t.test(host, (t) => exhaust(t, host));
}

async function exhaust(t: Test, host: string): Promise<void> {
  const [front, pair, busy, free, checked] = [20_000, 20_001, 20_002, 20_003, 20_004];
  const at = (port: number) => (host === '::1' ? `[::1]:${port}` : `${host}:${port}`);
  const home = new DaemonHome(t);
  const members = [busy, free].map((port, i) => `{ name: m${i + 1}, address: "${host}", port: ${port} }`);
  home.configure(
    `proxy:
  timeouts: { connect: 300ms }
  listeners:
    - { name: front, bind: ["${at(front)}"], pool: alone }
    - { name: pair, bind: ["${at(pair)}"], pool: pair }
  pools:
    # Checks take ports as well: here those of another destination.
    alone: { retries: 2, check: { port: ${checked} }, members: [${members[0]}] }
    pair: { balance: first, check: { port: ${checked} }, members: [${members}] }`,
    1,
  );
  const there = await echoServer(t, host, busy);
  for (const port of [free, checked]) await echoServer(t, host, port);
  const daemon = await home.start();
  let events = '';
  const stream = get({ socketPath: home.socket, path: '/v1/events' }, (response) => {
    response.setEncoding('utf8').on('data', (text) => {
      events += text;
    });
  });
  stream.on('error', () => undefined);
  t.teardown(() => stream.destroy());
  const clients = new Set<Socket>();
  t.teardown(() => {
    for (const client of clients) client.destroy();
  });
  const client = (port: number) => {
    const socket = connect({ port, host, localPort: nextPort++ });
    clients.add(socket);
    socket.on('error', () => undefined).write('hello');
    return socket;
  };
  const echoed = async (socket: Socket) => t.equal(String((await once(socket, 'data'))[0]), 'hello');
  await waitFor('the members', async () => (await home.json<{ up: number }[]>('/v1/pools')).every(({ up }) => up > 0));

  const live = Array.from({ length: ports }, () => client(front));
  await Promise.all(live.map(echoed));

  const lost = client(front);
  // `once` would reject for the reset that comes first.
  await new Promise((resolve) => lost.on('close', resolve));
  await waitFor('its line', () => logged(daemon, /^session$/).length === 1);
  t.match(logged(daemon, /^session$/), [
    { pool: 'alone', state: 'RC', retries: 2, cause: 'no descriptors, ports or memory' },
  ]);
  const words = /^no local port is free for another connection to .*ip_local_port_range/;
  const told = () => logged(daemon, /cannot connect to the member/);
  await waitFor('people to be told', () => told().length > 0);
  t.match(told(), [{ level: 'warn', pool: 'alone', member: 'm1', code: 'EADDRNOTAVAIL', reason: words }], 'once');
  await waitFor('the event', () => /\nevent: member-warning\n/.test(events));
  t.match(JSON.parse(/event: member-warning\ndata: (.*)/.exec(events)![1]!), {
    pool: 'alone',
    member: 'm1',
    reason: words,
  });

  const other = client(pair);
  await echoed(other);
  other.resetAndDestroy();
  await waitFor('its line', () => logged(daemon, /^session$/).length === 2);
  t.match(logged(daemon, /^session$/)[1], { member: 'm2', retries: 1 }, 'the next member, at once');

  type Pool = { name: string; members: { name: string; state: string; warning?: string }[] };
  const pools = await home.json<Pool[]>('/v1/pools');
  t.match(pools[0]!.members, [{ name: 'm1', state: 'up', warning: words }]);
  t.equal(logged(daemon, /member is down/).length, 0, 'no member is down for it');
  const metrics = await home.metrics();
  const errors = [...metrics].filter(([name]) => name.startsWith('v6edge_proxy_member_connect_errors_total'));
  t.ok(errors.length > 0 && errors.every(([, count]) => count === 0), 'nor has one failed');

  const late = client(front);
  await waitFor('a try of its', async () => {
    const sessions = await home.json<{ items?: { state: string }[] }>('/v1/sessions');
    return JSON.stringify(sessions).includes('"waiting"');
  });
  // A reset leaves no TIME_WAIT, so its port is free at once.
  live[0]!.resetAndDestroy();
  await echoed(late);
  t.equal(there.size, ports, 'served again');
}
