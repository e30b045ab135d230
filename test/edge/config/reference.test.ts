import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { referencePage, settings } from '../../../src/edge/config/reference.ts';

const root = join(import.meta.dirname, '../../..');

/** Whether a path of the reference, `a.b[].*.c`, leads anywhere in a document. */
function leads(value: unknown, path: readonly string[]): boolean {
  const [step, ...rest] = path;
  if (step === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const next =
    step === '*' || step === '[]'
      ? Object.values(value)
      : step in value
        ? [(value as Record<string, unknown>)[step]]
        : [];
  return next.some((each) => leads(each, rest));
}

t.test('docs/configuration.md is what the schema says', (t) => {
  const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
  t.equal(page, referencePage(), 'run: node scripts/reference.ts');
  t.end();
});

t.test('examples/reference.yaml has every setting', (t) => {
  const document = parse(readFileSync(join(root, 'examples/reference.yaml'), 'utf8'));
  // Two ways to say one thing, of which the file shows one; and a folder that it would have to bring along.
  const alternatives = ['proxy.pools.*.discover.a', 'dns.keys.*.algorithm', 'dns.keys.*.secret', 'join.scripts'];
  const missing = settings()
    .map((setting) => setting.path)
    .filter((path) => !leads(document, path.replaceAll('[]', '.[]').split('.')))
    .filter((path) => !alternatives.includes(path));
  t.strictSame(missing, []);
  t.end();
});

t.test('every setting has a meaning, and a default or a reason to have none', (t) => {
  for (const setting of settings()) {
    t.not(setting.description, '', setting.path);
    t.notOk(setting.required && setting.fallback !== undefined, setting.path);
  }
  const byPath = new Map(settings().map((setting) => [setting.path, setting]));
  t.match(byPath.get('proxy.listeners[].bind'), { required: true, kind: 'list of endpoint' });
  t.match(byPath.get('proxy.timeouts.connect'), {
    required: false,
    fallback: '3s',
    kind: 'duration',
    allowed: '1ms to 365d',
  });
  t.match(byPath.get('dns.zones[].update[].match'), {
    required: true,
    allowed: 'self, selfsub, selfwild, name, subdomain, wildcard, zonesub',
  });
  t.match(byPath.get('ra[].mtu'), { fallback: '0' });
  t.end();
});
