import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import t from 'tap';
import { FakeClock, systemClock } from '../../../src/core/clock.ts';
import { fileLimit, setFileLimit } from '../../../src/linux/limits.ts';
import { networkProbe } from '../../../src/proxy/check/probe.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';
import { check, listen, open, target, tlsOptions } from './probe-servers.ts';

t.test('a refused port', async (t) => {
  const server = createServer();
  const port = await listen(server);
  await new Promise((done) => server.close(done));
  for (const type of ['tcp', 'tls', 'http', 'https'] as const) {
    t.match(await check(target(port, { type })), { ok: false, code: 'L4CON', reason: 'connection refused' }, type);
  }
});

t.test('an interface that is not there', async (t) => {
  // No socket holds the loop, and timers of the clock do not.
  await listen(createServer());
  t.match(await check(target(80, { address: 'fe80::1%absent0' })), {
    ok: false,
    code: 'L4CON',
    reason: 'fe80::1%absent0: there is no interface absent0',
  });
});

t.test('no descriptor of our own is left: that says nothing of the member', async (t) => {
  const port = await listen(createServer());
  const limit = fileLimit();
  // The lowest number that is free: the limit counts numbers.
  const free = openSync('/dev/null', 'r');
  closeSync(free);
  for (const [type, proxyProtocol] of [
    ['tcp', 'none'],
    ['tcp', 'v2'],
    ['https', 'none'],
  ] as const) {
    setFileLimit({ ...limit, soft: free });
    try {
      t.match(await check(target(port, { type, proxyProtocol })), {
        ok: false,
        code: 'SOCKERR',
        reason: 'the check cannot be made: v6edge is out of descriptors (EMFILE)',
        inconclusive: true,
      });
    } finally {
      setFileLimit(limit);
    }
  }
  t.match(await check(target(port)), { ok: true, inconclusive: undefined });
});

t.test('the round-trip time of the connection, where there was one', async (t) => {
  const { rttMs } = await check(target(await listen(createServer())));
  t.ok(rttMs! > 0 && rttMs! < 1000, `${rttMs} ms`);
  const server = createServer();
  const port = await listen(server);
  await new Promise((done) => server.close(done));
  t.equal((await check(target(port))).rttMs, undefined);
});

t.test('a server that says nothing: the timeout names the layer that was waited for', async (t) => {
  const server = createServer();
  const port = await listen(server);
  for (const [type, code, reason] of [
    ['tls', 'L6TOUT', 'no TLS handshake within 5000 ms'],
    ['https', 'L6TOUT', 'no TLS handshake within 5000 ms'],
    ['http', 'L7TOUT', 'no response within 5000 ms'],
  ] as const) {
    const clock = new FakeClock();
    const connected = once(server, 'connection');
    const result = new Promise<CheckResult>((done) => networkProbe(target(port, { type }), clock, done));
    const [socket] = (await connected) as [Socket];
    await once(socket, 'data'); // ClientHello, or the request
    clock.advance(4999);
    clock.advance(1);
    t.match(await result, { ok: false, code, reason, durationMs: 5000 }, type);
    t.equal(clock.pending, 0, 'no timer is left');
  }
});

t.test('an address that swallows connects: L4TOUT', async (t) => {
  const clock = new FakeClock();
  let result: CheckResult | undefined;
  // 100::/64 (RFC 6666) is never answered; without a route the connect fails at once, so time is moved in this same turn.
  networkProbe(target(9, { address: '100::1' }), clock, (got) => {
    result = got;
  });
  clock.advance(5000);
  t.strictSame(result, { ok: false, code: 'L4TOUT', reason: 'no connection within 5000 ms', durationMs: 5000 });
});

