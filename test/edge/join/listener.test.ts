/** The join listener of a real daemon: hostile input, orders that cannot be, a reload. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { describe, exec } from '../../lab/process.ts';
import { freePort } from '../daemon-process.ts';
import { cli, startJoinStage } from './daemon-stage.ts';

t.test('bytes that are no request, too many, or none: answered or dropped, and others are served', async (t) => {
  const { home, port, token } = await startJoinStage(t);
  const url = await token();
  const rows: [name: string, bytes: string, answer: RegExp][] = [
    ['garbage', '\x00\x01\x02\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /^HTTP\/1\.1 400 /],
    ['a header without end', `GET / HTTP/1.1\r\nx: ${'a'.repeat(8192)}`, /^HTTP\/1\.1 400 /],
    ['a path without end', `GET /${'a'.repeat(8192)} HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [
      'a body that is too large',
      `PUT /join/material HTTP/1.1\r\ncontent-length: 20000\r\n\r\n${'a'.repeat(20_000)}`,
      /^HTTP\/1\.1 413 /,
    ],
    [
      'two lengths',
      'PUT /join/material HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na',
      /^HTTP\/1\.1 400 /,
    ],
    ['a strange method', 'BREW /join/x HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'a method without meaning here',
      'DELETE /join/x HTTP/1.1\r\nhost: x\r\n\r\n',
      /^HTTP\/1\.1 404 .*no such token\n$/s,
    ],
    [
      'a name in another host',
      'GET http://evil.test/join/x HTTP/1.1\r\nhost: evil.test\r\n\r\n',
      /^HTTP\/1\.1 404 .*no such token\n$/s,
    ],
    [
      'a header for another request',
      'GET /join/x HTTP/1.1\r\nconnection: keep-alive\r\n\r\nGET /join/y HTTP/1.1\r\n\r\n',
      /connection: close/i,
    ],
  ];
  for (const [name, bytes, answer] of rows) {
    const socket = connect(port, '::1');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => undefined);
    socket.write(bytes, 'latin1');
    await once(socket, 'close');
    t.match(text, answer, name);
  }
  const idle = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const socket = connect(port, '::1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    }),
  );
  const beyond = idle.slice(8);
  await Promise.all(beyond.map((socket) => (socket.closed ? undefined : once(socket.resume(), 'close'))));
  t.pass('more than eight connections of one source are closed');
  for (const socket of idle) socket.destroy();
  const served = await exec(['curl', '-fsSg', '--retry', '3', '--retry-all-errors', url]);
  t.equal(served.code, 0, describe(served));
  const metrics = await home.metrics();
  t.ok(metrics.get('v6edge_join_requests_total{result="malformed"}')! >= 5);
  t.ok(metrics.get('v6edge_join_connections_refused_total')! >= 4);
});

t.test('a token says that the edge has no name yet, and how to give it one', async (t) => {
  const { home } = await startJoinStage(t);
  const create = async () => (await cli(home, 'node', 'token', 'create', '--role', 'worker')).out;
  const words = /which has no address: v6edge (record cluster\.test add edge\.cluster\.test 300 AAAA ::1)\n/;
  const [, order] = words.exec(await create()) ?? [];
  t.ok(order, 'the order stands there');
  t.match(await cli(home, ...order!.split(' ')), { code: 0 });
  t.notMatch(await create(), /as things stand/, 'nothing else is missing');
});

t.test('orders that cannot be carried out', async (t) => {
  const { home } = await startJoinStage(t);
  const rows: [argv: string[], code: number, message: RegExp][] = [
    [['node'], 2, /node: say what to do/],
    [['node', 'token'], 2, /node token: say what to do/],
    [['node', 'token', 'create'], 2, /missing: role/],
    [['node', 'token', 'create', '--role', 'king'], 2, /Invalid values/],
    [['node', 'token', 'create', '--role', 'worker', '--ttl', '5'], 1, /ttl: /],
    [['node', 'token', 'create', '--role', 'worker', '--ttl', '1s'], 1, /ttl: .*out of range/],
    [['node', 'token', 'create', '--role', 'worker', '--name', 'W_1'], 1, /cannot be a node's name/],
    [['node', 'token', 'revoke', 'ffffffff'], 1, /there is no token "ffffffff"/],
    [['node', 'material', 'set', '/nonexistent'], 2, /ENOENT/],
    [['node', 'material', 'set', home.configFile], 1, /not of the form NAME=value/],
  ];
  for (const [argv, code, message] of rows) {
    const result = await cli(home, ...argv);
    t.equal(result.code, code, argv.join(' '));
    t.match(result.err, message, argv.join(' '));
  }
  t.match((await cli(home, 'node', 'token', 'list')).out, /^no tokens; /);
  t.match((await cli(home, 'node', 'list')).out, /^no node has joined/);
  t.equal((await home.api('GET', '/v1/nodes/w9')).status, 404);
});

t.test('a reload moves the listener; without the section nobody joins', async (t) => {
  const { home, port, token } = await startJoinStage(t);
  const url = await token();
  const config = readFileSync(home.configFile, 'utf8');
  const next = await freePort('::1');
  writeFileSync(home.configFile, config.replace(`"[::1]:${port}"`, `"[::1]:${next}"`));
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  t.equal((await exec(['curl', '-fsSg', url])).code, 7, 'refused there');
  t.equal((await exec(['curl', '-fsSg', url.replace(String(port), String(next))])).code, 0, 'answered here');
  writeFileSync(home.configFile, config.replace(/^join: .*$/m, ''));
  t.equal((await home.api('POST', '/v1/reload')).status, 200);
  t.equal((await exec(['curl', '-fsSg', url.replace(String(port), String(next))])).code, 7);
  const { status, body } = await home.api('POST', '/v1/join/tokens', {}, { role: 'worker' });
  t.match([status, body], [409, /no `join` section/]);
  const unused = (await cli(home, 'node', 'token', 'list')).out;
  t.match(unused, /^ID +ROLE .*\n[0-9a-f]{8} /, 'the token that was made before is still told');
  t.equal((await cli(home, 'node', 'token', 'revoke', unused.split('\n')[1]!.split(' ')[0]!)).code, 0);
  for (const list of [['list'], ['token', 'list']]) {
    const { code, out } = await cli(home, 'node', ...list);
    t.match([code, out], [0, /^nodes cannot join: .* no `join` section; .*docs\/nodes\.md.*v6edge reload\n$/]);
    t.equal((await cli(home, 'node', ...list, '--json')).out, '[]\n');
  }
  const material = await cli(home, 'node', 'material', 'show');
  t.match([material.code, material.err], [1, /no `join` section/]);
});
