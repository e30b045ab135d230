import { join } from 'node:path';
import t from 'tap';
import { changesOf } from '../../../src/edge/config/changes.ts';
import { parseConfig } from '../../../src/edge/config/load.ts';
import type { EdgeConfig } from '../../../src/edge/config/types.ts';

function config(text: string): EdgeConfig {
  const result = parseConfig(text, join(import.meta.dirname, 'c.yaml'));
  if ('errors' in result) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

const members = '[{ name: a, address: "::1", port: 1 }, { name: b, address: "::1", port: 2 }]';
const first = `proxy:
  listeners:
    - { name: http, bind: ["[::]:80"], pool: web }
    - { name: old, bind: ["[::]:81"], pool: web }
  pools: { web: { members: ${members} } }
dns:
  listen: ["[::1]:53"]
  keys: { k: { algorithm: hmac-sha256, secret: c2VjcmV0 } }
  zones: [{ name: a.test, ns: [n.a.test] }]
ra: [{ interface: eth1 }]
`;

t.test('what a reload changes, by its place', async (t) => {
  const cases: [from: string, to: string, changes: string[]][] = [
    ['', '', []],
    ['name: old', 'name: new', ['proxy.listeners.old removed', 'proxy.listeners.new added']],
    ['bind: ["[::]:80"]', 'bind: ["[::]:80", "0.0.0.0:80"]', ['proxy.listeners.http.bind changed']],
    ['name: http,', 'name: http, whenEmpty: close,', ['proxy.listeners.http.whenEmpty changed']],
    ['{ members', '{ keepalive: 5s, members', ['proxy.pools.web.keepalive changed']],
    [
      'port: 2 }',
      'port: 3, weight: 7 }',
      ['proxy.pools.web.members.b.port changed', 'proxy.pools.web.members.b.weight changed'],
    ],
    [', { name: b, address: "::1", port: 2 }', '', ['proxy.pools.web.members.b removed']],
    ['web: {', 'more: {}, web: {', ['proxy.pools.more added']],
    ['proxy:', 'proxy:\n  timeouts: { idle: 5m }', ['proxy.timeouts.idle changed', 'proxy.timeouts.tunnel changed']],
    ['secret: c2VjcmV0', 'secret: c2VjcmV0cw==', ['dns.keys.k.secret changed']],
    ['ns: [n.a.test]', 'ns: [n.a.test], ttl: 9s', ['dns.zones.a.test.ttl changed']],
    ['interface: eth1', 'interface: eth2', ['ra.eth1 removed', 'ra.eth2 added']],
    ['ra: [{ interface: eth1 }]\n', '', ['ra.eth1 removed']],
  ];
  for (const [from, to, changes] of cases) {
    t.strictSame(changesOf(config(first), config(first.replace(from, to))), changes, `${from} -> ${to}`);
  }
});
