import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import t, { type Test } from 'tap';
import { parseCidr, parseInetEndpoint } from '../../src/core/address.ts';
import { SO_KEEPALIVE, SOL_SOCKET } from '../../src/linux/constants.ts';
import { closeFd, getSocketInt } from '../../src/linux/libc.ts';
import { listenTcp } from '../../src/linux/tcp.ts';
import {
  ListenerCounter,
  listenerCounterBase,
  MemberCounter,
  memberCounterBase,
  memberGaugeBase,
} from '../../src/proxy/counters.ts';
import type { ListenerSnapshot, MemberSnapshot, PoolSnapshot, ProxySnapshot } from '../../src/proxy/snapshot.ts';
import {
  freePort,
  Harness,
  listener,
  member,
  openDescriptors,
  outcome,
  pool,
  snapshot,
  timeouts,
  Upstream,
  until,
} from './harness.ts';

const naming = (name: string) => new Upstream((socket) => socket.end(name));

interface Setup {
  harness: Harness;
  port: number;
  bind: string;
  /** Applies the same configuration with other members. */
  update: (members: readonly MemberSnapshot[]) => void;
}

async function serve(
  t: Test,
  members: readonly MemberSnapshot[],
  more: {
    listener?: Partial<ListenerSnapshot>;
    pool?: Partial<PoolSnapshot>;
    snapshot?: Partial<ProxySnapshot>;
    host?: string;
  } = {},
): Promise<Setup> {
  const host = more.host ?? '127.0.0.1';
  const port = await freePort(host);
  const bind = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const harness = new Harness();
  t.teardown(() => harness.close());
  const update = (list: readonly MemberSnapshot[]) =>
    harness.engine.apply(snapshot([listener(bind, more.listener)], [pool(list, more.pool)], more.snapshot));
  update(members);
  return { harness, port, bind, update };
}

/** A listening address that answers no SYN: its queue is full. */
async function blackHole(t: Test): Promise<number> {
  const port = await freePort();
  const fd = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), { backlog: 0, keepaliveSeconds: 0 });
  const filler = net.connect(port, '127.0.0.1');
  await once(filler, 'connect');
  t.teardown(() => {
    filler.destroy();
    closeFd(fd);
  });
  return port;
}

t.test('retries', async (t) => {
  t.test('a refused connect costs the client nothing', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const refusing = await freePort();
    const members = [member('m1', refusing), member('m2', upstream.port)];
    const { harness, port } = await serve(t, members);
    for (let i = 0; i < 20; i++) {
      const client = net.connect(port, '127.0.0.1');
      client.write('early bytes');
      t.match(await outcome(client), { data: Buffer.from('m2'), code: undefined });
    }
    await until(() => harness.sessions.length === 20, '20 log lines');
    t.ok(
      upstream.received.every((bytes) => bytes.toString() === 'early bytes'),
      'the early bytes arrived',
    );
    t.ok(harness.sessions.some((line) => line.retries === 1 && line.member === 'm2'));
    t.match(
      harness.events.filter((event) => event.kind === 'connect-failed'),
      [{ kind: 'connect-failed', pool: 'pool', member: 'm1', code: 'ECONNREFUSED' }],
    );
    t.ok(harness.counters.get(memberCounterBase(1) + MemberCounter.connectErrors) >= 10);
    t.equal(harness.counters.gauge(memberGaugeBase(1)), 0, 'no place is held');
    t.equal(harness.counters.gauge(memberGaugeBase(2)), 0);
  });

  t.test('a black hole costs the connect timeout', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const members = [member('m1', await blackHole(t)), member('m2', upstream.port)];
    const { harness, port } = await serve(t, members, { snapshot: { timeouts: { ...timeouts, connectMs: 200 } } });
    const started = performance.now();
    t.match(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.from('m2') });
    const took = performance.now() - started;
    t.ok(took >= 190 && took < 600, `took ${took} ms`);
    t.match(await harness.session(), { retries: 1, member: 'm2', cause: 'done' });
    t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.connectTimeouts), 1);
  });

  t.test('the only member is tried again after a moment', async (t) => {
    const memberPort = await freePort();
    const options = { snapshot: { timeouts: { ...timeouts, connectMs: 150 } } };
    const { harness, port } = await serve(t, [member('m1', memberPort)], options);
    const client = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.events.some((event) => event.kind === 'connect-failed'), 'the first failure');
    const upstream = await naming('back').listen('127.0.0.1', memberPort);
    t.teardown(() => upstream.close());
    t.match(await client, { data: Buffer.from('back') });
  });

  t.test('all refused: the client is reset after the retries', async (t) => {
    const members = [member('m1', await freePort()), member('m2', await freePort())];
    const { harness, port } = await serve(t, members, { pool: { retries: 1 } });
    t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
    t.match(await harness.session(), { retries: 1, cause: 'connect failed', state: 'SC', member: undefined });
  });

  t.test('a member marked down while connects to it hang', async (t) => {
    const upstream = await naming('m2').listen();
    t.teardown(() => upstream.close());
    const hanging = member('m1', await blackHole(t));
    const { harness, port, update } = await serve(t, [hanging, member('m2', upstream.port, { weight: 0 })]);
    const client = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.counters.gauge(memberGaugeBase(1)) === 1, 'the connect');
    update([{ ...hanging, state: 'down' }, member('m2', upstream.port)]);
    t.match(await client, { data: Buffer.from('m2') });
  });
});

