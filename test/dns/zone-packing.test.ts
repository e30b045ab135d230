import t from 'tap';
import type { OwnedRRset } from '../../src/dns/snapshot.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';
import { ZonePacking } from '../../src/dns/zone-packing.ts';

const name = nameFromText('example');
const soa = { type: TYPE.SOA, ttl: 60, rdata: [rdataFromText(TYPE.SOA, 'm. r. 1 1 1 1 60')] };

function text(i: number, value: string): OwnedRRset {
  return {
    owner: nameFromText(`n${i}.example`),
    rrset: { type: TYPE.TXT, ttl: 60, rdata: [rdataFromText(TYPE.TXT, value)] },
  };
}

function zoneOf(count: number): Zone {
  return new Zone({
    name,
    rrsets: [{ owner: name, rrset: soa }, ...Array.from({ length: count }, (_, i) => text(i, 'old'))],
  });
}

function change(zone: Zone, from: number, to: number): void {
  for (let i = from; i < to; i++) zone.apply([{ ...text(i, 'new'), type: TYPE.TXT }]);
}

t.test('a small zone is left as it is, a large one is packed from the start', (t) => {
  t.equal(zoneOf(100).toShared().packed, undefined);
  const { packed, rrsets, replaced } = zoneOf(5000).toShared();
  t.equal(packed?.sets, 5001);
  t.same([rrsets, replaced], [[], []]);
  t.end();
});

t.test('packed anew when a part of it has changed, while more changes', async (t) => {
  const zone = zoneOf(20_000);
  const { promise, resolve } = Promise.withResolvers<Zone>();
  const packing = new ZonePacking(resolve);
  change(zone, 0, 1500);
  packing.note(zone);
  t.notOk(zone.wantsPacking, 'too few');
  t.equal(zone.toShared().replaced?.length, 1500);
  change(zone, 1500, 2100);
  t.ok(zone.wantsPacking);
  packing.note(zone);
  // The first slice has begun when this comes.
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(zone.wantsPacking, 'it is under way');
  change(zone, 2000, 2200);
  t.equal(await promise, zone);
  t.equal(zone.toShared().replaced?.length, 200, 'what came meanwhile lies over it');
  t.equal(zone.size, 20_001);
  const values = [0, 2099, 2199, 2200].map((i) => zone.rrset(nameKey(nameFromText(`n${i}.example`)), TYPE.TXT)!);
  t.same(
    values.map(({ rrset }) => Buffer.from(rrset.rdata[0]!.subarray(1)).toString()),
    ['new', 'new', 'new', 'old'],
  );
});

t.test('a stop in the middle leaves the zone whole', async (t) => {
  const zone = zoneOf(5000);
  const packing = new ZonePacking(() => t.fail('it was stopped'));
  change(zone, 0, 2500);
  packing.note(zone);
  packing.stop();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal([...zone.all()].length, 5001);
});
