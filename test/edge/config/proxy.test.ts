import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatCidr } from '../../../src/core/address.ts';
import { loadConfig } from '../../../src/edge/config/load.ts';
import { config, dns, proxy, testBad } from './texts.ts';

const root = join(import.meta.dirname, '../../..');

testBad(t, [
  [
    'routes to no pool, and twice the same',
    proxy('routes: [{ sni: a.test, pool: q }, { sni: A.test, pool: p }]'),
    [/routes\[0\].pool: there is no "q"/, /routes\[1\].sni: a route for "a.test" stands above already/],
  ],
  [
    'a route for what is no name',
    proxy('routes: [{ sni: "*.*.test", pool: p }]'),
    [/routes\[0\].sni: "\*\.\*\.test" is no pattern/],
  ],
  [
    'routes for all, and twice the same protocol',
    proxy('routes: [{ pool: p }, { alpn: [h2, h3], pool: p }, { alpn: [h3], pool: p }]'),
    [/routes\[0\]: fits every client: give `sni`, `alpn` or both/, /routes\[2\]: a route for h3 stands above already/],
  ],
  [
    'a route by what is no protocol',
    proxy('routes: [{ alpn: ["a b"], pool: p }]'),
    [/routes\[0\].alpn\[0\]: "a b" is no protocol name/],
  ],
  [
    'own fields: of no type of theirs, twice, without content, too large, in no header',
    proxy(
      '',
      `{ p: { proxyProtocol: v2, proxyV2Tlvs: [{ type: 0xDF, value: a }, { type: 0xE0 }] }, q: { proxyV2Align: 8 }, r: { proxyProtocol: v2, proxyV2Tlvs: [{ type: 0xE0, value: ${'x'.repeat(513)} }, { type: 0xE0, hex: "00" }] } }`,
    ),
    [
      /p.proxyV2Tlvs\[0\].type: 223 is no whole number in range/,
      /p.proxyV2Tlvs\[1\]: exactly one of value and hex/,
      /q.proxyV2Align: needs `proxyProtocol: v2`/,
      /r.proxyV2Tlvs: hold 514 bytes \(allowed: up to 512\)/,
      /r.proxyV2Tlvs\[1\].type: a field of type 0xe0 stands above already/,
    ],
  ],
  [
    'fields for a header that has none',
    proxy('', '{ p: { proxyProtocol: v1, proxyV2Options: [crc32c] } }'),
    [/proxy.pools.p.proxyV2Options: needs `proxyProtocol: v2`/],
  ],
  [
    'duration without unit',
    proxy('rate: { window: 10 }'),
    ['3:62: proxy.listeners[0].rate.window: 10 has no unit; write for example 10s or 10ms'],
  ],
  [
    'duration with a strange unit',
    'proxy: { timeouts: { idle: 1y } }\nra: [{interface: a}]',
    [/^1:28: proxy.timeouts.idle: "1y" is no duration/],
  ],
  [
    'duration out of range',
    'proxy: { timeouts: { connect: 0s } }\nra: [{interface: a}]',
    ['1:31: proxy.timeouts.connect: "0s" is out of range (allowed: 1ms to 365d)'],
  ],
  [
    'no bind',
    'proxy: { listeners: [{ name: a, bind: [], pool: p }], pools: { p: {} } }',
    ['1:39: proxy.listeners[0].bind: needs at least one entry'],
  ],
  [
    'missing keys',
    'proxy: { listeners: [{ name: a }] }',
    [
      '1:22: proxy.listeners[0].bind: is missing: a list is needed here',
      '1:22: proxy.listeners[0].pool: is missing: a pool name is needed here',
    ],
  ],
  [
    'bind without brackets',
    'proxy: { listeners: [{ name: a, bind: ["::1:80"], pool: p }], pools: { p: {} } }',
    [/^1:40: proxy.listeners\[0\].bind\[0\]: "::1:80" is no endpoint/],
  ],
  ['bind port 0', 'proxy: { listeners: [{ name: a, bind: ["[::1]:0"], pool: p }], pools: { p: {} } }', [/port 0/]],
  [
    'bind twice',
    'proxy: { listeners: [{ name: a, bind: ["[::1]:80", "[0::1]:80"], pool: p }], pools: { p: {} } }',
    ['1:52: proxy.listeners[0].bind[1]: [::1]:80 is taken by the listener "a" already'],
  ],
  [
    'bind that DNS has',
    `${proxy('log: false').replace('[::]:80', '[::1]:53')}${dns('')}`,
    ['6:12: dns.listen[0]: [::1]:53 is taken by the listener "l" already'],
  ],
  [
    'unknown pool',
    proxy('log: true', '{ q: {}, r: {} }'),
    ['3:43: proxy.listeners[0].pool: there is no "p" in proxy.pools (allowed: q, r)'],
  ],
  [
    'unknown pool beside another error',
    proxy('log: maybe', '{}'),
    [
      '3:43: proxy.listeners[0].pool: there is no "p" in proxy.pools (allowed: none is configured)',
      '3:51: proxy.listeners[0].log: "maybe" is not true or false',
    ],
  ],
  [
    'listener name twice',
    'proxy: { listeners: [{ name: a, bind: ["[::1]:80"], pool: p }, { name: a, bind: ["[::1]:81"], pool: p }], pools: { p: {} } }',
    ['1:72: proxy.listeners[1].name: a listener "a" stands above already'],
  ],
  [
    'a listener that is its own member',
    'proxy: { listeners: [{ name: a, bind: ["[::1]:80"], pool: p }], pools: { p: { members: [{ name: m, address: "::1", port: 80 }] } } }',
    [/^1:\d+: proxy.pools.p.members\[0\].address: \[::1\]:80 is a listener of ours: "a" would connect to itself/],
  ],
  [
    'acceptProxy from nobody',
    proxy('acceptProxy: true'),
    [/^3:59: proxy.listeners\[0\].acceptProxy: needs the addresses/],
  ],
  [
    'CIDR with host bits',
    proxy('allow: ["fd00::1/64"]'),
    ['3:54: proxy.listeners[0].allow[0]: "fd00::1/64" has bits beyond its length; did you mean fd00::/64?'],
  ],
  ['pool name', proxy('log: true', '{ p: {}, "a b": {} }'), [/^4:26: proxy.pools\["a b"\]: "a b" is no name/]],
  [
    'member address',
    proxy('log: true', '{ p: { members: [{ name: a, address: host.test, port: 1 }] } }'),
    ['4:47: proxy.pools.p.members[0].address: "host.test" is no IPv4 or IPv6 address'],
  ],
  [
    'member port',
    proxy('log: true', '{ p: { members: [{ name: a, address: "::1", port: 65536 }] } }'),
    ['4:60: proxy.pools.p.members[0].port: 65536 is no whole number in range (allowed: 1 to 65535)'],
  ],
  [
    'member twice',
    proxy(
      'log: true',
      '{ p: { members: [{ name: a, address: "::1", port: 1 }, { name: a, address: "0::1", port: 1 }] } }',
    ),
    [
      '4:73: proxy.pools.p.members[1].name: a member "a" stands above already',
      '4:85: proxy.pools.p.members[1].address: a member at [::1]:1 stands above already',
    ],
  ],
  [
    'check path',
    proxy('log: true', '{ p: { check: { type: http, path: readyz } } }'),
    [/^4:44: proxy.pools.p.check.path: "readyz" is no path/],
  ],
  [
    'a check by its type alone, of no type',
    proxy('log: true', '{ p: { check: ready } }'),
    [/^4:\d+: proxy.pools.p.check.type: "ready" is none of the values known here .*readyz/],
  ],
  [
    'check steps that are none, for no conversation, too many',
    proxy(
      'log: true',
      `{ p: { check: { type: http, steps: [{ send: a }] } }, q: { check: { steps: [{ send: a, expect: b }, {}, { sendHex: 0x }, { expectMatch: "(" }, { send: ${'x'.repeat(1025)} }] } }, r: { check: { steps: [${'{ send: a }, '.repeat(17)}] } } }`,
    ),
    [
      /p.check.steps: are for checks of type tcp and tls, not http/,
      /q.check.steps\[0\]: a step is exactly one of send, sendHex, expect, expectHex, expectMatch/,
      /q.check.steps\[1\]: a step is exactly one of/,
      /q.check.steps\[2\].sendHex: "0x" is no hex/,
      /q.check.steps\[3\].expectMatch: "\(" is no regular expression/,
      /q.check.steps\[4\].send: is 1025 bytes long \(allowed: up to 1024\)/,
      /r.check.steps: are 17 \(allowed: up to 16\)/,
    ],
  ],
  [
    'check CA without verification',
    proxy('log: true', '{ p: { check: { type: tls, caFile: /nonexistent/ca } } }'),
    [
      /^4:45: proxy.pools.p.check.caFile: needs `verify: required`/,
      '4:45: proxy.pools.p.check.caFile: /nonexistent/ca does not exist',
    ],
  ],
  [
    'check server name',
    proxy('log: true', '{ p: { check: { type: tls, sni: "192.0.2.1" } } }'),
    [/^4:42: proxy.pools.p.check.sni: "192.0.2.1" is no server name/],
  ],
  [
    'discover both',
    proxy('log: true', '{ p: { discover: { srv: a.test, aaaa: b.test, port: 1 } } }'),
    [/^4:27: proxy.pools.p.discover: exactly one of srv, aaaa and a/],
  ],
  [
    'discover without port',
    proxy('log: true', '{ p: { discover: { aaaa: b.test } } }'),
    [/^4:27: proxy.pools.p.discover: aaaa records have no port/],
  ],
]);

