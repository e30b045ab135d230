import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  SO_KEEPALIVE,
  SOL_SOCKET,
} from '../../src/linux/constants.ts';
import { closeFd, getSocketInt } from '../../src/linux/libc.ts';
import { EPOLLERR, EPOLLIN, EPOLLOUT, Reactor } from '../../src/linux/reactor.ts';
import { decodeSockaddr, encodeSockaddr } from '../../src/linux/sockaddr.ts';
import * as tcp from '../../src/linux/tcp.ts';
import { run } from './netns.ts';

const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const options = { backlog: 16, keepaliveSeconds: 0 };

/** The port a listening socket got. */
function boundPort(fd: number): number {
  const slot = new tcp.SockaddrSlot();
  t.equal(tcp.localAddress(fd, slot), 0);
  return decodeSockaddr(slot.bytes)!.port;
}

/** Resolves with the first events of a descriptor. */
function events(reactor: Reactor, fd: number, mask: number): Promise<number> {
  return new Promise((resolve) => {
    const onEvents = (seen: number) => {
      reactor.remove(fd);
      resolve(seen);
    };
    reactor.add(fd, mask, { onEvents });
  });
}

function connectTo(text: string): number {
  const { address, port } = parseInetEndpoint(text);
  const fd = tcp.openTcp(address.family === 4 ? AF_INET : AF_INET6);
  const result = tcp.connectTcp(fd, tcp.Memory.of(encodeSockaddr(address, port)));
  t.ok(result === 0 || result === -EINPROGRESS || result === -ECONNREFUSED, `connect ${text}: ${result}`);
  return fd;
}

t.test('listenTcp says what it cannot do', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as net.AddressInfo;
  t.throws(() => tcp.listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), options), {
    code: 'EADDRINUSE',
    syscall: 'bind',
  });
  t.throws(() => tcp.listenTcp(parseInetEndpoint('[fe80::1%none0]:0'), options), { code: 'V6_VALUE' });
  taken.close();
});

