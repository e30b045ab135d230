/** A running daemon that is changed by its admin API: members, sessions, records that make members, and what of it stays. */
import { once } from 'node:events';
import { get, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { PoolReport, SessionReport, SourceReport } from '../../src/edge/admin/source.ts';
import { exec, waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';

const program = join(import.meta.dirname, '../../bin/v6edge');

/** Says its name to each client and keeps the connection. */
async function nameServer(t: Test, name: string): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    socket.write(name);
  });
  server.listen(0, '::1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function change(
  home: DaemonHome,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; json: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; json: unknown }>();
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const call = request({ socketPath: home.socket, method, path, headers }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode!, json: JSON.parse(text) }));
  });
  call.on('error', reject);
  call.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

/** What the first bytes through a listener say; empty when the connection ends without any. */
function answer(t: Test, port: number): Promise<{ text: string; socket: Socket }> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.once('data', (data) => resolve({ text: data.toString(), socket }));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve({ text: '', socket }));
  });
}

t.test('members, sessions, records: changed by API, and there after a restart', async (t) => {
  const [one, two] = await Promise.all([nameServer(t, 'one'), nameServer(t, 'two')]);
  const [static_, found, dns] = [await freePort(), await freePort(), await freePort('::1')];
  const home = new DaemonHome(t);
  const check = 'check: { type: tcp, interval: 500ms, timeout: 400ms }';
  home.configure(`proxy:
  listeners:
    - { name: static, bind: ["127.0.0.1:${static_}"], pool: static, rate: { perSource: 1000, window: 1h } }
    - { name: found, bind: ["127.0.0.1:${found}"], pool: found }
  pools:
    static: { ${check}, members: [{ name: one, address: "::1", port: ${one} }] }
    found: { ${check}, discover: { srv: _s._tcp.a.test } }
dns:
  listen: ["[::1]:${dns}"]
  zones: [{ name: a.test, ns: [ns.a.test] }]`);
  let daemon = await home.start();
  let events = '';
  get({ socketPath: home.socket, path: '/v1/events' }, (response) => {
    response
      .on('error', () => undefined)
      .setEncoding('utf8')
      .on('data', (chunk) => {
        events += chunk;
      });
  }).on('error', () => undefined);
  await waitFor('the event stream', () => events.includes('retry'), { everyMs: 5 });

  // A record makes a member.
  t.equal((await answer(t, found)).text, '', 'no member yet');
  const records = '/v1/zones/a.test/records';
  t.equal((await change(home, 'PUT', `${records}/two.a.test/AAAA`, { ttl: 60, data: ['::1'] })).status, 200);
  const service = { ttl: 60, data: [`0 1 ${two} two.a.test`] };
  t.match(await change(home, 'PUT', `${records}/_s._tcp.a.test/SRV`, service), {
    status: 200,
    json: { zone: 'a.test' },
  });

  // Each change says which version it made, for the next.
  const host = `${records}/host.a.test/AAAA`;
  const put = (data: string[], ifMatch?: string) =>
    home.api('PUT', host, ifMatch === undefined ? {} : { 'if-match': ifMatch }, { ttl: '5m', data });
  const made = await put(['fd00::6', 'fd00::5']);
  t.match(made, { status: 200, etag: /^"[\w-]{16}"$/ });
  t.equal((await home.api('GET', host)).etag, made.etag, 'as GET has it');
  const next = await put(['fd00::7'], made.etag);
  t.match(next, { status: 200, etag: /^"[\w-]{16}"$/ });
  t.match(await put(['fd00::8'], made.etag), { status: 412, etag: undefined }, 'the version before');
  t.equal((await home.api('GET', host)).etag, next.etag);
  for (const data of [['FD00::9'], ['fd00::9', 'fd00::9']]) {
    t.match(await put(data), { status: 200, etag: undefined }, `not kept as it was sent: ${data} (RFC 9110 §9.3.4)`);
  }

  await waitFor('the member of the record', async () => (await answer(t, found)).text === 'two', { everyMs: 20 });
  const [, pool] = await home.json<PoolReport[]>('/v1/pools');
  t.match(pool, {
    discovery: { name: '_s._tcp.a.test', members: 1 },
    members: [{ name: 'two.a.test', origin: 'discovered' }],
  });

  // Sessions of all threads have names of their own.
  const held = await Promise.all(Array.from({ length: 6 }, () => answer(t, static_)));
  const sessions = await home.json<SessionReport[]>('/v1/sessions?pool=static');
  t.equal(sessions.length, 6);
  const counted = { listener: 'static', client: '127.0.0.1', sessions: 6, refused: 0 };
  t.match(await home.json<SourceReport[]>('/v1/sources?listener=static'), [counted]);
  t.strictSame(await home.json<SourceReport[]>('/v1/sources?refused=true'), []);
  t.strictSame(await home.json<SourceReport[]>('/v1/sources?listener=found'), []);
  t.strictSame(await home.json<SourceReport[]>('/v1/sources?offset=1'), []);
  const table = await exec([program, 'sources', '--api', `unix:${home.socket}`]);
  t.match(table.stdout, /LISTENER +CLIENT +SESSIONS .*\nstatic +127\.0\.0\.1 +6 /, table.stderr);
  t.equal(new Set(sessions.map(({ id }) => id)).size, 6);
  t.match(sessions[0], { member: 'one', state: 'relaying', bytesOut: 3 });
  for (const { ageMs, idleMs } of sessions) t.ok(idleMs >= 0 && idleMs <= ageMs, `idle for ${idleMs} of ${ageMs} ms`);
  const list = await exec([program, 'sessions', '--api', `unix:${home.socket}`]);
  t.match(list.stdout, /STATE +AGE +IDLE +IN +OUT\n.* relaying +(\d+s) +(\d+s) +0 +3\n/, list.stderr);
  const port = (held[0]!.socket.address() as AddressInfo).port;
  const mine = sessions.find(({ client }) => client.endsWith(`:${port}`))!;
  const cli = await exec([program, 'sessions', '--end', mine.id, '--api', `unix:${home.socket}`]);
  t.equal(cli.stdout, `${mine.id}: ended\n`, cli.stderr);
  await waitFor('its end', () => held[0]!.socket.closed, { everyMs: 5 });
  t.equal((await change(home, 'DELETE', `/v1/sessions/${mine.id}`)).status, 404);
  t.notOk(held[1]!.socket.closed, 'the others go on');
  await waitFor('its line', () => logged(daemon, /^session$/).some(({ id }) => id === mine.id), { everyMs: 5 });

  // A member more, a member less: it drains, and its sessions go on.
  const more = { name: 'more', address: '::1', port: two };
  t.equal((await change(home, 'POST', '/v1/pools/static/members', more)).status, 201);
  t.equal((await change(home, 'POST', '/v1/pools/static/members', more)).status, 409);
  const names = async () =>
    (await home.json<PoolReport>('/v1/pools/static')).members.map((m) => `${m.name} ${m.state}`);
  await waitFor('the new member', async () => (await names()).includes('more up'), { everyMs: 20 });
  t.match(await change(home, 'DELETE', '/v1/pools/static/members/one'), { status: 202, json: { removed: false } });
  t.strictSame(await names(), ['one drain', 'more up']);
  t.equal((await answer(t, static_)).text, 'two');
  t.notOk(held[1]!.socket.closed);
  t.equal((await change(home, 'PATCH', '/v1/pools/static/members/more', { weight: 9 })).status, 200);
  t.equal((await change(home, 'POST', '/v1/reload')).status, 200);
  t.equal((await answer(t, static_)).text, 'two', 'a reload leaves it so');

  // By force, with its sessions.
  const victim = await answer(t, static_);
  t.match(await change(home, 'DELETE', '/v1/pools/static/members/more?force=true'), { json: { removed: true } });
  await waitFor('the end of its session', () => victim.socket.closed, { everyMs: 5 });
  t.equal((await change(home, 'POST', '/v1/pools/static/members', { ...more, weight: 9 })).status, 201);
  await waitFor('it is back', async () => (await names()).includes('more up'), { everyMs: 20 });

  await waitFor('all events', () => /reload/.test(events), { everyMs: 5 });
  t.match(events, /event: zone-updated\ndata: \{[^\n]*"changed":\["_s\._tcp\.a\.test SRV"\]/);
  t.match(events, /event: member\ndata: \{[^\n]*"member":"two\.a\.test","from":"unknown","to":"up"/);
  t.match(events, /event: member\ndata: \{[^\n]*"member":"one","from":"up","to":"drain"/);

  for (const { socket } of held) socket.destroy();
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    daemon.kill(signal);
    await daemon.exited;
    daemon = await home.start();
    t.strictSame(await names(), ['more up'], `after ${signal}`);
    t.match(await home.json<PoolReport>('/v1/pools/static'), { members: [{ weight: 9, origin: 'api' }] });
    t.equal((await answer(t, static_)).text, 'two', 'at once');
    t.equal((await answer(t, found)).text, 'two', 'the discovered one, too');
  }
  t.equal((await change(home, 'DELETE', `${records}/_s._tcp.a.test`)).status, 200);
  await waitFor('the end of the member', async () => (await answer(t, found)).text === '', { everyMs: 20 });
});