t.test('timeouts of a pool: what it does not say is the proxy’s', (t) => {
  const { proxy } = config(
    [
      'proxy:',
      '  timeouts: { connect: 100ms, idle: 1m, tunnel: 2h, clientFin: 7s }',
      '  listeners: [{ name: l, bind: ["[::]:80"], pool: a }]',
      '  pools:',
      '    a: { timeouts: { tunnel: 1d } }',
      '    b: { timeouts: { connect: 1s, idle: 5m, serverFin: 3s } }',
    ].join('\n'),
  );
  t.match(proxy.timeouts, { attemptDelayMs: 0, idleMs: 60_000, tunnelMs: 7_200_000 });
  t.strictSame(proxy.pools[0]!.timeouts, { ...proxy.timeouts, tunnelMs: 86_400_000 });
  t.strictSame(proxy.pools[1]!.timeouts, {
    ...proxy.timeouts,
    connectMs: 1000,
    idleMs: 300_000,
    tunnelMs: 300_000,
    serverFinMs: 3000,
  });
  t.end();
});

t.test('networks of peers: IPv4-mapped ones are the IPv4 networks that peers come from', (t) => {
  const { listeners } = config(proxy('deny: ["::ffff:192.0.2.0/120"], allow: ["::/0"]')).proxy!;
  t.strictSame(listeners[0]!.deny.map(formatCidr), ['192.0.2.0/24']);
  t.strictSame(listeners[0]!.allow.map(formatCidr), ['::/0']);
  t.end();
});

