import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import t from 'tap';
import { formatEndpoint, type InetEndpoint, parseCidr, parseInetEndpoint } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { duplicateFd } from '../../src/linux/libc.ts';
import { listenTcp } from '../../src/linux/tcp.ts';
import { ListenerCounter, listenerCounterBase, ProxyGauge } from '../../src/proxy/counters.ts';
import {
  ask,
  freePort,
  Harness,
  harnessFor,
  listener,
  member,
  naming,
  openDescriptors,
  outcome,
  pool,
  snapshot,
  Upstream,
  until,
} from './harness.ts';

t.test('listens on IPv4 and IPv6, and says what it cannot', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const takenPort = (taken.address() as net.AddressInfo).port;
  const port = await freePort();
  const upstream = await naming('m1').listen();
  const harness = harnessFor(t, upstream);
  const bind = [`[::]:${port}`, `0.0.0.0:${port}`, `127.0.0.1:${takenPort}`].map(parseInetEndpoint);
  harness.engine.apply(snapshot([listener('0.0.0.0:0', { bind })], [pool([member('m1', upstream.port)])]));
  t.same(
    harness.engine.listening.map(({ open, code }) => code ?? open),
    [true, true, 'EADDRINUSE'],
  );
  t.equal(await ask(port), 'm1');
  t.equal(await ask(port, '::1'), 'm1');
  t.match(await harness.session(2), { client: /^\[::1\]:\d+$/ });

  taken.close();
  await until(() => harness.engine.listening.every(({ open }) => open), 'the bind to be tried again');
  t.equal(await ask(takenPort), 'm1');
  t.equal(harness.events.filter(({ kind }) => kind === 'listening').length, 2, 'told at first and when it changed');
});

t.test('another address of the same port is open before the old one closes', async (t) => {
  const upstream = await naming('m1').listen();
  const port = await freePort();
  const calls: string[] = [];
  const keeper = {
    keep: (endpoint: InetEndpoint) => calls.push(`opens ${formatEndpoint(endpoint)}`),
    drop: (endpoint: InetEndpoint) => calls.push(`closes ${formatEndpoint(endpoint)}`),
  };
  const harness = new Harness(systemClock, keeper);
  t.teardown(() => {
    harness.close();
    upstream.close();
  });
  const bindTo = (...bind: string[]) =>
    harness.engine.apply(
      snapshot([listener(bind[0]!, { bind: bind.map(parseInetEndpoint) })], [pool([member('m1', upstream.port)])]),
    );
  bindTo(`127.0.0.1:${port}`);
  bindTo(`0.0.0.0:${port}`, `[::]:${port}`);
  bindTo(`127.0.0.1:${port}`);
  t.strictSame(calls, [
    `opens 127.0.0.1:${port}`,
    `opens 0.0.0.0:${port}`,
    `opens [::]:${port}`,
    `closes 127.0.0.1:${port}`,
    `opens 127.0.0.1:${port}`,
    `closes 0.0.0.0:${port}`,
    `closes [::]:${port}`,
  ]);
  t.equal(await ask(port), 'm1');
  t.equal(await ask(port, '::1'), 'ECONNREFUSED');
});

t.test('a socket that keeps another address of the port from us goes first', async (t) => {
  const upstream = await naming('m1').listen();
  const endpoint = parseInetEndpoint(`127.0.0.1:${await freePort()}`);
  const { port } = endpoint;
  // One of the service manager's, which shares its port with nobody.
  const alone = net.createServer().listen({ port, host: '127.0.0.1' });
  await once(alone, 'listening');
  const { fd } = (alone as unknown as { _handle: { fd: number } })._handle;
  const harness = harnessFor(t, upstream);
  harness.engine.adopt(endpoint, { fd: duplicateFd(fd), lent: false });
  const apply = (bind: string) =>
    harness.engine.apply(snapshot([listener(bind)], [pool([member('m1', upstream.port)])]));
  apply(`127.0.0.1:${port}`);
  alone.close();
  t.equal(await ask(port), 'm1');
  apply(`0.0.0.0:${port}`);
  t.match(harness.engine.listening, [{ open: true, code: undefined }]);
  t.strictSame(
    harness.log.lines.filter(({ message }) => message === 'cannot listen'),
    [],
  );
  t.equal(await ask(port), 'm1');
});

