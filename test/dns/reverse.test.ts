import fc from 'fast-check';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { Overlay, type RRsetChange } from '../../src/dns/overlay.ts';
import { applyPtrChanges, isReverseZone, ptrChanges, reverseName } from '../../src/dns/reverse.ts';
import type { OwnedRRset } from '../../src/dns/snapshot.ts';
import { nameFromText, nameKey, nameToText } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';

const owner = nameFromText('n1.test');
const bytes = (...addresses: string[]) => addresses.map((text) => parseAddress(text).bytes);

function change(type: number, before: string[], after: string[], name = owner, ttl = 60): RRsetChange {
  const set = (list: string[]) => (list.length === 0 ? undefined : { type, ttl, rdata: bytes(...list) });
  const was = set(before);
  return { owner: name, type, rrset: set(after), before: was && { owner: name, rrset: was } };
}

t.test('reverse names (RFC 3596 §2.5, RFC 1035 §3.5)', (t) => {
  t.equal(
    nameToText(reverseName(bytes('2001:db8::567:89ab')[0]!)),
    'b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
  );
  t.equal(nameToText(reverseName(bytes('192.0.2.254')[0]!)), '254.2.0.192.in-addr.arpa');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (address) => {
      const nibbles = nameToText(reverseName(address)).split('.').slice(0, 32).reverse().join('');
      t.equal(nibbles, Buffer.from(address).toString('hex'));
    }),
    { seed: 4, numRuns: 50 },
  );
  t.end();
});

t.test('which zones are reverse zones', (t) => {
  const rows: [string, boolean][] = [
    ['0.0.d.f.ip6.arpa', true],
    ['2.0.192.in-addr.arpa', true],
    ['2.0.192.IN-ADDR.ARPA', true],
    ['ip6.arpa', true],
    ['xip6.arpa', false],
    ['ip6.arpa.test', false],
    ['arpa', false],
  ];
  for (const [name, is] of rows) t.equal(isReverseZone(nameKey(nameFromText(name))), is, name);
  t.end();
});

t.test('the PTR records that follow from a change', (t) => {
  const say = (changes: RRsetChange[]) =>
    ptrChanges(changes).map(({ owner, target, ttl }) => {
      const first = nameToText(owner).split('.')[0]!;
      return `${ttl === undefined ? '-' : `+${ttl}`} ${first} ${nameToText(target)}`;
    });
  const rows: [name: string, changes: RRsetChange[], expected: string[]][] = [
    ['another type', [change(TYPE.TXT, [], ['fd00::1'])], []],
    ['a wildcard', [change(TYPE.AAAA, [], ['fd00::1'], nameFromText('*.test'))], []],
    ['added', [change(TYPE.AAAA, [], ['fd00::1'])], ['+60 1 n1.test']],
    ['an A record', [change(TYPE.A, [], ['192.0.2.7'])], ['+60 7 n1.test']],
    ['deleted', [change(TYPE.AAAA, ['fd00::1'], [])], ['- 1 n1.test']],
    [
      'one of two goes, the other keeps its own',
      [change(TYPE.AAAA, ['fd00::1', 'fd00::2'], ['fd00::2'])],
      ['- 1 n1.test', '+60 2 n1.test'],
    ],
    [
      'an address moves to another name: the removal comes first',
      [
        change(TYPE.AAAA, [], ['fd00::1'], nameFromText('n2.test')),
        change(TYPE.AAAA, ['fd00::1'], [], nameFromText('n1.test')),
      ],
      ['- 1 n1.test', '+60 1 n2.test'],
    ],
    [
      'an owner that begins like a wildcard',
      [change(TYPE.AAAA, [], ['fd00::1'], nameFromText('*x.test'))],
      ['+60 1 *x.test'],
    ],
  ];
  for (const [name, changes, expected] of rows) t.same(say(changes), expected, name);
  t.end();
});

t.test('applied to the reverse zone, other PTR records of an address stay', (t) => {
  const ptr = reverseName(bytes('fd00::1')[0]!);
  const zone = (...targets: string[]): Overlay => {
    const set: OwnedRRset = {
      owner: ptr,
      rrset: { type: TYPE.PTR, ttl: 300, rdata: targets.map((n) => nameFromText(n)) },
    };
    const there = targets.length > 0 ? set : undefined;
    return new Overlay({
      rrsets: () => (there === undefined ? [] : [there]),
      rrset: (_, type) => (type === TYPE.PTR ? there : undefined),
    });
  };
  const rows: [name: string, before: string[], ttl: number | undefined, after: string[] | undefined][] = [
    ['into an empty name', [], 60, ['n1.test']],
    ['beside another', ['gw.test'], 60, ['gw.test', 'n1.test']],
    ['there already: only the TTL follows', ['n1.test'], 60, ['n1.test']],
    ['there already with all it would get', ['n1.test'], 300, undefined],
    ['there in another case: not a second one', ['N1.Test'], 60, ['n1.test']],
    ['removed', ['n1.test'], undefined, []],
    ['removed beside another', ['gw.test', 'n1.test'], undefined, ['gw.test']],
    ['removed, and was not there', ['gw.test'], undefined, undefined],
    ['removed from an empty name', [], undefined, undefined],
  ];
  for (const [name, before, ttl, after] of rows) {
    const overlay = zone(...before);
    applyPtrChanges([{ owner: ptr, target: owner, ttl }], overlay);
    const [found, ...more] = overlay.changes();
    t.equal(more.length, 0);
    if (after === undefined) t.equal(found, undefined, name);
    else t.same(found?.rrset?.rdata.map((n) => nameToText(n)) ?? [], after, name);
    if (ttl !== undefined && found !== undefined) t.equal(found.rrset?.ttl, ttl, `${name}: TTL`);
  }
  const added = (overlay: Overlay) => {
    applyPtrChanges([{ owner: ptr, target: owner, ttl: 60 }], overlay);
    return overlay.changes().length;
  };
  const alias = { owner: ptr, rrset: { type: TYPE.CNAME, ttl: 300, rdata: [nameFromText('7.sub.test')] } };
  const view = { rrsets: () => [alias], rrset: (_: string, type: number) => (type === TYPE.CNAME ? alias : undefined) };
  t.equal(added(new Overlay(view)), 0, 'not beside an alias (RFC 2317)');
  const names = (count: number) => Array.from({ length: count }, (_, i) => `h${i}.test`);
  t.equal(added(zone(...names(999))), 1);
  t.equal(added(zone(...names(1000))), 0, 'no more names of one address than an RRset may have records');
  t.end();
});
