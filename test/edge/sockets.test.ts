/** Listening sockets that outlive the daemon: of a service manager's socket units. */
import { chmodSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { AF_INET6, IPPROTO_IPV6 } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, libcCall, orErrno, setSocketInt } from '../../src/linux/libc.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { listenTcp, openTcp } from '../../src/linux/tcp.ts';
import { makeCertificate } from '../dns/certificate.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';
import { DnsClient } from './dns-client.ts';
import { ask, config, Load, member, restart, start } from './restarts.ts';
import { ServiceManager } from './service-manager.ts';

const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const listenCall = libcCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const IPV6_V6ONLY = 26;

/** A socket as `ListenStream=PORT` makes it: for both families, and with no other beside it. */
async function dualStack(t: Test): Promise<{ fd: number; port: number }> {
  const port = await freePort();
  const fd = check(openTcp(AF_INET6), 'socket');
  t.teardown(() => closeFd(fd));
  setSocketInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const name = encodeSockaddr(parseInetEndpoint('[::]:1').address, port);
  check(orErrno(bindCall(fd, name, name.length)), 'bind');
  check(orErrno(listenCall(fd, 1024)), 'listen');
  return { fd, port };
}

/** The rcode of an answer by TCP. */
async function askByTcp(port: number): Promise<number> {
  return await rcodeOf(connect(port, '127.0.0.1'));
}

/** The rcode of an answer by TLS. */
async function askByTls(port: number): Promise<number> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  return await rcodeOf(socket);
}

/** The rcode of an answer on a connection, which is closed then. */
async function rcodeOf(socket: Socket): Promise<number> {
  try {
    const query = Buffer.from('000701000001000000000000' + '07636c7573746572' + '0474657374' + '0000060001', 'hex');
    socket.write(Buffer.concat([Buffer.of(0, query.length), query]));
    let received = Buffer.alloc(0);
    for await (const piece of socket) {
      received = Buffer.concat([received, piece as Buffer]);
      if (received.length > 2 + 12) return received[2 + 3]! & 15;
    }
    throw new Error('closed without an answer');
  } finally {
    socket.destroy();
  }
}

t.test('the socket of a unit, IPv4 and IPv6 in one, shared by two threads: restarts refuse nobody', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const { fd, port } = await dualStack(t);
  manager.units.push({ name: 'v6edge.socket', fd });
  home.configure(config({ web: [`[::]:${port}`, `0.0.0.0:${port}`] }, await member(t, 'm')));
  const load = new Load(port, ['127.0.0.1', '::1']);
  let daemon = await start(home, manager);
  await load.more();
  for (let i = 0; i < 2; i++) {
    daemon = await restart(home, manager, daemon);
    await load.more();
  }
  const counts = await load.end();
  t.strictSame(
    Object.keys(counts),
    ['m'],
    `${counts.m} of ${load.got.length} served, those before the first start too`,
  );
  const status = await home.json<{ listeners: { kind: string; endpoint: string }[] }>('/v1/status');
  t.strictSame(
    status.listeners.filter(({ kind }) => kind === 'proxy').map(({ endpoint }) => endpoint),
    [`[::]:${port}`, `0.0.0.0:${port}`],
  );
  t.strictSame(manager.store, [], 'a socket of a unit is not kept as well');
  t.equal((await daemon.stop()).code, 0);
  const waiting = ask(port);
  await start(home, manager);
  t.equal(await waiting, 'm', 'who connects to a stopped daemon is served by the next');
});

t.test('queries wait for the next daemon: after a restart, a crash, and when a listener has gone', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const [port, other] = [await freePort(), await freePort()];
  const dns = (...ports: number[]) => {
    const listen = JSON.stringify(ports.map((each) => `127.0.0.1:${each}`));
    return `dns:\n  listen: ${listen}\n  allow: ["127.0.0.0/8"]\n  zones: [{ name: cluster.test, ns: [edge.cluster.test] }]`;
  };
  const kept = () => manager.store.map(({ name }) => name).sort();
  const names = (...ports: number[]) =>
    ports.flatMap((each) =>
      [0, 1].flatMap((i) => [`v6edge.127.0.0.1_${each}.${i}`, `v6edge.udp.127.0.0.1_${each}.${i}`]),
    );
  home.configure(dns(port, other));
  let daemon = await start(home, manager);
  await waitFor('the store', () => kept().length === 8);
  t.strictSame(kept(), names(port, other).sort());
  const clients = Array.from({ length: 20 }, () => new DnsClient(port));
  t.teardown(() => {
    for (const each of clients) each.close();
  });
  const askAll = () => Promise.all(clients.map((each) => each.query('cluster.test', TYPE.SOA, 20_000)));
  for (const signal of ['SIGUSR2', 'SIGKILL'] as const) {
    daemon.kill(signal);
    await daemon.exited;
    const waiting = askAll();
    const byTcp = Array.from({ length: 20 }, () => askByTcp(port));
    daemon = await start(home, manager);
    for (const rcode of await Promise.all(byTcp)) t.equal(rcode, 0, `a connection waits as well, after ${signal}`);
    t.ok(
      (await waiting).every((reply) => reply?.answers.length === 1),
      `each query is answered once, after ${signal}`,
    );
    t.strictSame(kept(), names(port, other).sort());
  }
  home.configure(dns(port));
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  await waitFor('the store', () => kept().length === 4);
  t.strictSame(kept(), names(port).sort(), 'a listener that goes takes its sockets out');
  daemon.kill('SIGWINCH');
  await waitFor(
    'the thread to be back',
    async () => (await home.json<{ threads: { restarts: number }[] }>('/v1/status')).threads[0]?.restarts === 1,
  );
  t.ok(
    (await askAll()).every((reply) => reply?.answers.length === 1),
    'nor does a thread that failed keep any',
  );
  t.equal(await askByTcp(port), 0, 'by TCP neither');
  home.configure(dns(port), 1);
  daemon = await restart(home, manager, daemon);
  await waitFor('the store', () => kept().length === 2);
  t.equal(await askByTcp(port), 0);
  t.ok(
    (await askAll()).every((reply) => reply?.answers.length === 1),
    'one thread less: its socket is closed',
  );
});

