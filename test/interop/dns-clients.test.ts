/**
 * The programs that people update and ask a DNS server with, each against the whole daemon: dig, kdig, drill, delv,
 * nsupdate, knsupdate, dnspython, and Kea's DHCP-DDNS, which announces what its DHCP servers lease.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DaemonHome, freePort, keyName, keySecret, logged } from '../edge/daemon-process.ts';
import { LabProcess, waitFor } from '../lab/process.ts';

const zone = 'cluster.test';
const reverse = '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa';

const home = new DaemonHome(t);
const port = await freePort();
const fileOf = (name: string, ...keys: [algorithm: string, secret: string][]) => {
  const text = keys.map(([algorithm, secret]) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };\n`);
  writeFileSync(join(home.folder, `${name}.key`), text.join(''), { mode: 0o600 });
};
const oldSecret = Buffer.alloc(32, 1).toString('base64');
const newSecret = Buffer.alloc(64, 2).toString('base64');
fileOf('changing', ['hmac-sha256', oldSecret]);
fileOf('short', ['hmac-sha256-128', oldSecret]);
home.configure(`dns:
  listen: ["[::1]:${port}"]
  keys:
    ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} }
    changing: { file: changing.key }
    short: { file: short.key }
  zones:
    - name: ${zone}
      ns: [edge.${zone}]
      lease: 1h
      update: [{ key: [${keyName}, changing, short], match: zonesub, types: [AAAA, A, TXT, SRV, DHCID] }]
      transfer: { allow: ["::1"], key: ${keyName} }
    - name: ${reverse}
      ns: [edge.${zone}]
      update: [{ key: ${keyName}, match: zonesub, types: [PTR, DHCID] }]`);
const daemon = await home.start();
const keyFile = join(home.folder, 'node.key');
writeFileSync(keyFile, `key "${keyName}" { algorithm hmac-sha256; secret "${keySecret}"; };\n`, { mode: 0o600 });

/** Runs a program to its end; whatever it says must not speak of trouble. */
async function run(t: Test, argv: readonly string[], input?: string): Promise<string> {
  const program = new LabProcess(argv[0]!, argv, { timeoutMs: 20_000, ...(input === undefined ? {} : { input }) });
  const { code, stdout, stderr } = await program.exited;
  const text = stdout + stderr;
  t.equal(code, 0, `${argv.join(' ')}\n${text}`);
  t.notMatch(text, /malformed|couldn't verify|TSIG verif.*fail|extra bytes|trailing garbage/i, argv[0]!);
  return text;
}

/** A log line of the daemon, which writes when it has time to. */
async function said(message: RegExp, wanted = (_line: Record<string, unknown>) => true) {
  const find = () => logged(daemon, message).find(wanted);
  await waitFor(String(message), () => find() !== undefined, { why: () => daemon.output });
  return find();
}

const name = (text: string) => `${text}.${zone}`;
const ask = (t: Test, ...args: string[]) => run(t, ['dig', '@::1', '-p', String(port), '+time=3', '+short', ...args]);

t.test('nsupdate and dig', async (t) => {
  const script = `server ::1 ${port}\nzone ${zone}\nprereq nxdomain ${name('ns')}\nupdate add ${name('ns')} 60 AAAA fd00::1\nsend\n`;
  await run(t, ['nsupdate', '-k', keyFile], script);
  t.equal((await ask(t, name('ns'), 'AAAA')).trim(), 'fd00::1');
  t.equal((await ask(t, name('ns'), 'AAAA', '-k', keyFile, '+tcp')).trim(), 'fd00::1');
  const again = new LabProcess('nsupdate', ['nsupdate', '-k', keyFile], { input: script });
  t.match((await again.exited).stderr, /update failed: YXDOMAIN/);
  t.match(await said(/^update refused$/), {
    zone,
    key: keyName,
    client: /^\[::1\]:\d+$/,
    rcode: 'YXDOMAIN',
    reason: `prerequisite ${name('ns')} NONE ANY: the name is in use`,
  });
});

t.test('a secret is replaced while clients go on', async (t) => {
  const update = async (algorithm: string, secret: string, n: number, key = 'changing') => {
    const input = `server ::1 ${port}\nzone ${zone}\nupdate add ${name(`r${n}`)} 60 TXT "${n}"\nsend\n`;
    const program = new LabProcess('nsupdate', ['nsupdate', '-y', `${algorithm}:${key}:${secret}`], { input });
    const { code, stderr } = await program.exited;
    return code === 0 ? 'NOERROR' : /failed: (\S+)/.exec(stderr)?.[1];
  };
  const both = () => [update('hmac-sha256', oldSecret, 1), update('hmac-sha512', newSecret, 2)];
  const reload = async () => t.equal((await home.api('POST', '/v1/reload')).status, 200);
  t.strictSame(await Promise.all(both()), ['NOERROR', 'NOTAUTH(BADKEY)'], 'the old one alone');
  fileOf('changing', ['hmac-sha512', newSecret], ['hmac-sha256', oldSecret]);
  await reload();
  t.strictSame(await Promise.all(both()), ['NOERROR', 'NOERROR'], 'both');
  fileOf('changing', ['hmac-sha512', newSecret]);
  await reload();
  t.strictSame(await Promise.all(both()), ['NOTAUTH(BADKEY)', 'NOERROR'], 'the new one alone');
  t.equal(await update('hmac-sha256-128', oldSecret, 3, 'short'), 'NOERROR', 'MACs of 128 bits');
  t.match(await said(/^signature refused$/), { key: 'changing', opcode: 'UPDATE', error: 'BADKEY' });
});

t.test('changes by the admin API go the same way, and are logged with who asked', async (t) => {
  const path = `/v1/zones/${zone}/records/${name('api')}/AAAA`;
  t.equal((await home.api('PUT', path, {}, { ttl: 60, data: ['fd00::9'] })).status, 200);
  t.equal((await ask(t, name('api'), 'AAAA')).trim(), 'fd00::9');
  t.match(await said(/^zone updated$/, ({ by }) => by === 'api'), {
    zone,
    client: 'unix',
    changed: [`${name('api')} AAAA`],
  });
  const { body } = await home.api('GET', `/v1/zones/${zone}/records/${name('ns')}/AAAA`);
  const [end] = (JSON.parse(body) as { expiresAt: number[] }).expiresAt;
  t.ok(end! > Date.now() + 3_000_000 && end! <= Date.now() + 3_600_000, 'a record of an update has the zone’s lease');
  t.notMatch((await home.api('GET', path)).body, /expiresAt/, 'what the API puts stays');
});

t.test('knsupdate and kdig', async (t) => {
  const key = ['-y', `hmac-sha256:${keyName}:${keySecret}`];
  const input = `server ::1 ${port}\nzone ${zone}.\nadd ${name('kn')}. 60 AAAA fd00::2\nsend\n`;
  await run(t, ['knsupdate', ...key], input);
  await run(t, ['knsupdate', '-v', ...key], input.replace('fd00::2', 'fd00::22'));
  const text = await run(t, ['kdig', '@::1', '-p', String(port), ...key, name('kn'), 'AAAA']);
  t.match(text, /status: NOERROR/);
  t.match(text, /fd00::2\n/);
  t.match(text, /fd00::22\n/);
  t.match(await run(t, ['kdig', '@::1', '-p', String(port), ...key, '+tcp', zone, 'AXFR']), /fd00::22\n/);
});

t.test('drill', async (t) => {
  const base = ['drill', '-p', String(port)];
  for (const options of [[], ['-t'], ['-D'], ['-b', '512'], ['-o', 'rd']]) {
    const text = await run(t, [...base, ...options, name('ns'), '@::1', 'AAAA']);
    t.match(text, /rcode: NOERROR/, options.join(' '));
    t.match(text, /fd00::1\n/);
  }
  t.match(await run(t, [...base, name('none'), '@::1', 'AAAA']), /rcode: NXDOMAIN/);
  const signed = ['-y', `${keyName}:${keySecret}:hmac-sha256`];
  t.match(await run(t, [...base, ...signed, name('ns'), '@::1', 'AAAA']), /fd00::1\n/);
  t.match(await run(t, [...base, ...signed, '-t', zone, '@::1', 'AXFR']), /fd00::1\n/);
});

t.test('delv', async (t) => {
  // Without validation: the zone is not signed. It asks with DO and CD set.
  for (const options of [[], ['+tcp'], ['+multiline']]) {
    const text = await run(t, ['delv', '-i', '@::1', '-p', String(port), ...options, name('ns'), 'AAAA']);
    t.match(text, /; unsigned answer|; unvalidated answer|fd00::1/);
    t.match(text, /fd00::1/);
  }
  t.match(await run(t, ['delv', '-i', '@::1', '-p', String(port), name('none'), 'AAAA']), /ncache nxdomain/);
});

t.test('dnspython', async (t) => {
  const script = join(import.meta.dirname, 'dns-clients.py');
  const text = await run(t, ['/usr/bin/python3', script, String(port), keyName, keySecret]);
  t.strictSame(JSON.parse(text), {
    add: 'NOERROR',
    'add by TCP': 'NOERROR',
    prerequisite: 'YXDOMAIN',
    replace: 'NOERROR',
    'wrong secret': 'PeerBadSignature',
    'unknown key': 'PeerBadKey',
    'clock behind': 'PeerBadTime',
    lease: [3600],
    AXFR: '60 IN TXT "d"',
    'AXFR unsigned': 'TransferError',
    query: [`py.${zone}. 60 IN TXT "d"`],
  });
  const reasons = await said(/^signature refused$/, ({ error }) => error === 'BADTIME');
  t.match(reasons, { key: keyName, clockBehindSeconds: /^40\d\d$/, reason: /client's clock is 40\d\d s behind ours/ });
});

t.test('Kea announces the leases of its DHCP servers (RFC 4703)', async (t) => {
  const listen = await freePort();
  const servers = [{ 'ip-address': '::1', port }];
  const domain = (name: string) => ({ name: `${name}.`, 'key-name': keyName, 'dns-servers': servers });
  const config = join(home.folder, 'kea.json');
  writeFileSync(
    config,
    JSON.stringify({
      DhcpDdns: {
        'ip-address': '127.0.0.1',
        port: listen,
        'dns-server-timeout': 2000,
        'tsig-keys': [{ name: keyName, algorithm: 'HMAC-SHA256', secret: keySecret }],
        'forward-ddns': { 'ddns-domains': [domain(zone)] },
        'reverse-ddns': { 'ddns-domains': [domain(reverse)] },
        loggers: [{ name: 'kea-dhcp-ddns', severity: 'INFO', output_options: [{ output: 'stdout' }] }],
      },
    }),
  );
  const env = { KEA_PIDFILE_DIR: home.folder, KEA_LOCKFILE_DIR: home.folder };
  const kea = new LabProcess('kea-dhcp-ddns', ['kea-dhcp-ddns', '-c', config], { env });
  t.teardown(async () => {
    kea.kill('SIGKILL');
    await kea.exited;
  });
  await waitFor('Kea', () => /DHCP_DDNS_STARTED/.test(kea.stdout), { why: () => kea.output });
  /** What Kea's DHCP servers send: JSON with its length before it. */
  const tell = (type: number) => {
    const json = JSON.stringify({
      'change-type': type,
      'forward-change': true,
      'reverse-change': true,
      fqdn: `${name('kea')}.`,
      'ip-address': 'fd00:6:6::77',
      dhcid: '0201C6DE71DB1C8BCCA5B1AD1ED4DBBF0F05D5D6C1A0A3E9A9C8F1B2C3D4E5F6A7B8C9',
      'lease-expires-on': '20361231235959',
      'lease-length': 3600,
      'use-conflict-resolution': true,
    });
    const send = `import socket,sys; b=sys.argv[1].encode(); socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(len(b).to_bytes(2,'big')+b, ('127.0.0.1', ${listen}))`;
    return run(t, ['/usr/bin/python3', '-c', send, json]);
  };
  await tell(0);
  await waitFor('Kea’s addition', () => /DHCP_DDNS_ADD_SUCCEEDED/.test(kea.stdout), { why: () => kea.output });
  t.equal((await ask(t, name('kea'), 'AAAA')).trim(), 'fd00:6:6::77');
  t.match(await ask(t, name('kea'), 'DHCID'), /^AgHG/);
  t.equal((await ask(t, '-x', 'fd00:6:6::77')).trim(), `${name('kea')}.`);
  await tell(1);
  await waitFor('Kea’s removal', () => /DHCP_DDNS_REMOVE_SUCCEEDED/.test(kea.stdout), { why: () => kea.output });
  t.equal(await ask(t, name('kea'), 'AAAA'), '');
  t.equal(await ask(t, '-x', 'fd00:6:6::77'), '');
  t.notMatch(kea.stdout, /ERROR|TSIG_VERIFY/);
});
