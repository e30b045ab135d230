import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../src/edge/config/load.ts';
import { makeCertificate } from '../../dns/certificate.ts';
import { dns, testBad } from './texts.ts';

testBad(t, [
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
]);

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
