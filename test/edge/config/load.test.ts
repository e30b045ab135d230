import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatCidr, formatEndpoint } from '../../../src/core/address.ts';
import { loadConfig, parseConfig } from '../../../src/edge/config/load.ts';
import { formatProblem } from '../../../src/edge/config/problem-text.ts';
import type { EdgeConfig } from '../../../src/edge/config/types.ts';
import { makeCertificate } from '../../dns/certificate.ts';

const root = join(import.meta.dirname, '../../..');
const file = '/etc/v6edge/none.yaml';

function problems(text: string): string[] {
  const result = parseConfig(text, file);
  return 'errors' in result ? result.errors.map((p) => formatProblem(p).replace(`${file}:`, '')) : [];
}

function config(text: string): EdgeConfig {
  const result = parseConfig(text, file);
  if ('errors' in result) throw new Error(result.errors.map(formatProblem).join('\n'));
  return result.config;
}

const dns = (rest: string) => `dns:\n  listen: ["[::1]:53"]\n${rest}`;
const ra = (rest: string) => `ra:\n  - interface: eth1\n${rest}`;
const proxy = (listener: string, pools = '{ p: {} }') =>
  `proxy:\n  listeners:\n    - { name: l, bind: ["[::]:80"], pool: p, ${listener} }\n  pools: ${pools}\n`;

