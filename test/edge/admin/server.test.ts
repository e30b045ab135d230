import { createRequire } from 'node:module';
import { connect } from 'node:net';
import t from 'tap';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { fakeSource, send, socket, start } from './admin-server.ts';

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
    [
      'unknown query parameter that every object has',
      '/v1/zones?toString=1',
      {},
      400,
      /unknown query parameter toString/,
    ],
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
