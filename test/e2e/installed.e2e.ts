/**
 * The package on a bare Debian with systemd, from `apt install` to `apt purge`, in the order of an edge host's life. Proxy, DNS and
 * router advertisements are used from outside of the container. `npm run test:e2e`; needs root.
 */
import { join } from 'node:path';
import t from 'tap';
import { exec, mustExec, waitFor } from '../lab/process.ts';
import { inNamespace, ip } from '../linux/netns.ts';
import { ownFolder } from '../own-folder.ts';
import { Container } from './container.ts';
import { newerPackage, packageFile } from './debs.ts';
import { tryDropIns } from './drop-ins.ts';
import { Backend, Load } from './load.ts';

const edge = 'fd00:6:6::1';
const node = 'fd00:6:6::21';
const key = { name: 'node-key', secret: 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==' };

const configuration = (more = '') => `workers: 2
admin: { listen: ["unix:/run/v6edge/admin.sock", "[::1]:8653"] }
proxy:
  listeners:
    - { name: http, bind: ["[::]:80", "0.0.0.0:80"], pool: workers }
${more}
  pools:
    workers:
      proxyProtocol: v2
      check: { type: tcp, interval: 500ms }
      members: [{ name: one, address: "${node}", port: 8080 }]
dns:
  listen: ["[${edge}]:53"]
  allow: ["fd00:6:6::/64"]
  keys: { ${key.name}: { file: keys/${key.name}.key } }
  zones:
    - name: cluster.test
      ns: [edge.cluster.test]
      update: [{ key: ${key.name}, match: subdomain, types: [AAAA] }]
ra:
  - { interface: prv0, prefixes: [{ prefix: "fd00:6:6::/64" }], rdnss: { servers: ["${edge}"] } }
`;

if (inNamespace(t, import.meta.filename)) {
  const folder = ownFolder(t, 'v6edge-e2e-');
  const deb = await packageFile(folder);
  const newer = await newerPackage(deb, folder);
  const box = await Container.boot(t);
  const backend = new Backend();
  t.teardown(() => backend.close());

  const systemctl = (...args: string[]) => box.must(['systemctl', ...args], { timeoutMs: 90_000 });
  const property = async (name: string) => (await systemctl('show', 'v6edge', '--value', '-p', name)).trim();
  const api = async (path: string) => {
    const socket = ['--unix-socket', '/run/v6edge/admin.sock'];
    return JSON.parse(await box.must(['curl', '-sS', '--max-time', '5', ...socket, `http://localhost${path}`]));
  };
  const isReady = async () => {
    const socket = ['--unix-socket', '/run/v6edge/admin.sock'];
    return (await box.exec(['curl', '-sf', '--max-time', '1', ...socket, 'http://localhost/readyz'])).code === 0;
  };
  const ready = () => waitFor('readiness', isReady, { timeoutMs: 30_000, why: () => box.console });
  const digNow = (name: string) => exec(['dig', '+short', '+time=1', '+tries=1', `@${edge}`, name, 'AAAA']);
  const dig = async (name: string) => (await mustExec(['dig', '+short', '+time=5', `@${edge}`, name, 'AAAA'])).trim();
  const update = async (host: string, address: string) => {
    const words = [
      `server ${edge}`,
      'zone cluster.test',
      `update add ${host}.cluster.test 300 AAAA ${address}`,
      'send',
      '',
    ];
    await mustExec(['nsupdate', '-y', `hmac-sha256:${key.name}:${key.secret}`], { input: words.join('\n') });
  };
  /** Sends the daemon what ends it sooner or later; resolves to the milliseconds until a client gets an answer of a new one. */
  const recovery = async (signal: string): Promise<number> => {
    const before = await property('MainPID');
    const from = performance.now();
    await box.must(['kill', '-s', signal, before]);
    await waitFor('another daemon', async () => !['0', before].includes(await property('MainPID')), {
      timeoutMs: 40_000,
      everyMs: 10,
    });
    await waitFor('an answer', async () => (await backend.ask(edge)) !== undefined, { timeoutMs: 40_000, everyMs: 5 });
    await waitFor('a DNS answer', async () => (await digNow('edge.cluster.test')).code === 0, { everyMs: 5 });
    return performance.now() - from;
  };

  await t.test('apt install: enabled, not started, nothing readable by others', async (t) => {
    box.write('/root/v6edge.deb', await deb.bytes());
    const output = await box.must(['apt-get', 'install', '-y', '/root/v6edge.deb'], { timeoutMs: 120_000 });
    t.match(output, /edit \/etc\/v6edge\/v6edge\.yaml, then: v6edge check && systemctl start v6edge/);
    t.equal((await box.exec(['systemctl', 'is-enabled', 'v6edge'])).stdout, 'enabled\n');
    t.equal((await box.exec(['systemctl', 'is-active', 'v6edge'])).stdout, 'inactive\n');
    t.match(await box.must(['v6edge', 'version']), `v6edge ${deb.version} (Node.js 24.`);
    const stat = await box.must([
      'stat',
      '-c',
      '%a %U:%G %n',
      '/etc/v6edge',
      '/etc/v6edge/keys',
      '/etc/v6edge/v6edge.yaml',
    ]);
    t.equal(
      stat,
      '750 root:v6edge /etc/v6edge\n750 root:v6edge /etc/v6edge/keys\n640 root:v6edge /etc/v6edge/v6edge.yaml\n',
    );
    t.match(await box.must(['man', '-w', 'v6edge', 'v6edge.yaml']), /man1\/v6edge.*\n.*man5\/v6edge\.yaml/s);
  });

  await t.test('what was installed starts as it is, and does nothing', async (t) => {
    await systemctl('start', 'v6edge');
    t.match(await box.must(['v6edge', 'status']), /v6edge/);
    await systemctl('stop', 'v6edge');
    t.equal(await property('Result'), 'success');
  });

  await t.test('one file edited, started; the private interface comes later', async (t) => {
    box.write('/tmp/node.key', `key "${key.name}" { algorithm hmac-sha256; secret "${key.secret}"; };\n`);
    await box.must(['install', '-g', 'v6edge', '-m', '0640', '/tmp/node.key', `/etc/v6edge/keys/${key.name}.key`]);
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration() });
    await box.must(['v6edge', 'check']);
    await systemctl('start', 'v6edge');
    t.equal(await isReady(), false, 'not ready without its interface');
    await box.attach('nodes', 'prv0');
    ip(`addr add ${node}/64 dev nodes nodad`);
    ip('addr add 198.51.100.100/24 dev nodes');
    await box.must(['ip', 'addr', 'add', `${edge}/64`, 'dev', 'prv0', 'nodad']);
    await box.must(['ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'prv0']);
    await box.must(['ip', 'link', 'set', 'prv0', 'up']);
    await ready();
    await backend.listen(node, 8080);
    await waitFor('the backend to be up', async () => (await api('/v1/pools/workers')).members[0].state === 'up');
  });

  await t.test('curl of backends and zone records by the socket', async (t) => {
    t.match(await api('/v1/pools'), [{ name: 'workers', members: [{ name: 'one', address: node }] }]);
    t.match(JSON.stringify(await api('/v1/zones/cluster.test/records')), /edge\.cluster\.test/);
    t.match(await box.must(['v6edge', 'pools']), /one/);
  });

  await t.test('proxy, DNS and router advertisements from outside', async (t) => {
    t.match(await backend.ask(edge), { family: 'IPv6', source: /^fd00:6:6:/ });
    t.match(await backend.ask('198.51.100.1'), { family: 'IPv4', source: '198.51.100.100' });
    await update('node1', 'fd00:6:6::31');
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31');
    const advertisement = await mustExec(['rdisc6', '-1', 'nodes']);
    t.match(advertisement, /Prefix\s+: fd00:6:6::\/64/);
    t.match(advertisement, /Recursive DNS server\s+: fd00:6:6::1/);
  });

  await t.test('it runs as v6edge with two capabilities, and systemd finds little to say', async (t) => {
    const status = await box.must(['sh', '-c', 'cat /proc/$(systemctl show v6edge --value -p MainPID)/status']);
    // CAP_NET_BIND_SERVICE is 10, CAP_NET_RAW 13 (capabilities(7)).
    for (const set of ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb']) t.match(status, new RegExp(`^${set}:\\t0*2400$`, 'm'));
    t.match(status, /^NoNewPrivs:\t1$/m);
    t.match(status, /^Seccomp:\t2$/m);
    const report = await box.must(['systemd-analyze', 'security', '--no-pager', 'v6edge.service']);
    const level = Number(/exposure level for v6edge\.service: ([\d.]+)/.exec(report)?.[1]);
    t.comment(`systemd-analyze security: ${level}`);
    t.ok(level <= 1.5, 'at most 1.5', { report });
    t.equal(await box.must(['stat', '-c', '%a %U:%G', '/run/v6edge/admin.sock']), '660 v6edge:v6edge\n');
  });

  await t.test('the journal has levels, and no secrets', async (t) => {
    const lines = (await box.must(['journalctl', '-u', 'v6edge', '-o', 'json', '--no-pager'])).trim().split('\n');
    const own = lines.map((line) => JSON.parse(line)).filter(({ MESSAGE }) => /^\{"level"/.test(MESSAGE));
    t.ok(own.length > 3, `${own.length} lines`);
    const priority: Record<string, string> = { error: '3', warn: '4', info: '6', debug: '7' };
    t.strictSame(
      own.filter(({ MESSAGE, PRIORITY }) => PRIORITY !== priority[JSON.parse(MESSAGE).level]),
      [],
    );
    t.ok(
      own.some(({ PRIORITY }) => PRIORITY === '4'),
      'it warned, of the interface that was not there',
    );
    t.notMatch(lines.join('\n'), key.secret);
  });

  await t.test('systemctl reload', async (t) => {
    const pid = await property('MainPID');
    const listener = '    - { name: more, bind: ["[::]:8081"], pool: workers }';
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration(listener) });
    await systemctl('reload', 'v6edge');
    await waitFor('the new listener', async () => (await backend.ask(edge, 8081)) !== undefined);
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], {
      input: configuration('    - { name: more, bind: ["nonsense"] }'),
    });
    const bad = await box.exec(['systemctl', 'reload', 'v6edge']);
    t.not(bad.code, 0, 'a reload with errors fails');
    t.match(await box.journal('-u', 'v6edge', '-n', '20'), /v6edge\.yaml:\d+:\d+: proxy\.listeners\[1\]/);
    t.ok(await backend.ask(edge, 8081), 'and changes nothing');
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration() });
    await systemctl('reload', 'v6edge');
    t.equal(await property('MainPID'), pid);
    t.equal(await property('ActiveState'), 'active');
  });

  await t.test('a hook runs in the sandbox, as v6edge and with no capability', async (t) => {
    const script = '/etc/v6edge/hooks/notify';
    const told = '/var/lib/v6edge/told';
    const body = `#!/bin/sh\n{ echo "$V6EDGE_MEMBER $V6EDGE_TO"; id -un; grep ^Cap.*: /proc/$$/status; ls /proc/$$/fd; echo no >/etc/no; } >${told}\n`;
    await box.must(['mkdir', '-p', '/etc/v6edge/hooks']);
    await box.must(['tee', script], { input: body });
    const configured = `hooks: [{ exec: [${script}], events: [member] }]\n${configuration()}`;
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configured });
    t.not((await box.exec(['systemctl', 'reload', 'v6edge'])).code, 0, 'not to be run: the reload fails');
    t.match(await box.journal('-u', 'v6edge', '-n', '20'), /notify cannot be run by user id \d+: it lacks the right/);
    await box.must(['chmod', '755', script]);
    await systemctl('reload', 'v6edge');
    await box.must(['v6edge', 'member', 'workers', 'one', '--state', 'drain']);
    const read = async () => (await box.exec(['cat', told])).stdout.split('\n');
    await waitFor('the hook', async () => (await read()).length > 8, { why: () => box.console });
    const lines = await read();
    t.strictSame(lines.slice(0, 2), ['one drain', 'v6edge']);
    const sets = lines.filter((line) => /^Cap(Prm|Eff|Amb):/.test(line));
    t.strictSame(sets.length, 3);
    for (const line of sets) t.match(line, /:\s+0+$/);
    t.strictSame(lines.filter((line) => /^\d$/.test(line)).sort(), ['0', '1', '2'], 'no descriptor of ours');
    await waitFor('what failed', async () =>
      /cannot create \/etc\/no: .*"msg":"a hook was not told of an event/.test(
        await box.journal('-u', 'v6edge', '-n', '20'),
      ),
    );
    await box.must(['v6edge', 'member', 'workers', 'one', '--state', 'ready']);
    await box.must(['rm', '-r', '/etc/v6edge/hooks', told]);
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration() });
    await systemctl('reload', 'v6edge');
  });

  await t.test('systemctl restart under load: nobody is refused, no query is lost or asked twice', async (t) => {
    const load = new Load(t, backend, edge);
    await load.served(200);
    for (let restart = 0; restart < 3; restart++) {
      const before = await property('MainPID');
      await systemctl('restart', 'v6edge');
      t.not(await property('MainPID'), before);
      await load.served(100);
    }
    const seen = await load.stop();
    t.comment(JSON.stringify(seen));
    t.match(seen.connections, { failed: 0, reasons: {} });
    t.match(seen.queries, { retried: 0, lost: 0 });
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31', 'what was updated is still there');
  });

  await t.test('kill -9: back and serving within 2 s', async (t) => {
    const times: number[] = [];
    for (let kill = 0; kill < 3; kill++) {
      times.push(await recovery('KILL'));
    }
    t.comment(`back after ${times.map(Math.round)} ms`);
    t.ok(times.sort((a, b) => a - b)[1]! <= 2_000, `${times}`);
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31');
  });

  await t.test('a data thread that hangs: the watchdog notices, another daemon serves', async (t) => {
    box.write('/opt/fault/fault.mts', await mustExec(['cat', join(import.meta.dirname, '../edge/fault.ts')]));
    const dropIn = '[Service]\nWatchdogSec=2s\nEnvironment=NODE_OPTIONS=--import=/opt/fault/fault.mts\n';
    box.write('/etc/systemd/system/v6edge.service.d/fault.conf', dropIn);
    await systemctl('daemon-reload');
    await systemctl('restart', 'v6edge');
    await ready();
    const restarts = Number(await property('NRestarts'));
    const took = await recovery('URG');
    t.comment(`another daemon serves ${Math.round(took)} ms after the thread hung`);
    t.match(await box.journal('-u', 'v6edge'), /Watchdog timeout/);
    t.equal(Number(await property('NRestarts')), restarts + 1);
    await box.must(['rm', '-r', '/etc/systemd/system/v6edge.service.d']);
    await systemctl('daemon-reload');
    await systemctl('restart', 'v6edge');
    await ready();
  });

  await t.test('the drop-ins of docs/install.md', (t) =>
    tryDropIns(t, box, { configuration: configuration(), link: 'nodes', systemctl, ready }),
  );

  await t.test('a socket unit: connections wait for a daemon that is not there', async (t) => {
    await systemctl('stop', 'v6edge');
    t.equal(await backend.ask(edge).catch((error: NodeJS.ErrnoException) => error.code), 'ECONNREFUSED');
    box.write('/etc/systemd/system/v6edge.socket.d/ports.conf', '[Socket]\nListenStream=\nListenStream=80\n');
    await systemctl('daemon-reload');
    await systemctl('start', 'v6edge.socket');
    t.ok(await backend.ask(edge), 'the connection starts it and is served');
    await systemctl('stop', 'v6edge.socket', 'v6edge');
    await systemctl('start', 'v6edge');
    await ready();
  });

  await t.test('an upgrade keeps configuration and state, and refuses nobody', async (t) => {
    const before = await box.must(['cat', '/etc/v6edge/v6edge.yaml']);
    const load = new Load(t, backend, edge);
    await load.served(100);
    box.write('/root/newer.deb', await newer.bytes());
    await box.must(['apt-get', 'install', '-y', '/root/newer.deb'], { timeoutMs: 120_000 });
    await ready();
    await load.served(100);
    const seen = await load.stop();
    t.comment(JSON.stringify(seen));
    t.match(seen.connections, { failed: 0, reasons: {} });
    t.match(seen.queries, { retried: 0, lost: 0 });
    t.match(await api('/v1/status'), { version: newer.version });
    t.equal(await box.must(['cat', '/etc/v6edge/v6edge.yaml']), before);
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31');
  });

  await t.test('a configuration that the new version does not take: the old one runs on', async (t) => {
    const good = await box.must(['cat', '/etc/v6edge/v6edge.yaml']);
    const pid = await property('MainPID');
    await box.must(['tee', '-a', '/etc/v6edge/v6edge.yaml'], { input: 'nonsense: 1\n' });
    const result = await box.exec(['dpkg', '-i', '/root/newer.deb'], { timeoutMs: 120_000 });
    t.equal(result.code, 0);
    t.match(result.stderr, /v6edge\.yaml:\d+:1: nonsense.*the old one runs on until a restart/s);
    t.equal(await property('MainPID'), pid);
    t.ok(await backend.ask(edge));
    await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: good });
  });

  await t.test('rollback: the older package, the same configuration and state', async (t) => {
    await box.must(['apt-get', 'install', '-y', '--allow-downgrades', '/root/v6edge.deb'], { timeoutMs: 120_000 });
    await ready();
    t.match(await api('/v1/status'), { version: deb.version });
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31');
  });

  await t.test('backup and restore of configuration and state', async (t) => {
    const places = ['/etc/v6edge', '/var/lib/v6edge'];
    await box.must(['systemctl', 'stop', 'v6edge']);
    await box.must(['tar', '-C', '/', '-czf', '/root/backup.tgz', ...places.map((each) => each.slice(1))]);
    await systemctl('start', 'v6edge');
    await ready();
    await update('node2', 'fd00:6:6::32');
    await systemctl('stop', 'v6edge');
    await box.must(['rm', '-rf', ...places]);
    await box.must(['tar', '-C', '/', '-xzf', '/root/backup.tgz']);
    await systemctl('start', 'v6edge');
    await ready();
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31');
    t.equal(await dig('node2.cluster.test'), '', 'what came after the backup is not there');
  });

  await t.test('remove: stopped, with configuration and state kept', async (t) => {
    await box.must(['apt-get', 'remove', '-y', 'v6edge'], { timeoutMs: 120_000 });
    t.not((await box.exec(['systemctl', 'is-active', 'v6edge'])).code, 0);
    t.equal(await backend.ask(edge).catch((error: NodeJS.ErrnoException) => error.code), 'ECONNREFUSED');
    await box.must(['test', '-s', '/etc/v6edge/v6edge.yaml']);
    await box.must(['test', '-d', '/var/lib/v6edge/zones']);
    t.not((await box.exec(['test', '-e', '/usr/lib/v6edge'])).code, 0);
    await box.must(['apt-get', 'install', '-y', '/root/v6edge.deb'], { timeoutMs: 120_000 });
    await systemctl('start', 'v6edge');
    await ready();
    t.equal(await dig('node1.cluster.test'), 'fd00:6:6::31', 'installed again, it goes on where it was');
  });

  await t.test('purge: nothing of it is left', async (t) => {
    await box.must(['apt-get', 'purge', '-y', 'v6edge'], { timeoutMs: 120_000 });
    const left = await exec(['find', box.path('/'), '-xdev', '-name', '*v6edge*', '-not', '-path', '*/root/*']);
    t.strictSame(
      left.stdout
        .split('\n')
        .map((line) => line.replace(box.path(''), ''))
        .filter((line) => line !== '' && !/^\/?(proc|sys|var\/log\/journal)/.test(line)),
      [],
    );
    t.match(await box.must(['getent', 'passwd', 'v6edge']), /nologin/, 'but its user, whose number nobody is to get');
    t.equal(await box.must(['systemctl', '--failed', '--quiet']), '');
  });
}
