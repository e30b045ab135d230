/** DNS over TLS for clients (RFC 7858), by Node's client and kdig; and as an upstream of another engine. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import tls from 'node:tls';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { formatEndpoint, type InetEndpoint, parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT, GAUGE } from '../../src/dns/counters.ts';
import { KeptSockets } from '../../src/dns/kept-sockets.ts';
import { TAKE_MS } from '../../src/dns/tcp-connection.ts';
import { TcpShared } from '../../src/dns/tcp-server.ts';
import { TlsListeners } from '../../src/dns/tls-listeners.ts';
import type { ServerContext } from '../../src/dns/udp-server.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { nameToText } from '../../src/dns/wire/name.ts';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { listenTcp } from '../../src/linux/tcp.ts';
import { makeCertificate } from './certificate.ts';
import {
  aaaa,
  Bench,
  type EngineOptions,
  FakeUpstream,
  frame,
  query,
  readFrames,
  reply,
  settings,
  txt,
  zone,
} from './peers.ts';

const run = promisify(execFile);
const any = { kind: 'inet' as const, address: parseAddress('127.0.0.1'), port: 0 };
const NAME = 'dns.example';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/** However it ends: what was not read is reset. */
function closed(socket: net.Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

interface TlsBench {
  readonly bench: Bench;
  readonly options: EngineOptions;
  readonly port: number;
  readonly certificate: string;
}

async function start(t: Test, more: EngineOptions = {}): Promise<TlsBench> {
  const pems = makeCertificate(t, NAME);
  const options = { ...more, settings: { tls: { listen: [any], ...pems }, ...more.settings } };
  const bench = await Bench.start(t, options);
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('big.own.test', 20_000)]));
  const listener = () => bench.engine.listening.find(({ transport }) => transport === 'tls');
  await until(() => listener()?.bound !== undefined);
  return { bench, options, port: listener()!.bound!.port, certificate: pems.certificate };
}

async function connect(
  t: Test,
  { port, certificate }: TlsBench,
): Promise<{ socket: tls.TLSSocket; next: () => Promise<Buffer> }> {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: NAME, ca: certificate, ALPNProtocols: ['dot'] });
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const got: Buffer[] = [];
  let wake = () => {};
  readFrames(socket, (message) => {
    got.push(Buffer.from(message));
    wake();
  });
  const next = async () => {
    while (got.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return got.shift()!;
  };
  return { socket, next };
}

t.test('questions and answers, whole whatever their size, several at a time and in pieces', async (t) => {
  const server = await start(t);
  const { socket, next } = await connect(t, server);
  t.equal(socket.alpnProtocol, 'dot');
  socket.write(frame(query('big.own.test', { type: TYPE.TXT, edns: { udpSize: 512 } })));
  t.ok((await next()).length > 20_000, 'no datagram, no limit');
  const three = Buffer.concat([1, 2, 3].map((id) => frame(query('a.own.test', { id }))));
  for (let at = 0; at <= three.length; at += 7) {
    socket.write(three.subarray(0, at));
    await nextTurn();
    socket.write(three.subarray(at));
    for (let id = 1; id <= 3; id++) if ((await next()).readUInt16BE(0) !== id) t.fail(`split at ${at}`);
  }
  for (const byte of three) socket.write(Buffer.of(byte));
  for (let id = 1; id <= 3; id++) t.equal((await next()).readUInt16BE(0), id, 'octet by octet');
  t.ok(server.bench.counters.get(COUNT.TLS) > 20);
  t.equal(server.bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 1);
});

t.test('answers come when they are there; after a half-close too', async (t) => {
  const upstream = await FakeUpstream.start(t, () => undefined);
  const server = await start(t, { upstreams: [upstream.config], forward: { timeoutMs: 5000 } });
  const { socket, next } = await connect(t, server);
  socket.end(Buffer.concat([frame(query('slow.test', { id: 1 })), frame(query('a.own.test', { id: 2 }))]));
  t.equal((await next()).readUInt16BE(0), 2, 'out of order');
  upstream.behaviour = ({ message }) => reply(message, { answers: [aaaa('slow.test', 1)] });
  t.match(parseMessage(await next()), { id: 1, rcode: RCODE.NOERROR });
  await closed(socket);
  await until(() => server.bench.counters.gauge(GAUGE.TCP_CONNECTIONS) === 0);
});

t.test('more questions at once than are taken at once', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { rcode: RCODE.NXDOMAIN }));
  const server = await start(t, { upstreams: [upstream.config], forward: { timeoutMs: 5000 } });
  const { socket, next } = await connect(t, server);
  socket.write(Buffer.concat(Array.from({ length: 500 }, (_, id) => frame(query(`n${id}.test`, { id })))));
  const ids = new Set<number>();
  for (let i = 0; i < 500; i++) ids.add((await next()).readUInt16BE(0));
  t.equal(ids.size, 500);
});

