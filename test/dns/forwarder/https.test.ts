/** Upstreams by HTTPS (RFC 8484): a server that does as told. */
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { parseMessage } from '../../../src/dns/wire/message.ts';
import { RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { freePort } from '../../free-port.ts';
import { makeCertificate } from '../certificate.ts';
import { aaaa, askedName, type Bench, frame, query, readFrames, reply, txt } from '../peers.ts';
import { NAME, pems, start, upstream } from './https-upstream.ts';

const TYPE_HEADER = { ':status': 200, 'content-type': 'application/dns-message' };

interface Request {
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly stream: http2.ServerHttp2Stream;
}

interface DohServer {
  readonly config: UpstreamConfig;
  readonly requests: Request[];
  readonly sessions: http2.ServerHttp2Session[];
  behaviour: (request: Request) => void;
}

const answer = (body: Buffer, last = 1) => {
  const message = parseMessage(body);
  return reply(message, { answers: [aaaa(askedName(message), last)] });
};
const good = ({ stream, body }: Request) => {
  stream.respond(TYPE_HEADER);
  stream.end(answer(body));
};

async function serve(t: Test, behaviour: (request: Request) => void, certificate = pems): Promise<DohServer> {
  const server = http2.createSecureServer({ cert: certificate.certificate, key: certificate.key });
  const requests: Request[] = [];
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => {
    const pieces: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (piece) => pieces.push(Buffer.from(piece)));
    stream.on('end', () => {
      const request = { headers, body: Buffer.concat(pieces), stream };
      requests.push(request);
      doh.behaviour(request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as net.AddressInfo;
  const doh: DohServer = { config: upstream(port), requests, sessions, behaviour };
  return doh;
}

t.test('a POST with id 0, padded, on one connection that many questions share', async (t) => {
  const server = await serve(t, good);
  const bench = await start(t, [server.config]);
  const names = Array.from({ length: 60 }, (_, i) => `n${i}.test`);
  for (const { rcode, answers } of await Promise.all(names.map((name) => bench.ask(name)))) {
    t.match({ rcode, answers }, { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] });
  }
  t.equal(server.sessions.length, 1);
  const { headers, body } = server.requests[0]!;
  t.match(headers, {
    ':method': 'POST',
    ':scheme': 'https',
    ':path': '/dns-query',
    ':authority': `${NAME}:${server.config.endpoint.port}`,
    accept: 'application/dns-message',
    'content-type': 'application/dns-message',
    'content-length': '128',
  });
  t.equal(body.readUInt16BE(0), 0, 'RFC 8484 §4.1');
  t.equal(body.length % 128, 0, 'RFC 8467 §4.1');
  t.ok(
    parseMessage(body).edns?.options.every(({ code }) => code === 12),
    'no cookie, which would tell us apart',
  );
  t.match(bench.engine.upstreams(), [{ name: `https://127.0.0.1:${server.config.endpoint.port}/dns-query#${NAME}` }]);
});

t.test('without a name the certificate is for the address, which is the authority', async (t) => {
  const server = await serve(t, good);
  const bench = await start(t, [{ ...server.config, serverName: undefined, path: '/q?a=b' }]);
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  const { port } = server.config.endpoint;
  t.match(server.requests[0]!.headers, { ':authority': `127.0.0.1:${port}`, ':path': '/q?a=b' });
});

t.test('a long answer; one that an HTTP cache kept for a while lives that much shorter (§5.1)', async (t) => {
  const server = await serve(t, ({ stream, body }) => {
    const message = parseMessage(body);
    const long = message.questions[0]!.type === TYPE.TXT;
    stream.respond({ ...TYPE_HEADER, age: '100', 'content-type': 'Application/DNS-Message; x=y' });
    const records = long ? txt(askedName(message), 40_000) : aaaa(askedName(message), 1, 300);
    stream.end(reply(message, { answers: [records] }));
  });
  const bench = await start(t, [server.config]);
  t.match(await bench.ask('a.test'), { answers: [{ ttl: 200 }] });
  const socket = await bench.connect(t);
  const long = new Promise<Buffer>((resolve) => readFrames(socket, (bytes) => resolve(Buffer.from(bytes))));
  socket.write(frame(query('long.test', { type: TYPE.TXT })));
  t.equal(parseMessage(await long).answers[0]?.rdata.length, txt('long.test', 40_000).rdata.length);
});

interface Fault {
  readonly name: string;
  readonly behaviour: (request: Request) => void;
  readonly reason: RegExp;
}

const faults: Fault[] = [
  ...[301, 400, 404, 429, 500, 503].map((status) => ({
    name: `status ${status}`,
    behaviour: ({ stream, body }: Request) => {
      stream.respond({ ...TYPE_HEADER, ':status': status, location: 'https://127.0.0.1/' });
      stream.end(answer(body));
    },
    reason: new RegExp(`HTTP status ${status}`),
  })),
  {
    name: 'another media type',
    behaviour: ({ stream, body }) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' });
      stream.end(answer(body));
    },
    reason: /not a DNS message but "text\/html"/,
  },
  {
    name: 'a media type without end',
    behaviour: ({ stream, body }) => {
      stream.respond({ ':status': 200, 'content-type': 'x'.repeat(4000) });
      stream.end(answer(body));
    },
    reason: /not a DNS message but "x{64}"$/,
  },
  {
    name: 'no media type',
    behaviour: ({ stream, body }) => {
      stream.respond({ ':status': 200 });
      stream.end(answer(body));
    },
    reason: /not a DNS message/,
  },
  {
    name: 'an empty body',
    behaviour: ({ stream }) => {
      stream.respond(TYPE_HEADER);
      stream.end();
    },
    reason: /something else/,
  },
  {
    name: 'an answer to another question',
    behaviour: ({ stream, body }) => {
      const other = Buffer.from(answer(body));
      other[13]! ^= 1;
      stream.respond(TYPE_HEADER);
      stream.end(other);
    },
    reason: /something else/,
  },
  {
    name: 'another id',
    behaviour: ({ stream, body }) => {
      const other = Buffer.from(answer(body));
      other[1] = 1;
      stream.respond(TYPE_HEADER);
      stream.end(other);
    },
    reason: /something else/,
  },
  {
    name: 'a length longer than a message',
    behaviour: ({ stream }) => stream.respond({ ...TYPE_HEADER, 'content-length': 65536 }),
    reason: /longer than a DNS message/,
  },
  {
    name: 'a body without end',
    behaviour: ({ stream, body }) => {
      stream.respond(TYPE_HEADER);
      stream.write(answer(body));
      stream.on('drain', () => void stream.write(Buffer.alloc(16_384)));
      for (let i = 0; i < 8; i++) stream.write(Buffer.alloc(16_384));
    },
    reason: /longer than a DNS message/,
  },
  {
    name: 'a body cut short of its length',
    behaviour: ({ stream, body }) => {
      const whole = answer(body);
      stream.respond({ ...TYPE_HEADER, 'content-length': whole.length });
      stream.end(whole.subarray(0, 30));
    },
    reason: /PROTOCOL_ERROR|closed with code/,
  },
  {
    name: 'reset mid stream',
    behaviour: ({ stream, body }) => {
      stream.respond(TYPE_HEADER);
      stream.write(answer(body).subarray(0, 30), () => void stream.destroy(new Error('given up')));
    },
    reason: /INTERNAL_ERROR/,
  },
  { name: 'connection cut', behaviour: ({ stream }) => void stream.session?.destroy(), reason: /closed/ },
  { name: 'silent', behaviour: () => {}, reason: /no answers/ },
];

/** Asks until the upstream is known to be down. */
async function untilDown(bench: Bench): Promise<void> {
  for (let i = 0; i < 8 && bench.engine.upstreams()[0]!.state !== 'down'; i++) {
    const { rcode } = await bench.ask(`down${i}.test`, { edns: { udpSize: 1232 } });
    if (rcode !== RCODE.SERVFAIL) throw new Error(`answered with ${rcode}`);
  }
}

/** Waits until a probe was answered. */
async function untilUp(bench: Bench): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (bench.engine.upstreams()[0]!.state !== 'up') {
    if (performance.now() > deadline) throw new Error('not up again');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

t.test('a fault is a failure of the upstream that says which; another answers; it is up again', async (t) => {
  const results = faults.map(async ({ name, behaviour, reason }) => {
    const server = await serve(t, behaviour);
    const fine = await serve(t, good);
    const alone = await start(t, [server.config], name === 'silent' ? 400 : 3000);
    await untilDown(alone);
    t.match(alone.engine.upstreams(), [{ state: 'down', reason }], `${name}: down, and why`);
    const beside = await start(t, [server.config, fine.config]);
    t.match(await beside.ask('a.test'), { rcode: RCODE.NOERROR }, `${name}: the other answers`);
    server.behaviour = good;
    await untilUp(alone);
    t.match(await alone.ask('again.test'), { rcode: RCODE.NOERROR }, `${name}: up again`);
  });
  await Promise.all(results);
});

t.test('a body that is cut without a word of its length is no answer', async (t) => {
  const server = await serve(t, ({ stream, body }) => {
    stream.respond(TYPE_HEADER);
    stream.end(answer(body).subarray(0, 50));
  });
  const bench = await start(t, [server.config]);
  t.equal((await bench.ask('a.test')).rcode, RCODE.SERVFAIL);
});

t.test('GOAWAY: what is under way ends there, what comes goes by another connection', async (t) => {
  const held: Request[] = [];
  const server = await serve(t, (request) => void held.push(request));
  const bench = await start(t, [server.config]);
  const first = bench.ask('first.test');
  while (held.length === 0) await nextTurn();
  server.behaviour = good;
  const [session] = server.sessions as [http2.ServerHttp2Session];
  session.goaway(http2.constants.NGHTTP2_NO_ERROR, held[0]!.stream.id);
  // Whose answer says that what came before was heard.
  await new Promise<void>((resolve, reject) => session.ping((error) => (error === null ? resolve() : reject(error))));
  t.match(await bench.ask('second.test'), { rcode: RCODE.NOERROR });
  good(held[0]!);
  t.match(await first, { rcode: RCODE.NOERROR });
  t.equal(server.sessions.length, 2);
  t.match(bench.engine.upstreams(), [{ state: 'up', failures: 0 }]);
});

t.test('a connection that leads nowhere is given up for another', async (t) => {
  const server = await serve(t, good);
  const sockets: net.Socket[] = [];
  let deaf = false;
  // Between the two, and from some moment on takes all and passes on nothing, for the connections there are.
  const relay = net.createServer((near) => {
    const far = net.connect(server.config.endpoint.port, '127.0.0.1');
    sockets.push(near, far);
    const mine = sockets.length;
    const isDeaf = () => deaf && mine <= 2;
    near.on('error', () => {}).on('data', (data) => void (isDeaf() || far.write(data)));
    far.on('error', () => {}).on('data', (data) => void (isDeaf() || near.write(data)));
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  const bench = await start(t, [upstream((relay.address() as net.AddressInfo).port)], 2000);
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  deaf = true;
  t.match(await bench.ask('b.test'), { rcode: RCODE.SERVFAIL });
  await untilUp(bench);
  t.match(await bench.ask('c.test'), { rcode: RCODE.NOERROR }, 'by a new connection');
});

t.test('certificates and servers that are not what they should be', async (t) => {
  const cases: [string, UpstreamConfig, RegExp][] = [
    ['another name', { ...(await serve(t, good)).config, serverName: 'other.example' }, /altnames/],
    ['another authority', (await serve(t, good, makeCertificate(t, NAME))).config, /self-signed/],
  ];
  const dot = tls.createServer({ cert: pems.certificate, key: pems.key, ALPNProtocols: ['http/1.1'] });
  dot.on('tlsClientError', () => {}).on('secureConnection', (socket) => void socket.on('error', () => {}));
  const plain = net.createServer((socket) => void socket.on('error', () => {}).end('hello'));
  for (const server of [dot, plain]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => void server.close());
  }
  const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port;
  cases.push(['no HTTP/2', upstream(portOf(dot)), /no application protocol|HTTP\/2/i]);
  cases.push(['no TLS', upstream(portOf(plain)), /wrong version|packet length|closed/i]);
  cases.push(['nobody', upstream(await freePort('127.0.0.1')), /refused/]);
  for (const [name, config, reason] of cases) {
    const bench = await start(t, [config]);
    await untilDown(bench);
    t.match(bench.engine.upstreams(), [{ state: 'down', reason }], name);
  }
});
