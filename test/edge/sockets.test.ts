/** Listening sockets that outlive the daemon: of a service manager's socket units, and kept in its descriptor store. */
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
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
import { type LabProcess, waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';
import { DnsClient } from './dns-client.ts';
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

/** A member that greets whoever connects. */
async function member(t: Test, name: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

function config(listeners: Record<string, readonly string[]>, port: number): string {
  const list = Object.entries(listeners).map(
    ([name, bind]) => `{ name: ${name}, bind: ${JSON.stringify(bind)}, pool: p }`,
  );
  const members = `[{ name: m, address: 127.0.0.1, port: ${port} }]`;
  return `proxy:\n  listeners: [${list.join(', ')}]\n  pools: { p: { check: { type: none }, members: ${members} } }`;
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

/** What a client gets: the member's greeting, or why there is none. */
function ask(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host, timeout: 20_000 });
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'silence' })));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      text = error.code ?? error.message;
    });
    socket.on('close', () => resolve(text));
  });
}

/** Clients one after the other on each of `loops` lines, over IPv4 and IPv6 in turn where `hosts` says so. */
class Load {
  readonly got: string[] = [];
  #going = true;
  readonly #lines: Promise<void>[];

  constructor(port: number, hosts: readonly string[], loops = 20) {
    this.#lines = Array.from({ length: loops }, async (_, i) => {
      while (this.#going) this.got.push(await ask(port, hosts[i % hosts.length]));
    });
  }

  /** Waits for some more clients to be served. */
  async more(count = 200): Promise<void> {
    const enough = this.got.length + count;
    await waitFor(`${count} clients`, () => this.got.length >= enough, { everyMs: 5, timeoutMs: 20_000 });
  }

  /** Ends the load; how often each thing was got. */
  async end(): Promise<Record<string, number>> {
    this.#going = false;
    await Promise.all(this.#lines);
    const counts: Record<string, number> = {};
    for (const each of this.got) counts[each] = (counts[each] ?? 0) + 1;
    return counts;
  }
}

