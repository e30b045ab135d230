import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatCidr, formatEndpoint } from '../../../src/core/address.ts';
import { loadConfig, parseConfig } from '../../../src/edge/config/load.ts';
import { formatProblem } from '../../../src/edge/config/problem-text.ts';
import { config, dns, problems, testBad } from './texts.ts';

const root = join(import.meta.dirname, '../../..');

testBad(t, [
  ['empty file', '', [/^1:1: the file has no keys/]],
  ['a list', '- 1', [/^1:1: the file has no keys/]],
  ['nothing to do', 'workers: 2', [/^1:1: nothing to do/]],
  ['not YAML', 'ra:\n  - {', [/^2:6: .*flow/i]],
  ['tab as indent', 'ra:\n\t- interface: eth1', [/^2:1: /]],
  ['duplicate key', 'workers: 1\nworkers: 2\n', [/^2:1: .*unique/]],
  [
    'alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(20)}]\nc: &c [${'*b,'.repeat(20)}]\nd: [${'*c,'.repeat(20)}]`,
    [/alias/i],
  ],
  [
    'unknown key, close to one',
    'workrs: 1\nra: [{interface: a}]',
    ['1:1: workrs: unknown key; did you mean "workers"?'],
  ],
  [
    'unknown key, other case',
    'Workers: 1\nra: [{interface: a}]',
    ['1:1: Workers: unknown key; did you mean "workers"?'],
  ],
  [
    'unknown key, far from all',
    'zzz: 1\nra: [{interface: a}]',
    ['1:1: zzz: unknown key (allowed: workers, log, state, admin, hooks, proxy, dns, ra, join)'],
  ],
  ['__proto__ as a key', '__proto__: 1\nra: [{interface: a}]', [/^1:1: __proto__: unknown key/]],
  [
    'workers: 0',
    'workers: 0\nra: [{interface: a}]',
    ['1:10: workers: 0 is no number of threads (allowed: auto, 1 to 256)'],
  ],
  ['mapping expected', 'log: info\nra: [{interface: a}]', ['1:6: log: "info" where a mapping is wanted']],
  ['list expected', 'ra: { interface: a }', ['1:5: ra: the mapping {"interface":"a"} where a list is wanted']],
  ['empty value', 'log:\nra: [{interface: a}]', ['1:5: log: an empty value where a mapping is wanted']],
  [
    'word',
    'log: { level: loud }\nra: [{interface: a}]',
    ['1:15: log.level: "loud" is none of the values known here (allowed: debug, info, warn, error)'],
  ],
  [
    'admin from elsewhere without token',
    'admin: { listen: ["[::]:8653"] }\nra: [{interface: a}]',
    ['1:19: admin.listen[0]: [::]:8653 can be reached from elsewhere; that needs a tokenFile'],
  ],
  [
    'admin token file missing',
    'admin: { tokenFile: /nonexistent/t }\nra: [{interface: a}]',
    ['1:21: admin.tokenFile: /nonexistent/t does not exist'],
  ],
  [
    'admin socket relative',
    'admin: { listen: ["unix:x.sock"] }\nra: [{interface: a}]',
    [/^1:19: admin.listen\[0\]: .*absolute/],
  ],
]);

t.test('every error at once, in the order of the file', (t) => {
  const found = problems('workrs: 1\nlog: { level: x }\ndns: { listen: [x] }\nra: [{ mtu: 1 }, 5]\n');
  t.strictSame(
    found.map((each) => each.split(': ').slice(0, 2).join(' ')),
    ['1:1 workrs', '2:15 log.level', '3:17 dns.listen[0]', '4:6 ra[0].interface', '4:13 ra[0].mtu', '4:18 ra[1]'],
  );
  t.end();
});

t.test('files that cannot be read', (t) => {
  const missing = loadConfig('/nonexistent/v6edge.yaml');
  t.match(missing, { errors: [{ line: 0, message: /^there is no such file/ }] });
  t.match(loadConfig('/'), { errors: [{ message: '/ is a directory' }] });
  t.end();
});

