import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { formatAddress, formatEndpoint, type InetEndpoint, parseAddress } from '../../src/core/address.ts';
import { EAGAIN, ECONNREFUSED } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { libcCall, orErrno } from '../../src/linux/libc.ts';
import { UdpSocket } from '../../src/linux/udp.ts';
import { UdpBatch } from '../../src/linux/udp-batch.ts';

const CLONE_NEWNET = 0x40000000;

/** A network of this process's own (it ends with the process), where addresses can be had at will. */
function enterOwnNetwork(): void {
  const unshare = libcCall<(flags: number) => number>('int unshare(int flags)');
  check(orErrno(unshare(CLONE_NEWNET)), 'unshare');
  for (const args of [
    'link set lo up',
    'addr add 192.0.2.1/32 dev lo',
    'addr add 192.0.2.2/32 dev lo',
    'addr add 2001:db8::1/128 dev lo nodad',
    'addr add 2001:db8::2/128 dev lo nodad',
    'link add v0 type veth peer name v1',
    'link set v0 addrgenmode none up',
    'link set v1 addrgenmode none up',
    'addr add fe80::1/64 dev v0 nodad',
    'addr add fe80::2/64 dev v1 nodad',
  ]) {
    const run = spawnSync('ip', args.split(' '));
    if (run.status !== 0) throw new Error(`ip ${args}: ${run.stderr}`);
  }
}

if (process.getuid?.() === 0) enterOwnNetwork();

const isRoot = process.getuid?.() === 0;

async function client(address: string): Promise<dgram.Socket> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

function send(from: dgram.Socket, data: Uint8Array | string, to: InetEndpoint, address = formatAddress(to.address)) {
  return new Promise<void>((resolve, reject) => {
    from.send(data, to.port, address, (error) => (error ? reject(error) : resolve()));
  });
}

/** Receives what has come, once something has: a veth pair delivers a little after the send returned. */
async function receive(batch: UdpBatch, socket: UdpSocket): Promise<number> {
  for (const end = performance.now() + 5000; performance.now() < end; ) {
    const got = batch.receive(socket);
    if (got !== -EAGAIN) return got;
    await nextTurn();
  }
  throw new Error('nothing came');
}

function text(batch: UdpBatch, i: number): string {
  return batch.bytes.toString('latin1', batch.offset(i), batch.offset(i) + batch.length(i));
}

function answer(batch: UdpBatch, i: number, data: string): void {
  batch.reply(i, batch.bytes.write(data, batch.replyOffset, 'latin1'));
}

t.test('nothing there: -EAGAIN', async (t) => {
  const socket = UdpSocket.listen(parseAddress('127.0.0.1'), 0);
  t.teardown(() => socket.close());
  t.equal(new UdpBatch({ count: 4, receiveBytes: 64, sendBytes: 64 }).receive(socket), -EAGAIN);
});

t.test('a bad address or a taken one is an error with the call and errno', async (t) => {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  t.throws(() => UdpSocket.listen(parseAddress('127.0.0.1'), socket.address().port), {
    code: 'EADDRINUSE',
    syscall: 'bind',
  });
});

