import fc from 'fast-check';
import t from 'tap';
import type { ZoneChange } from '../../src/dns/snapshot.ts';
import { isSubdomainKey, type Name, nameFromText, nameKey, parentKey } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { TYPE, typeFromText } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';

const seed = 20261123;
const apex = nameFromText('Example');
const key = (text: string) => nameKey(nameFromText(text));

function set(owner: string | Name, type: string, ...data: string[]): ZoneChange {
  const number = typeFromText(type);
  const rrset = { type: number, ttl: 300, rdata: data.map((text) => rdataFromText(number, text)) };
  return { owner: typeof owner === 'string' ? nameFromText(owner) : owner, type: number, rrset };
}

function gone(owner: string, type: string): ZoneChange {
  return { owner: nameFromText(owner), type: typeFromText(type), rrset: undefined };
}

const soa = (serial: number) => set('example', 'SOA', `m. r. ${serial} 1 1 1 60`);

function makeZone(...changes: ZoneChange[]): Zone {
  const sets = [soa(1), ...changes].map(({ owner, rrset }) => ({ owner, rrset: rrset! }));
  return new Zone({ name: apex, rrsets: sets });
}

t.test('what is no zone, and what is no change', (t) => {
  t.throws(() => new Zone({ name: apex, rrsets: [] }), { code: 'V6_ASSERT' }, 'no SOA');
  t.throws(() => makeZone(set('other', 'A', '192.0.2.1')), { code: 'V6_ASSERT' }, 'another zone');
  t.throws(() => makeZone(set('example', 'NS')), { code: 'V6_ASSERT' }, 'an RRset without records');
  const zone = makeZone(set('a.example', 'A', '192.0.2.1'));
  const bad: ZoneChange[] = [
    set('other', 'A', '192.0.2.1'),
    gone('example', 'SOA'),
    set('a.example', 'SOA', 'm. r. 1 1 1 1 1'),
    set('example', 'SOA', 'm. r. 1 1 1 1 1', 'm. r. 2 1 1 1 1'),
    { ...set('a.example', 'A', '192.0.2.1'), type: TYPE.AAAA },
    { owner: nameFromText('a.example'), type: TYPE.A, rrset: { type: TYPE.A, ttl: 1, rdata: [] } },
  ];
  for (const change of bad) {
    t.throws(() => zone.apply([gone('a.example', 'A'), soa(2), change]), { code: 'V6_ASSERT' });
    t.equal(zone.serial, 1, 'nothing of the transaction is applied');
    t.ok(zone.rrset(key('a.example'), TYPE.A));
  }
  t.end();
});

t.test('names, serial, negative TTL', (t) => {
  const zone = makeZone(set('WWW.example', 'A', '192.0.2.1'));
  t.equal(zone.key, key('example'));
  t.equal(zone.serial, 1);
  t.equal(zone.soa.negativeTtl, 60);
  t.strictSame(zone.rrset(key('www.EXAMPLE'), TYPE.A)?.owner, nameFromText('WWW.example'), 'case kept');
  zone.apply([{ ...soa(7), rrset: { ...soa(7).rrset!, ttl: 5 } }]);
  t.equal(zone.serial, 7);
  t.equal(zone.soa.negativeTtl, 5, 'min(TTL, MINIMUM)');
  t.strictSame(zone.rrsets(key('none.example')), []);
  t.equal(zone.rrset(key('www.example'), TYPE.AAAA), undefined);
  t.end();
});

t.test('empty non-terminals come and go with what is below them', (t) => {
  const zone = makeZone(set('a.b.c.example', 'A', '192.0.2.1'), set('x.c.example', 'TXT', 'x'));
  const exists = () => ['c', 'b.c', 'a.b.c', 'x.c'].filter((name) => zone.node(key(`${name}.example`)) !== undefined);
  t.strictSame(exists(), ['c', 'b.c', 'a.b.c', 'x.c']);
  zone.apply([gone('a.b.c.example', 'A')]);
  t.strictSame(exists(), ['c', 'x.c']);
  zone.apply([set('b.c.example', 'A', '192.0.2.1'), gone('x.c.example', 'TXT')]);
  t.strictSame(exists(), ['c', 'b.c']);
  zone.apply([gone('b.c.example', 'A'), gone('b.c.example', 'AAAA'), gone('nothing.example', 'A')]);
  t.strictSame(exists(), []);
  t.equal(zone.size, 1);
  t.ok(zone.node(zone.key), 'the apex stays');
  t.end();
});

t.test('cuts and DNAMEs are counted', (t) => {
  const zone = makeZone(set('example', 'NS', 'ns.'));
  t.notOk(zone.hasCuts, "the apex's NS are no cut");
  zone.apply([set('sub.example', 'NS', 'ns.'), set('d.example', 'DNAME', 'x.')]);
  t.ok(zone.hasCuts && zone.hasDnames);
  zone.apply([set('sub.example', 'NS', 'ns2.'), set('d.example', 'DNAME', 'y.')]);
  zone.apply([gone('sub.example', 'NS'), gone('d.example', 'DNAME')]);
  t.notOk(zone.hasCuts || zone.hasDnames);
  t.end();
});