t.test('checks in short, and their steps', (t) => {
  const file = join(t.testdir(), 'v6edge.yaml');
  const steps =
    '[{ send: "PING\\r\\n" }, { expect: +PONG }, { sendHex: "00 ff" }, { expectHex: "0A" }, { expectMatch: "^2" }]';
  const pools = `{ a: { check: readyz }, b: { check: none }, c: { check: { type: readyz, interval: 5s } }, d: { check: { type: readyz, path: /livez } }, e: { check: { steps: ${steps} } }, p: {} }`;
  writeFileSync(file, proxy('log: true', pools));
  const loaded = loadConfig(file);
  if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
  const checks = loaded.config.proxy.pools.map((pool) => pool.check);
  t.match(checks, [
    { type: 'https', method: 'GET', path: '/readyz', expect: [200], verify: 'none', intervalMs: 2000 },
    { type: 'none' },
    { type: 'https', path: '/readyz', intervalMs: 5000 },
    { type: 'https', path: '/livez' },
    {
      type: 'tcp',
      path: '/',
      steps: [
        { kind: 'send', bytes: Buffer.from('PING\r\n') },
        { kind: 'expect', bytes: Buffer.from('+PONG') },
        { kind: 'send', bytes: Buffer.from([0, 255]) },
        { kind: 'expect', bytes: Buffer.from([10]) },
        { kind: 'match', expression: '^2' },
      ],
    },
    { type: 'tcp', steps: [] },
  ]);
  t.end();
});

t.test('CA certificates of checks', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const good = readFileSync(join(root, 'examples/cluster-ca.crt'), 'utf8');
  const file = join(folder, 'c.yaml');
  const check = '{ type: https, interval: 300ms, verify: required, caFile: ca.crt }';
  writeFileSync(file, proxy('log: true', `{ p: { check: ${check} }, q: {} }`));
  for (const [text, message] of [
    ['nothing', /^ca.crt holds no certificate in PEM/],
    [good.replace(/^M.{9}/m, 'AAAAAAAAAA'), /^ca.crt: certificate 1 cannot be read/],
    [`${good}${good.replace(/^M.{9}/m, 'AAAAAAAAAA')}`, /^ca.crt: certificate 2 cannot be read/],
  ] as const) {
    writeFileSync(join(folder, 'ca.crt'), text);
    t.match(loadConfig(file), { errors: [{ path: 'proxy.pools.p.check.caFile', message }] });
  }
  writeFileSync(join(folder, 'ca.crt'), good);
  const result = loadConfig(file);
  t.ok('config' in result);
  if (!('config' in result)) return;
  const [p, q] = result.config.proxy.pools;
  t.match(p!.check, { verify: 'required', ca: good, fastIntervalMs: 300, downIntervalMs: 300 });
  t.match(q!.check, { verify: 'none', ca: undefined, fastIntervalMs: 500, downIntervalMs: 2000 });
  t.end();
});
