import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatEndpoint } from '../../../src/core/address.ts';
import { loadConfig } from '../../../src/edge/config/load.ts';
import { shadowConfig } from '../../../src/edge/shadow/config.ts';
import { whyRight } from '../../../src/edge/shadow/proxy.ts';

const reply = (text: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;

t.test('differences between replies, and which of them are right so', (t) => {
  const cases: readonly (readonly [what: string, old: string[], ours: string[], why: RegExp | undefined])[] = [
    ['refused where the other closes', ['closed without an answer'], ['refused'], undefined],
    ['closed where we reset', ['closed without an answer'], ['reset'], /whenEmpty: close/],
    ['a reply where we reset', [reply('one')], ['reset'], undefined],
    ['another member', [reply('one')], [reply('two')], undefined],
    ['a mapped address', [reply('a ::ffff:192.0.2.1')], [reply('a 192.0.2.1')], /told an IPv4 client/],
    ['a mapped address of ours', [reply('a 192.0.2.1')], [reply('a ::ffff:192.0.2.1')], undefined],
    ['a mapped address of another client', [reply('a ::ffff:192.0.2.1')], [reply('a 192.0.2.2')], undefined],
    ['one member less', [reply('a ::ffff:192.0.2.1'), reply('b ::ffff:192.0.2.1')], [reply('a 192.0.2.1')], undefined],
  ];
  for (const [what, old, ours, why] of cases) {
    const told = whyRight(old, ours);
    if (why === undefined) t.equal(told, undefined, what);
    else t.match(told, why, what);
  }
  t.end();
});

t.test('ports do not overlap, whatever the addresses', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-shadow-ports-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'v6edge.yaml');
  const binds = (i: number) => `["[::]:${i}", "0.0.0.0:${i}", "[::1]:${i}", "127.0.0.1:${i}"]`;
  const listeners = Array.from({ length: 75 }, (_, i) => `{ name: l${i}, bind: ${binds(1000 + i)}, pool: p }`);
  writeFileSync(file, `proxy: { listeners: [${listeners.join(', ')}], pools: { p: { members: [] } } }\n`);
  const out = mkdtempSync(join(tmpdir(), 'v6edge-shadow-out-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const { proxy } = await shadowConfig(file, out);
  const pairs = proxy.flatMap((listener) => listener.pairs);
  t.equal(pairs.length, 300);
  // What the check of the configuration would say of them: at other addresses the kernel gives a port again, and may.
  const moved = join(out, 'moved.yaml');
  const bind = pairs.map(({ ours }) => JSON.stringify(formatEndpoint(ours)));
  writeFileSync(
    moved,
    `proxy: { listeners: [{ name: l, bind: [${bind}], pool: p }], pools: { p: { members: [] } } }\n`,
  );
  t.notHas(loadConfig(moved), { errors: [] });
});
