import t from 'tap';
import { NodePacker, PackedNodes } from '../../src/dns/packed-nodes.ts';
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
  for (const memory of [data.bytes, data.nodes, data.index]) t.type(memory.buffer, SharedArrayBuffer);
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
  const wrong = names.filter((name, i) => nodes.node(key(name))?.sets[0]?.rrset.rdata[0]?.[1] !== (i & 255));
  t.same(wrong, []);
  t.equal(nodes.node(key('n5000.example')), undefined);
  t.end();
});
