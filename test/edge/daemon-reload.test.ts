/** The daemon as a process: what a reload changes, and what it leaves. */
import t from 'tap';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';
import { dnsClient, dnsConfig, echoServer, proxyConfig, Session } from './daemon-session.ts';
import { aaaa } from './dns-client.ts';

t.test('reload: a good file takes effect, sessions of what stays go on', async (t) => {
  const home = new DaemonHome(t);
  const [stays, goes, comes, dnsPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const m1 = await echoServer(t, 'm1');
  const m2 = await echoServer(t, 'm2');
  home.configure(proxyConfig({ stays, goes }, { m1 }));
  const daemon = await home.start();
  const session = new Session(t, stays);
  await session.says('m1:');

  home.configure(`${proxyConfig({ stays, comes }, { m1, m2 })}\n${dnsConfig(dnsPort)}`);
  daemon.kill('SIGHUP');
  await waitFor('the reload', () => logged(daemon, /^configuration reloaded/).length === 1);
  const client = dnsClient(t, dnsPort);
  await waitFor('DNS switched on', async () => (await client.query('cluster.test', TYPE.SOA, 200))?.rcode === 0);
  t.equal(await client.add('cluster.test', [aaaa('n1.cluster.test', 'fd00::1')]), RCODE.NOERROR);
  const names = new Set<string>();
  await waitFor('both members', async () => {
    const one = new Session(t, comes);
    await one.says(':');
    names.add(one.text);
    one.socket.destroy();
    return names.size === 2;
  });
  const status = await home.json<{ listeners: { endpoint: string }[] }>('/v1/status');
  const endpoints = status.listeners.map(({ endpoint }) => endpoint);
  t.ok(endpoints.includes(`127.0.0.1:${comes}`) && !endpoints.includes(`127.0.0.1:${goes}`), endpoints.join());
  session.socket.write('go on');
  await session.says('go on');

  home.configure(`${proxyConfig({ stays }, { m1, m2 })}\n${dnsConfig(dnsPort, ['other.test', 'cluster.test'])}`);
  t.strictSame((await home.api('POST', '/v1/reload')).status, 200);
  await waitFor('the new zone', async () => (await client.query('other.test', TYPE.SOA, 200))?.rcode === 0);
  t.equal(
    (await client.query('n1.cluster.test', TYPE.AAAA))?.answers.length,
    1,
    'the zone that stays keeps its records',
  );

  home.configure(proxyConfig({ stays }, { m1 }));
  t.strictSame((await home.api('POST', '/v1/reload')).status, 200);
  t.equal(await client.query('cluster.test', TYPE.SOA, 300), undefined, 'DNS switched off');
  t.strictSame(await home.json('/v1/zones'), []);
  t.ok(await home.isReady());
  session.socket.write('and on');
  await session.says('and on');
  session.socket.destroy();
});

t.test('reload: a file with errors, or a port of another program, changes nothing', async (t) => {
  const home = new DaemonHome(t);
  const [port, dnsPort] = [await freePort(), await freePort()];
  const m1 = await echoServer(t, 'm1');
  const good = `${proxyConfig({ a: port }, { m1 })}\n${dnsConfig(dnsPort)}`;
  home.configure(good);
  const daemon = await home.start();
  const before = await home.json<{ listeners: unknown }>('/v1/status');
  home.configure(`${proxyConfig({ a: port, b: await freePort() }, {})}\nfrob: 1`);
  daemon.kill('SIGHUP');
  await waitFor('errors in the log', () => logged(daemon, /has errors: nothing is changed/).length === 1);
  const answer = await home.api('POST', '/v1/reload');
  t.equal(answer.status, 422);
  t.match(answer.body, /frob/);
  const other = await echoServer(t, 'other');
  home.configure(`${proxyConfig({ a: port, b: other }, { m1 })}\n${dnsConfig(dnsPort, ['other.test'])}`);
  const taken = await home.api('POST', '/v1/reload');
  t.equal(taken.status, 422);
  t.match(taken.body, /another process listens there/);
  t.strictSame((await home.json<{ listeners: unknown }>('/v1/status')).listeners, before.listeners);
  t.match(await home.json('/v1/zones'), [{ name: 'cluster.test' }]);
  await new Session(t, port).says('m1:');
});
