import t from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import type { PoolSettings } from '../../../src/edge/config/proxy.ts';
import { checkLoops } from '../../../src/edge/config/proxy-loops.ts';
import type { ListenerConfig } from '../../../src/proxy/config.ts';

/** Listeners as `bind > pool, pool`, pools as members' endpoints. */
function problems(listeners: Record<string, string>, pools: Record<string, string[]>): string[] {
  const found: string[] = [];
  checkLoops(
    Object.entries(listeners).map(([name, text], i) => {
      const [bind, targets] = text.split(' > ') as [string, string];
      const [pool, ...routes] = targets.split(', ');
      const value = {
        name,
        bind: bind.split(' ').map(parseInetEndpoint),
        pool,
        routes: routes.map((each) => ({ pool: each })),
      };
      return { path: ['proxy', 'listeners', i], value: value as unknown as ListenerConfig };
    }),
    Object.entries(pools).map(([name, members]) => {
      const parsed = members.map((text) => {
        const { address, port } = /^\[?(?<address>.*?)\]?:(?<port>\d+)$/.exec(text)!.groups as Record<string, string>;
        return { address, port: Number(port) };
      });
      return { path: ['proxy', 'pools', name], value: { members: parsed } as unknown as PoolSettings };
    }),
    (path, message) => found.push(`${path.join('.')}: ${message}`),
  );
  return found;
}

const table: { name: string; listeners: Record<string, string>; pools: Record<string, string[]>; expect: RegExp[] }[] =
  [
    {
      name: 'itself',
      listeners: { a: '[fd00::1]:6443 > p' },
      pools: { p: ['[fd00::11]:6443', '[fd00::1]:6443'] },
      expect: [
        /^proxy\.pools\.p\.members\.1\.address: \[fd00::1\]:6443 is a listener of ours: "a" would connect to itself, without end$/,
      ],
    },
    {
      name: 'by loopback to a wildcard',
      listeners: { a: '[::]:80 0.0.0.0:80 > p' },
      pools: { p: ['127.0.0.1:80', '[::1]:80'] },
      expect: [/127\.0\.0\.1:80/, /\[::1\]:80/],
    },
    {
      name: 'by a route',
      listeners: { a: '[::1]:443 > p, q' },
      pools: { p: ['[fd00::1]:443'], q: ['[::1]:443'] },
      expect: [/pools\.q\.members\.0/],
    },
    {
      name: 'by another listener',
      listeners: { a: '[::1]:1 > p', b: '[::1]:2 > q' },
      pools: { p: ['[::1]:2'], q: ['[::1]:1'] },
      expect: [/"a" would connect to "b", which leads back to it/, /"b" would connect to "a", which leads back to it/],
    },
    {
      name: 'from one to another',
      listeners: { a: '[::1]:1 > p', b: '[::1]:2 > q' },
      pools: { p: ['[::1]:2'], q: ['[fd00::1]:1'] },
      expect: [],
    },
    {
      name: 'into a circle, but not part of it',
      listeners: { a: '[::1]:1 > p', b: '[::1]:2 > q' },
      pools: { p: ['[::1]:2'], q: ['[::1]:2'] },
      expect: [/"b" would connect to itself/],
    },
    {
      name: 'another port, another family, an address that may be anybody’s',
      listeners: { a: '0.0.0.0:80 > p' },
      pools: { p: ['127.0.0.1:81', '[::1]:80', '192.0.2.1:80'] },
      expect: [],
    },
    { name: 'a pool that is not there', listeners: { a: '[::1]:80 > p' }, pools: {}, expect: [] },
  ];

for (const { name, listeners, pools, expect } of table) {
  t.test(name, async (t) => {
    const found = problems(listeners, pools);
    t.equal(found.length, expect.length, found.join('\n'));
    for (const [i, each] of expect.entries()) t.match(found[i], each);
  });
}