t.test('a limit of what cannot be sent yet: little is taken of a peer that reads nothing', async (t) => {
  const taken: number[] = [];
  for (const limit of [undefined, 32 * 1024]) {
    const listening = tcp.listenTcp(parseInetEndpoint('127.0.0.1:0'), options);
    t.teardown(() => closeFd(listening));
    if (limit !== undefined) tcp.setUnsentLimit(listening, limit);
    const client = net.connect(boundPort(listening), '127.0.0.1').pause();
    t.teardown(() => void client.destroy());
    await once(client, 'connect');
    const fd = tcp.acceptTcp(listening, new tcp.SockaddrSlot());
    t.teardown(() => closeFd(fd));
    const data = tcp.Memory.lasting(8192);
    let sum = 0;
    for (let quiet = 0; quiet < 100; ) {
      const sent = tcp.send(fd, data.address, data.bytes.length);
      if (sent > 0) [sum, quiet] = [sum + sent, 0];
      else quiet++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    taken.push(tcp.unacknowledged(fd));
  }
  t.ok(taken[0]! > 512 * 1024, `without: ${taken[0]} octets lie in the kernel`);
  t.ok(taken[1]! < 256 * 1024, `accepted sockets inherit it: ${taken[1]}`);
});

t.test('accepts with the address of the peer and inherited options', async (t) => {
  for (const { host, family } of [
    { host: '127.0.0.1', family: 4 },
    { host: '[::1]', family: 6 },
  ]) {
    const reactor = new Reactor();
    const listening = tcp.listenTcp(parseInetEndpoint(`${host}:0`), { backlog: 16, keepaliveSeconds: 30 });
    const port = boundPort(listening);
    const peer = new tcp.SockaddrSlot();
    t.equal(tcp.acceptTcp(listening, peer), -EAGAIN, 'nobody there');
    const client = connectTo(`${host}:${port}`);
    await events(reactor, listening, EPOLLIN);
    const fd = tcp.acceptTcp(listening, peer);
    t.ok(fd > 0);
    const from = decodeSockaddr(peer.bytes)!;
    t.equal(from.address.family, family);
    t.equal(from.port, boundPort(client), 'the port the client has');
    t.equal(getSocketInt(fd, IPPROTO_TCP, TCP_NODELAY), 1, 'TCP_NODELAY is inherited');
    t.equal(getSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE), 1, 'keepalive is inherited');
    t.equal(getSocketInt(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    for (const each of [fd, client, listening]) closeFd(each);
    reactor.close();
  }
});

t.test('an IPv6 wildcard leaves IPv4 to its own socket', async (t) => {
  const six = tcp.listenTcp(parseInetEndpoint('[::]:0'), options);
  const port = boundPort(six);
  const four = tcp.listenTcp(parseInetEndpoint(`0.0.0.0:${port}`), options);
  const again = tcp.listenTcp(parseInetEndpoint(`0.0.0.0:${port}`), options);
  t.pass('SO_REUSEPORT: one more socket on the same port');
  for (const fd of [six, four, again]) closeFd(fd);
});

t.test('binds addresses that no interface has', async () => {
  closeFd(tcp.listenTcp(parseInetEndpoint('[2001:db8:dead::1]:0'), options));
  closeFd(tcp.listenTcp(parseInetEndpoint('192.0.2.77:0'), options));
});

t.test('a refused connect shows as an error event', async (t) => {
  const reactor = new Reactor();
  const closed = tcp.listenTcp(parseInetEndpoint('127.0.0.1:0'), options);
  const port = boundPort(closed);
  closeFd(closed);
  const fd = connectTo(`127.0.0.1:${port}`);
  t.ok((await events(reactor, fd, EPOLLOUT)) & EPOLLERR);
  t.equal(tcp.socketError(fd), ECONNREFUSED);
  t.equal(tcp.socketError(fd), 0, 'reading the error clears it');
  closeFd(fd);
  reactor.close();
});

t.test('bytes, their end, and a reset', async (t) => {
  const reactor = new Reactor();
  const listening = tcp.listenTcp(parseInetEndpoint('127.0.0.1:0'), options);
  const memory = tcp.Memory.make(4096);
  const pair = async () => {
    const client = connectTo(`127.0.0.1:${boundPort(listening)}`);
    await events(reactor, listening, EPOLLIN);
    return { client, fd: tcp.acceptTcp(listening, new tcp.SockaddrSlot()) };
  };

  const first = await pair();
  t.equal(tcp.receive(first.fd, memory.address, 4096), -EAGAIN, 'nothing yet');
  memory.bytes.write('hello');
  t.equal(tcp.sendLast(first.client, memory.address, 5), 5);
  tcp.shutdownWrite(first.client);
  await events(reactor, first.fd, EPOLLIN);
  memory.bytes.fill(0);
  t.equal(tcp.peek(first.fd, memory.address, 4096), 5, 'peek leaves it');
  t.equal(tcp.receive(first.fd, memory.address + 10, 4096 - 10), 5);
  t.equal(memory.bytes.toString('latin1', 10, 15), 'hello', 'at the address asked for');
  t.equal(tcp.receive(first.fd, memory.address, 4096), 0, 'the end');
  t.equal(tcp.unacknowledged(first.fd), 0);
  for (const fd of [first.client, first.fd]) closeFd(fd);

  const second = await pair();
  tcp.resetTcp(second.client);
  t.ok((await events(reactor, second.fd, EPOLLIN)) & EPOLLERR);
  t.equal(tcp.receive(second.fd, memory.address, 4096), -ECONNRESET);
  closeFd(second.fd);
  closeFd(listening);
  reactor.close();
});

t.test('unacknowledged counts what the peer has not taken', async (t) => {
  const reactor = new Reactor();
  const listening = tcp.listenTcp(parseInetEndpoint('127.0.0.1:0'), options);
  const client = connectTo(`127.0.0.1:${boundPort(listening)}`);
  await events(reactor, listening, EPOLLIN);
  const fd = tcp.acceptTcp(listening, new tcp.SockaddrSlot());
  const memory = tcp.Memory.make(1 << 20);
  while (tcp.send(client, memory.address, 1 << 20) > 0);
  t.ok(tcp.unacknowledged(client) > 0, 'the receiver reads nothing, so the queue stands');
  for (const each of [fd, client, listening]) closeFd(each);
  reactor.close();
});

t.test('the backlog of a socket that listens can be changed', (t) => {
  const listening = tcp.listenTcp(parseInetEndpoint('127.0.0.1:0'), options);
  const port = boundPort(listening);
  // Send-Q of a listening socket is its backlog (ss(8)).
  const backlog = () => /^LISTEN\s+0\s+(\d+)/.exec(run('ss', '-Hltn', `sport = :${port}`))?.[1];
  t.equal(backlog(), '16');
  t.equal(tcp.setBacklog(listening, 64), 0);
  t.equal(backlog(), '64');
  closeFd(listening);
  t.end();
});