t.test('a socket that was passed to us is used as it is, with who waits in its queue', async (t) => {
  const upstream = await naming('m1').listen();
  const before = openDescriptors();
  const [endpoint, unused] = [await freePort(), await freePort()].map((port) => parseInetEndpoint(`127.0.0.1:${port}`));
  const options = { backlog: 16, keepaliveSeconds: 0 };
  const passed = listenTcp(endpoint!, options);
  const early = ask(endpoint!.port);
  const harness = new Harness();
  t.teardown(() => upstream.close());
  harness.engine.adopt(endpoint!, { fd: passed, lent: true });
  harness.engine.adopt(unused!, { fd: listenTcp(unused!, options), lent: true });
  const bind = [endpoint!, parseInetEndpoint(`127.0.0.1:${await freePort()}`)];
  const apply = () =>
    harness.engine.apply(snapshot([listener('127.0.0.1:0', { bind })], [pool([member('m1', upstream.port)])]));
  apply();
  t.equal(await early, 'm1', 'connected before there was an engine');
  t.equal(await ask(endpoint!.port), 'm1');
  t.equal(await ask(bind[1]!.port), 'm1', 'others are bound as ever');
  apply();
  t.equal(await ask(endpoint!.port), 'm1', 'kept over a reload');
  await until(() => harness.engine.sessions().length === 0, 'no session');
  harness.close();
  await until(() => openDescriptors() <= before, 'every descriptor to be closed, the unused one too');
});

t.test('the backlog is what the configuration says, also after a reload', async (t) => {
  const harness = harnessFor(t);
  const port = await freePort();
  // Send-Q of a listening socket is its backlog (ss(8)).
  const backlog = () =>
    /^LISTEN\s+0\s+(\d+)/.exec(execFileSync('ss', ['-Hltn', `sport = :${port}`], { encoding: 'utf8' }))?.[1];
  for (const wanted of [77, 88]) {
    harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`, { backlog: wanted })], [pool([])]));
    t.equal(backlog(), String(wanted));
  }
});

t.test('a snapshot changes what differs and leaves the rest alone', async (t) => {
  const [one, two] = [await new Upstream((s) => s.write('one')).listen(), await naming('two').listen()];
  const [kept, dropped, added] = [await freePort(), await freePort(), await freePort()];
  const harness = harnessFor(t, one, two);
  const front = (name: string, port: number, slot: number, poolName: string) =>
    listener(`127.0.0.1:${port}`, { name, slot, pool: poolName });
  const poolOne = pool([member('m1', one.port)], { name: 'one' });
  const poolTwo = pool([member('m2', two.port)], { name: 'two' });
  harness.engine.apply(snapshot([front('kept', kept, 0, 'one'), front('dropped', dropped, 1, 'one')], [poolOne]));
  const lasting = net.connect(kept, '127.0.0.1');
  const orphan = net.connect(dropped, '127.0.0.1');
  await Promise.all([once(lasting, 'data'), once(orphan, 'data')]);

  harness.engine.apply(snapshot([front('kept', kept, 0, 'two'), front('added', added, 1, 'two')], [poolOne, poolTwo]));
  t.equal(await ask(dropped), 'ECONNREFUSED', 'closed');
  t.equal(await ask(added), 'two', 'opened');
  t.equal(await ask(kept), 'two', 'the same socket with another pool');
  await until(() => harness.engine.sessions().length === 2, 'only the two first sessions to be left');
  one.sockets[0]!.write('still here');
  one.sockets[1]!.write('still here');
  t.equal(String((await once(lasting, 'data'))[0]), 'still here');
  t.equal(String((await once(orphan, 'data'))[0]), 'still here');
  lasting.destroy();
  orphan.destroy();
});

t.test('a listener that gets another name keeps its socket, and whoever is in its queue', async (t) => {
  const upstream = await naming('m1').listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  const bind = (name: string, slot: number, address = '127.0.0.1') =>
    listener(`${address}:${port}`, { name, slot, maxConnections: 1 });
  const pools = [pool([member('m1', upstream.port)])];
  const sockets = () =>
    readFileSync('/proc/net/tcp', 'ascii')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((words) => words[3] === '0A' && Number(`0x${words[1]!.split(':')[1]}`) === port)
      .map((words) => words[9]);
  harness.engine.apply(snapshot([bind('old', 0), bind('other', 1, '127.0.0.2')], pools));
  const before = sockets();
  t.equal(before.length, 2);
  harness.engine.apply(snapshot([bind('new', 2), bind('other', 1, '127.0.0.2')], pools));
  t.strictSame(sockets(), before);
  t.equal(await ask(port), 'm1');
  t.match(await harness.session(), { listener: 'new' });
  // Two that change names with each other.
  harness.engine.apply(snapshot([bind('other', 1), bind('new', 2, '127.0.0.2')], pools));
  t.strictSame(sockets(), before);
  t.equal(await ask(port), 'm1');
  t.match(await harness.session(2), { listener: 'other' });
  harness.engine.apply(snapshot([], pools));
  t.strictSame(sockets(), []);
});

t.test('connections waiting in the queue of a removed listener are served', async (t) => {
  const upstream = await naming('m1').listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  const pools = [pool([member('m1', upstream.port)])];
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], pools));
  const client = net.connect(port, '127.0.0.1');
  // The connect call is made in this very turn; nothing has accepted it when the listener goes.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  harness.engine.apply(snapshot([], pools));
  t.match(await outcome(client), { data: Buffer.from('m1'), code: undefined });
});

t.test('admission: deny before allow, by the client address', async (t) => {
  const upstream = await naming('m1').listen();
  const harness = harnessFor(t, upstream);
  const cases = [
    { name: 'denied', deny: ['127.0.0.0/8'], allow: [], expect: 'ECONNRESET' },
    { name: 'denied though allowed', deny: ['127.0.0.1'], allow: ['127.0.0.0/8'], expect: 'ECONNRESET' },
    { name: 'not among those allowed', deny: [], allow: ['10.0.0.0/8', '::/0'], expect: 'ECONNRESET' },
    { name: 'allowed', deny: ['10.0.0.0/8'], allow: ['127.0.0.0/8'], expect: 'm1' },
  ];
  for (const [slot, { name, deny, allow, expect }] of cases.entries()) {
    const port = await freePort();
    const more = { slot, deny: deny.map(parseCidr), allow: allow.map(parseCidr) };
    harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`, more)], [pool([member('m1', upstream.port)])]));
    t.equal(await ask(port), expect, name);
    t.equal(harness.counters.get(listenerCounterBase(slot) + ListenerCounter.denied), expect === 'm1' ? 0 : 1);
  }
});