t.test('members', async (t) => {
  t.test('only members that are up, backups when no other is', async (t) => {
    const [one, two, spare] = [
      await naming('m1').listen(),
      await naming('m2').listen(),
      await naming('spare').listen(),
    ];
    t.teardown(() => {
      for (const each of [one, two, spare]) each.close();
    });
    const list = (first: MemberSnapshot['state'], second: MemberSnapshot['state']) => [
      member('m1', one.port, { state: first }),
      member('m2', two.port, { state: second }),
      member('m3', spare.port, { backup: true }),
    ];
    const { port, update } = await serve(t, list('up', 'up'));
    const ask = async () => (await outcome(net.connect(port, '127.0.0.1'))).data.toString();
    const asks = async () => [...new Set([await ask(), await ask(), await ask(), await ask()])].sort();
    t.same(await asks(), ['m1', 'm2']);
    update(list('down', 'up'));
    t.same(await asks(), ['m2']);
    update(list('drain', 'up'));
    t.same(await asks(), ['m2']);
    update(list('maint', 'down'));
    t.same(await asks(), ['spare']);
  });

  t.test('sessions of a member marked down', async (t) => {
    for (const { onMarkedDown, code } of [
      { onMarkedDown: 'close', code: 'ECONNRESET' },
      { onMarkedDown: 'keep', code: undefined },
    ] as const) {
      const upstream = await new Upstream((socket) => socket.write('hello')).listen();
      const one = member('m1', upstream.port);
      const { harness, port, update } = await serve(t, [one], { pool: { onMarkedDown } });
      const client = net.connect(port, '127.0.0.1');
      await once(client, 'data');
      update([{ ...one, state: 'down' }]);
      upstream.sockets[0]!.end();
      t.equal((await outcome(client)).code, code, onMarkedDown);
      t.match(await harness.session(), { cause: code === undefined ? 'done' : 'member marked down' });
      upstream.close();
    }
  });

  t.test('none is up', async (t) => {
    for (const { whenEmpty, code } of [
      { whenEmpty: 'reset', code: 'ECONNRESET' },
      { whenEmpty: 'close', code: undefined },
    ] as const) {
      const { harness, port } = await serve(t, [member('m1', 1, { state: 'down' })], { listener: { whenEmpty } });
      t.same(await outcome(net.connect(port, '127.0.0.1')), { data: Buffer.alloc(0), code }, whenEmpty);
      t.match(await harness.session(), { cause: 'no member is up' });
      t.equal(harness.counters.get(listenerCounterBase(0) + ListenerCounter.noMember), 1);
    }
  });

  t.test('waiting until one is up', async (t) => {
    const upstream = await naming('m1').listen();
    t.teardown(() => upstream.close());
    const down = member('m1', upstream.port, { state: 'down' });
    const { harness, port, update } = await serve(t, [down], { listener: { whenEmpty: 'wait' } });
    const client = net.connect(port, '127.0.0.1');
    client.write('patient');
    const end = outcome(client);
    const gone = net.connect(port, '127.0.0.1');
    await until(
      () => harness.engine.sessions().filter(({ state }) => state === 'waiting').length === 2,
      'both waiting',
    );
    gone.resetAndDestroy();
    t.match(await harness.session(), { cause: 'client aborted before a member was connected', state: 'CC' });
    update([{ ...down, state: 'up' }]);
    t.match(await end, { data: Buffer.from('m1') });
    t.equal(upstream.received[0]!.toString(), 'patient');
  });

  t.test('waiting for a place, in turn, with a bounded queue and time', async (t) => {
    const upstream = await new Upstream((socket) => socket.write('hello')).listen();
    t.teardown(() => upstream.close());
    const { harness, port } = await serve(t, [member('m1', upstream.port, { maxConnections: 1 })], {
      pool: { queue: { timeoutMs: 300, length: 2 } },
    });
    const first = net.connect(port, '127.0.0.1');
    await once(first, 'data');
    const second = net.connect(port, '127.0.0.1');
    await until(() => harness.engine.sessions().length === 2, 'the second');
    const third = outcome(net.connect(port, '127.0.0.1'));
    await until(() => harness.engine.sessions().length === 3, 'the third');
    t.equal((await outcome(net.connect(port, '127.0.0.1'))).code, 'ECONNRESET');
    t.match(await harness.session(), { cause: 'queue full' });
    first.destroy();
    upstream.sockets[0]!.end();
    await once(second, 'data');
    t.equal(upstream.sockets.length, 2);
    t.equal((await third).code, 'ECONNRESET', 'waited too long');
    t.match(await harness.session(3), { cause: 'queue timed out', state: 'sQ' });
    second.destroy();
  });
});

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

t.test("keepalive on both sides, the member's once the session has lasted", async (t) => {
  const upstream = await new Upstream((socket) => socket.write('hello')).listen();
  t.teardown(() => upstream.close());
  const { port } = await serve(t, [member('m1', upstream.port)], { pool: { keepaliveMs: 300 } });
  const before = new Set(readdirSync('/proc/self/fd'));
  const client = net.connect(port, '127.0.0.1');
  await once(client, 'data');
  const sockets = readdirSync('/proc/self/fd')
    .filter((fd) => !before.has(fd))
    .map(Number);
  const alive = () => sockets.filter((fd) => getSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE) === 1).length;
  t.equal(alive(), 1, 'inherited by the accepted socket');
  await until(() => alive() === 2, 'the other to have it too');
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
