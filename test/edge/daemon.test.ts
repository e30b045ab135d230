/** The daemon as a process: how it starts, refuses to, stops, and comes back. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { open } from 'lmdb';
import t from 'tap';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';
import { dnsClient, dnsConfig, echoServer, proxyConfig, Session } from './daemon-session.ts';
import { aaaa } from './dns-client.ts';

/** A file as it is, for comparison. */
function contentOf(file: string): string {
  return statSync(file, { throwIfNoEntry: false }) === undefined ? 'none' : readFileSync(file, 'latin1');
}

t.test('a bad configuration: exit code 2, every problem on standard error', async (t) => {
  const home = new DaemonHome(t);
  home.configure('proxy: { listeners: [{ name: a, bind: ["nonsense"], pool: none }] }\nfrob: 1');
  const result = await home.spawn().exited;
  t.equal(result.code, 2);
  for (const problem of [/nonsense/, /frob/]) t.match(result.stderr, problem);
  t.equal(result.stdout, '');
});

t.test('what stands in the way of a start: exit code 1, a message that names it, nothing touched', async (t) => {
  const taken = createServer();
  taken.listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const tcp = (taken.address() as AddressInfo).port;
  const datagrams = createSocket('udp4');
  // Of a port that the kernel chooses, another program may have TCP: then the message names both.
  datagrams.bind(await freePort(), '127.0.0.1');
  await once(datagrams, 'listening');
  const udp = datagrams.address().port;
  t.teardown(() => {
    taken.close();
    datagrams.close();
  });
  const cases: [name: string, body: (home: DaemonHome) => string | Promise<string>, message: RegExp][] = [
    [
      'TCP port of another program',
      () => proxyConfig({ a: tcp }, { m: 1 }),
      new RegExp(`tcp 127.0.0.1:${tcp}: another process listens`),
    ],
    ['UDP port of another program', () => dnsConfig(udp), new RegExp(`udp 127.0.0.1:${udp}: another process listens`)],
    [
      'a store that is none',
      async (home) => {
        mkdirSync(join(home.stateDir, 'zones'), { recursive: true });
        writeFileSync(join(home.stateDir, 'zones/data.mdb'), 'not LMDB'.repeat(2000));
        return dnsConfig(await freePort());
      },
      /the zone store .* is damaged/,
    ],
    [
      'a store of a newer version',
      async (home) => {
        const path = join(home.stateDir, 'zones');
        mkdirSync(path, { recursive: true });
        const root = open({ path, noSubdir: false, maxDbs: 4 });
        for (const name of ['meta', 'records', 'journal']) {
          const table = root.openDB({ name, encoding: 'binary', keyEncoding: 'binary' });
          if (name === 'meta') await table.put(Buffer.from('format'), Buffer.from('999'));
        }
        await root.close();
        return dnsConfig(await freePort());
      },
      /has format "999", this version reads 1/,
    ],
  ];
  for (const [name, body, message] of cases) {
    await t.test(name, async (t) => {
      const home = new DaemonHome(t);
      home.configure(await body(home));
      const store = join(home.stateDir, 'zones/data.mdb');
      const before = contentOf(store);
      const daemon = home.spawn();
      const result = await daemon.exited;
      t.equal(result.code, 1, daemon.output);
      t.match(logged(daemon, /could not start/)[0]?.msg, message);
      t.ok(contentOf(store) === before, 'the store is as it was');
    });
  }
});

t.test('a second daemon on the same ports is refused, and takes nothing from the first', async (t) => {
  const home = new DaemonHome(t);
  const port = await freePort();
  const members = { m: await echoServer(t, 'm') };
  home.configure(proxyConfig({ a: port }, members));
  await home.start();
  const other = new DaemonHome(t);
  other.configure(proxyConfig({ a: port }, members));
  const result = await other.spawn().exited;
  t.equal(result.code, 1);
  t.match(result.stdout, `tcp 127.0.0.1:${port}: another process listens`);
  const same = await home.spawn().exited;
  t.equal(same.code, 1);
  t.match(same.stdout, /something listens there already/);
  for (let i = 0; i < 8; i++) await new Session(t, port).says('m:');
});

