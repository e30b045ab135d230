import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { type AdminServer, startAdmin } from '../../../src/edge/admin/server.ts';
import type { AdminSource, MemberReport, PoolReport } from '../../../src/edge/admin/source.ts';
import { EventStream } from '../../../src/edge/events.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-admin-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const token = 'a-token-for-this-test';

const member: MemberReport = {
  name: 'w1',
  slot: 0,
  address: 'fd00::21',
  port: 80,
  weight: 100,
  configuredWeight: 100,
  maxConnections: 0,
  backup: false,
  tier: 0,
  state: 'up',
  admin: 'ready',
  health: 'up',
  origin: 'config',
  leaving: false,
  since: 1,
  inStateMs: 2,
  reason: 'check passed',
  lastCheck: undefined,
  checks: { failed: 0, wentDown: 0, downMs: 0 },
  warning: undefined,
  tcp: { samples: 0, rttMs: undefined, segments: 0, retransmits: 0, lost: 0 },
  active: 1,
  totals: { sessions: 3 },
};
const pool: PoolReport = {
  name: 'workers',
  slot: 0,
  queued: 0,
  balance: 'leastconn',
  proxyProtocol: 'v2',
  check: 'tcp',
  up: 1,
  removed: [],
  members: [member],
};

const noNodes: AdminSource['nodes'] = {
  configured: false,
  list: () => [],
  remove: async () => false,
  tokens: () => [],
  createToken: () => {
    throw new Error('not configured');
  },
  revokeToken: () => false,
  material: () => undefined,
  setMaterial: () => {
    throw new Error('not configured');
  },
};

/** A daemon that has one of everything, and remembers what it was told. */
function fakeSource(): AdminSource & { ready_: boolean; broken: boolean; calls: unknown[]; errors: string[] } {
  return {
    ready_: true,
    broken: false,
    calls: [],
    errors: [],
    nodes: noNodes,
    status() {
      if (this.broken) throw new Error('the hidden reason');
      return {
        version: '1',
        pid: 2,
        configFile: '/c',
        startedAt: 0,
        uptimeSeconds: 1,
        threads: [],
        listeners: [],
        joinConfigured: false,
        totals: { sessions: 3 },
      };
    },
    ready() {
      return {
        ready: this.ready_,
        waitingFor: this.ready_ ? [] : ['zone a.test is not loaded', '[::]:80 is not bound'],
        notes: ['dns64: upstreams synthesize'],
      };
    },
    metrics: async () => '# HELP v6edge_x x\nv6edge_x 1\n',
    pools: () => [pool],
    hasZone: (zone) => zone === 'a.test',
    zones: () => [{ name: 'a.test', serial: 5, records: 2, lastUpdate: undefined, role: 'primary' }],
    records(zone, filter) {
      this.calls.push({ zone, ...filter });
      if (zone !== 'a.test') return undefined;
      const next = filter.after === undefined && filter.name === undefined ? 'x.a.test' : undefined;
      return { records: [{ name: 'x.a.test', type: 'A', ttl: 60, data: ['192.0.2.1'] }], next };
    },
    allRecords(zone, filter) {
      this.calls.push({ zone, ...filter });
      return zone === 'a.test' ? [{ name: 'x.a.test', type: 'A', ttl: 60, data: ['192.0.2.1'] }] : undefined;
    },
    exportZone: (zone) => (zone === 'a.test' ? '$ORIGIN a.test.\n' : undefined),
    ra: () => [
      {
        interface: 'eth1',
        state: 'advertising',
        lastSent: 1,
        lastSolicitation: undefined,
        lastSolicitedBy: undefined,
        totals: { sentMulticast: 1 },
      },
    ],
    dns: () => ({ upstreams: [], dns64: undefined, cache: {}, totals: {} }),
    history: (span) => ({ span, stepMs: 5000, times: [1], series: { queries: [2] } }),
    setMember(pool, name, order) {
      this.calls.push({ pool, name, ...order });
      return pool === 'workers' && name === 'w1' ? { ...member, admin: order.state ?? 'ready' } : undefined;
    },
    async reload() {
      return {
        errors: this.errors,
        overridden: ['workers/w1 drain'],
        changed: ['proxy.pools.workers.balance changed'],
      };
    },
    addMember: () => member,
    removeMember: () => undefined,
    sessions: async () => [],
    sources: () => [],
    closeSession: async () => false,
    setRecords: async (zone) => ({ zone, serial: 6 }),
    deleteRecords: async (zone) => ({ zone, serial: 6 }),
    refreshZone: () => undefined,
    notifyZone: () => ['[::1]:53'],
    flushCache: () => undefined,
    doctor: async () => ({ healthy: true, since: 0, findings: [], nodes: [], more: 0 }),
    doctorOf: async () => {
      throw new Error('nobody asks for a node here');
    },
    events: new EventStream(systemClock),
  };
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  json: unknown;
}

