import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PackedNodes } from '../../src/dns/packed-nodes.ts';
import { loadConfig } from '../../src/edge/config/load.ts';
import type { LoadResult } from '../../src/edge/config/types.ts';
import { loadConfigApart } from '../../src/edge/config-apart.ts';

const examples = join(import.meta.dirname, '../../examples');

t.test('errors are those of the thread that reads', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-config-apart-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'v6edge.yaml');
  writeFileSync(file, 'workers: many\nproxi: {}\n');
  const loaded = await loadConfigApart(file);
  t.ok('errors' in loaded && loaded.errors.length >= 2);
  t.strictSame(loaded, loadConfig(file));
  t.strictSame(await loadConfigApart('/nonexistent/v6edge.yaml'), loadConfig('/nonexistent/v6edge.yaml'));
});

t.test('everything a configuration may hold crosses', async (t) => {
  const file = join(examples, 'reference.yaml');
  const loaded = await loadConfigApart(file);
  t.ok('config' in loaded);
  t.strictSame(plain(unpacked(loaded)), plain(unpacked(loadConfig(file))));
});

t.test('a reader at fault', async (t) => {
  const faulty = (program: string) => loadConfigApart('x.yaml', new URL(`data:text/javascript,${program}`));
  await t.rejects(faulty('throw new TypeError("lost");'), { name: 'TypeError', message: 'lost' });
  await t.rejects(faulty('process.exit(3);'), { message: 'the thread that reads x.yaml ended with 3' });
});

t.test('several at once', async (t) => {
  const file = join(examples, 'reference.yaml');
  const all = await Promise.all(Array.from({ length: 4 }, () => loadConfigApart(file)));
  t.ok(all.every((loaded) => 'config' in loaded));
});

/** Where a packed name lies is drawn by lot. */
function unpacked(loaded: LoadResult): unknown {
  if ('errors' in loaded) return loaded;
  const zoneFiles = [...loaded.zoneFiles].map(([name, packed]) => [name, ...new PackedNodes(packed).entries()]);
  return { ...loaded, zoneFiles };
}

/** Buffers arrive as what they are besides, Uint8Arrays. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [key, plain(each)]));
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