t.test(
  'SIGTERM: takes no more sessions, lets those there are end, exit code 0; the next start has the zone',
  async (t) => {
    const home = new DaemonHome(t);
    const [port, dnsPort] = [await freePort(), await freePort()];
    home.configure(`${proxyConfig({ a: port }, { m: await echoServer(t, 'm') })}\n${dnsConfig(dnsPort)}`);
    const daemon = await home.start();
    // The log is written with a delay.
    const [up] = await waitFor('the log', () => {
      const lines = logged(daemon, /^v6edge is up/);
      return lines.length > 0 && lines;
    });
    t.match(up!.msg, `proxy a on 127.0.0.1:${port}; DNS on 127.0.0.1:${dnsPort} with 1 zones`);
    const client = dnsClient(t, dnsPort);
    t.equal(await client.add('cluster.test', [aaaa('n1.cluster.test', 'fd00::1')]), RCODE.NOERROR);
    const session = new Session(t, port);
    await session.says('m:');
    daemon.kill('SIGTERM');
    // One signal that comes twice, as npm passes Ctrl-C on.
    daemon.kill('SIGTERM');
    await waitFor('the listener closed', async () => {
      const late = connect(port, '127.0.0.1');
      const refused = await new Promise((resolve) => {
        late.on('error', () => resolve(true)).on('connect', () => resolve(false));
      });
      late.destroy();
      return refused === true;
    });
    session.socket.write('still there?');
    await session.says('still there?');
    t.equal(daemon.result, undefined, 'waits for the session');
    t.equal((await home.api('GET', '/readyz')).status, 503, 'says that it is stopping');
    session.socket.end();
    const result = await daemon.exited;
    t.equal(result.code, 0, daemon.output);
    t.equal(logged(daemon, /^stopping/)[0]?.final, true);
    t.equal(logged(daemon, /^stopped/).length, 1);
    await home.start();
    t.equal((await client.query('n1.cluster.test', TYPE.AAAA))?.answers.length, 1);
  },
);

t.test('SIGTERM: a session that does not end is closed after hardStopAfter', async (t) => {
  const home = new DaemonHome(t);
  const port = await freePort();
  home.configure(proxyConfig({ a: port }, { m: await echoServer(t, 'm') }, '500ms'));
  const daemon = await home.start();
  const session = new Session(t, port);
  await session.says('m:');
  const started = performance.now();
  daemon.kill('SIGTERM');
  const result = await daemon.exited;
  t.equal(result.code, 0, daemon.output);
  const ms = performance.now() - started;
  t.ok(ms >= 450 && ms < 4_000, `${ms} ms`);
  await waitFor('the session closed', () => session.closed);
});

t.test('a second SIGTERM ends at once', async (t) => {
  const home = new DaemonHome(t);
  const port = await freePort();
  home.configure(proxyConfig({ a: port }, { m: await echoServer(t, 'm') }, '60s'));
  const daemon = await home.start();
  await new Session(t, port).says('m:');
  daemon.kill('SIGTERM');
  await waitFor('stopping', () => logged(daemon, /^stopping/).length > 0);
  await new Promise((resolve) => setTimeout(resolve, 700));
  daemon.kill('SIGTERM');
  const result = await daemon.exited;
  t.equal(result.code, 1);
});

t.test('SIGUSR2 ends in order without the farewell; a signal during the start is obeyed after it', async (t) => {
  const home = new DaemonHome(t);
  home.configure(proxyConfig({ a: await freePort() }, { m: 1 }));
  const daemon = home.spawn();
  await waitFor('the admin socket', () => statSync(home.socket, { throwIfNoEntry: false }) !== undefined, {
    everyMs: 2,
  });
  daemon.kill('SIGHUP');
  daemon.kill('SIGUSR2');
  const result = await daemon.exited;
  t.equal(result.code, 0, daemon.output);
  t.equal(logged(daemon, /^stopping/)[0]?.final, false);
});