/** Sends one request to a listening endpoint as `startAdmin` names it. */
function send(
  endpoint: string,
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const to = parseEndpoint(endpoint);
  const place =
    to.kind === 'unix' ? { socketPath: to.path } : { host: /^\[?(.*?)\]?:\d+$/.exec(endpoint)![1]!, port: to.port };
  return new Promise((resolve, reject) => {
    const req = request({ ...place, path, method, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (chunk) => {
        text += chunk;
      });
      res.on('end', () => {
        const json = /json/.test(res.headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : undefined;
        resolve({ status: res.statusCode!, headers: res.headers, text, json });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

async function start(
  t: Test,
  listen: string[],
  options: { token?: string; source?: AdminSource; log?: MemoryLogger } = {},
) {
  const config = { listen: listen.map(parseEndpoint), tokenFile: undefined, token: options.token };
  const server = await startAdmin(config, options.source ?? fakeSource(), options.log ?? new MemoryLogger());
  t.teardown(() => server.close());
  return server;
}

const socket = (name: string) => `unix:${join(folder, name)}`;

// First: Node.js loads a module once a process.
t.test('probes are answered without what serves the rest, which requests at once wait for', async (t) => {
  const source = fakeSource();
  const { listening } = await start(t, [socket('probes')], { source });
  const hasFastify = () => Object.keys(createRequire(import.meta.url).cache).some((file) => /\/fastify\//.test(file));
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    t.equal((await send(listening[0]!, path)).status, 200, path);
    t.equal((await send(listening[0]!, path, { method: 'HEAD' })).status, 200, `HEAD ${path}`);
  }
  source.metrics = async () => {
    throw new Error('the hidden reason');
  };
  const fault = await send(listening[0]!, '/metrics');
  t.equal(fault.status, 500);
  t.match(fault.json, { detail: /a fault of v6edge/ });
  t.equal(hasFastify(), false);
  const answers = await Promise.all(
    ['/v1/status', '/v1/pools', '/readyz', '/nothing', '/readyz?x=1'].map((path) => send(listening[0]!, path)),
  );
  t.strictSame(
    answers.map(({ status }) => status),
    [200, 200, 200, 404, 400],
  );
  t.equal(hasFastify(), true);
});

t.test('a server that closes while a request waits for the rest of it', async (t) => {
  const server = await start(t, [socket('closing')]);
  const answer = send(server.listening[0]!, '/v1/status');
  await new Promise((resolve) => setImmediate(resolve));
  await server.close();
  // Answered, told that it ends, or not accepted any more: it does not hang.
  t.match(await answer.then(({ status }) => String(status)).catch(({ code }) => code), /^(200|503|E[A-Z]+)$/);
});

t.test('errors are problem details', async (t) => {
  const { listening } = await start(t, [socket('errors')]);
  const json = { 'content-type': 'application/json' };
  const memberPath = '/v1/pools/workers/members/w1';
  const cases: [name: string, path: string, options: Parameters<typeof send>[2], status: number, detail: RegExp][] = [
    ['no such path', '/v2', {}, 404, /there is no \/v2/],
    ['no such path, with a query that could be a secret', '/v2?token=x', {}, 404, /^there is no \/v2$/],
    ['a slash too many', '/v1/pools/', {}, 404, /there is no/],
    ['no such pool', '/v1/pools/x', {}, 404, /there is no pool "x"/],
    ['no such zone', '/v1/zones/b.test', {}, 404, /there is no zone "b.test"/],
    ['what is no zone name', '/v1/zones/a..b/records', {}, 404, /empty label/],
    ['records of no such zone', '/v1/zones/b.test/records', {}, 404, /there is no zone/],
    [
      'zone file of no such zone',
      '/v1/zones/b.test/records',
      { headers: { accept: 'text/dns' } },
      404,
      /there is no zone/,
    ],
    ['filter by no name', '/v1/zones/a.test/records?name=a..b', {}, 400, /name: .*empty label/],
    ['filter by two names', '/v1/zones/a.test/records?name=a&name=b', {}, 400, /name: one value/],
    ['filter by no type', '/v1/zones/a.test/records?type=AAAAA', {}, 400, /type: "AAAAA" is no DNS record type/],
    ['unknown query parameter', '/v1/zones?x=1', {}, 400, /unknown query parameter x/],
    ['zone file of a part', '/v1/zones/a.test/records?type=A', { headers: { accept: 'text/dns' } }, 400, /whole zone/],
    ['percent sign alone', '/v1/zones/%', {}, 400, /./],
    ['path parameter too long', `/v1/zones/${'a'.repeat(600)}`, {}, 414, /./],
    ['write to a reading path', '/v1/status', { method: 'POST', headers: json, body: '{}' }, 405, /allowed: GET, HEAD/],
    ['delete', '/v1/pools', { method: 'DELETE' }, 405, /DELETE is not possible here/],
    ['read of a writing path', '/v1/reload', {}, 405, /allowed: POST/],
    ['body that is no JSON', memberPath, { method: 'PATCH', headers: json, body: '{' }, 400, /./],
    [
      'body of another type',
      memberPath,
      { method: 'PATCH', headers: { 'content-type': 'text/plain' }, body: 'x' },
      415,
      /application\/json/,
    ],
    ['body too large', memberPath, { method: 'PATCH', headers: json, body: `"${'x'.repeat(70_000)}"` }, 413, /./],
    ['order that is a list', memberPath, { method: 'PATCH', headers: json, body: '[]' }, 400, /JSON object/i],
    ['empty order', memberPath, { method: 'PATCH', headers: json, body: '{}' }, 400, /state or weight/],
    [
      'unknown state',
      memberPath,
      { method: 'PATCH', headers: json, body: '{"state":"on"}' },
      400,
      /state: .*ready, drain, maint/,
    ],
    ['weight out of range', memberPath, { method: 'PATCH', headers: json, body: '{"weight":257}' }, 400, /0 to 256/],
    ['unknown key', memberPath, { method: 'PATCH', headers: json, body: '{"wait":1}' }, 400, /unknown: wait/],
    [
      'no such member',
      '/v1/pools/workers/members/x',
      { method: 'PATCH', headers: json, body: '{"weight":1}' },
      404,
      /no member "x" in pool "workers"/,
    ],
    [
      'a member of no such pool',
      '/v1/pools/others/members/x',
      { method: 'PATCH', headers: json, body: '{"weight":1}' },
      404,
      /^there is no pool "others"$/,
    ],
  ];
  for (const [name, path, options, status, detail] of cases) {
    const answer = await send(listening[0]!, path, options);
    t.equal(answer.status, status, name);
    t.equal(answer.headers['content-type'], 'application/problem+json', name);
    t.match(answer.json, { type: 'about:blank', title: String, status, detail }, name);
    if (status === 405) t.match(answer.headers.allow, /GET|POST/);
  }
});

t.test('a fault of ours shows nothing of itself, and stands in the log', async (t) => {
  const source = fakeSource();
  source.broken = true;
  const log = new MemoryLogger();
  const { listening } = await start(t, [socket('broken')], { source, log });
  const answer = await send(listening[0]!, '/v1/status');
  t.equal(answer.status, 500);
  t.notMatch(answer.text, /hidden reason/);
  t.match(log.lines, [{ level: 'error', fields: { err: { message: 'the hidden reason' } } }]);
});

t.test('bytes that are no HTTP', async (t) => {
  const { listening } = await start(t, [socket('bytes')]);
  const path = listening[0]!.slice(5);
  for (const [name, bytes, status] of [
    ['TLS', Buffer.from('160301020001', 'hex'), 400],
    ['headers without end', `GET / HTTP/1.1\r\nhost: x\r\n${'x: y\r\n'.repeat(10_000)}`, 431],
  ] as const) {
    const text = await new Promise<string>((resolve) => {
      let text = '';
      const client = connect(path, () => client.write(bytes));
      client.on('data', (chunk) => {
        text += chunk;
      });
      client.on('error', () => {});
      client.on('close', () => resolve(text));
    });
    t.match(text, new RegExp(`^HTTP/1.1 ${status} `), name);
    t.match(text, /application\/problem\+json/, name);
  }
  t.equal((await send(listening[0]!, '/healthz')).status, 200, 'and it goes on');
});

t.test('what each path answers', async (t) => {
  const source = fakeSource();
  const { listening } = await start(t, [socket('paths')], { source });
  const get = (path: string, headers = {}) => send(listening[0]!, path, { headers });
  t.strictSame((await get('/healthz')).json, { status: 'alive' });
  t.strictSame((await get('/readyz')).json, {
    status: 'ready',
    notes: ['dns64: upstreams synthesize'],
  });
  source.ready_ = false;
  t.match(await get('/readyz'), {
    status: 503,
    json: {
      status: 503,
      detail: /zone a.test is not loaded; \[::\]:80 is not bound/,
      waitingFor: ['zone a.test is not loaded', '[::]:80 is not bound'],
      notes: ['dns64: upstreams synthesize'],
    },
  });
  t.equal((await get('/healthz')).status, 200, 'not ready is still alive');
  t.match(await get('/metrics'), {
    text: '# HELP v6edge_x x\nv6edge_x 1\n',
    headers: { 'content-type': /^text\/plain; version=0.0.4/ },
  });
  t.match(await get('/v1/status'), {
    json: { version: '1', totals: { sessions: 3 } },
    headers: { 'content-type': /^application\/json/, 'cache-control': 'no-store' },
  });
  t.match((await get('/v1/pools')).json, [{ name: 'workers', members: [{ name: 'w1', active: 1 }] }]);
  t.match((await get('/v1/pools/workers')).json, { name: 'workers' });
  t.match((await get('/v1/zones')).json, [{ name: 'a.test', serial: 5 }]);
  t.match((await get('/v1/zones/A.Test.')).json, { name: 'a.test' });
  t.match((await get('/v1/zones/a.test/records?name=X.a.test.&type=type28')).json, [
    { name: 'x.a.test', data: ['192.0.2.1'] },
  ]);
  t.match(source.calls.pop(), { zone: 'a.test', name: 'x.a.test', type: 'AAAA', search: undefined });
  for (const [accept, type] of [
    ['text/dns', 'text/dns; charset=us-ascii'],
    ['text/dns, application/json;q=0.5', 'text/dns; charset=us-ascii'],
    ['application/json, text/dns;q=0.5', 'application/json; charset=utf-8'],
    ['text/dns;q=0', 'application/json; charset=utf-8'],
    ['*/*', 'application/json; charset=utf-8'],
  ] as const) {
    const answer = await get('/v1/zones/a.test/records', { accept });
    t.equal(answer.headers['content-type'], type, accept);
    if (type.startsWith('text')) t.equal(answer.text, '$ORIGIN a.test.\n');
  }
  t.match((await get('/v1/ra')).json, [{ interface: 'eth1', state: 'advertising', totals: { sentMulticast: 1 } }]);
  t.strictSame((await get('/v1/dns')).json, { upstreams: [], cache: {}, totals: {} });
  t.match(await send(listening[0]!, '/v1/status', { method: 'HEAD' }), { status: 200, text: '' });
});

t.test('orders', async (t) => {
  const source = fakeSource();
  const log = new MemoryLogger();
  const { listening } = await start(t, [socket('orders')], { source, log });
  const patch = {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: '{"state":"drain","weight":0}',
  };
  t.match(await send(listening[0]!, '/v1/pools/workers/members/w1', patch), {
    status: 200,
    json: { name: 'w1', admin: 'drain' },
  });
  t.strictSame(source.calls, [{ pool: 'workers', name: 'w1', state: 'drain', weight: 0 }]);
  t.match(await send(listening[0]!, '/v1/reload', { method: 'POST' }), {
    status: 200,
    json: { changed: ['proxy.pools.workers.balance changed'], overridden: ['workers/w1 drain'] },
  });
  source.errors = ['c.yaml:1:1: bad'];
  t.match(await send(listening[0]!, '/v1/reload', { method: 'POST' }), {
    status: 422,
    json: { errors: ['c.yaml:1:1: bad'] },
  });
  t.match(log.lines[0], {
    level: 'info',
    fields: { method: 'PATCH', path: '/v1/pools/workers/members/w1', status: 200 },
  });
});

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
