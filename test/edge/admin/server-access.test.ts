import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { AdminServer } from '../../../src/edge/admin/server.ts';
import { folder, send, start, token } from './admin-server.ts';

t.test('access over TCP', async (t) => {
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
  const open = ['/healthz', '/readyz', '/metrics'];
  const host = { host: 'localhost' };

  t.test('loopback without a token: reads alone', async (t) => {
    const { listening } = await start(t, ['[::1]:0', '127.0.0.1:0']);
    t.match(listening, [/^\[::1\]:\d+$/, /^127\.0\.0\.1:\d+$/]);
    for (const endpoint of listening) {
      for (const path of [...open, '/v1/status']) t.equal((await send(endpoint, path)).status, 200, path);
      t.match(await send(endpoint, '/v1/reload', { method: 'POST' }), { status: 403, json: { detail: /UNIX socket/ } });
      t.equal((await send(endpoint, '/v1/status', { headers: bearer('x') })).status, 200);
    }
  });
  t.test('loopback with a token: writes need it', async (t) => {
    const { listening } = await start(t, ['[::1]:0'], { token });
    t.equal((await send(listening[0]!, '/v1/status')).status, 200);
    t.match(await send(listening[0]!, '/v1/reload', { method: 'POST' }), {
      status: 401,
      headers: { 'www-authenticate': 'Bearer realm="v6edge"' },
    });
    t.match(await send(listening[0]!, '/v1/reload', { method: 'POST', headers: bearer(`${token}x`) }), {
      status: 401,
      headers: { 'www-authenticate': /invalid_token/ },
    });
    t.equal(
      (await send(listening[0]!, '/v1/status', { headers: bearer('wrong') })).status,
      401,
      'a wrong one is wrong for reads too',
    );
    t.equal((await send(listening[0]!, '/v1/reload', { method: 'POST', headers: bearer(token) })).status, 200);
    t.equal(
      (await send(listening[0]!, '/v1/reload', { method: 'POST', headers: { authorization: `Basic ${token}` } }))
        .status,
      401,
    );
    t.equal(
      (await send(listening[0]!, '/v1/reload', { method: 'POST', headers: { authorization: `bearer ${token}` } }))
        .status,
      200,
    );
  });
  t.test('loopback asked by a name that is not its own (DNS rebinding)', async (t) => {
    const { listening } = await start(t, ['127.0.0.1:0'], { token });
    for (const name of ['evil.example', 'evil.example:80', '192.0.2.1', '[2001:db8::1]:80', 'localhost.evil.example']) {
      t.equal((await send(listening[0]!, '/v1/status', { headers: { host: name } })).status, 421, name);
    }
    for (const name of ['localhost', 'LOCALHOST:1', '127.0.0.1:8653', '[::1]']) {
      t.equal((await send(listening[0]!, '/v1/status', { headers: { host: name } })).status, 200, name);
    }
  });
  t.test('beyond loopback: everything but probes needs the token', async (t) => {
    const { listening } = await start(t, ['0.0.0.0:0', '[::]:0'], { token });
    for (const endpoint of listening) {
      const here = endpoint.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]');
      for (const path of open) t.equal((await send(here, path)).status, 200, path);
      t.equal((await send(here, '/healthz', { headers: { host: 'edge.example' } })).status, 200);
      for (const path of ['/v1/status', '/v1/zones/a.test/records', '/nothing']) {
        t.equal((await send(here, path)).status, 401, path);
      }
      t.equal((await send(here, '/healthz/../v1/status')).status, 401);
      t.equal((await send(here, '/v1/status', { headers: { ...bearer(token), ...host } })).status, 200);
      t.equal((await send(here, '/v1/reload', { method: 'POST', headers: bearer(token) })).status, 200);
    }
  });
});

t.test('the UNIX socket', async (t) => {
  const path = join(folder, 'admin.sock');
  const first = await start(t, [`unix:${path}`]);
  t.equal(statSync(path).mode & 0o777, 0o660);
  await t.rejects(start(t, [`unix:${path}`]), {
    code: 'V6_ADMIN_LISTEN',
    message: /something listens there already; is v6edge running\?/,
  });
  t.equal((await send(first.listening[0]!, '/healthz')).status, 200, 'and the first goes on');
  await first.close();
  t.notOk(existsSync(path), 'removed at the end');
});

t.test('a stale socket is replaced, a file is not', async (t) => {
  const path = join(folder, 'stale.sock');
  try {
    execFileSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
  } catch {
    // It was killed, as it should be.
  }
  t.ok(statSync(path).isSocket(), 'what a killed daemon leaves behind');
  const server = await start(t, [`unix:${path}`]);
  t.equal((await send(server.listening[0]!, '/healthz')).status, 200);
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  await t.rejects(start(t, [`unix:${file}`]), { code: 'V6_ADMIN_LISTEN', message: /a file that is no socket/ });
  t.equal(readFileSync(file, 'utf8'), 'precious');
  await t.rejects(start(t, [`unix:${join(folder, 'none', 'x')}`]), {
    code: 'V6_ADMIN_LISTEN',
    message: /admin\.listen unix:.*ENOENT|EACCES/,
  });
});

t.test('all endpoints or none', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const path = join(folder, 'none.sock');
  const before: AdminServer | undefined = await start(t, [`unix:${path}`, `127.0.0.1:${port}`]).catch((error) => {
    t.match(error, { code: 'V6_ADMIN_LISTEN', message: new RegExp(`admin.listen 127.0.0.1:${port}: .*EADDRINUSE`) });
    return undefined;
  });
  t.equal(before, undefined);
  t.notOk(existsSync(path));
});