t.test('many at once that nobody can answer: each gets its own error', async (t) => {
  const upstream = await FakeUpstream.start(t, () => undefined);
  await upstream.stop();
  const server = await start(t, { upstreams: [upstream.config], forward: { timeoutMs: 200 } });
  for (let i = 0; server.bench.engine.upstreams()[0]!.state !== 'down'; i++) await server.bench.ask(`first${i}.test`);
  const { socket, next } = await connect(t, server);
  socket.write(Buffer.concat(Array.from({ length: 200 }, (_, id) => frame(query(`n${id}.test`, { id })))));
  const got: unknown[] = [];
  for (let i = 0; i < 200; i++) {
    const { id, rcode, questions } = parseMessage(await next());
    got.push([id, rcode, nameToText(questions[0]!.name)]);
  }
  t.strictSame(
    got,
    Array.from({ length: 200 }, (_, id) => [id, RCODE.SERVFAIL, `n${id}.test`]),
  );
});

t.test('who is silent is let go, who sends no TLS too, who is not allowed at once', async (t) => {
  const clock = new FakeClock();
  const server = await start(t, { clock });
  const { bench, port } = server;
  const { socket, next } = await connect(t, server);
  socket.write(frame(query('a.own.test')));
  await next();
  socket.write(frame(query('a.own.test')).subarray(0, 20));
  clock.advance(9_999);
  await nextTurn();
  t.equal(socket.destroyed, false);
  clock.advance(1);
  await closed(socket);
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 1, 'half a message is silence');
  const plain = net.connect(port, '127.0.0.1');
  plain.on('error', () => {}).resume();
  plain.write(frame(query('a.own.test')));
  await closed(plain);
  await until(() => bench.counters.get(COUNT.TLS_FAILED) === 1);
  bench.engine.apply(settings({ ...server.options, settings: { ...server.options.settings, allow: [] } }));
  const stranger = net.connect(port, '127.0.0.1');
  stranger.on('error', () => {}).resume();
  await closed(stranger);
  t.equal(bench.counters.get(COUNT.NOT_ALLOWED), 1, 'before any handshake');
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 0);
});

t.test(
  'who takes no answers is let go whatever it asks meanwhile, who is faster than they are made is not',
  async (t) => {
    const clock = new FakeClock();
    const piece = new Uint8Array(60_000);
    piece.set([0x12, 0x34, 0x80]);
    let made = 0;
    let over = false;
    let pause: Promise<void> | undefined;
    const server = await start(t, {
      clock,
      handoff: async (_, send) => {
        do {
          made++;
          await pause;
        } while (await send([piece]));
        over = true;
        return [];
      },
    });
    const { bench } = server;
    const slow = (await connect(t, server)).socket;
    slow.pause();
    slow.write(frame(query('own.test', { type: TYPE.AXFR })));
    for (let before = -1; before !== made; ) {
      before = made;
      for (let i = 0; i < 300; i++) await nextTurn();
    }
    t.ok(made * piece.length < 2 * 1024 * 1024, `${made} pieces made ahead`);
    for (let ms = 5000; ms < TAKE_MS; ms += 5000) {
      const asked = bench.counters.get(COUNT.TLS);
      clock.advance(5000);
      slow.write(frame(query('a.own.test')));
      await until(() => bench.counters.get(COUNT.TLS) > asked);
    }
    t.equal(over, false, 'not yet');
    clock.advance(5000);
    await until(() => over);
    t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 1);

    over = false;
    made = 0;
    const { socket: fast, next } = await connect(t, server);
    let go = () => {};
    pause = new Promise((resolve) => (go = resolve));
    fast.write(frame(query('own.test', { type: TYPE.AXFR })));
    for (let i = 1; i <= 5; i++) {
      await until(() => made === i);
      clock.advance(6000);
      const resume = go;
      pause = new Promise((resolve) => (go = resolve));
      resume();
      await next();
    }
    t.equal(over, false);
    t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 1);
  },
);

t.test('another certificate serves the next connection; gone from the configuration, gone', async (t) => {
  const server = await start(t);
  const fresh = makeCertificate(t, 'other.example');
  const tlsSettings = { ...server.options.settings!.tls!, ...fresh };
  server.bench.engine.apply(settings({ ...server.options, settings: { tls: tlsSettings } }));
  const socket = tls.connect({
    port: server.port,
    host: '127.0.0.1',
    servername: 'other.example',
    ca: fresh.certificate,
  });
  await once(socket, 'secureConnect');
  socket.destroy();
  server.bench.engine.apply(settings({ ...server.options, settings: {} }));
  const refused = net.connect(server.port, '127.0.0.1');
  const [error] = await once(refused, 'error');
  t.equal(error.code, 'ECONNREFUSED');
});

t.test('an address that cannot be had is told, and had when it can be', async (t) => {
  const clock = new FakeClock();
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as net.AddressInfo;
  const tlsSettings = { listen: [{ ...any, port }], ...makeCertificate(t, NAME) };
  const bench = await Bench.start(t, { clock, settings: { tls: tlsSettings } });
  const listener = () => bench.engine.listening.find(({ transport }) => transport === 'tls');
  await until(() => listener()?.error !== undefined);
  t.match(listener(), { bound: undefined, error: /EADDRINUSE/ });
  taken.close();
  await once(taken, 'close');
  clock.advance(1000);
  await until(() => listener()?.bound !== undefined);
  t.match(listener(), { bound: { port }, error: undefined });
});

