import t from 'tap';
import { routeFor } from '../../src/proxy/routes.ts';

const routes = [
  { sni: '*.example.org', pool: 'wild' },
  { sni: '*.dev.example.org', pool: 'dev' },
  { sni: 'api.example.org', pool: 'api' },
];

const cases: [name: string, pool: string | undefined][] = [
  ['api.example.org', 'api'],
  ['www.example.org', 'wild'],
  ['a.b.example.org', 'wild'],
  ['x.dev.example.org', 'dev'],
  ['dev.example.org', 'wild'],
  ['example.org', undefined],
  ['badexample.org', undefined],
  ['api.example.org.evil.test', undefined],
  ['', undefined],
];

for (const [name, pool] of cases) {
  t.test(name === '' ? 'no name' : name, async (t) => {
    t.equal(routeFor(routes, name), pool);
    t.equal(routeFor(routes.toReversed(), name), pool, 'in another order');
  });
}