t.test('stop lets sessions finish, then closes those that do not', async (t) => {
  const before = openDescriptors();
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  const port = await freePort();
  const harness = new Harness();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const [quick, stuck] = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')];
  await Promise.all([once(quick, 'data'), once(stuck, 'data')]);
  const stuckEnd = outcome(stuck);
  const stopped = harness.engine.stop(200);
  t.equal(await ask(port), 'ECONNREFUSED', 'accepts no more');
  quick.end();
  upstream.sockets[0]!.end();
  upstream.sockets[1]!.on('end', () => {});
  t.match(await harness.session(), { cause: 'done' });
  await stopped;
  t.equal((await stuckEnd).code, 'ECONNRESET');
  t.match(await harness.session(2), { cause: 'shutdown' });
  t.equal(harness.engine.sessions().length, 0);
  harness.close();
  upstream.close();
  quick.destroy();
  await until(() => openDescriptors() <= before, `${before} descriptors`);
});

t.test('stop ends as soon as the last session has', async (t) => {
  const upstream = await naming('m1').listen();
  const port = await freePort();
  const harness = new Harness();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.resume();
  await once(client, 'end');
  const stopped = harness.engine.stop(60_000);
  client.end();
  await stopped;
  t.equal(harness.engine.sessions().length, 0);
  harness.close();
  upstream.close();
});

t.test('close lets go of every descriptor at once', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  const clients: net.Socket[] = [];
  const port = await freePort();
  const harness = new Harness();
  const before = openDescriptors();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  for (let i = 0; i < 20; i++) clients.push(net.connect(port, '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'data')));
  t.equal(harness.engine.sessions().length, 20);
  t.equal(openDescriptors(), before + 1 + 20 * 4, 'a listener, and 4 ends a session');
  harness.engine.close();
  t.equal(openDescriptors(), before + 20 * 2, 'only the ends of client and member are left');
  t.equal(harness.counters.gauge(ProxyGauge.sessions), 0);
  for (const client of clients) client.on('error', () => {}).destroy();
  upstream.close();
  harness.close();
});

t.test('one session can be looked at and closed', async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  const port = await freePort();
  const harness = harnessFor(t, upstream);
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const client = net.connect(port, '127.0.0.1');
  await once(client, 'data');
  const [info] = harness.engine.sessions();
  t.match(info, { listener: 'front', pool: 'pool', member: 'm1', state: 'relaying', bytesIn: 0, bytesOut: 5 });
  t.equal(harness.engine.closeSession(`${info!.id}1`), false);
  t.equal(harness.engine.closeSession(`0${info!.id}`), false);
  t.equal(harness.engine.closeSession(info!.id), true);
  t.equal((await outcome(client)).code, 'ECONNRESET');
  t.match(await harness.session(), { cause: 'closed by the operator', id: info!.id });
});
