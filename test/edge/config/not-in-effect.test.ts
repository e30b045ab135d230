import { join } from 'node:path';
import t from 'tap';
import { loadConfig, parseConfig } from '../../../src/edge/config/load.ts';
import { settingsNotInEffect } from '../../../src/edge/config/not-in-effect.ts';

const root = join(import.meta.dirname, '../../..');

t.test('settings that are taken and not acted on are named', (t) => {
  const result = loadConfig(join(root, 'examples/reference.yaml'));
  if ('errors' in result) throw new Error('the reference does not parse');
  t.strictSame(settingsNotInEffect(result.config), ['dns.zones["cluster.test"].transfer.notify']);
  t.end();
});

t.test('a plain configuration has none', (t) => {
  const result = parseConfig(
    'dns: { listen: ["::1"], forward: { upstreams: ["::1"] } }\nra: [{ interface: eth1 }]',
    '/c.yaml',
  );
  t.strictSame('config' in result && settingsNotInEffect(result.config), []);
  t.end();
});
