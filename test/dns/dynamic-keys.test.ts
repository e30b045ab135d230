import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import type { UpdateRule } from '../../src/dns/config.ts';
import { type DynamicKey, Keys } from '../../src/dns/dynamic-keys.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { testKey, updateRule, zoneConfig } from './control-server.ts';

const zone = zoneConfig('cluster.test', { update: [updateRule('', 'zonesub', undefined, [], { keys: ['*'] })] });
const owner = nameKey(nameFromText('w1.cluster.test'));

function dynamic(
  name: string,
  rules: readonly UpdateRule[] = [updateRule(name, 'self', undefined, ['AAAA'])],
): DynamicKey {
  return { key: { ...testKey, name }, rules: new Map([['cluster.test', rules]]) };
}

/** Whether the key may change an address and a text at w1's name. */
function may(keys: Keys, key: string): boolean[] {
  const who = { key: nameKey(nameFromText(key)), address: parseAddress('fd00::1') };
  return [TYPE.AAAA, TYPE.TXT].map((type) => keys.policyOf(zone).grant(who, owner, type) !== undefined);
}

t.test('a dynamic key has its own rules and no others', (t) => {
  const keys = new Keys();
  t.strictSame(may(keys, 'w1.cluster.test'), [true, true], 'as long as it is none: * is every key');
  keys.set([
    dynamic('w1.cluster.test'),
    dynamic('w2.cluster.test', []),
    { ...dynamic('w3.cluster.test'), rules: new Map() },
  ]);
  t.strictSame(may(keys, 'w1.cluster.test'), [true, false]);
  t.strictSame(may(keys, 'w2.cluster.test'), [false, false]);
  t.strictSame(may(keys, 'w3.cluster.test'), [false, false], 'also where it has none in this zone');
  t.strictSame(may(keys, 'other'), [true, true]);
  t.end();
});

t.test('one that is configured as well is none: it would have the rights of the other', (t) => {
  const keys = new Keys();
  keys.set([dynamic('w1.cluster.test')]);
  keys.configure([{ ...testKey, name: 'w1.cluster.test', secret: new Uint8Array(32) }]);
  t.strictSame(may(keys, 'w1.cluster.test'), [true, true], 'the configured one’s');
  const record = { keyName: nameFromText('w1.cluster.test'), algorithm: nameFromText('hmac-sha256') };
  t.equal(keys.ring.find(record as never).length, 1);
  t.strictSame(keys.ring.find(record as never)[0]!.key.secret, new Uint8Array(32));
  keys.configure([]);
  t.strictSame(may(keys, 'w1.cluster.test'), [true, false], 'back when that is gone');
  t.end();
});

t.test('last updates are those of dynamic keys that are there', (t) => {
  const keys = new Keys();
  keys.set([dynamic('w1.cluster.test')]);
  keys.noteUpdate('w1.cluster.test', 5);
  keys.noteUpdate('other', 5);
  t.equal(keys.lastUpdateBy('w1.cluster.test'), 5);
  t.equal(keys.lastUpdateBy('other'), undefined);
  keys.set([]);
  t.equal(keys.lastUpdateBy('w1.cluster.test'), undefined);
  t.end();
});