t.test('kdig is content', async (t) => {
  const server = await start(t);
  const { stdout, stderr } = await run('kdig', [
    '@127.0.0.1',
    '-p',
    String(server.port),
    '+tls',
    'big.own.test',
    'TXT',
  ]);
  t.match(stdout, /TLS session/);
  t.match(stdout, /status: NOERROR/);
  t.notMatch(stdout + stderr, /WARNING|malformed/i);
  const short = ['@127.0.0.1', '-p', String(server.port), '+tls', '+edns', '+padding', 'a.own.test', 'AAAA'];
  const padded = await run('kdig', short);
  t.match(padded.stdout, /PADDING: \d+ B/);
  t.match(padded.stdout, /Received 468 B/);
  t.notMatch(padded.stdout + padded.stderr, /WARNING|malformed/i);
});

t.test('answers are padded to blocks for who sends EDNS, whatever they are', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { answers: [aaaa('out.test', 1)] }));
  const server = await start(t, {
    upstreams: [upstream.config],
    settings: { identity: { version: '', id: 'edge-1' } },
  });
  const { socket, next } = await connect(t, server);
  const cookie = { code: 10, data: new Uint8Array(8) };
  const nsid = { code: 3, data: new Uint8Array(0) };
  const cases: [string, Uint8Array, number][] = [
    ['our zone', query('a.own.test', { edns: { udpSize: 512 } }), RCODE.NOERROR],
    ['no such name', query('b.own.test', { edns: { udpSize: 512, do: true } }), RCODE.NXDOMAIN],
    ['forwarded', query('out.test', { edns: { udpSize: 512 } }), RCODE.NOERROR],
    ['from the cache', query('out.test', { edns: { udpSize: 512 } }), RCODE.NOERROR],
    ['cookie, name', query('a.own.test', { edns: { udpSize: 512, options: [cookie, nsid] } }), RCODE.NOERROR],
    ['version 1', query('a.own.test', { edns: { udpSize: 512, version: 1 } }), 0],
    ['long', query('big.own.test', { type: TYPE.TXT, edns: { udpSize: 512 } }), RCODE.NOERROR],
  ];
  for (const [name, bytes, rcode] of cases) {
    socket.write(frame(bytes));
    const answer = await next();
    t.equal(answer.length % 468, 0, name);
    const { edns, rcode: got } = parseMessage(answer);
    t.equal(got & 15, rcode);
    t.ok(edns!.options.some(({ code, data }) => code === 12 && data.every((octet) => octet === 0)));
    t.equal(
      edns!.options.some(({ code }) => code === 10),
      name.startsWith('cookie'),
    );
  }
  socket.write(frame(query('a.own.test')));
  t.not((await next()).length % 468, 0, 'without EDNS there is nothing to pad in');
});

t.test('as an upstream, known by a certificate of its own authority (caFile)', async (t) => {
  const server = await start(t);
  const endpoint = { ...any, port: server.port };
  const upstreams = [{ transport: 'tls' as const, endpoint, serverName: NAME }];
  const bench = await Bench.start(t, { upstreams, forward: { timeoutMs: 3000, ca: server.certificate } });
  t.match(await bench.ask('a.own.test'), { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] });
  const padded = bench.counters.get(COUNT.UPSTREAM_ANSWERED);
  t.equal(padded, 1);
  const other = makeCertificate(t, 'other.example').certificate;
  bench.engine.apply(settings({ upstreams, forward: { timeoutMs: 3000, ca: other } }));
  t.equal(
    (await bench.ask('b.own.test')).rcode,
    RCODE.SERVFAIL,
    'not by another authority, nor by the connection from before',
  );
  t.match(bench.engine.upstreams(), [{ state: 'down', reason: /certificate/ }]);
});

t.test(
  'a socket of the process before, and a key that is none: it is closed, and taken out of what is kept',
  async (t) => {
    const endpoint = { ...any, port: 0 };
    const fd = listenTcp(endpoint, { backlog: 1, keepaliveSeconds: 0 });
    const dropped: string[] = [];
    const keeper = {
      keep: () => {},
      drop: (gone: InetEndpoint) => void dropped.push(formatEndpoint(gone)),
    };
    const sockets = new KeptSockets({ udp: keeper, tcp: keeper });
    sockets.adopt('tcp', endpoint, fd);
    const bench = await Bench.start(t, {});
    const context = { clock: new FakeClock(), counters: bench.counters } as unknown as ServerContext;
    const listeners = new TlsListeners(context, new TcpShared(), sockets, bench.log);
    listeners.apply({ listen: [endpoint], certificate: 'none', key: 'none' });
    t.match(listeners.listening, [{ bound: undefined, error: /PEM|pem|DECODER|no start line/i }]);
    t.strictSame(dropped, [formatEndpoint(endpoint)]);
    t.throws(() => fstatSync(fd), { code: 'EBADF' });
    listeners.close();
  },
);