t.test('what the admin API shows is what happened', async (t) => {
  const home = new DaemonHome(t);
  const [port, dnsPort] = [await freePort(), await freePort()];
  home.configure(`${proxyConfig({ a: port }, { m: await echoServer(t, 'm') })}\n${dnsConfig(dnsPort)}`);
  await home.start();
  const [{ serial }] = (await home.json('/v1/zones')) as [{ serial: number }];
  const client = dnsClient(t, dnsPort);
  const started = Date.now();
  t.equal(await client.add('cluster.test', [aaaa('n1.cluster.test', 'fd00::1')]), RCODE.NOERROR);
  t.equal((await client.query('n1.cluster.test', TYPE.AAAA))?.answers.length, 1);
  const session = new Session(t, port);
  session.socket.end('hello');
  await waitFor('the end of the session', () => session.closed);

  type Pools = [{ up: number; members: [{ name: string; active: number; totals: Record<string, number> }] }];
  const [{ up, members }] = await waitFor('the session in the counters', async () => {
    const pools = await home.json<Pools>('/v1/pools');
    return pools[0].members[0].active === 0 && pools;
  });
  t.equal(up, 1);
  t.match(members, [{ name: 'm', totals: { sessions: 1, bytesIn: 5, bytesOut: 'm:hello'.length } }]);

  const [zone] = (await home.json('/v1/zones')) as [{ serial: number; records: number; lastUpdate: number }];
  t.equal(zone.serial, serial + 1);
  t.equal(zone.records, 3, 'SOA, NS, AAAA');
  t.ok(zone.lastUpdate >= started && zone.lastUpdate <= Date.now());
  t.match(await home.json('/v1/zones/cluster.test/records?name=n1.cluster.test'), [
    { name: 'n1.cluster.test', type: 'AAAA', ttl: 60, data: ['fd00::1'] },
  ]);
  const file = await home.api('GET', '/v1/zones/cluster.test/records', { accept: 'text/dns' });
  t.match(file.body, /n1(\.cluster\.test\.)?\s+60\s+(IN\s+)?AAAA\s+fd00::1/);
  t.equal((await home.api('GET', '/v1/zones/none.test/records')).status, 404);

  const dns = await home.json<{ upstreams: unknown[]; totals: Record<string, number> }>('/v1/dns');
  t.strictSame(dns.upstreams, []);
  t.equal(dns.totals.queries_udp, 2, JSON.stringify(dns.totals));
  const status = await home.json<{ totals: Record<string, number>; threads: { state: string }[] }>('/v1/status');
  t.match(status.totals, { sessions: 1, sessionsNow: 0, bytesIn: 5, queries: 2, threadRestarts: 0 });
  t.strictSame(
    status.threads.map(({ state }) => state),
    ['running', 'running'],
  );
  const metrics = await home.metrics();
  t.equal(metrics.get('v6edge_proxy_sessions_total{listener="a"}'), 1);
  t.equal(metrics.get('v6edge_proxy_member_sessions_total{pool="p",member="m"}'), 1);
  t.equal(metrics.get('v6edge_proxy_member_up{pool="p",member="m"}'), 1);
  t.equal(metrics.get('v6edge_dns_zone_responses_total{zone="cluster.test",rcode="NOERROR"}'), 1);
  t.equal(metrics.get('v6edge_dns_questions_total{type="AAAA"}'), 1);
  t.equal(metrics.get('v6edge_dns_response_seconds_count{source="local"}'), 1);
  t.equal(metrics.get('v6edge_dns_response_seconds_bucket{source="local",le="+Inf"}'), 1);
  t.equal(metrics.get('v6edge_dns_queries_total{transport="udp"}'), 2);
  t.equal(metrics.get('v6edge_dns_handoffs_total'), 1);
  t.equal(metrics.get('v6edge_threads'), 2);
  t.equal(metrics.get('v6edge_thread_restarts_total'), 0);
  t.equal((await home.api('PATCH', '/v1/pools/p/members/none')).status, 400);
});

t.test('kill -9 right after an answer: the next start has what was acknowledged', async (t) => {
  const home = new DaemonHome(t);
  const dnsPort = await freePort();
  home.configure(dnsConfig(dnsPort));
  const daemon = await home.start();
  const client = dnsClient(t, dnsPort);
  t.equal(await client.add('cluster.test', [aaaa('n1.cluster.test', 'fd00::1')]), RCODE.NOERROR);
  daemon.kill('SIGKILL');
  await daemon.exited;
  await home.start();
  t.equal((await client.query('n1.cluster.test', TYPE.AAAA))?.answers.length, 1);
});
