/** Pools that give nobody a member, for whatever reason: clients are turned away, and everything that tells of pools says so. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { exec, waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';

t.test('every member has weight 0, or there is none', async (t) => {
  const server = createServer((socket) => socket.end('served')).listen(0);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const home = new DaemonHome(t);
  const [listener, bare] = [await freePort(), await freePort()];
  home.configure(`proxy:
  listeners:
    - { name: front, bind: ["127.0.0.1:${listener}"], pool: web }
    - { name: bare, bind: ["127.0.0.1:${bare}"], pool: bare }
  pools:
    web:
      check: none
      members:
        - { name: m1, address: 127.0.0.1, port: ${port} }
        - { name: m2, address: 127.0.0.2, port: ${port} }
    bare: {}`);
  const daemon = await home.start();
  const cli = (...argv: string[]) =>
    exec(['bin/v6edge', ...argv, '--api', `unix:${home.socket}`], { env: { NODE_OPTIONS: '' } });
  const up = async () => (await home.json<{ up: number }>('/v1/pools/web')).up;
  const fetched = async () => (await exec(['curl', '-s', '--http0.9', `http://127.0.0.1:${listener}/`])).stdout;
  const gauges = async () => {
    const metrics = await home.metrics();
    const member = (name: string) => metrics.get(`v6edge_proxy_member_up{pool="web",member="${name}"}`);
    const pool = (name: string) => metrics.get(`v6edge_proxy_pool_members_up{pool="${name}"}`);
    return [member('m1'), member('m2'), pool('web'), pool('bare')];
  };

  t.strictSame([await up(), await gauges(), await fetched()], [2, [1, 1, 2, 0], 'served']);
  const metrics = await home.metrics();
  for (const [name, value] of [
    ['check_failures_total', 0],
    ['downs_total', 0],
    ['down_seconds_total', 0],
    ['check_seconds', 0],
    ['weight', 100],
    ['max_connections', 0],
  ] as const) {
    t.equal(metrics.get(`v6edge_proxy_member_${name}{pool="web",member="m1"}`), value, name);
  }
  t.match((await cli('member', 'web', 'm1', '--weight', '0')).stdout, /weight 0\n/);
  t.strictSame([await up(), await gauges(), await fetched()], [1, [0, 1, 1, 0], 'served']);
  t.match((await cli('status')).stdout, /web: 1 of 2 up, 0 sessions \(m1 weight 0\)\n/);
  await cli('member', 'web', 'm2', '--weight', '0');
  t.strictSame([await up(), await gauges(), await fetched()], [0, [0, 0, 0, 0], '']);
  const empty = 'pool has no member that takes sessions: clients are turned away';
  await waitFor('the line in the log', () => logged(daemon, /^pool /).length > 0);
  t.match(logged(daemon, /^pool /), [
    { level: 'error', pool: 'web', msg: empty, reason: 'm1 has weight 0; m2 has weight 0' },
  ]);
  const status = (await cli('status')).stdout;
  t.match(status, /\n {2}pool web: no member takes sessions: every one that is up has weight 0\n/);
  t.match(status, /\n {2}pool bare: it has no members\n/);
  t.match(status, /web: 0 of 2 up, 0 sessions \(m1 weight 0, m2 weight 0\)\n/);
  const doctor = (await cli('doctor')).stdout;
  t.match(doctor, /no member of pool web takes sessions: m1 has weight 0; m2 has weight 0\n/);
  t.match(doctor, /no member of pool bare takes sessions: it has none\n/);
});
