import t from 'tap';
import type { ZoneConfig } from '../../src/dns/config.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { startZone } from '../../src/dns/zone-seed.ts';
import { readZoneFile, writeZoneFile } from '../../src/dns/zonefile.ts';

const config: ZoneConfig = {
  name: 'cluster.test',
  ns: ['edge.cluster.test'],
  soa: {
    mname: 'edge.cluster.test',
    rname: 'root.cluster.test',
    refreshSeconds: 1,
    retrySeconds: 2,
    expireSeconds: 3,
    minimumSeconds: 4,
  },
  ttlSeconds: 120,
  file: undefined,
  update: [],
  transfer: { allow: [], key: undefined, notify: [] },
  reverse: false,
};

const read = (text: string) => () => readZoneFile(text, { zone: nameFromText(config.name), ttlSeconds: 60 });

t.test('from configuration alone', (t) => {
  const { zone, changes } = startZone(config, undefined, () => [], 7);
  t.equal(
    writeZoneFile(zone.toData()),
    'cluster.test.\t120\tIN\tSOA\tedge.cluster.test. root.cluster.test. 7 1 2 3 4\n' +
      'cluster.test.\t120\tIN\tNS\tedge.cluster.test.\n',
  );
  t.equal(changes.length, 2);
  t.end();
});

t.test('without `ns` the name servers are those of the file', (t) => {
  const { zone } = startZone({ ...config, ns: [] }, undefined, read('@ SOA m r 9 1 1 1 1\n@ NS a\n@ NS b\n'), 7);
  t.equal(zone.serial, 9);
  t.equal(zone.rrset(zone.key, TYPE.NS)?.rrset.rdata.length, 2);
  t.equal(startZone({ ...config, ns: [] }, undefined, () => [], 7).zone.rrset(zone.key, TYPE.NS), undefined);
  t.end();
});

t.test('a stored zone loses no name server to a configuration that names none any more', (t) => {
  const first = startZone(config, undefined, () => [], 7);
  const stored = { rrsets: [...first.zone.all()], serial: first.zone.serial, seed: first.seed };
  const again = startZone({ ...config, ns: [] }, stored, () => [], 8);
  t.ok(again.zone.rrset(again.zone.key, TYPE.NS));
  t.end();
});
