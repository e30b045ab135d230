import t from 'tap';
import { routeFor } from '../../src/proxy/routes.ts';

const routes = [
  { sni: '*.example.org', alpn: [], pool: 'wild' },
  { sni: '*.dev.example.org', alpn: [], pool: 'dev' },
  { sni: 'api.example.org', alpn: [], pool: 'api' },
  { sni: undefined, alpn: ['acme-tls/1'], pool: 'acme' },
  { sni: 'api.example.org', alpn: ['h2', 'h3'], pool: 'api-h2' },
  { sni: '*.example.org', alpn: ['postgresql'], pool: 'postgres' },
];

const cases: [name: string | undefined, protocols: string[], pool: string | undefined][] = [
  ['api.example.org', [], 'api'],
  ['www.example.org', [], 'wild'],
  ['a.b.example.org', [], 'wild'],
  ['x.dev.example.org', [], 'dev'],
  ['dev.example.org', [], 'wild'],
  ['example.org', [], undefined],
  ['badexample.org', [], undefined],
  ['api.example.org.evil.test', [], undefined],
  ['', [], undefined],
  [undefined, [], undefined],
  [undefined, ['h2'], undefined],
  [undefined, ['acme-tls/1'], 'acme'],
  ['other.test', ['acme-tls/1'], 'acme'],
  // A name says more than a protocol.
  ['www.example.org', ['acme-tls/1'], 'wild'],
  ['api.example.org', ['http/1.1', 'h2'], 'api-h2'],
  ['api.example.org', ['http/1.1'], 'api'],
  ['db.example.org', ['postgresql'], 'postgres'],
  ['x.dev.example.org', ['postgresql'], 'dev'],
];

for (const [name, protocols, pool] of cases) {
  t.test(`${name ?? 'no name'} ${protocols}`, async (t) => {
    t.equal(routeFor(routes, name, protocols), pool);
    t.equal(routeFor(routes.toReversed(), name, protocols), pool, 'in another order');
  });
}
