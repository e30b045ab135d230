import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET } from '../../src/linux/constants.ts';
import { getSocketInt } from '../../src/linux/libc.ts';
import { ListenerCounter, listenerCounterBase, memberGaugeBase } from '../../src/proxy/counters.ts';
import {
  freePort,
  Harness,
  listener,
  member,
  openDescriptors,
  outcome,
  pool,
  serve,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

const TCP_USER_TIMEOUT = 18;

t.test('PROXY headers out', async (t) => {
  const v2Signature = '0d0a0d0a000d0a515549540a';
  const hex4 = (port: number) => port.toString(16).padStart(4, '0');
  const loopback6 = '0'.repeat(31) + '1';

  for (const { name, version, host, expect } of [
    {
      name: 'v2 from an IPv4 client to an IPv6 member',
      version: 'v2',
      host: '127.0.0.1',
      expect: (client: number, port: number) => `${v2Signature}2111000c7f0000017f000001${hex4(client)}${hex4(port)}`,
    },
    {
      name: 'v2 from an IPv6 client',
      version: 'v2',
      host: '::1',
      expect: (client: number, port: number) =>
        `${v2Signature}21210024${loopback6}${loopback6}${hex4(client)}${hex4(port)}`,
    },
    {
      name: 'v1',
      version: 'v1',
      host: '::1',
      expect: (client: number, port: number) => Buffer.from(`PROXY TCP6 ::1 ::1 ${client} ${port}\r\n`).toString('hex'),
    },
  ] as const) {
    for (const wildcard of [false, true]) {
      t.test(`${name}${wildcard ? ', wildcard bind' : ''}`, async (t) => {
        const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('ok'))).listen('::1');
        t.teardown(() => upstream.close());
        const { port } = await serve(t, [member('m1', upstream.port, { address: '::1' })], {
          pool: { proxyProtocol: version },
          host: wildcard ? (host === '::1' ? '::' : '0.0.0.0') : host,
        });
        const client = net.connect(port, host);
        client.write('GET');
        await once(client, 'connect');
        const clientPort = client.localPort!;
        await outcome(client);
        t.equal(
          upstream.received[0]!.toString('hex'),
          `${expect(clientPort, port)}${Buffer.from('GET').toString('hex')}`,
        );
      });
    }
  }

  t.test('leaves at once for a client that says nothing', async (t) => {
    const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('220 ready'))).listen();
    t.teardown(() => upstream.close());
    const { harness, port } = await serve(t, [member('m1', upstream.port)], { pool: { proxyProtocol: 'v2' } });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('220 ready') });
    t.equal(upstream.received[0]!.length, 28);
    t.match(await harness.session(), { bytesIn: 0, bytesOut: 9 });
    t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.silent), 1);
  });
});

t.test('PROXY headers in', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('end', () => socket.end('ok'))).listen();
  t.teardown(() => upstream.close());
  const accepting = { acceptProxy: true, trusted: [parseCidr('127.0.0.0/8')] };
  const send = async (port: number, ...parts: Buffer[]) => {
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const end = outcome(client);
    for (const part of parts) {
      client.write(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.end();
    return end;
  };
  const header = Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::8 1234 443\r\n');

  t.test('passes the addresses on and the bytes after it', async (t) => {
    const { harness, port } = await serve(t, [member('m1', upstream.port)], {
      listener: { ...accepting, allow: [parseCidr('2001:db8::/64')] },
      pool: { proxyProtocol: 'v1' },
    });
    const count = upstream.received.length;
    t.match(await send(port, Buffer.concat([header, Buffer.from('payload')])), { data: Buffer.from('ok') });
    t.equal(upstream.received[count]!.toString(), `${header}payload`);
    t.match(await harness.session(), { client: '[2001:db8::7]:1234', bytesIn: 7 });
    t.match(await send(port, ...[...header].map((byte) => Buffer.of(byte)), Buffer.from('payload')), {
      data: Buffer.from('ok'),
    });
    t.equal(upstream.received[count + 1]!.toString(), `${header}payload`, 'byte by byte');
  });

  t.test('refuses what is no header, who is not trusted, and who is too slow', async (t) => {
    const { harness, port } = await serve(t, [member('m1', upstream.port)], {
      listener: accepting,
      snapshot: { timeouts: { ...timeouts, proxyHeaderMs: 100 } },
    });
    t.match(await send(port, Buffer.from('GET / HTTP/1.1\r\n\r\n')), { code: 'ECONNRESET' });
    t.match(await harness.session(1), { cause: 'bad PROXY header', state: 'PR' });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(2), { cause: 'no PROXY header in time', state: 'cR' });
    t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.headerErrors), 2);

    const distrusting = await serve(t, [member('m1', upstream.port)], {
      listener: { ...accepting, trusted: [parseCidr('10.0.0.0/8')] },
    });
    t.match(await send(distrusting.port, header), { code: 'ECONNRESET' });
    t.match(await distrusting.harness.session(), { cause: 'denied' });
  });
});