t.test('a cancelled check reports nothing and leaves nothing behind', async (t) => {
  const server = createServer();
  const port = await listen(server);
  const clock = new FakeClock();
  const connected = once(server, 'connection');
  const running = networkProbe(target(port, { type: 'http' }), clock, () => t.fail('a result after cancel'));
  const [socket] = (await connected) as [Socket];
  const closed = once(socket, 'close');
  running.cancel();
  running.cancel();
  t.equal(clock.pending, 0);
  await closed;
});

t.test('tcp: closes with a FIN, also when the server talks first', async (t) => {
  for (const [name, greeting] of [
    ['silent server', ''],
    ['greeting', 'SSH-2.0-test\r\n'],
    ['long greeting', 'x'.repeat(30_000)],
  ] as const) {
    const server = createServer({ allowHalfOpen: true });
    const port = await listen(server);
    const seen = new Promise<string>((done) => {
      server.on('connection', (socket) => {
        let text = '';
        if (greeting !== '') socket.write(greeting);
        socket.on('data', (chunk) => {
          text += chunk.toString('latin1');
        });
        socket.on('end', () => socket.end('late words'));
        socket.on('error', (error) => done(String(error)));
        socket.on('close', () => done(`closed ${text}`));
      });
    });
    t.match(await check(target(port)), { ok: true, code: 'L4OK', reason: 'connected' }, name);
    t.equal(await seen, 'closed ', `${name}: no reset, no bytes`);
  }
});

t.test('tcp: a server that never closes is let go after a second', async (t) => {
  const server = createServer({ allowHalfOpen: true });
  const port = await listen(server);
  const clock = new FakeClock();
  const ended = new Promise<Socket>((done) => server.on('connection', (s) => s.resume().on('end', () => done(s))));
  const result = await new Promise<CheckResult>((done) => networkProbe(target(port), clock, done));
  t.equal(result.code, 'L4OK');
  const socket = await ended;
  clock.advance(1000);
  t.equal(clock.pending, 0);
  // The check's descriptor is closed: what we send now is answered by a reset.
  const error = new Promise((done) => socket.on('error', done));
  socket.write('x', () => socket.write('y'));
  t.match(await error, { code: /EPIPE|ECONNRESET/ });
});

t.test('a PROXY header with the LOCAL command goes first', async (t) => {
  const headers = {
    v1: Buffer.from('PROXY UNKNOWN\r\n').toString('hex'),
    // signature · version 2, command LOCAL · AF_UNSPEC · length 0
    v2: '0d0a0d0a000d0a515549540a' + '20' + '00' + '0000',
  };
  for (const proxyProtocol of ['v1', 'v2'] as const) {
    for (const type of ['tcp', 'tls', 'http', 'https'] as const) {
      const length = headers[proxyProtocol].length / 2;
      const inner = createHttp((_, response) => response.end('ok'));
      const innerTls = createHttps(tlsOptions, (_, response) => response.end('ok'));
      const seen: string[] = [];
      // A receiver as nginx's `proxy_protocol` is: takes the header off, then speaks what the port speaks.
      const port = await listen(
        createServer((socket) => {
          socket.once('readable', () => {
            seen.push((socket.read(length) as Buffer | null)?.toString('hex') ?? 'too short');
            if (type === 'http') inner.emit('connection', socket);
            else if (type !== 'tcp') innerTls.emit('connection', socket);
            else socket.resume().on('end', () => socket.end());
          });
        }),
      );
      const result = await check(target(port, { type, proxyProtocol }));
      t.equal(result.ok, true, `${proxyProtocol} ${type}: ${result.reason}`);
      if (type === 'tcp') await once([...open].at(-1)!, 'close').catch(() => {});
      t.strictSame(seen, [headers[proxyProtocol]], `${proxyProtocol} ${type}`);
    }
  }
});

