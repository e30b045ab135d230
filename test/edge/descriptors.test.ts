/** A daemon and its limit of descriptors: what it says at the start, what a limit of sessions does, and what happens when all are used up. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { exec, waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';

const hard = 1_124;
/** What the hard limit has room for, by src/edge/file-limit.ts. */
const possible = 50;

/** A client that is told `hello` once it is served. */
interface Client {
  readonly socket: Socket;
  served: boolean;
  ended: boolean;
}

function client(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  const one = { socket, served: false, ended: false };
  socket.on('data', () => {
    one.served = true;
  });
  socket
    .on('error', () => {})
    .on('close', () => {
      one.ended = true;
    });
  return one;
}

/** A daemon of one data thread with a member that greets and keeps its clients; the hard limit of descriptors is `hard`. */
async function setUp(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-limited-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'v6edge');
  const checkout = join(import.meta.dirname, '../../bin/v6edge');
  writeFileSync(program, `#!/bin/sh\nulimit -S -n 256 && ulimit -H -n ${hard} && exec ${checkout} "$@"\n`);
  chmodSync(program, 0o755);
  const member = createServer((socket) => {
    socket.on('error', () => {}).write('hello');
    t.teardown(() => socket.destroy());
  });
  member.listen(0, '127.0.0.1');
  await once(member, 'listening');
  t.teardown(() => member.close());
  const home = new DaemonHome(t, program);
  const [front, dns] = [await freePort(), await freePort()];
  const configure = (maxConnections: number) =>
    home.configure(
      [
        'proxy:',
        `  maxConnections: ${maxConnections}`,
        `  listeners: [{ name: web, bind: ["127.0.0.1:${front}"], pool: web }]`,
        '  pools:',
        '    web:',
        '      check: none',
        `      members: [{ name: w1, address: 127.0.0.1, port: ${(member.address() as AddressInfo).port} }]`,
        `dns: { listen: ["127.0.0.1:${dns}"], allow: ["127.0.0.0/8"], zones: [{ name: cluster.test, ns: [edge.cluster.test] }] }`,
      ].join('\n'),
      1,
    );
  const answers = async () => {
    const query = ['dig', '+short', '+time=2', '+tries=1', `-p${dns}`, '@127.0.0.1', 'cluster.test', 'NS'];
    return (await exec(query)).stdout.trim();
  };
  const clients: Client[] = [];
  t.teardown(() => {
    for (const { socket } of clients) socket.destroy();
  });
  const open = (count: number) => clients.push(...Array.from({ length: count }, () => client(front)));
  const served = () => clients.filter((one) => one.served).length;
  return { home, configure, answers, clients, open, served };
}

t.test('the soft limit is raised, and more sessions than the hard one has room for are not promised', async (t) => {
  const { home, configure, answers, clients, open, served } = await setUp(t);
  configure(20_000);
  const daemon = await home.start();
  t.match(readFileSync(`/proc/${daemon.pid}/limits`, 'ascii'), new RegExp(`^Max open files +${hard} +${hard} `, 'm'));
  t.match(logged(daemon, /maxConnections is more than/), [
    { level: 'warn', maxConnections: 20_000, possible, descriptors: hard },
  ]);
  open(possible + 10);
  await waitFor('all that may be', () => served() === possible, { why: () => daemon.output });
  t.equal(await answers(), 'edge.cluster.test.', 'names are answered meanwhile');
  const metrics = await home.metrics();
  t.equal(metrics.get('v6edge_proxy_sessions'), possible, 'and so is the API');
  t.ok(metrics.get('v6edge_proxy_accept_pauses_total{cause="max_connections"}')! > 0);
  t.equal(metrics.get('v6edge_proxy_accept_pauses_total{cause="no_descriptors"}'), 0, 'it never comes to that');
  for (const { socket } of clients.slice(0, possible).filter((one) => one.served)) socket.destroy();
  await waitFor('those who waited', () => served() === possible + 10, { why: () => daemon.output });
  t.equal(logged(daemon, /out of descriptors/).length, 0);

  configure(10);
  t.match(await home.api('POST', '/v1/reload'), { status: 200 });
  t.equal(logged(daemon, /maxConnections is more than/).length, 1, 'what there is room for is not spoken of');
});

t.test('all used up: accepting rests, names are answered, nobody spins; it goes on when there are some', async (t) => {
  const { home, configure, answers, clients, open, served } = await setUp(t);
  configure(20);
  const daemon = await home.start();
  await home.isReady();
  // The limit counts numbers, not descriptors: three of those that are free are below it.
  const used = new Set(readdirSync(`/proc/${daemon.pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < 3; limit++) if (!used.has(limit)) free++;
  const setLimit = (soft: number) => execFileSync('prlimit', [`--pid=${daemon.pid}`, `--nofile=${soft}:${hard}`]);
  setLimit(limit);
  open(10);
  await waitFor('the end of descriptors', () => logged(daemon, /out of descriptors/).length === 1, {
    why: () => daemon.output,
  });
  t.match(logged(daemon, /out of descriptors/), [{ level: 'warn', code: 'EMFILE', listener: 'web' }]);
  t.equal(await answers(), 'edge.cluster.test.');
  const ticks = () => {
    const fields = readFileSync(`/proc/${daemon.pid}/stat`, 'ascii').replace(/.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const voluntary = () =>
    readdirSync(`/proc/${daemon.pid}/task`).reduce((sum, task) => {
      const status = readFileSync(`/proc/${daemon.pid}/task/${task}/status`, 'ascii');
      return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)![1]);
    }, 0);
  const [ticksBefore, switchesBefore] = [ticks(), voluntary()];
  await waitFor('some pauses', () => voluntary() - switchesBefore > 20);
  t.ok(ticks() - ticksBefore < 30, `${ticks() - ticksBefore} ticks of 10 ms in that time`);
  t.ok(served() < 10, `${served()} of 10 are served`);
  setLimit(hard);
  await waitFor('service for all', () => served() === 10, { why: () => daemon.output });
  t.equal(clients.filter(({ ended }) => ended).length, 0, 'nobody was sent away');
  const metrics = await home.metrics();
  t.ok(metrics.get('v6edge_proxy_accept_pauses_total{cause="no_descriptors"}')! > 0);
  t.equal(metrics.get('v6edge_proxy_member_connect_errors_total{pool="web",member="w1",cause="error"}') ?? 0, 0);
  t.equal(logged(daemon, /out of descriptors/).length, 1, 'told once');
});
