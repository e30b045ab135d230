import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { NodePacker } from '../../src/dns/node-packer.ts';
import { PackedNodes } from '../../src/dns/packed-nodes.ts';
import type { OwnedRRset } from '../../src/dns/snapshot.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';

const apex = nameKey(nameFromText('example'));
const key = (text: string) => nameKey(nameFromText(text));

function set(owner: string, type: number, ...rdata: Uint8Array[]): OwnedRRset {
  return { owner: nameFromText(owner), rrset: { type, ttl: 0xffffffff, rdata } };
}

t.test('an owner is packed once', (t) => {
  const packer = new NodePacker(apex, 1);
  packer.add(key('a.example'), [set('a.example', TYPE.TXT, Uint8Array.of(0))]);
  t.throws(() => packer.add(key('a.example'), [set('a.example', TYPE.A, Uint8Array.of(0))]), { code: 'V6_ASSERT' });
  t.end();
});

t.test('nothing but the apex', (t) => {
  const nodes = new PackedNodes(new NodePacker(apex, 1).finish());
  t.same(nodes.node(apex), { sets: [], children: 0 });
  for (const name of ['.', 'a.example', 'exampl', 'examplf', 'org']) t.equal(nodes.node(key(name)), undefined, name);
  t.same([...nodes.entries()], []);
  t.end();
});

t.test('what was packed is there, names between come by themselves', (t) => {
  const sets = [
    set('A.b.Example', TYPE.AAAA, new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)),
    set('A.b.Example', TYPE.TXT, new Uint8Array(65_535).fill(3)),
  ];
  const packer = new NodePacker(apex, 7);
  // Children before parents, as the store has them.
  packer.add(key('a.b.example'), sets);
  packer.add(key('sub.example'), [set('sub.example', TYPE.NS, nameFromText('n.'))]);
  packer.add(key('example'), [set('example', TYPE.NS, nameFromText('n.'))]);
  packer.add(key('d.example'), [set('d.example', TYPE.DNAME, nameFromText('x.'))]);
  const data = packer.finish();
  t.match(data, { sets: 5, cuts: 1, dnames: 1 }, 'NS at the apex is no cut');
  for (const memory of [data.bytes, data.index, data.children, data.many]) t.type(memory.buffer, SharedArrayBuffer);
  // As a data thread gets it.
  const nodes = new PackedNodes(structuredClone(data));
  t.same(nodes.node(key('a.b.example')), { sets, children: 0 });
  t.same(nodes.node(key('b.example')), { sets: [], children: 1 });
  t.equal(nodes.node(apex)!.children, 3);
  t.notOk(nodes.has(key('c.example')));
  const entries = [...nodes.entries()].map(([name, found]) => `${name} ${found.length}`);
  t.same(
    entries.sort(),
    [`${apex} 1`, `${key('a.b.example')} 2`, `${key('sub.example')} 1`, `${key('d.example')} 1`].sort(),
  );
  t.end();
});

t.test('many names, some of which differ in the last octet alone', (t) => {
  const packer = new NodePacker(apex, 3);
  const names = Array.from({ length: 5000 }, (_, i) => `n${i}.example`);
  for (const [i, name] of names.entries()) packer.add(key(name), [set(name, TYPE.TXT, Uint8Array.of(i >> 8, i))]);
  const nodes = new PackedNodes(packer.finish());
  t.equal(nodes.count, 5001);
  t.equal(nodes.node(apex)!.children, 5000, 'more than an octet holds');
  const wrong = names.filter((name, i) => nodes.node(key(name))?.sets[0]?.rrset.rdata[0]?.[1] !== (i & 255));
  t.same(wrong, []);
  t.equal(nodes.node(key('n5000.example')), undefined);
  t.end();
});

t.test('every form of an RRset comes back as it was', (t) => {
  const long = Array.from({ length: 300 }, (_, i) => Uint8Array.of(i >> 8, i));
  const sets = [
    set('n.example', 255, Uint8Array.of()),
    set('n.example', 256, Uint8Array.of(1)),
    set('N.example', 0xfffe, Uint8Array.of(2), Uint8Array.of(3)),
    set('n.EXAMPLE', TYPE.A, ...long),
    { owner: nameFromText('n.example'), rrset: { type: TYPE.TXT, ttl: 0, rdata: [new Uint8Array(65_535)] } },
  ];
  const packer = new NodePacker(apex, 11);
  packer.add(key('n.example'), sets);
  packer.add(key('\\000.n.example'), [set('\\000.n.example', TYPE.A, Uint8Array.of(4))]);
  const nodes = new PackedNodes(packer.finish());
  t.same(nodes.node(key('n.example')), { sets, children: 1 });
  t.same(nodes.node(key('\\000.n.example'))?.sets.length, 1);
  t.equal(nodes.node(key('\\000.\\000.n.example')), undefined);
  t.equal(nodes.node(key('n.exampla')), undefined, 'the same below another zone');
  const again = new NodePacker(apex, 12);
  for (const [, at] of nodes.places()) again.addPacked(nodes.data.bytes, at);
  t.same([...new PackedNodes(again.finish()).entries()], [...nodes.entries()], 'packed from what is packed');
  t.end();
});

t.test('names of many labels: those between are nodes, whoever comes first', (t) => {
  const seed = 20261125;
  const random = new SeededRandom(seed);
  const owners = new Set<string>();
  while (owners.size < 500) {
    const labels = Array.from({ length: 1 + random.below(16) }, () => '0123'[random.below(4)]!);
    owners.add([...labels, 'example'].join('.'));
  }
  const packer = new NodePacker(apex, 5);
  /** Names and what lies directly below each. */
  const model = new Map<string, Set<string>>([['example', new Set()]]);
  for (const owner of owners) {
    packer.add(key(owner), [set(owner, TYPE.PTR, nameFromText(owner))]);
    for (let name = owner; name !== 'example'; ) {
      const parent = name.slice(2);
      if (!model.has(name)) model.set(name, new Set());
      if (!model.has(parent)) model.set(parent, new Set());
      model.get(parent)!.add(name);
      name = parent;
    }
  }
  const nodes = new PackedNodes(packer.finish());
  const wrong = [...model].filter(([name, below]) => {
    const node = nodes.node(key(name));
    return node?.children !== below.size || node.sets.length !== Number(owners.has(name));
  });
  t.same(wrong, [], `seed ${seed}`);
  t.equal(nodes.count, model.size);
  const absent = [...model.keys()].map((name) => `4.${name}`).filter((name) => nodes.has(key(name)));
  t.same(absent, []);
  t.end();
});

t.test('a name with an address takes less than 50 octets, one between takes no record', (t) => {
  const size = (owners: string[]) => {
    const packer = new NodePacker(apex);
    for (const owner of owners) packer.add(key(owner), [set(owner, TYPE.AAAA, new Uint8Array(16))]);
    const { bytes, index, children, many } = packer.finish();
    return bytes.length + index.byteLength + children.length + many.byteLength;
  };
  t.ok(size(Array.from({ length: 10_000 }, (_, i) => `host-${i}.example`)) < 50 * 10_000);
  const chains = Array.from({ length: 1000 }, (_, i) => `0.0.0.0.0.0.0.0.0.0.n${i}.example`);
  t.ok(size(chains) < (60 + 10 * 8) * 1000);
  t.end();
});
