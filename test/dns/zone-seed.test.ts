import t from 'tap';
import type { ZoneConfig } from '../../src/dns/config.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { packRecords, readSeedFile, startZone, type ZoneStart } from '../../src/dns/zone-seed.ts';
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
  leaseSeconds: 0,
};

const apex = nameFromText(config.name);
const read = (text: string) => () => packRecords(apex, readZoneFile(text, { zone: apex, ttlSeconds: 60 }));
const nothing = () => undefined;
/** What would be committed. */
const committed = ({ changes, records = [] }: ZoneStart) => [...changes, ...records];

t.test('from configuration alone', (t) => {
  const start = startZone(config, undefined, nothing, 7);
  const { zone } = start;
  t.equal(
    writeZoneFile(zone.toData()),
    'cluster.test.\t120\tIN\tSOA\tedge.cluster.test. root.cluster.test. 7 1 2 3 4\n' +
      'cluster.test.\t120\tIN\tNS\tedge.cluster.test.\n',
  );
  t.equal(committed(start).length, 2);
  t.end();
});

t.test('without `ns` the name servers are those of the file', (t) => {
  const { zone } = startZone({ ...config, ns: [] }, undefined, read('@ SOA m r 9 1 1 1 1\n@ NS a\n@ NS b\n'), 7);
  t.equal(zone.serial, 9);
  t.equal(zone.rrset(zone.key, TYPE.NS)?.rrset.rdata.length, 2);
  t.equal(startZone({ ...config, ns: [] }, undefined, nothing, 7).zone.rrset(zone.key, TYPE.NS), undefined);
  t.end();
});

t.test('a stored zone loses no name server to a configuration that names none any more', (t) => {
  const first = startZone(config, undefined, nothing, 7);
  const stored = { rrsets: [...first.zone.all()], serial: first.zone.serial, seed: first.seed };
  const again = startZone({ ...config, ns: [] }, stored, nothing, 8);
  t.ok(again.zone.rrset(again.zone.key, TYPE.NS));
  t.end();
});

t.test('what the configuration says of the SOA, the name servers and their TTL stands above the file', (t) => {
  const start = startZone(config, undefined, read('@ 9 SOA m r 77 9 9 9 9\n@ 9 NS a\nx 9 A 192.0.2.1\n'), 7);
  const { zone } = start;
  t.equal(
    writeZoneFile(zone.toData()),
    'cluster.test.\t120\tIN\tSOA\tedge.cluster.test. root.cluster.test. 77 1 2 3 4\n' +
      'cluster.test.\t120\tIN\tNS\tedge.cluster.test.\n' +
      'x.cluster.test.\t9\tIN\tA\t192.0.2.1\n',
    "the serial and the other records are the file's",
  );
  t.equal(committed(start).length, 3);
  t.end();
});

t.test('stored: the file is not read again, and a change of the configuration steps the serial', (t) => {
  const first = startZone(config, undefined, nothing, 7);
  const stored = { rrsets: [...first.zone.all()], serial: first.zone.serial, seed: first.seed };
  const unread = () => {
    throw new Error('the file is read');
  };
  t.same(startZone(config, stored, unread, 99).changes, []);
  const changed = startZone({ ...config, ttlSeconds: 60 }, stored, unread, 99);
  t.equal(changed.zone.serial, 8);
  t.same(
    changed.changes.map(({ type }) => type),
    [TYPE.SOA],
    'the name servers are as they were',
  );
  const servers = startZone({ ...config, ns: ['b.cluster.test'] }, stored, unread, 99);
  t.same(servers.zone.rrset(servers.zone.key, TYPE.NS)?.rrset.rdata, [nameFromText('b.cluster.test')]);
  t.end();
});

t.test('a large file stays packed, and the configuration still has the last word at the apex', (t) => {
  const names = Array.from({ length: 3000 }, (_, i) => `n${i} A 192.0.2.1\n`).join('');
  const start = startZone(config, undefined, read(`${names}@ SOA m r 77 9 9 9 9\n@ NS a\n@ NS b\n@ TXT kept\n`), 7);
  const { zone } = start;
  t.ok(zone.toShared().packed);
  t.equal(zone.serial, 77);
  t.equal(zone.size, 3003);
  t.same(zone.rrset(zone.key, TYPE.NS)?.rrset.rdata, [nameFromText('edge.cluster.test')]);
  t.ok(zone.rrset(zone.key, TYPE.TXT));
  const stored = committed(start).map(({ owner }) => Buffer.from(owner).toString());
  t.equal(stored.length, 3003);
  t.equal(new Set(stored).size, 3001);
  t.end();
});

t.test('files that cannot be used', (t) => {
  const folder = t.testdir({ outside: 'a.other. 1 A 192.0.2.1\n', below: 'sub SOA m r 1 1 1 1 1\n' });
  const read = (file: string) => readSeedFile({ ...config, file: `${folder}/${file}` });
  t.throws(() => read('outside'), { code: 'V6_VALUE', message: /zone cluster\.test: .*line 1: a\.other/ });
  t.throws(() => read('below'), { code: 'V6_VALUE', message: /line 1: an SOA record/ });
  t.throws(() => read('none'), { code: 'V6_VALUE', message: /zone cluster\.test: .*ENOENT/ });
  t.equal(readSeedFile(config), undefined, 'no file: no records');
  t.end();
});
