/** Configurations of HAProxy, radvd and BIND, which these accept, as ours, which ours accepts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { makeKey } from '../../../src/dns/keyfile.ts';
import { importConfigs } from '../../../src/edge/cli/import.ts';
import { loadConfig } from '../../../src/edge/config/load.ts';
import { parseBraces } from '../../../src/edge/import/braces.ts';
import { importHaproxy } from '../../../src/edge/import/haproxy.ts';
import { parseHaproxy } from '../../../src/edge/import/haproxy-file.ts';
import { splitEndpoint } from '../../../src/edge/import/haproxy-server.ts';
import { importNamed } from '../../../src/edge/import/named.ts';
import { importRadvd } from '../../../src/edge/import/radvd.ts';
import { startBind } from '../../dns/bind.ts';

const old = join(import.meta.dirname, 'old');
const text = (name: string) => readFileSync(join(old, name), 'utf8');
const files = { read: (path: string) => readFileSync(path, 'utf8'), exists: () => false };
const whys = (notes: readonly { text: string; why: string }[]) => notes.map(({ text, why }) => `${text}: ${why}`);

/** What the real programs say of their own files. */
function judge(argv: readonly string[]): { status: number | null; output: string } {
  const run = spawnSync(argv[0]!, argv.slice(1), {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  return { status: run.status, output: `${run.stdout}${run.stderr}` };
}

t.test('files that are none', (t) => {
  const braces: [name: string, text: string, message: RegExp][] = [
    ['a block that is not closed', 'options {\n forward only;\n', /^f:2: a block is not closed/],
    ['one brace too many', 'a { };\n}\n', /^f:2: \} without \{/],
    ['a string that is not closed', 'a;\nkey "x\n', /^f:2: a string is not closed/],
    ['blocks without end', 'a{'.repeat(100), /^f:1: blocks are nested too deep/],
  ];
  for (const [name, text, message] of braces)
    t.throws(() => parseBraces(text, 'f'), { code: 'V6_IMPORT_SYNTAX', message }, name);
  t.throws(() => parseHaproxy('bind :80', 'f'), {
    code: 'V6_IMPORT_SYNTAX',
    message: /f:1: "bind" stands before any section/,
  });
  t.throws(() => parseHaproxy('global\n log "x', 'f'), {
    code: 'V6_IMPORT_SYNTAX',
    message: /f:2: a quote is not closed/,
  });
  t.throws(() => importNamed('include "none";', '/x/f', files), {
    code: 'V6_IMPORT_READ',
    message: /f:1: cannot read \/x\/none/,
  });
  const circle = { read: () => 'include "f";', exists: () => false };
  t.throws(() => importNamed('include "f";', '/x/f', circle), { message: /more than 64 includes/ });
  t.throws(() => importConfigs({ haproxy: '/none', radvd: undefined, named: undefined, out: undefined }), {
    code: 'V6_IMPORT_READ',
  });
  t.end();
});

t.test('addresses of servers', (t) => {
  for (const [text, address, port] of [
    ['fd00::1:443', 'fd00::1', 443],
    ['[fd00::1]:443', 'fd00::1', 443],
    ['[fd00::1]', 'fd00::1', undefined],
    ['ipv6@fd00::1:443', 'fd00::1', 443],
    ['192.0.2.1:80', '192.0.2.1', 80],
    ['name', 'name', undefined],
    [':::80', '::', 80],
    ['*:80-81', '*', undefined],
  ] as const) {
    t.strictSame(splitEndpoint(text), { address, port }, text);
  }
  t.end();
});

t.test('the old programs accept the old files', (t) => {
  t.equal(judge(['haproxy', '-c', '-q', '-f', join(old, 'haproxy.cfg')]).status, 0);
  t.equal(judge(['radvd', '-c', '-C', join(old, 'radvd.conf')]).status, 0);
  t.end();
});

t.test('haproxy.cfg', (t) => {
  const { proxy, notes } = importHaproxy(text('haproxy.cfg'), 'haproxy.cfg');
  const check = { type: 'tcp', interval: '2s', fall: 2, rise: 2, timeout: '1500ms' };
  t.strictSame(proxy, {
    timeouts: { connect: '5s', idle: '1h', clientHello: '5s' },
    listeners: [
      {
        name: 'k8s',
        bind: ['[::]:6443', '0.0.0.0:6443'],
        pool: 'masters',
        allow: ['198.51.100.0/24', '2001:db8:9::/48'],
      },
      {
        name: 'https',
        bind: ['0.0.0.0:443', '[::]:443'],
        pool: 'workers',
        routes: [
          { sni: 'api.example.org', pool: 'api' },
          { sni: '*.apps.example.org', pool: 'wild' },
        ],
      },
      {
        name: 'behind-a-balancer',
        bind: ['192.0.2.1:80'],
        pool: 'workers',
        acceptProxy: true,
        trusted: ['0.0.0.0/0', '::/0'],
        deny: ['203.0.113.9/32'],
      },
    ],
    pools: {
      masters: {
        balance: 'leastconn',
        check: { ...check, type: 'https', verify: 'none', method: 'GET', path: '/readyz', expect: [200] },
        onMarkedDown: 'close',
        onMarkedUp: 'close-backups',
        timeouts: { connect: '2s', idle: '12h' },
        members: [
          { name: 'm1', address: 'fd00:6:6::11', port: 6443 },
          { name: 'm2', address: 'fd00:6:6::12', port: 6443, backup: true },
        ],
      },
      workers: {
        balance: 'leastconn',
        proxyProtocol: 'v2',
        proxyV2Options: ['unique-id'],
        check,
        onMarkedDown: 'keep',
        retries: 2,
        queue: { timeout: '4s' },
        timeouts: { serverFin: '9s' },
        members: [
          { name: 'w1', address: 'fd00:6:6::21', port: 443, weight: 50, slowStart: '30s', maxConnections: 100 },
          { name: 'w2', address: 'fd00:6:6::22', port: 443, weight: 1 },
        ],
        discover: { aaaa: 'worker3.cluster.test', port: 443 },
      },
      api: {
        balance: 'roundrobin',
        check,
        onMarkedDown: 'keep',
        discover: { srv: '_api._tcp.cluster.test', maxConnections: 50, slowStart: '20s' },
      },
      redis: {
        balance: 'roundrobin',
        check: {
          ...check,
          steps: [{ send: 'PING\r\n' }, { expect: '+PONG' }, { sendHex: '0a' }, { expectMatch: '^-ERR ' }],
        },
        onMarkedDown: 'keep',
        members: [{ name: 'r1', address: 'fd00:6:6::31', port: 6379 }],
      },
      wild: {
        balance: 'roundrobin',
        check: { type: 'none' },
        onMarkedDown: 'keep',
        members: [{ name: 'x', address: '192.0.2.9', port: 443 }],
      },
    },
    maxConnections: 4000,
  });
  const said = whys(notes).join('\n');
  for (const wanted of [
    /tcp-check expect ! string x: checks know a connect/,
    /stats socket .*: `v6edge member`/,
    /stats enable: the dashboard is GET \//,
    /tune\.bufsize 32768: not known here/,
    /accept-proxy: accept-proxy believes everyone/,
    /timeout client 5m: timeouts are those of all, or of a pool/,
    /use_backend wild if \{ path \/x \}: routes go by the TLS server name alone/,
    /balance hdr\(host\): leastconn stands in for it/,
    /server w1 proxy-v2-options ssl: not known/,
    /server w2 .*: all members of a pool get the same PROXY header \(v2\)/,
    /server w3 .*: members come from the AAAA records/,
    /server w3 .*: SRV records say the weight/,
    /server m2 .*: on-marked-down holds for all members/,
  ]) {
    t.match(said, wanted);
  }
  t.equal(notes.length, 13, said);
  t.match(notes[0], { place: { file: 'haproxy.cfg', line: 6 } });
  t.end();
});

t.test('radvd.conf', (t) => {
  const { ra, notes } = importRadvd(text('radvd.conf'), 'radvd.conf');
  t.strictSame(ra, [
    {
      interface: 'eth1',
      interval: { min: '30s', max: '100s' },
      defaultLifetime: '0s',
      mtu: 1450,
      source: 'fe80::1',
      prefixes: [
        { prefix: 'fd00:6:6::/64', onLink: true, autonomous: true, valid: '3600s', preferred: '1800s' },
        { prefix: '::/64', routerAddress: true, deprecateOnStop: true },
      ],
      routes: [{ prefix: '64:ff9b::/96', preference: 'high', lifetime: 'infinity' }],
      rdnss: { servers: ['fd00:6:6::1', 'fd00:6:6::2'], lifetime: '200s' },
      dnssl: { domains: ['cluster.test', 'example.org'] },
      clients: ['fe80::21f:16ff:fe06:3aab', 'fe80::21d:72ff:fe96:aaff'],
      maxDelay: '0s',
    },
    { interface: 'eth2', defaultLifetime: '1800s', maxDelay: '0s' },
  ]);
  t.strictSame(whys(notes), [
    'DecrementLifetimes on: give validUntil and preferredUntil, the times at which they reach 0',
    'AdvMobRtrSupportFlag on: network mobility (RFC 3963) is left out',
    'interface eth2: AdvSendAdvert is off: radvd sent nothing here, we would',
  ]);
  t.end();
});

t.test('named.conf', (t) => {
  const { dns, notes, zones } = importNamed(text('named.conf'), join(old, 'named.conf'), files);
  const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==';
  t.strictSame(dns, {
    keys: {
      'node-key': { algorithm: 'hmac-sha256', secret },
      'n1.cluster.test': { algorithm: 'hmac-md5', secret },
    },
    listen: ['[fd00:6:6::1]:53', '127.0.0.1:5353'],
    allow: ['fd00:6:6::/64', '::1/128', '127.0.0.0/8'],
    forward: {
      upstreams: ['2001:db8::53', '[2001:db8::54]:5353'],
      policy: 'ordered',
      cache: { size: '32m', maxNegativeTtl: '600s' },
      domains: [{ domain: 'corp.example', upstreams: ['192.0.2.53'] }],
    },
    dns64: { mode: 'synthesize', prefix: '64:ff9b::/96', exclude: ['2001:db8:bad::/48'] },
    zones: [
      {
        name: 'cluster.test',
        file: '@DIR@/cluster.test.zone',
        update: [
          { key: 'node-key', match: 'subdomain', name: 'cluster.test', types: ['AAAA', 'A', 'TXT'] },
          { key: '*.cluster.test', match: 'self', types: ['AAAA'] },
        ],
        transfer: { key: 'node-key', allow: ['::/0', '0.0.0.0/0'], notify: ['fd00:6:6::2'] },
      },
      {
        name: '6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa',
        file: '@DIR@/reverse.zone',
        update: [{ key: 'node-key', match: 'zonesub' }],
      },
      { name: 'other.test', primaries: ['2001:db8::99'], key: 'node-key' },
    ],
  });
  t.strictSame(
    zones.map(({ name }) => name),
    ['cluster.test', '6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa'],
  );
  const said = whys(notes).join('\n');
  for (const wanted of [
    /!fd00:6:6::bad: name the prefixes themselves/,
    /tcp-clients 150: not known/,
    /clients: for all clients/,
    /deny n1\.cluster\.test zonesub: what no rule grants/,
    /192\.0\.2\.1: an update without a key/,
  ]) {
    t.match(said, wanted);
  }
  t.equal(notes.length, 5, said);
  t.end();
});

t.test('the whole: comments where things are lost, and a configuration that is good', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-import-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const zone = '@ 300 IN SOA edge hostmaster 5 3600 900 1209600 60\n@ 300 NS edge\nedge 300 AAAA fd00:6:6::1\n';
  const reverse =
    '@ 300 IN SOA edge.cluster.test. hostmaster.cluster.test. 5 3600 900 1209600 60\n@ 300 NS edge.cluster.test.\n';
  const named = text('named.conf').replace('@DIR@', folder);
  writeFileSync(join(folder, 'named.conf'), named.replace('include "keys.conf"', `include "${folder}/keys.conf"`));
  writeFileSync(join(folder, 'keys.conf'), text('keys.conf'));
  writeFileSync(join(folder, 'cluster.test.zone'), zone);
  writeFileSync(join(folder, 'reverse.zone'), reverse);
  t.strictSame(judge(['named-checkconf', join(folder, 'named.conf')]), { status: 0, output: '' });
  const options = {
    haproxy: join(old, 'haproxy.cfg'),
    radvd: join(old, 'radvd.conf'),
    named: join(folder, 'named.conf'),
  };

  const printed = importConfigs({ ...options, out: undefined });
  const lines = printed.text.split('\n');
  const below = lines.slice(lines.findIndex((line) => line.includes('balance hdr(host)')));
  t.match(
    below.find((line) => !line.trim().startsWith('#')),
    /^ {4}workers:$/,
    'a comment stands above the pool it is about',
  );
  t.match(parse(printed.text), { proxy: { maxConnections: 4000 }, ra: [{ interface: 'eth1' }, {}] });

  const out = join(folder, 'out');
  const { text: said, remarks } = importConfigs({ ...options, out });
  t.match(said, /wrote .*out\/v6edge\.yaml\nwrote .*cluster\.test\.zone\nwrote /);
  t.match(remarks, /\d+ things were not taken over/);
  t.notMatch(remarks, /To be mended/, remarks);
  const loaded = loadConfig(join(out, 'v6edge.yaml'));
  t.notOk('errors' in loaded);
  t.match(
    readFileSync(join(out, 'zones/cluster.test.zone'), 'utf8'),
    /edge\.cluster\.test\.\s+300 IN AAAA\s+fd00:6:6::1/,
  );
  t.throws(() => importConfigs({ ...options, out }), { code: 'V6_IMPORT_EXISTS' }, 'nothing is written over');
  t.end();
});

t.test('what BIND has in a journal comes along', async (t) => {
  const key = makeKey('node-key', 'hmac-sha256', 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==');
  const zone = '$TTL 300\n@ IN SOA edge hostmaster 5 3600 900 1209600 60\n@ NS edge\nedge AAAA fd00:6:6::1\n';
  const statements = 'allow-update { key node-key; };';
  const bind = await startBind([key], [{ name: 'cluster.test', file: zone, statements }]);
  t.teardown(() => bind.stop());
  const update = `server ::1 ${bind.port}\nzone cluster.test\nupdate add late.cluster.test 300 AAAA fd00:6:6::7\nsend\n`;
  const sent = spawnSync('nsupdate', ['-y', 'hmac-sha256:node-key:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=='], {
    input: update,
    encoding: 'utf8',
  });
  t.equal(sent.status, 0, sent.stderr);
  const out = join(bind.dir, 'out');
  const { text: said } = importConfigs({
    haproxy: undefined,
    radvd: undefined,
    named: join(bind.dir, 'named.conf'),
    out,
  });
  t.match(said, /with what was in .*cluster\.test\.db\.jnl/);
  t.match(
    readFileSync(join(out, 'zones/cluster.test.zone'), 'utf8'),
    /late\.cluster\.test\.\s+300 IN AAAA\s+fd00:6:6::7/,
  );
});
