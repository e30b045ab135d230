import t from 'tap';
import { formatCidr, parseCidr, parseInetEndpoint } from '../../src/core/address.ts';
import { CounterTable } from '../../src/core/counters.ts';
import { noDns } from '../../src/dns/config.ts';
import { counterLayout } from '../../src/edge/counter-layout.ts';
import { DnsSettingsMaker } from '../../src/edge/dns-settings.ts';
import { zoneConfig } from '../dns/control-server.ts';

t.test('who has to do with our zones, from every place that names them', (t) => {
  const maker = new DnsSettingsMaker(1, new CounterTable(counterLayout(1)), new Uint8Array(16));
  t.strictSame(maker.make(undefined).zonePeers, []);
  const transfer = { key: undefined, allow: [parseCidr('fd00:1::/64')], notify: [parseInetEndpoint('[fd00:2::1]:53')] };
  const secondary = {
    primaries: [parseInetEndpoint('192.0.2.1:53'), parseInetEndpoint('[fd00:3::1]:5353')],
    key: undefined,
    allowNotify: [parseCidr('fd00:4::/64')],
    allowUpdateForwarding: [parseCidr('fd00:5::/64')],
  };
  const settings = maker.make({
    ...noDns,
    zones: [
      zoneConfig('a.test', { transfer }),
      zoneConfig('b.test', { transfer: { ...transfer, allow: [], notify: [] }, secondary }),
    ],
  });
  t.strictSame(settings.zonePeers?.map(formatCidr), [
    'fd00:1::/64',
    'fd00:2::1/128',
    '192.0.2.1/32',
    'fd00:3::1/128',
    'fd00:4::/64',
    'fd00:5::/64',
  ]);
  t.strictSame(settings.openTransfers, { 'a.test': transfer.allow }, 'where addresses are enough');
  t.strictSame(
    maker.make({ ...noDns, zones: [zoneConfig('a.test', { transfer: { ...transfer, key: 'k' } })] }).openTransfers,
    {},
    'not without the key',
  );
  t.notOk('keys' in settings, 'no secrets');
  t.end();
});