const faults = { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'fault.ts')}` };

/** Starts a daemon as its service manager would. */
function start(home: DaemonHome, manager: ServiceManager): Promise<LabProcess> {
  const { fds, env } = manager.passed;
  return home.start({ fds, env: { ...env, ...faults } });
}

async function restart(home: DaemonHome, manager: ServiceManager, daemon: LabProcess): Promise<LabProcess> {
  daemon.kill('SIGUSR2');
  t.equal((await daemon.exited).code, 0);
  return await start(home, manager);
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

t.test('sockets in the descriptor store', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const [port, dropped] = [await freePort(), await freePort()];
  const upstream = await member(t, 'm');
  const names = (list: readonly number[], threads: number) =>
    list.flatMap((each) => Array.from({ length: threads }, (_, i) => `v6edge.127.0.0.1_${each}.${i}`)).sort();
  const kept = () => manager.store.map(({ name }) => name).sort();
  const both = { web: [`127.0.0.1:${port}`], dropped: [`127.0.0.1:${dropped}`] };
  home.configure(config(both, upstream));
  let daemon = await start(home, manager);
  t.strictSame(kept(), names([port, dropped], 2), 'each of each thread');

  const load = new Load(port, ['127.0.0.1']);
  await load.more();
  await t.test('restarts refuse nobody and cut nobody off', async (t) => {
    for (let i = 0; i < 3; i++) {
      daemon = await restart(home, manager, daemon);
      await load.more();
    }
    t.ok(
      load.got.every((each) => each === 'm'),
      `${load.got.length} clients`,
    );
    t.strictSame(kept(), names([port, dropped], 2), 'the same sockets all along');
  });

  await t.test('a session that lasts: clients are accepted until the grace time is over', async (t) => {
    const before = load.got.length;
    const lasting = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    t.teardown(() => lasting.destroy());
    // The member's greeting and end have come; the client's own end has not.
    lasting.on('error', () => undefined).resume();
    await once(lasting, 'data');
    daemon.kill('SIGUSR2');
    await load.more();
    t.equal(daemon.result, undefined, 'the daemon waits for it');
    lasting.end();
    t.equal((await daemon.exited).code, 0);
    daemon = await start(home, manager);
    await load.more();
    t.ok(
      load.got.slice(before).every((each) => each === 'm'),
      `${load.got.length - before} clients`,
    );
  });

  await t.test('a kill: nobody but those being served notices', async (t) => {
    const before = load.got.length;
    daemon.kill('SIGKILL');
    await daemon.exited;
    daemon = await start(home, manager);
    await load.more();
    const failed = load.got.slice(before).filter((each) => each !== 'm');
    t.notOk(failed.includes('ECONNREFUSED'));
    t.ok(failed.length <= 20, `${failed.length} were being served`);
    t.strictSame(kept(), names([port, dropped], 2));
  });

  await t.test('a thread that fails takes its sockets out, and its successor puts new ones in', async (t) => {
    const old = manager.store.map(({ fd }) => fd);
    daemon.kill('SIGWINCH');
    await waitFor('the thread', () => logged(daemon, /data thread ended/).length === 1);
    await waitFor('its sockets', () => kept().length === 4 && manager.store.some(({ fd }) => !old.includes(fd)));
    t.strictSame(kept(), names([port, dropped], 2));
    await load.more();
  });

  await t.test('fewer threads, and a listener less', async (t) => {
    const before = load.got.length;
    home.configure(config({ web: both.web }, upstream), 1);
    daemon = await restart(home, manager, daemon);
    await load.more();
    t.ok(
      load.got.slice(before).every((each) => each === 'm'),
      `${load.got.length - before} clients`,
    );
    t.strictSame(kept(), names([port], 1));
    t.equal(await ask(dropped), 'ECONNREFUSED');
  });

  await t.test('a reload', async (t) => {
    home.configure(config(both, upstream), 1);
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
    await waitFor('the new socket', () => kept().length === 2);
    home.configure(config({ web: both.web }, upstream), 1);
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
    await waitFor('it to be taken out', () => kept().length === 1);
    t.equal(await ask(dropped), 'ECONNREFUSED');
  });

  await t.test('a real stop leaves nothing behind', async (t) => {
    await load.end();
    t.equal((await daemon.stop()).code, 0);
    await waitFor('the store to be empty', () => kept().length === 0);
    t.equal(await ask(port), 'ECONNREFUSED');
  });
});

t.test('a start that fails closes what was kept: nobody waits for it', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const port = await freePort();
  const fd = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), { backlog: 64, keepaliveSeconds: 0 });
  manager.store.push({ name: `v6edge.127.0.0.1_${port}.0`, fd });
  const taken = await member(t, 'other');
  home.configure(config({ web: [`127.0.0.1:${port}`], other: [`127.0.0.1:${taken}`] }, await freePort()));
  t.equal((await home.spawn(manager.passed).exited).code, 1);
  await waitFor('the store to be empty', () => manager.store.length === 0);
  t.equal(await ask(port), 'ECONNREFUSED');
});

t.test('a port that another process still has is waited for', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const port = await freePort();
  const holder = createServer().listen(port, '127.0.0.1');
  await once(holder, 'listening');
  home.configure(config({ web: [`127.0.0.1:${port}`] }, await member(t, 'm')));
  const daemon = home.spawn(manager.passed);
  await waitFor('it to wait', () => daemon.output.includes(`waits for tcp 127.0.0.1:${port}: another process`), {
    timeoutMs: 20_000,
    why: () => daemon.output,
  });
  holder.close();
  await waitFor('it to serve', async () => (await ask(port)) === 'm', { timeoutMs: 20_000, why: () => daemon.output });
  t.match(readFileSync(`/proc/${daemon.pid}/comm`, 'utf8'), /^v6edge$/m, 'what ss and top call it');
  t.equal((await daemon.stop()).code, 0);
});
