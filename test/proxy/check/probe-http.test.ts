import { createServer as createHttp, type IncomingMessage } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer } from 'node:net';
import t from 'tap';
import type { CheckTarget } from '../../../src/proxy/check/result.ts';
import { check, listen, target, tlsOptions } from './probe-servers.ts';

t.test('http and https: the request', async (t) => {
  for (const type of ['http', 'https'] as const) {
    const seen: unknown[] = [];
    const handler = (request: IncomingMessage) => {
      const { host, connection } = request.headers;
      seen.push([request.method, request.url, host, connection]);
    };
    const server = type === 'http' ? createHttp() : createHttps(tlsOptions);
    server.on('request', (request, response) => {
      handler(request);
      response.end('ok');
    });
    const port = await listen(server);
    t.match(await check(target(port, { type })), { ok: true, code: 'L7OK', reason: 'GET /readyz answered 200' });
    const own = { type, method: 'HEAD', path: '/healthz?x=1', host: 'ingress.test' };
    t.match(await check(target(port, own)), { ok: true, reason: 'HEAD /healthz?x=1 answered 200' });
    t.match(await check(target(port, { type, address: '::1%lo' })), { ok: true });
    t.strictSame(seen, [
      ['GET', '/readyz', `[::1]:${port}`, 'close'],
      ['HEAD', '/healthz?x=1', 'ingress.test', 'close'],
      // Zones are names of ours, and no part of what goes out (RFC 6874 §4).
      ['GET', '/readyz', `[::1]:${port}`, 'close'],
    ]);
  }
  const server = createHttp((request, response) => response.end(request.headers.host));
  const port = await listen(server, '127.0.0.1');
  t.equal((await check(target(port, { type: 'http', address: '127.0.0.1' }))).ok, true, 'IPv4');
});

t.test('http: answers', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n';
  const cases: [name: string, answer: string, code: string, reason: RegExp, more?: Partial<CheckTarget>][] = [
    [
      'wrong status',
      'HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nwait\n',
      'L7STS',
      /^GET \/readyz answered 503, expected 200$/,
    ],
    [
      'status in the list',
      'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n',
      'L7OK',
      /answered 404/,
      { expect: [200, 404] },
    ],
    [
      'not in the list',
      'HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n',
      'L7STS',
      /302, expected 200 or 404/,
      { expect: [200, 404] },
    ],
    ['continue, then the answer', `HTTP/1.1 100 Continue\r\n\r\n${head}\r\nok`, 'L7OK', /answered 200/],
    ['HTTP/1.0 without length', 'HTTP/1.0 200 OK\r\n\r\nok', 'L7OK', /answered 200/],
    ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n', 'L7RSP', /^no HTTP response/],
    ['binary garbage', '\x15\x03\x01\x00\x02\x02\x46', 'L7RSP', /^no HTTP response/],
    ['half a status line', 'HTTP/1.1 20', 'L7RSP', /^(connection closed before the answer|no HTTP response)/],
    ['no answer', '', 'L7RSP', /^connection closed before the answer$/],
    ['endless header', `${head}X: ${'x'.repeat(20_000)}\r\n\r\nok`, 'L7RSP', /larger than 16384 bytes/],
    ['endless body', `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(1_000_000)}`, 'L7OK', /answered 200/],
    ['upgrade', 'HTTP/1.1 101 Sure\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', 'L7STS', /answered 101/],
  ];
  for (const [name, answer, code, reason, more] of cases) {
    const server = createServer((socket) => socket.once('data', () => socket.end(answer, 'latin1')));
    const port = await listen(server);
    const gone = new Promise((done) => server.on('connection', (socket) => socket.on('close', done)));
    const result = await check(target(port, { type: 'http', ...more }));
    t.match(result, { ok: code === 'L7OK', code, reason }, name);
    await gone;
  }
});

t.test('a request that cannot be made is the fault of its settings', async (t) => {
  const port = await listen(createServer());
  t.match(await check(target(port, { type: 'http', path: '/a b' })), {
    ok: false,
    code: 'SOCKERR',
    reason: /cannot be made/,
  });
});