for (const address of ['127.0.0.1', '::1']) {
  t.test(`batch on ${address}`, async (t) => {
    const server = UdpSocket.listen(parseAddress(address), 0, { receiveBufferBytes: 1 << 20 });
    t.teardown(() => server.close());
    const batch = new UdpBatch({ count: 4, receiveBytes: 64, sendBytes: 64 });
    const a = await client(address);
    const b = await client(address);
    t.teardown(() => [a, b].forEach((each) => void each.close()));

    t.equal(server.packetInfo, false);
    t.ok(server.receiveBufferBytes >= 1 << 20 || !isRoot, 'receive buffer as asked for');
    for (const [from, data] of [
      [a, 'a1'],
      [b, 'b1'],
      [a, ''],
      [a, 'x'.repeat(64)],
      [b, 'y'.repeat(65)],
    ] as const) {
      await send(from, data, server.local);
    }
    t.equal(await receive(batch, server), 4, 'a batch holds four');
    t.strictSame(
      [0, 1, 2, 3].map((i) => [text(batch, i), batch.truncated(i), formatEndpoint(batch.source(i))]),
      [
        ['a1', false, endpointOf(a)],
        ['b1', false, endpointOf(b)],
        ['', false, endpointOf(a)],
        ['x'.repeat(64), false, endpointOf(a)],
      ],
    );
    const source = batch.sourceOffset(1, server.family);
    t.strictSame(
      batch.bytes.subarray(source, source + (address === '::1' ? 16 : 4)),
      Buffer.from(parseAddress(address).bytes),
    );
    t.equal(batch.sourcePort(1), b.address().port);
    t.equal(batch.destination(0), undefined, 'no packet information on an address of its own');

    const gotA = collect(a, 2);
    const gotB = collect(b, 2);
    const later = batch.returnPath(0);
    answer(batch, 1, 'to b'); // slot 0 points at datagram 1
    answer(batch, 3, 'to a');
    t.equal(batch.queued, 2);
    t.equal(batch.flush(server), 2);
    t.equal(batch.queued, 0);

    t.equal(await receive(batch, server), 1);
    t.ok(batch.truncated(0), 'one byte too long is noticed');
    t.equal(batch.length(0), 64);
    answer(batch, 0, 'too long');
    batch.replyTo(later, batch.bytes.write('late', batch.replyOffset, 'latin1'));
    t.equal(batch.flush(server), 2);
    t.strictSame(await gotA, ['to a', 'late']);
    t.strictSame(await gotB, ['to b', 'too long']);
    t.equal(batch.receive(server), -EAGAIN);
  });
}

t.test('two sockets on one port share it (SO_REUSEPORT)', async (t) => {
  const one = UdpSocket.listen(parseAddress('127.0.0.1'), 0);
  const two = UdpSocket.listen(parseAddress('127.0.0.1'), one.local.port);
  t.teardown(() => [one, two].forEach((each) => void each.close()));
  const batch = new UdpBatch({ count: 64, receiveBytes: 64, sendBytes: 0 });
  for (let i = 0; i < 32; i++) {
    const from = await client('127.0.0.1');
    await send(from, 'q', one.local);
    from.close();
  }
  const shares = [batch.receive(one), batch.receive(two)];
  t.equal(shares[0]! + shares[1]!, 32);
  t.ok(Math.min(...shares) > 0, `both get some: ${shares}`);
});

t.test('an IPv6 wildcard takes no IPv4 (IPV6_V6ONLY)', async (t) => {
  const six = UdpSocket.listen(parseAddress('::'), 0);
  const four = UdpSocket.listen(parseAddress('0.0.0.0'), six.local.port);
  t.teardown(() => [six, four].forEach((each) => void each.close()));
  const from = await client('127.0.0.1');
  t.teardown(() => void from.close());
  await send(from, 'q', four.local, '127.0.0.1');
  const batch = new UdpBatch({ count: 1, receiveBytes: 64, sendBytes: 0 });
  t.equal(batch.receive(six), -EAGAIN);
  t.equal(await receive(batch, four), 1);
  t.equal(formatAddress(batch.source(0).address), '127.0.0.1');
});

t.test('connected: who else sends is not heard, a closed port is ECONNREFUSED', async (t) => {
  const peer = await client('127.0.0.1');
  const other = await client('127.0.0.1');
  t.teardown(() => void other.close());
  const socket = UdpSocket.connect(parseAddress('127.0.0.1'), peer.address().port);
  t.teardown(() => socket.close());
  const batch = new UdpBatch({ count: 4, receiveBytes: 64, sendBytes: 0 });
  await send(other, 'forged', socket.local);
  await send(peer, 'true', socket.local);
  t.equal(await receive(batch, socket), 1);
  t.equal(text(batch, 0), 'true');
  const heard = collect(peer, 1);
  t.equal(socket.send(Buffer.from('hello, all'), 5), 5);
  t.strictSame(await heard, ['hello']);
  peer.close();
  await once(peer, 'close');
  t.equal(socket.send(Buffer.from('x')), 1);
  t.equal(batch.receive(socket), -ECONNREFUSED);
  t.equal(batch.receive(socket), -EAGAIN, 'the error is told once');
});

t.test('an address that is not there yet can be listened on (FREEBIND)', async (t) => {
  for (const address of ['198.51.100.77', '2001:db8:77::1']) {
    const socket = UdpSocket.listen(parseAddress(address), 0);
    t.equal(formatAddress(socket.local.address), address);
    socket.close();
    socket.close();
  }
});