t.test('DNS over TLS: connections wait for the next daemon as well', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const { certificate, key } = makeCertificate(t, 'dns.example');
  const dir = t.testdir({ 'dns.crt': certificate, 'dns.key': key });
  chmodSync(join(dir, 'dns.key'), 0o600);
  const [port, tls, other] = [await freePort(), await freePort(), await freePort()];
  const dns = (...ports: number[]) => {
    const listen = JSON.stringify(ports.map((each) => `127.0.0.1:${each}`));
    const files = `certificateFile: ${join(dir, 'dns.crt')}, keyFile: ${join(dir, 'dns.key')}`;
    return (
      `dns:\n  listen: ["127.0.0.1:${port}"]\n  allow: ["127.0.0.0/8"]\n  tls: { listen: ${listen}, ${files} }\n` +
      '  zones: [{ name: cluster.test, ns: [edge.cluster.test] }]'
    );
  };
  const keptTls = () => manager.store.map(({ name }) => name).filter((name) => !name.includes(`_${port}.`));
  const names = (...ports: number[]) => ports.flatMap((each) => [0, 1].map((i) => `v6edge.127.0.0.1_${each}.${i}`));
  home.configure(dns(tls, other));
  let daemon = await start(home, manager);
  await waitFor('the store', () => keptTls().length === 4);
  t.strictSame(keptTls().sort(), names(tls, other).sort());
  for (const signal of ['SIGUSR2', 'SIGKILL'] as const) {
    const before = manager.store.length;
    daemon.kill(signal);
    await daemon.exited;
    const waiting = Array.from({ length: 20 }, () => askByTls(tls));
    daemon = await start(home, manager);
    for (const rcode of await Promise.all(waiting)) t.equal(rcode, 0, `answered after ${signal}`);
    t.equal(manager.store.length, before, 'by the sockets of before');
  }
  home.configure(dns(tls));
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  await waitFor('the store', () => keptTls().length === 2);
  t.strictSame(keptTls().sort(), names(tls).sort(), 'a listener that goes takes its sockets out');
  t.equal(await ask(other), 'ECONNREFUSED');
  daemon.kill('SIGWINCH');
  await waitFor(
    'the thread to be back',
    async () => (await home.json<{ threads: { restarts: number }[] }>('/v1/status')).threads[0]?.restarts === 1,
  );
  await waitFor('its sockets', () => keptTls().length === 2);
  for (let i = 0; i < 8; i++) t.equal(await askByTls(tls), 0, 'nor does a thread that failed keep any');
  t.equal((await daemon.stop()).code, 0);
  await waitFor('the store to be empty', () => manager.store.length === 0);
  t.equal(await ask(tls), 'ECONNREFUSED');
});

t.test('sockets of a unit by name, for no listener, and of no use', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const [named, stray, own] = [await freePort(), await freePort(), await freePort()];
  for (const [name, port] of [
    ['web', named],
    ['stray', stray],
  ] as const) {
    const fd = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), { backlog: 64, keepaliveSeconds: 0 });
    t.teardown(() => closeFd(fd));
    manager.units.push({ name, fd });
  }
  const odd = check(openTcp(AF_INET6), 'socket');
  t.teardown(() => closeFd(odd));
  manager.units.push({ name: 'odd', fd: odd });
  const port = await member(t, 'm');
  home.configure(config({ web: [`127.0.0.1:${own}`] }, port), 1);
  const daemon = await start(home, manager);
  t.equal(await ask(named), 'm', 'a unit adds a bind to the listener it names');
  t.equal(await ask(own), 'm');
  t.match(logged(daemon, /listens for us where no listener/), [{ name: 'stray', bind: `127.0.0.1:${stray}` }]);
  t.match(logged(daemon, /of no use here/), [{ name: 'odd' }]);

  home.configure(config({ other: [`127.0.0.1:${own}`, `127.0.0.1:${stray}`] }, port), 1);
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  t.equal(await ask(stray), 'm', 'a reload may come to want it');
  await waitFor('the warning', () => logged(daemon, /end its socket unit/).length > 0);
  t.match(logged(daemon, /end its socket unit/), [{ bind: `127.0.0.1:${named}` }]);
  home.configure(config({ web: [`127.0.0.1:${own}`] }, port), 1);
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  t.equal(await ask(named), 'm', 'and to want it again');
});