t.test('defaults', (t) => {
  const { proxy, dns, admin, workers, stateDir, ra } = config(
    'proxy:\n  listeners: [{ name: l, bind: ["[::]:80"], pool: p }]\n  pools: { p: {} }\ndns: { listen: ["::1"], forward: { upstreams: ["::1", "tls://[::1]#a.test", "tcp://::1", "https://::1#a.test", "https://[::1]:8443/q?a=b"] }, zones: [{ name: a.test, ns: [n.test] }] }\nra: [{ interface: e, pref64: { prefix: "64:ff9b::/96" }, rdnss: { servers: ["::1"] }, routes: [{ prefix: "fd00::/8" }] }]',
  );
  t.equal(workers, 'auto');
  t.equal(stateDir, '/var/lib/v6edge');
  t.strictSame(admin.listen.map(formatEndpoint), ['unix:/run/v6edge/admin.sock', '[::1]:8653']);
  t.strictSame(proxy.timeouts, {
    connectMs: 3000,
    attemptDelayMs: 250,
    idleMs: 3_600_000,
    tunnelMs: 3_600_000,
    clientFinMs: 30_000,
    serverFinMs: 30_000,
    proxyHeaderMs: 3000,
    clientHelloMs: 3000,
    hardStopAfterMs: 10_000,
  });
  t.equal(proxy.pools[0]!.timeouts, undefined);
  t.equal(proxy.maxConnections, 20_000);
  t.match(proxy.listeners[0], {
    routes: [],
    whenEmpty: 'reset',
    acceptProxy: false,
    rate: { perSource: 0, windowMs: 10_000 },
    maxPerSource: 0,
    maxConnections: 0,
    log: true,
    logStart: false,
    logSilent: true,
  });
  t.match(proxy.pools[0], {
    name: 'p',
    proxyProtocol: 'none',
    proxyV2Options: [],
    balance: 'leastconn',
    check: { type: 'tcp', intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 },
    keepaliveMs: 30_000,
    userTimeoutMs: 120_000,
    maxAgeMs: 0,
    retries: 3,
    queue: { timeoutMs: 5000, length: 1000 },
  });
  t.strictSame(dns?.listen.map(formatEndpoint), ['[::1]:53']);
  t.strictSame(dns?.allow.map(formatCidr), ['::1/128', '127.0.0.0/8'], 'loopback alone');
  t.match(dns?.forward, {
    timeoutMs: 2000,
    policy: 'fastest',
    upstreams: [
      { transport: 'udp', endpoint: { port: 53 } },
      { transport: 'tls', endpoint: { port: 853 }, serverName: 'a.test' },
      { transport: 'tcp', endpoint: { port: 53 } },
      { transport: 'https', endpoint: { port: 443 }, path: '/dns-query', serverName: 'a.test' },
      { transport: 'https', endpoint: { port: 8443 }, path: '/q?a=b', serverName: undefined },
    ],
    cache: { sizeBytes: 64 * 1024 ** 2, maxTtlSeconds: 86_400, maxNegativeTtlSeconds: 3600 },
  });
  t.match(dns?.zones[0], { ttlSeconds: 300, soa: { mname: 'n.test', rname: 'hostmaster.a.test' }, reverse: false });
  t.match(ra[0], {
    interval: { minMs: 200_000, maxMs: 600_000 },
    maxDelayMs: 500,
    defaultLifetimeSeconds: 0,
    hopLimit: 64,
    rdnss: { lifetimeSeconds: 1800 },
    pref64: { lifetimeSeconds: 1800 },
    routes: [{ lifetimeSeconds: 1800, preference: 'medium' }],
  });
  t.end();
});

t.test('relative paths begin at the file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'k.key'), 'key "k" { algorithm hmac-sha256; secret "c2VjcmV0"; };');
  writeFileSync(join(folder, 'zone'), '');
  writeFileSync(join(folder, 'token'), 'too short\n');
  const text = dns('  keys: { k: { file: k.key } }\n  zones: [{ name: a.test, file: zone }]\nstate: { dir: state }\n');
  writeFileSync(join(folder, 'c.yaml'), text);
  const result = loadConfig(join(folder, 'c.yaml'));
  t.match(result, {
    config: {
      stateDir: join(folder, 'state'),
      dns: {
        keys: [{ name: 'k', secret: new Uint8Array(Buffer.from('secret')) }],
        zones: [{ file: join(folder, 'zone') }],
      },
    },
  });
  writeFileSync(join(folder, 'zone'), '@ AAAA 192.0.2.1\nother.test. A 192.0.2.1\n');
  const faults = loadConfig(join(folder, 'c.yaml'));
  t.match(faults, {
    errors: [
      { path: 'dns.zones[0].file', message: new RegExp(`^${folder}/zone:1: `) },
      { path: 'dns.zones[0].file', message: new RegExp(`^${folder}/zone:2: `) },
    ],
  });
  writeFileSync(join(folder, 'zone'), '');
  writeFileSync(join(folder, 'c.yaml'), `${text}admin: { tokenFile: token }\n`);
  t.match(loadConfig(join(folder, 'c.yaml')), { errors: [{ path: 'admin.tokenFile', message: /holds no token/ }] });
  t.end();
});

t.test('the contract and every example parse', (t) => {
  const files = [...globSync('examples/*.yaml', { cwd: root }), 'test/edge/config/fixtures/contract.yaml'];
  for (const each of files) {
    const result = loadConfig(join(root, each));
    t.strictSame('errors' in result ? result.errors.map(formatProblem) : [], [], each);
  }
  for (const each of [...globSync('docs/**/*.md', { cwd: root }), 'README.md'].filter(
    (name) => globSync(name, { cwd: root }).length,
  )) {
    const text = readFileSync(join(root, each), 'utf8');
    for (const [, yaml] of text.matchAll(/^```yaml\n(.*?)^```/gms)) {
      const result = parseConfig(yaml!.replaceAll('/etc/v6edge/', ''), join(root, 'examples/in-docs.yaml'));
      t.strictSame('errors' in result ? result.errors.map(formatProblem) : [], [], `a block of ${each}`);
    }
  }
  t.end();
});