t.test('a wildcard socket answers from the address it was asked on', { skip: !isRoot && 'needs root' }, async (t) => {
  for (const [wildcard, addresses] of [
    ['0.0.0.0', ['192.0.2.1', '192.0.2.2', '127.0.0.1']],
    ['::', ['2001:db8::1', '2001:db8::2', '::1']],
  ] as const) {
    const server = UdpSocket.listen(parseAddress(wildcard), 0);
    t.teardown(() => server.close());
    t.equal(server.packetInfo, true);
    const batch = new UdpBatch({ count: 8, receiveBytes: 64, sendBytes: 64 });
    for (const address of addresses) {
      const from = await client(addresses[2]);
      // Connected, so that an answer from another address would not be heard.
      await new Promise<void>((resolve) => from.connect(server.local.port, address, resolve));
      const got = collect(from, 2);
      from.send('q');
      t.equal(await receive(batch, server), 1);
      t.equal(formatAddress(batch.destination(0)!), address);
      const later = batch.returnPath(0);
      answer(batch, 0, 'now');
      batch.replyTo(later, batch.bytes.write('later', batch.replyOffset, 'latin1'));
      t.equal(batch.flush(server), 2);
      t.strictSame(await got, ['now', 'later'], `answered from ${address}`);
      from.close();
    }
    // The same batch serves a socket without packet information after one with.
    const plain = UdpSocket.listen(parseAddress(addresses[0]), 0);
    t.teardown(() => plain.close());
    const from = await client(addresses[1]);
    t.teardown(() => void from.close());
    await send(from, 'q', plain.local);
    t.equal(await receive(batch, plain), 1);
    t.equal(batch.destination(0), undefined);
    const got = collect(from, 1);
    answer(batch, 0, 'plain');
    t.equal(batch.flush(plain), 1);
    t.strictSame(await got, ['plain']);
  }
});

t.test('link-local: the zone comes along and the answer leaves by it', { skip: !isRoot && 'needs root' }, async (t) => {
  const server = UdpSocket.listen(parseAddress('::'), 0);
  t.teardown(() => server.close());
  const from = await client('fe80::2%v1');
  t.teardown(() => void from.close());
  const batch = new UdpBatch({ count: 1, receiveBytes: 64, sendBytes: 64 });
  await send(from, 'q', server.local, 'fe80::1%v1');
  t.equal(await receive(batch, server), 1);
  t.match(formatAddress(batch.destination(0)!), /^fe80::1%\d+$/);
  t.match(formatAddress(batch.source(0).address), /^fe80::2%\d+$/);
  const got = collect(from, 1);
  answer(batch, 0, 'a');
  t.equal(batch.flush(server), 1);
  t.strictSame(await got, ['a']);
});

t.test('flush passes over what the kernel refuses and sends the rest', { skip: !isRoot && 'needs root' }, async (t) => {
  const server = UdpSocket.listen(parseAddress('127.0.0.1'), 0);
  t.teardown(() => server.close());
  const from = await client('127.0.0.1');
  t.teardown(() => void from.close());
  const batch = new UdpBatch({ count: 4, receiveBytes: 64, sendBytes: 64 });
  await send(from, 'q', server.local);
  t.equal(await receive(batch, server), 1);
  const path = batch.returnPath(0);
  const nowhere = Uint8Array.from(path.name);
  nowhere.set([203, 0, 113, 9], 4); // no route
  const got = collect(from, 3);
  for (const [name, data] of [
    [path.name, 'one'],
    [nowhere, 'lost'],
    [path.name, 'two'],
    [path.name, 'three'],
  ] as const) {
    batch.replyTo({ name, control: path.control }, batch.bytes.write(data, batch.replyOffset, 'latin1'));
  }
  t.equal(batch.flush(server), 3);
  t.equal(batch.unsent, 1);
  t.strictSame(await got, ['one', 'two', 'three']);
});

function endpointOf(socket: dgram.Socket): string {
  const { address, port } = socket.address();
  return formatEndpoint({ kind: 'inet', address: parseAddress(address), port });
}

/** The next `count` datagrams. */
async function collect(socket: dgram.Socket, count: number): Promise<string[]> {
  const got: string[] = [];
  for (let i = 0; i < count; i++) {
    const [data] = (await once(socket, 'message')) as [Buffer];
    got.push(data.toString('latin1'));
  }
  return got;
}