/** name, text, every problem in order: LINE:COL: path: message. */
const bad: [name: string, text: string, expected: (string | RegExp)[]][] = [
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
  ['hook to nowhere', 'ra: []\nhooks: [{ url: "ftp://x" }]', ['2:16: hooks[0].url: is no URL of http or https']],
  ['hook to nobody', 'ra: []\nhooks: [{ events: [member] }]', ['2:9: hooks[0]: a hook is exactly one of url and exec']],
  [
    'hook to two',
    'ra: []\nhooks: [{ url: "http://x", exec: [/bin/true] }]',
    ['2:9: hooks[0]: a hook is exactly one of url and exec'],
  ],
  ['hook in shell', 'ra: []\nhooks: [{ exec: "/bin/true x" }]', [/^2:17: hooks\[0\].exec: .*list/]],
  ['hook without a program', 'ra: []\nhooks: [{ exec: [] }]', [/^2:17: hooks\[0\].exec: /]],
  [
    'hook by search',
    'ra: []\nhooks: [{ exec: [logger] }]',
    ['2:18: hooks[0].exec[0]: "logger" is no absolute path of a program'],
  ],
  [
    'hook that is not there',
    'ra: []\nhooks: [{ exec: [/etc/v6edge/hooks/none] }]',
    ['2:18: hooks[0].exec[0]: /etc/v6edge/hooks/none does not exist'],
  ],
  [
    'hook that the unit hides',
    'ra: []\nhooks: [{ exec: [/home/none/notify] }]',
    [/^2:18: hooks\[0\].exec\[0\]: \/home\/none\/notify does not exist; the unit hides \/home/],
  ],
  ['hook that is a folder', 'ra: []\nhooks: [{ exec: [/etc] }]', ['2:18: hooks[0].exec[0]: /etc is no file']],
  [
    'hook that may not be run',
    'ra: []\nhooks: [{ exec: [/etc/passwd] }]',
    [/^2:18: hooks\[0\].exec\[0\]: \/etc\/passwd cannot be run by user id \d+: it lacks the right/],
  ],
  ['hook with a password', 'ra: []\nhooks: [{ url: "http://:b@x" }]', [/^2:16: hooks\[0\].url: has a user name or p/]],
  ['hook with a user', 'ra: []\nhooks: [{ url: "http://a:b@x" }]', [/^2:16: hooks\[0\].url: has a user name/]],
  [
    'hook for nothing',
    'ra: []\nhooks: [{ url: "http://x", events: [down] }]',
    [/^2:3[0-9]: hooks\[0\].events\[0\]: "down" is none/],
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

  ['dns without listen', 'dns: {}', ['1:6: dns.listen: is missing: a list is needed here']],
  ['upstream', dns('  forward: { upstreams: ["dns.example"] }'), [/^3:26: dns.forward.upstreams\[0\]: "dns.example"/]],
  ['upstream name without tls', dns('  forward: { upstreams: ["::1#a.test"] }'), [/a name to check goes with tls/]],
  [
    'upstream name with tcp',
    dns('  forward: { upstreams: ["tcp://[::1]#a.test"] }'),
    [/a name to check goes with tls/],
  ],
  ['upstream with a path, not by https', dns('  forward: { upstreams: ["tls://::1/q"] }'), [/a path goes with https/]],
  [
    'upstream by https with a template',
    dns('  forward: { upstreams: ["https://::1/dns-query{?dns}"] }'),
    [/"\/dns-query\{\?dns\}" is no path/],
  ],
  ['upstream by https without address', dns('  forward: { upstreams: ["https://dns.test/q"] }'), [/"dns.test"/]],
  [
    'hairpin without addresses',
    dns('  hairpin: { ingressDomains: [a.test] }'),
    [/^3:12: dns.hairpin: `ingressDomains` without `addresses`/],
  ],
  [
    'DNS over TLS without a key',
    dns('  tls: { listen: ["::1"], certificateFile: /nonexistent/c }'),
    [/^3:8: dns.tls.keyFile: is missing/, /dns.tls.certificateFile: \/nonexistent\/c does not exist/],
  ],
  ['certificates of upstreams', dns('  forward: { upstreams: ["::1"], caFile: /nonexistent/c }'), [/c does not exist/]],
  ['query log', dns('  queryLog: { sample: 2 }'), [/sample: 2 is no number in range \(allowed: 0 to 1\)/]],
  ['identity', dns(`  identity: { version: ${'x'.repeat(256)} }`), [/longer than 255 octets/]],
  ['no upstream', dns('  forward: { upstreams: [] }'), ['3:25: dns.forward.upstreams: needs at least one entry']],
  [
    'cache size',
    dns('  forward: { upstreams: ["::1"], cache: { size: 1k } }'),
    ['3:49: dns.forward.cache.size: "1k" is out of range (allowed: 64k to 64g)'],
  ],
  ['TTL in milliseconds', dns('  forward: { upstreams: ["::1"], cache: { minTtl: 500ms } }'), [/whole seconds/]],
  [
    'dns64 prefix length',
    dns('  dns64: { prefix: "64:ff9b::/80" }'),
    [/^3:20: dns.dns64.prefix: .*\(allowed: auto, or an IPv6 prefix of length 32, 40, 48, 56, 64, 96\)/],
  ],
  [
    'key file missing',
    dns('  keys: { k: { file: /nonexistent/k } }'),
    ['3:22: dns.keys.k.file: /nonexistent/k does not exist'],
  ],
  [
    'key without anything',
    dns('  keys: { k: {} }'),
    ['3:14: dns.keys.k: a key has either `file`, or `algorithm` and `secret`'],
  ],
  [
    'key secret is not shown',
    dns('  keys: { k: { algorithm: hmac-sha256, secret: "hunter2!" } }'),
    ['3:48: dns.keys.k.secret: is no base64 text'],
  ],
  [
    'key with both is not shown',
    dns('  keys: { k: { file: x, algorithm: hmac-sha256, secret: c2VjcmV0 } }'),
    ['3:14: dns.keys.k: a key has either `file`, or `algorithm` and `secret`'],
  ],
  [
    'key name twice',
    dns('  keys: { k: { algorithm: hmac-sha256, secret: QQ== }, K.: { algorithm: hmac-sha256, secret: QQ== } }'),
    [/a key "k" stands above already/],
  ],
  [
    'zone name',
    dns('  zones: [{ name: a..b, ns: [n.test] }]'),
    ['3:19: dns.zones[0].name: "a..b" is no domain name: it has an empty label'],
  ],
  [
    'zone twice',
    dns('  zones: [{ name: a.test, ns: [n.test] }, { name: A.test., ns: [n.test] }]'),
    ['3:51: dns.zones[1].name: a zone "a.test" stands above already'],
  ],
  [
    'a secondary zone with what its primary has',
    dns('  zones: [{ name: a.test, primaries: ["[::1]:53"], ns: [b.a.test], soa: { refresh: 1h }, ttl: 5m }]'),
    [
      /^3:\d+: dns.zones\[0\].ns: a zone with `primaries` is what they have/,
      /^3:\d+: dns.zones\[0\].soa: a zone with/,
      /^3:\d+: dns.zones\[0\].ttl: a zone with/,
    ],
  ],
  ['no primary', dns('  zones: [{ name: a.test, primaries: [] }]'), [/^3:\d+: dns.zones\[0\].primaries: /]],
  [
    'a key for primaries that are none',
    dns('  zones: [{ name: a.test, ns: [b.test], allowNotify: ["::1/128"] }]'),
    [/^3:\d+: dns.zones\[0\]: `key`, `allowNotify` and `allowUpdateForwarding` go with `primaries`/],
  ],
  [
    'an unknown key for primaries',
    dns('  zones: [{ name: a.test, primaries: ["::1"], key: nope }]'),
    [/^3:\d+: dns.zones\[0\].key: there is no "nope" in dns.keys/],
  ],
  ['zone without ns', dns('  zones: [{ name: a.test }]'), [/^3:11: dns.zones\[0\].ns: a zone needs a name server/]],
  [
    'zone file missing',
    dns('  zones: [{ name: a.test, file: /nonexistent/z }]'),
    ['3:33: dns.zones[0].file: /nonexistent/z does not exist'],
  ],
  [
    'zone file is a directory',
    dns('  zones: [{ name: a.test, file: / }]'),
    ['3:33: dns.zones[0].file: / is a directory'],
  ],
  [
    'reverse without a reverse zone',
    dns('  zones: [{ name: a.test, ns: [n.test], reverse: true }]'),
    [/^3:50: dns.zones\[0\].reverse: PTR records have no place/],
  ],
  [
    'update rule',
    dns(
      '  keys: { k: { algorithm: hmac-sha256, secret: QQ== } }\n  zones: [{ name: a.test, ns: [n.test], update: [{ key: j, match: name, name: b.test, types: [SOA] }] }]',
    ),
    [
      '4:57: dns.zones[0].update[0].key: there is no "j" in dns.keys (allowed: k)',
      '4:95: dns.zones[0].update[0].types[0]: SOA records cannot be changed by an update',
    ],
  ],
  [
    'update name outside the zone',
    dns(
      '  keys: { k: { algorithm: hmac-sha256, secret: QQ== } }\n  zones: [{ name: a.test, ns: [n.test], update: [{ key: k, match: name, name: b.test }] }]',
    ),
    ['4:79: dns.zones[0].update[0].name: "b.test" is not in the zone "a.test"'],
  ],
  [
    'update types',
    dns(
      '  keys: { k: { algorithm: hmac-sha256, secret: QQ== } }\n  zones: [{ name: a.test, ns: [n.test], update: [{ key: k, match: zonesub, types: [AAAAA, ANY, TYPE6000, aaaa] }] }]',
    ),
    [
      '4:84: dns.zones[0].update[0].types[0]: "AAAAA" is no DNS record type',
      '4:91: dns.zones[0].update[0].types[1]: ANY records cannot be changed by an update',
    ],
  ],
  [
    'update keys, networks and limits',
    dns(
      `  keys: { n1.b.test: { algorithm: hmac-sha256, secret: QQ== }, k: { algorithm: hmac-sha256, secret: QQ== } }
  zones:
    - name: a.test
      ns: [n.test]
      update:
        - { key: [k, j], match: zonesub }
        - { key: "*.c.test", match: self }
        - { key: [], match: zonesub }
        - { key: "*.b.test", match: self }
        - { key: [K., "*.B.test", "*"], match: selfsub, from: [fd00::1/64], maxRecords: -1, types: ["A(0)", "A(2)", "SOA(1)"] }`,
    ),
    [
      '8:22: dns.zones[0].update[0].key[1]: there is no "j" in dns.keys (allowed: n1.b.test, k)',
      '9:18: dns.zones[0].update[1].key: there is no "*.c.test" in dns.keys (allowed: n1.b.test, k)',
      '10:18: dns.zones[0].update[2].key: an empty list: a rule is about one key at least',
      /^12:64: dns.zones\[0\].update\[4\].from\[0\]: "fd00::1\/64" has bits beyond its length/,
      /^12:89: dns.zones\[0\].update\[4\].maxRecords: -1 is no whole number in range/,
      /^12:101: dns.zones\[0\].update\[4\].types\[0\]: "A\(0\)" is no record type/,
      '12:117: dns.zones[0].update[4].types[2]: SOA records cannot be changed by an update',
    ],
  ],
  [
    'transfer key',
    dns('  zones: [{ name: a.test, ns: [n.test], transfer: { key: nope } }]'),
    ['3:58: dns.zones[0].transfer.key: there is no "nope" in dns.keys (allowed: none is configured)'],
  ],

  [
    'interface name',
    'ra: [{ interface: an-interface-name }]',
    ['1:19: ra[0].interface: "an-interface-name" is no interface name'],
  ],
  ['interface twice', 'ra: [{ interface: a }, { interface: a }]', ['1:37: ra[1].interface: "a" stands above already']],
  ['max below 4s', ra('    interval: { max: 3s }'), [/^3:22: ra\[0\].interval.max: "3s" is out of range/]],
  ['min below 3s', ra('    interval: { min: 2s }'), [/^3:22: ra\[0\].interval.min: "2s" is out of range/]],
  [
    'min above 0.75 max',
    ra('    interval: { min: 451s, max: 600s }'),
    ['3:22: ra[0].interval.min: 451s is more than three quarters of max, 10m (RFC 4861 §6.2.1; allowed: 3s to 450s)'],
  ],
  [
    'default lifetime below max',
    ra('    defaultLifetime: 599s'),
    [/^3:22: ra\[0\].defaultLifetime: 599s ends before the next advertisement is due/],
  ],
  ['default lifetime too long', ra('    defaultLifetime: 65536s'), [/allowed: 0s to 65535s/]],
  ['preference of no default router', ra('    preference: high'), [/^3:17: ra\[0\].preference: must be medium/]],
  ['mtu', ra('    mtu: 1279'), ['3:10: ra[0].mtu: 1279 is no MTU of an IPv6 link (allowed: 0, 1280 to 65535)']],
  ['hop limit', ra('    hopLimit: 256'), ['3:15: ra[0].hopLimit: 256 is no whole number in range (allowed: 0 to 255)']],
  [
    'IPv4 prefix',
    ra('    prefixes: [{ prefix: 10.0.0.0/8 }]'),
    ['3:26: ra[0].prefixes[0].prefix: "10.0.0.0/8" is no IPv6 prefix'],
  ],
  [
    'preferred above valid',
    ra('    prefixes: [{ prefix: "fd00::/64", valid: 1h, preferred: 61m }]'),
    ['3:61: ra[0].prefixes[0].preferred: is longer than `valid` (RFC 4861 §4.6.2)'],
  ],
  [
    'prefix twice',
    ra('    prefixes: [{ prefix: "fd00::/64" }, { prefix: "fd00:0::/64" }]'),
    [/fd00::\/64 stands above already/],
  ],
  ['autonomous /65', ra('    prefixes: [{ prefix: "fd00::/65" }]'), [/autonomous: false/]],
  ['link-local prefix', ra('    prefixes: [{ prefix: "fe80::/64" }]'), [/link-local/]],
  ['::/48', ra('    prefixes: [{ prefix: "::/48" }]'), [/allowed: ::\/64/]],
  [
    '::/0 route and lifetime 0',
    ra('    routes: [{ prefix: "::/0" }]'),
    [/^3:24: ra\[0\].routes\[0\].prefix: ::\/0 makes us a default router/],
  ],
  [
    'IPv4 DNS server',
    ra('    rdnss: { servers: [192.0.2.1] }'),
    ['3:24: ra[0].rdnss.servers[0]: "192.0.2.1" is no IPv6 address'],
  ],
  [
    'rdnss lifetime below max',
    ra('    rdnss: { servers: ["fd00::1"], lifetime: 1m }'),
    [/^3:46: ra\[0\].rdnss.lifetime: 1m ends before/],
  ],
  [
    'pref64 length',
    ra('    pref64: { prefix: "64:ff9b::/95" }'),
    [/allowed: auto, or an IPv6 prefix of length 32, 40, 48, 56, 64, 96/],
  ],
  ['captive portal', ra('    captivePortal: not a uri'), ['3:20: ra[0].captivePortal: "not a uri" is no URI']],
  [
    'client that is not link-local',
    ra('    clients: ["fd00::1"]'),
    [/^3:15: ra\[0\].clients\[0\]: fd00::1 is no link-local address/],
  ],
  [
    'source that is not link-local',
    ra('    source: fd00::1'),
    [/^3:13: ra\[0\].source: "fd00::1" is no link-local address/],
  ],
  ['source with a zone', ra('    source: fe80::1%eth1'), [/ra\[0\].source/]],
  [
    'a time without its zone',
    ra('    prefixes: [{ prefix: "fd00::/64", validUntil: 2027-01-31T12:00 }]'),
    [/ra\[0\].prefixes\[0\].validUntil: "2027-01-31T12:00" is no time with its zone/],
  ],
  [
    'a day that is none',
    ra('    routes: [{ prefix: "64:ff9b::/96", until: 2027-02-31T12:00:00Z }]'),
    [/ra\[0\].routes\[0\].until/],
  ],
  [
    'a number as time',
    ra('    prefixes: [{ prefix: "fd00::/64", preferredUntil: 1800000000 }]'),
    [/preferredUntil: 1800000000 is a number where text is wanted/],
  ],
  [
    'ignore beside one prefix',
    ra('    prefixes: [{ prefix: "fd00::/64", ignore: ["fd00::/16"] }]'),
    [/ra\[0\].prefixes\[0\].ignore: is for `prefix: "::\/64"`/],
  ],
  [
    'maxDelay above the constant',
    ra('    maxDelay: 501ms'),
    [/ra\[0\].maxDelay: "501ms" is out of range \(allowed: 0ms? to 500ms\)|allowed/],
  ],
  ['reachable time above an hour', ra('    reachableTime: 3601s'), [/ra\[0\].reachableTime: "3601s" is out of range/]],
  ['retrans timer beyond 32 bits', ra('    retransTimer: 50d'), [/ra\[0\].retransTimer: "50d" is out of range/]],
  ['mtu above an Ethernet jumbo', ra('    mtu: 65536'), [/ra\[0\].mtu: 65536 is no MTU/]],
  ['a negative hop limit', ra('    hopLimit: -1'), [/ra\[0\].hopLimit: -1/]],
  [
    'valid lifetime beyond 32 bits',
    ra('    prefixes: [{ prefix: "fd00::/64", valid: 50000d }]'),
    [/ra\[0\].prefixes\[0\].valid: "50000d" is out of range/],
  ],
  [
    'pref64 lifetime beyond 13 bits',
    ra('    pref64: { prefix: "64:ff9b::/96", lifetime: 65529s }'),
    [/allowed: 0s to 65528s/],
  ],
  [
    'pref64 auto with nobody to learn it from',
    ra('    pref64: { prefix: auto }'),
    [/ra\[0\].pref64.prefix: auto needs dns.forward/],
  ],
  ['max above RFC 8319', ra('    interval: { max: 65536s }'), [/ra\[0\].interval.max/]],
];

t.test('bad configurations', (t) => {
  for (const [name, text, expected] of bad) {
    t.test(name, (t) => {
      const found = problems(text);
      t.equal(found.length, expected.length, `${expected.length} problem(s) in ${JSON.stringify(found)}`);
      for (const [i, each] of expected.entries()) {
        if (typeof each === 'string') t.equal(found[i], each);
        else t.match(found[i], each);
      }
      t.end();
    });
  }
  t.end();
});

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

t.test('networks of peers: IPv4-mapped ones are the IPv4 networks that peers come from', (t) => {
  const { listeners } = config(proxy('deny: ["::ffff:192.0.2.0/120"], allow: ["::/0"]')).proxy!;
  t.strictSame(listeners[0]!.deny.map(formatCidr), ['192.0.2.0/24']);
  t.strictSame(listeners[0]!.allow.map(formatCidr), ['::/0']);
  t.end();
});

t.test('lifetimes without a word of their own: three times the longest interval, as far as their field goes', (t) => {
  const entry =
    'rdnss: {}, dnssl: { domains: [a.test] }, pref64: { prefix: "64:ff9b::/96" }, routes: [{ prefix: "fd00::/8" }]';
  for (const [max, seconds, pref64Seconds] of [
    ['4s', 12, 12],
    ['100s', 300, 300],
    ['65535s', 196_605, 65_528],
  ] as const) {
    t.match(
      config(`ra: [{ interface: e, interval: { max: ${max} }, ${entry} }]`).ra[0],
      {
        defaultLifetimeSeconds: 0,
        rdnss: { lifetimeSeconds: seconds },
        dnssl: { lifetimeSeconds: seconds },
        pref64: { lifetimeSeconds: pref64Seconds },
        routes: [{ lifetimeSeconds: seconds }],
      },
      max,
    );
  }
  t.end();
});

t.test('the shortest interval has a legal default minimum', (t) => {
  t.strictSame(config('ra: [{ interface: e, interval: { max: 4s } }]').ra[0]?.interval, { minMs: 3000, maxMs: 4000 });
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

t.test('certificate and key of DNS over TLS: read, and each other’s', (t) => {
  const [one, two] = ['one.test', 'two.test'].map((name) => makeCertificate(t, name));
  const folder = t.testdir({
    'c.pem': one!.certificate,
    'k.pem': one!.key,
    'other.pem': two!.key,
    'no.pem': 'nothing',
  });
  const file = join(folder, 'v6edge.yaml');
  const text = (key: string) => dns(`  tls: { listen: ["::1"], certificateFile: c.pem, keyFile: ${key} }`);
  for (const [key, message] of [
    ['other.pem', 'other.pem is not the key of the certificate'],
    ['no.pem', /^no.pem holds no private key/],
    ['c.pem', /^c.pem holds no private key/],
  ] as const) {
    writeFileSync(file, text(key));
    t.match(loadConfig(file), { errors: [{ path: 'dns.tls.keyFile', message }] });
  }
  writeFileSync(file, text('k.pem'));
  const result = loadConfig(file);
  t.match(result, {
    config: { dns: { tls: { listen: [{ port: 853 }], certificate: one!.certificate, key: one!.key } } },
  });
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