t.test('members that cannot read the PROXY header are told apart from those that can', async (t) => {
  const refused = (how: RegExp) => ({ ok: false, reason: how, refusesHeader: true as const });
  const says = (text: string) => (socket: Socket) => socket.once('data', () => socket.end(text, 'latin1'));
  const isLocal = (chunk: Buffer) => chunk.toString('latin1').startsWith('PROXY UNKNOWN') || chunk[12] === 0x20;
  const tls = createTls(tlsOptions).on('tlsClientError', () => {});
  const https = createHttps(tlsOptions, (_, response) => response.end('ok')).on('tlsClientError', () => {});
  const http = createHttp((_, response) => response.end('ok'));
  const fine = { ok: true, code: 'L4OK', reason: 'connected' };
  const cases: [name: string, type: CheckTarget['type'], behave: (socket: Socket) => void, expected: object][] = [
    ['waits', 'tcp', (socket) => socket.resume(), fine],
    ['greets', 'tcp', (socket) => socket.resume().write('220 mail.test ESMTP\r\n'), fine],
    [
      'a TLS alert',
      'tcp',
      says('\x15\x03\x01\x00\x02\x02\x46'),
      refused(/^answers the PROXY header with a TLS alert: /),
    ],
    ['an HTTP error', 'tcp', says('HTTP/1.1 400 Bad Request\r\n\r\n'), refused(/with an HTTP error/)],
    [
      'a reset',
      'tcp',
      (socket) => socket.once('data', () => socket.resetAndDestroy()),
      refused(/^resets the connection/),
    ],
    ['a close, as kube-apiserver', 'tcp', says(''), refused(/^closes the connection when it gets .*kube-apiserver/)],
    [
      'a close of connections that stand for no client',
      'tcp',
      (socket) => socket.once('data', (chunk) => isLocal(chunk) && socket.end()),
      fine,
    ],
    ['a close whatever comes', 'tcp', (socket) => socket.resume().end(), fine],
    ['a reset whatever comes', 'tcp', (socket) => socket.resetAndDestroy(), {}],
    ['TLS of Node.js', 'tcp', (socket) => tls.emit('connection', socket), refused(/PROXY header/)],
    [
      'TLS of Node.js',
      'tls',
      (socket) => tls.emit('connection', socket),
      refused(/^passes the check without the PROXY header/),
    ],
    ['HTTPS of Node.js', 'https', (socket) => https.emit('connection', socket), refused(/^passes the check without/)],
    ['HTTP of Node.js', 'http', (socket) => http.emit('connection', socket), refused(/^passes the check without/)],
    ['HTTP of Node.js', 'tcp', (socket) => http.emit('connection', socket), refused(/with an HTTP error/)],
    [
      'broken either way',
      'https',
      (socket) => socket.once('data', () => socket.end('no')),
      { ok: false, code: 'L6RSP', reason: /^(TLS|connection closed)/ },
    ],
    ['broken either way', 'http', says('no'), { ok: false, code: 'L7RSP', reason: /^no HTTP response/ }],
    [
      'wrong status either way',
      'http',
      says('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'),
      { ok: false, code: 'L7STS', reason: /answered 503, expected 200$/ },
    ],
  ];
  for (const [name, type, behave, expected] of cases) {
    for (const proxyProtocol of ['v1', 'v2'] as const) {
      const port = await listen(createServer({ allowHalfOpen: true }, behave));
      const result = await check(target(port, { type, proxyProtocol }));
      t.match(result, expected, `${name}, ${type} ${proxyProtocol}`);
      if (!('refusesHeader' in expected)) t.notOk(result.refusesHeader);
    }
  }
});

t.test('what asks a member again can be cancelled, too', async (t) => {
  const server = createServer((socket) => socket.once('data', () => socket.end()));
  const port = await listen(server);
  const sockets: Socket[] = [];
  const second = new Promise<Socket>((done) =>
    server.on('connection', (socket) => sockets.push(socket) === 2 && done(socket)),
  );
  const running = networkProbe(target(port, { proxyProtocol: 'v2' }), systemClock, () =>
    t.fail('a result after cancel'),
  );
  const closed = once(await second, 'close');
  running.cancel();
  await closed;
});
