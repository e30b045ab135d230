/**
 * What an update costs grows with the update and with the RRsets it is about, not with one times the other: an update of 64 KiB
 * on an RRset of a thousand records must not hold the control thread up. How often records are looked at is counted, not time.
 */
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import type { UpdateRule } from '../../src/dns/config.ts';
import { LeaseTable } from '../../src/dns/leases.ts';
import { Overlay, sameRRset } from '../../src/dns/overlay.ts';
import { UpdatePolicy } from '../../src/dns/policy.ts';
import { applyPtrChanges, ptrChanges } from '../../src/dns/reverse.ts';
import { applyDifferences } from '../../src/dns/secondary/zone-changes.ts';
import type { OwnedRRset } from '../../src/dns/snapshot.ts';
import { processUpdate } from '../../src/dns/update.ts';
import type { ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { CLASS, RCODE, TYPE, typeFromText } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';
import { updateRule } from './control-server.ts';
import { rr, updateMessage } from './dns-client.ts';

/** Records in the RRset, and in the update. */
const SIZE = 400;
/** How often each of them may be looked at, all steps together; each by each would be 400. */
const LOOKS = 10;

const zoneKey = nameKey(nameFromText('z.test'));
const key = 'k.z.test';
const texts: Record<string, (i: number) => string> = {
  A: (i) => `10.0.${i >> 8}.${i & 255}`,
  MX: (i) => `${i} H.z.test.`,
  SRV: (i) => `0 0 ${i} ${key}.`,
};

let looks = 0;

/** An array that counts how often its elements are read. */
function counted<T>(list: readonly T[]): readonly T[] {
  return new Proxy(list, {
    get(target, property, receiver) {
      if (typeof property === 'string' && /^\d+$/.test(property)) looks++;
      return Reflect.get(target, property, receiver) as unknown;
    },
  });
}

const rdataOf = (type: string, i: number) => rdataFromText(typeFromText(type), texts[type]!(i));

/** Records of one RRset that count how often their data is read. */
function records(type: string, cls: number, from = 0): ResourceRecord[] {
  return Array.from({ length: SIZE }, (_, at) => {
    // The last first: who looks from the front has the longest way.
    const i = from + SIZE - 1 - at;
    const { rdata, ...rest } = rr('a.z.test', cls, typeFromText(type), 0, rdataOf(type, i));
    return {
      ...rest,
      get rdata() {
        looks++;
        return rdata;
      },
    };
  });
}

/** A zone that has the RRset, if `type` is given, and counts how often its records are looked at. */
function zoneWith(type?: string): Zone {
  const name = nameFromText('z.test');
  const soa = { type: TYPE.SOA, ttl: 60, rdata: [rdataFromText(TYPE.SOA, 'ns. h. 1 2 3 4 5')] };
  const rrsets: OwnedRRset[] = [{ owner: name, rrset: soa }];
  if (type !== undefined) {
    const rdata = counted(Array.from({ length: SIZE }, (_, i) => rdataOf(type, i)));
    rrsets.push({ owner: nameFromText('a.z.test'), rrset: { type: typeFromText(type), ttl: 0, rdata } });
  }
  return new Zone({ name, rrsets });
}

const anything = updateRule(key, 'zonesub', undefined, ['ANY']);
const own = (types: string[]): UpdateRule => ({ ...updateRule(key, 'zonesub', undefined, types), target: 'self' });

t.test('updates', (t) => {
  const again = records('A', CLASS.IN);
  const rows: {
    name: string;
    there?: string;
    prerequisites?: ResourceRecord[];
    updates?: ResourceRecord[];
    rule?: UpdateRule;
    changed: boolean;
  }[] = [
    { name: 'a new RRset', updates: records('A', CLASS.IN), changed: true },
    { name: 'a new RRset with names in it', updates: records('MX', CLASS.IN), changed: true },
    { name: 'what is there once more', there: 'A', updates: records('A', CLASS.IN), changed: false },
    { name: 'what is there, with names in it', there: 'MX', updates: records('MX', CLASS.IN), changed: false },
    { name: 'as many again', there: 'MX', updates: records('MX', CLASS.IN, SIZE), changed: true },
    { name: 'each deleted', there: 'MX', updates: records('MX', CLASS.NONE), changed: true },
    { name: 'what is not there deleted', there: 'MX', updates: records('MX', CLASS.NONE, SIZE), changed: false },
    {
      name: 'deleted and put back',
      there: 'A',
      updates: records('A', CLASS.NONE).flatMap((one, i) => [one, again[i]!]),
      changed: false,
    },
    { name: 'prerequisites', there: 'MX', prerequisites: records('MX', CLASS.IN), changed: false },
    {
      name: 'own records among own',
      there: 'SRV',
      updates: records('SRV', CLASS.IN),
      rule: own(['SRV(1000)']),
      changed: false,
    },
    {
      name: 'own records more',
      there: 'SRV',
      updates: records('SRV', CLASS.IN, SIZE),
      rule: own(['SRV(1000)']),
      changed: true,
    },
    {
      name: 'an RRset of own records deleted again and again',
      there: 'SRV',
      updates: records('SRV', CLASS.ANY).map((one) => ({ ...one, rdata: new Uint8Array(0) })),
      rule: own(['SRV']),
      changed: true,
    },
    {
      name: 'limits',
      updates: records('A', CLASS.IN),
      rule: updateRule(key, 'zonesub', undefined, ['A(1000)'], { maxRecords: 1000 }),
      changed: true,
    },
  ];
  for (const { name, there, prerequisites = [], updates = [], rule = anything, changed } of rows) {
    const zone = zoneWith(there);
    const message = updateMessage(1, 'z.test', prerequisites, updates);
    const who = { key: nameKey(nameFromText(key)), address: parseAddress('fd00::1') };
    looks = 0;
    const outcome = processUpdate(message, zoneKey, zone, new UpdatePolicy(zoneKey, [rule]), who);
    t.match(outcome, { rcode: RCODE.NOERROR, reason: undefined }, name);
    t.equal(outcome.changes.length > 0, changed, `${name}: ${changed ? 'a change' : 'no change'}`);
    t.ok(looks < LOOKS * SIZE, `${name}: ${looks} looks`);
  }
  t.end();
});

t.test('leases', (t) => {
  const clock = new FakeClock();
  const table = new LeaseTable({ clock, expire: async () => {} });
  const leased = () => counted(records('MX', CLASS.IN).map((record) => ({ record, seconds: 60 })));
  for (const name of ['granted', 'refreshed']) {
    const added = leased();
    looks = 0;
    t.match(table.follow(zoneKey, zoneWith('MX'), [], added), [{ type: TYPE.MX }], name);
    t.equal(table.leases(zoneKey, nameKey(nameFromText('a.z.test')), TYPE.MX).length, SIZE);
    t.ok(looks < LOOKS * SIZE, `${name}: ${looks} looks`);
  }
  table.stop();
  t.end();
});

t.test('PTR records: many names of one address, many addresses of one name', (t) => {
  const one = [rdataOf('A', 0)];
  const addresses = (from: number) => counted(Array.from({ length: SIZE }, (_, i) => rdataOf('A', from - i)));
  const owner = nameFromText('a.z.test');
  looks = 0;
  const rrset = { type: TYPE.A, ttl: 60, rdata: addresses(SIZE - 1) };
  const before = {
    owner,
    rrset: { ...rrset, rdata: counted(Array.from({ length: SIZE }, (_, i) => rdataOf('A', i))) },
  };
  t.equal(ptrChanges([{ owner, type: TYPE.A, rrset, before }]).length, SIZE);
  t.ok(looks < LOOKS * SIZE, `addresses: ${looks} looks`);

  const names = Array.from({ length: SIZE }, (_, i) => nameFromText(`n${i}.z.test`));
  const hosts = { type: TYPE.A, ttl: 60, rdata: one };
  const changes = ptrChanges(names.map((name) => ({ owner: name, type: TYPE.A, rrset: hosts, before: undefined })));
  /** Counts the records of RRsets that are given out. */
  class Counting extends Overlay {
    override rrset(...[of, type]: Parameters<Overlay['rrset']>): ReturnType<Overlay['rrset']> {
      const set = super.rrset(of, type);
      looks += set?.rrset.rdata.length ?? 0;
      return set;
    }
  }
  const overlay = new Counting(zoneWith());
  looks = 0;
  applyPtrChanges(changes, overlay);
  t.equal(overlay.changes()[0]!.rrset!.rdata.length, SIZE);
  t.ok(looks < LOOKS * SIZE, `names: ${looks} looks`);
  t.end();
});

t.test('RRsets compared, differences of a transfer', (t) => {
  const set = (rdata: Uint8Array[]) => ({ type: TYPE.A, ttl: 60, rdata: counted(rdata) });
  const all = Array.from({ length: SIZE }, (_, i) => rdataOf('A', i));
  const [forth, back] = [set(all), set([...all].reverse())];
  looks = 0;
  t.equal(sameRRset(forth, back), true);
  t.ok(looks < LOOKS * SIZE, `${looks} looks`);

  const soa = rr('z.test', CLASS.IN, TYPE.SOA, 60, rdataFromText(TYPE.SOA, 'ns. h. 2 2 3 4 5'));
  const step = { deleted: records('MX', CLASS.IN), newSoa: soa, added: records('MX', CLASS.IN, SIZE) };
  const zone = zoneWith('MX');
  looks = 0;
  const changes = applyDifferences(zoneKey, zone, [{ oldSoa: soa, ...step }]);
  t.equal(changes?.find(({ type }) => type === TYPE.MX)?.rrset?.rdata.length, SIZE);
  t.ok(looks < LOOKS * SIZE, `differences: ${looks} looks`);
  t.end();
});