t.test('random changes, packed in between: the same as a zone made anew from what should be there', (t) => {
  const label = fc.constantFrom('a', 'b', 'C', '*');
  const owner = fc.array(label, { maxLength: 4 }).map((labels) => [...labels, 'example'].join('.'));
  const change = fc.tuple(owner, fc.constantFrom('A', 'TXT', 'NS'), fc.boolean());
  const packing = fc.constantFrom('none', 'begin', 'end', 'whole', 'share');
  const step = fc.tuple(fc.array(change, { maxLength: 5 }), packing);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let zone = makeZone();
      let slices: Iterator<void> | undefined;
      const model = new Map<string, ZoneChange>();
      for (const [transaction, packing] of steps) {
        const changes = transaction.map(([name, type, add]) => {
          const data = { A: '192.0.2.1', TXT: 'x', NS: 'n.' }[type]!;
          return add ? set(name, type, data) : gone(name, type);
        });
        for (const one of changes) {
          const id = `${nameKey(one.owner)} ${one.type}`;
          if (one.rrset === undefined) model.delete(id);
          else model.set(id, one);
        }
        const before = [...zone.all()].length;
        const reading = zone.all();
        zone.apply(changes);
        t.equal([...reading].length, before, 'who reads sees the zone as it was');
        if (packing === 'share') zone = new Zone(zone.toShared());
        if (packing === 'begin' && slices === undefined) {
          // As the control thread does it: what follows comes in while the zone is being packed.
          slices = zone.pack(1);
          slices.next();
        } else if ((packing === 'end' || packing === 'share') && slices !== undefined) {
          while (slices.next().done !== true);
          slices = undefined;
        } else if (packing === 'whole' && slices === undefined) {
          for (const _ of zone.pack()) t.fail('a small zone has one slice');
        }
      }
      for (const each of [zone, new Zone(zone.toShared())]) checkZone(each);

      function checkZone(zone: Zone): void {
        const again = makeZone(...model.values());
        const names = new Set<string>();
        for (const { owner: name } of model.values()) {
          for (let at: string | undefined = nameKey(name); at !== undefined; at = parentKey(at)) names.add(at);
        }
        for (const name of names) {
          if (!isSubdomainKey(name, zone.key)) continue;
          t.equal(zone.node(name)?.children, again.node(name)?.children);
          t.same(sortedSets(zone, name), sortedSets(again, name));
        }
        for (const name of ['a', 'a.b', 'C.a.b', 'b.*']) {
          const key = nameKey(nameFromText(`${name}.example`));
          t.equal(zone.node(key) === undefined, again.node(key) === undefined);
        }
        t.equal(zone.size, model.size + 1);
        t.equal([...zone.all()].length, zone.size);
        t.equal(
          [...zone.all()].reduce((sum, { rrset }) => sum + rrset.rdata.length, 0),
          zone.records,
          'kept right through changes and packing',
        );
        t.equal([...zone.all()][0]!.owner.length, apex.length, 'the apex comes first');
        t.equal(zone.hasCuts, again.hasCuts);
        t.equal(new Zone(zone.toData()).size, zone.size);
      }
    }),
    { seed, numRuns: 300 },
  );
  t.end();
});

function sortedSets(zone: Zone, name: string) {
  return [...zone.rrsets(name)].sort((a, b) => a.rrset.type - b.rrset.type);
}

t.test('the cost of a change does not grow with the zone', (t) => {
  const many: ZoneChange[] = [];
  for (let i = 0; i < 50_000; i++) many.push(set(`n${i}.example`, 'A', '192.0.2.1'));
  const zone = makeZone(...many);
  const start = performance.now();
  for (let i = 0; i < 1000; i++) zone.apply([soa(i), set('new.example', 'A', '192.0.2.1'), gone('new.example', 'A')]);
  const each = (performance.now() - start) / 1000;
  // Copying 50,000 nodes would take milliseconds.
  t.ok(each < 0.5, `${each.toFixed(4)} ms`);
  t.end();
});

t.test('the table finds the nearest zone above a name', (t) => {
  const zoneOf = (text: string) => {
    const { owner, rrset } = set(text, 'SOA', 'm. r. 1 1 1 1 1');
    return new Zone({ name: owner, rrsets: [{ owner, rrset: rrset! }] });
  };
  const [outer, inner, other] = [zoneOf('example'), zoneOf('in.example'), zoneOf('elsewhere')];
  const table = new ZoneTable([outer, inner, other]);
  t.equal(table.find(key('a.b.in.example')), inner);
  t.equal(table.find(key('in.example')), inner);
  t.equal(table.find(key('xin.example')), outer);
  t.equal(table.find(key('example')), outer);
  t.equal(table.find(key('sample')), undefined);
  t.equal(table.find(key('.')), undefined);
  t.equal(table.get(key('a.example')), undefined);
  table.delete(inner.key);
  table.delete(inner.key);
  t.equal(table.find(key('a.in.example')), outer);
  const again = zoneOf('example');
  table.set(again);
  t.equal(table.find(key('x.example')), again);
  t.equal(table.size, 2);
  const root = zoneOf('.');
  table.set(root);
  t.equal(table.find(key('sample')), root);
  t.end();
});