t.test('timeouts', async (t) => {
  const cases = [
    { name: 'idle', limits: { ...timeouts, idleMs: 150 }, half: 'none', cause: 'idle timeout' },
    {
      name: 'client half-closed',
      limits: { ...timeouts, clientFinMs: 150 },
      half: 'client',
      cause: 'client half-closed, timeout',
    },
    {
      name: 'member half-closed',
      limits: { ...timeouts, serverFinMs: 150 },
      half: 'member',
      cause: 'member half-closed, timeout',
    },
  ] as const;
  for (const { name, limits, half, cause } of cases) {
    t.test(name, async (t) => {
      const upstream = await new Upstream((socket) => socket.write('hello')).listen();
      t.teardown(() => upstream.close());
      const { harness, port } = await serve(t, [member('m1', upstream.port)], { snapshot: { timeouts: limits } });
      const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(client, 'data');
      const started = performance.now();
      if (half === 'client') client.end();
      if (half === 'member') upstream.sockets[0]!.end();
      client.on('error', () => {});
      t.match(await harness.session(), { cause });
      const took = performance.now() - started;
      t.ok(took >= 90 && took < 500, `after ${took} ms`);
      client.destroy();
    });
  }

  t.test('bytes keep a session alive', async (t) => {
    const upstream = await new Upstream((socket) => socket.on('data', (chunk) => socket.write(chunk))).listen();
    t.teardown(() => upstream.close());
    const options = { snapshot: { timeouts: { ...timeouts, idleMs: 200 } } };
    const { harness, port } = await serve(t, [member('m1', upstream.port)], options);
    const client = net.connect(port, '127.0.0.1');
    for (let i = 0; i < 8; i++) {
      client.write('x');
      await once(client, 'data');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    t.equal(harness.sessions.length, 0);
    t.match(await harness.session(), { cause: 'idle timeout', bytesIn: 8, bytesOut: 8 });
    client.destroy();
  });

  t.test('maximum age, busy or not', async (t) => {
    const upstream = await new Upstream((socket) => socket.write('hello')).listen();
    t.teardown(() => upstream.close());
    const { harness, port } = await serve(t, [member('m1', upstream.port)], { pool: { maxAgeMs: 200 } });
    const end = await outcome(net.connect(port, '127.0.0.1'));
    t.match(end, { data: Buffer.from('hello'), code: 'ECONNRESET' });
    const line = await harness.session();
    t.match(line, { cause: 'maximum age' });
    t.ok((line.totalMs as number) > 170 && (line.totalMs as number) < 500, String(line.totalMs));
  });
});

t.test("dead peers are looked for on both sides, the member's once the session has lasted", async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const { port } = await serve(t, [member('m1', upstream.port)], { pool: { keepaliveMs: 300, userTimeoutMs: 1234 } });
  const before = new Set(readdirSync('/proc/self/fd'));
  const client = net.connect(port, '127.0.0.1');
  await once(client, 'data');
  const sockets = readdirSync('/proc/self/fd')
    .filter((fd) => !before.has(fd))
    .map(Number);
  const guarded = () =>
    sockets.filter(
      (fd) =>
        getSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE) === 1 && getSocketInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) === 1234,
    ).length;
  t.equal(guarded(), 1, 'inherited by the accepted socket');
  await until(() => guarded() === 2, 'the other to have it too');
  client.destroy();
});

t.test('no descriptor is left after sessions of every kind', async (t) => {
  const before = openDescriptors();
  const upstream = await new Upstream((socket, index) => {
    if (index % 3 === 0) socket.resetAndDestroy();
    else if (index % 3 === 1) socket.end('bye');
    else socket.once('data', () => socket.resetAndDestroy());
  }).listen();
  const harness = new Harness();
  const port = await freePort();
  const members = [member('m1', upstream.port), member('m2', await freePort())];
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool(members)]));
  for (let round = 0; round < 60; round++) {
    const client = net.connect(port, '127.0.0.1');
    const end = outcome(client);
    if (round % 4 === 0) client.resetAndDestroy();
    if (round % 4 === 1) client.end('hello');
    if (round % 4 === 2) client.once('connect', () => client.resetAndDestroy());
    if (round % 4 === 3) client.write('hello');
    await end;
  }
  await until(() => harness.engine.sessions().length === 0, 'all sessions ended');
  harness.close();
  upstream.close();
  await until(() => openDescriptors() <= before, `${before} descriptors, not ${openDescriptors()}`);
  t.equal(harness.counters.gauge(memberGaugeBase(1)), 0);
  t.equal(harness.counters.gauge(memberGaugeBase(2)), 0);
});
