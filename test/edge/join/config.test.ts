import { join } from 'node:path';
import t from 'tap';
import { formatCidr } from '../../../src/core/address.ts';
import { parseConfig } from '../../../src/edge/config/load.ts';
import { joinConfig } from './stage.ts';

const zones = 'zones: [{ name: cluster.test, ns: [edge.cluster.test] }]';
const dns = `dns: { listen: ["[::1]:53"], ${zones} }\n`;

function problems(text: string): string[] {
  const result = parseConfig(text, join(import.meta.dirname, 'v6edge.yaml'));
  return 'errors' in result ? result.errors.map(({ path, message }) => `${path}: ${message}`) : [];
}

t.test('what cannot be', (t) => {
  const rows: [name: string, text: string, ...problems: RegExp[]][] = [
    ['nowhere', `${dns}join: {}`, /^join\.listen: is missing/],
    [
      'every address',
      `${dns}join: { listen: ["[::]:8654"] }`,
      /^join\.listen\[0\]: every address of this host is too many/,
    ],
    [
      'a public address',
      `${dns}join: { listen: ["2001:db8::1"] }`,
      /^join\.listen\[0\]: 2001:db8::1 is a public address/,
    ],
    ['IPv4', `${dns}join: { listen: ["10.0.0.1"] }`, /^join\.listen\[0\]: nodes have IPv6 alone/],
    [
      'an address twice',
      `${dns}join: { listen: ["fd00::1", "[fd00::1]:8654"] }`,
      /^join\.listen\[1\]: .* is taken by join\.listen already/,
    ],
    ['no DNS', 'join: { listen: ["fd00::1"] }\nra: []', /^join: no zone of dns\.zones is ours/],
    [
      'a reverse zone alone',
      'dns: { listen: ["[::1]:53"], zones: [{ name: d.f.ip6.arpa, ns: [a.test] }] }\njoin: { listen: ["fd00::1"] }',
      /^join: no zone/,
    ],
    [
      'a zone that is not ours',
      `${dns}join: { listen: ["fd00::1"], zone: other.test }`,
      /^join\.zone: "other\.test" is no zone of ours/,
    ],
    [
      'scripts that are none',
      `${dns}join: { listen: ["fd00::1"], scripts: . }`,
      /^join\.scripts: there are no node scripts in /,
    ],
    [
      'services',
      `${dns}join: { listen: ["fd00::1"], services: { worker: [http, "_http._tcp:0", "_http._tcp:80:70000"] } }`,
      /worker\[0\]: "http" is no service/,
      /worker\[1\]/,
      /worker\[2\]/,
    ],
    [
      'subnets',
      `${dns}join: { listen: ["fd00::1"], cluster: { podSubnet: "fd00::/32", serviceSubnet: "fd00::/64" } }`,
      /podSubnet: its length is to be 48 to 64/,
      /serviceSubnet: its length is to be 108 to 120/,
    ],
    [
      'a private subnet',
      `${dns}join: { listen: ["fd00::1"], cluster: { privateSubnet: "fd00::/48" } }`,
      /privateSubnet: .* length/,
    ],
    [
      'what ends a line',
      `${dns}join: { listen: ["fd00::1"], cluster: { name: "a\\nROLE=x", sans: ['a b', '$(id)'] } }`,
      /cluster\.name: /,
      /sans\[0\]: /,
      /sans\[1\]: /,
    ],
    [
      'a version',
      `${dns}join: { listen: ["fd00::1"], cluster: { kubernetes: "1.36.4" } }`,
      /kubernetes: "1\.36\.4" is no minor version/,
    ],
    ['a lifetime', `${dns}join: { listen: ["fd00::1"], ttl: 1s }`, /^join\.ttl: .*out of range/],
    [
      'target without its types',
      `dns: { listen: ["[::1]:53"], keys: { k: { algorithm: hmac-sha256, secret: QQ== } }, zones: [{ name: a.test, ns: [n.test], update: [{ key: k, match: zonesub, types: [SRV, AAAA], target: self }] }] }`,
      /update\[0\]\.target: goes with `types` of SRV and PTR alone/,
    ],
  ];
  for (const [name, text, ...expected] of rows) {
    const found = problems(text);
    t.equal(found.length, expected.length, `${name}: ${JSON.stringify(found)}`);
    for (const [i, each] of expected.entries()) t.match(found[i] ?? '', each, name);
  }
  t.end();
});

t.test('settings, where the scripts do not say which there are', (t) => {
  const scripts = t.testdir({ 'join.sh': '' });
  const found = problems(`${dns}join: { listen: ["fd00::1"], scripts: ${scripts}, cluster: { settings: { A: b } } }`);
  t.equal(found.length, 1);
  t.match(found[0], /^join\.cluster\.settings: which there are cannot be seen: ENOENT/);
  t.end();
});

t.test('what follows from other sections', (t) => {
  const plain = joinConfig('');
  t.strictSame(plain.allow.map(formatCidr), ['fd00:6:6::/64'], 'the /64 of the listener');
  t.match(plain, { zone: 'cluster.test', ttlMs: 3_600_000, cluster: { ptr: 'edge' }, listen: [{ port: 8654 }] });
  t.strictSame(plain.reverseZones, ['0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa']);
  const ra = 'ra:\n  - { interface: eth1, prefixes: [{ prefix: "fd00:6:6::/64" }, { prefix: "fd00:7:7::/64" }] }\n';
  const result = parseConfig(`${dns}${ra}join: { listen: ["fd00:7:7::1"] }`, join(import.meta.dirname, 'v6edge.yaml'));
  const advertised = 'config' in result ? result.config.join! : undefined;
  t.strictSame(advertised?.allow.map(formatCidr), ['fd00:6:6::/64', 'fd00:7:7::/64'], 'what is advertised');
  t.equal(formatCidr(advertised!.cluster.privateSubnet), 'fd00:7:7::/64');
  t.equal(formatCidr(advertised!.cluster.podSubnet), 'fd00:7:7:100::/56');
  t.equal(advertised!.cluster.ptr, 'none');
  t.end();
});
