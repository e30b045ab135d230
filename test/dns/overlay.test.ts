import t from 'tap';
import { Overlay } from '../../src/dns/overlay.ts';
import type { RRset } from '../../src/dns/snapshot.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';

const owner = nameFromText('a.test');
const key = nameKey(owner);
const txt = (ttl: number, ...values: number[]): RRset => ({
  type: TYPE.TXT,
  ttl,
  rdata: values.map((value) => Uint8Array.of(1, value)),
});
const aaaa: RRset = { type: TYPE.AAAA, ttl: 60, rdata: [new Uint8Array(16)] };

/** A base that has one TXT RRset, and counts how often it is asked. */
function base() {
  const set = { owner, rrset: txt(60, 1, 2) };
  return {
    asked: 0,
    rrsets(name: string) {
      this.asked++;
      return name === key ? [set] : [];
    },
    rrset(name: string, type: number) {
      this.asked++;
      return name === key && type === TYPE.TXT ? set : undefined;
    },
  };
}

t.test('shows its own entries over those below', (t) => {
  const overlay = new Overlay(base());
  t.equal(overlay.rrset(key, TYPE.TXT)?.rrset.rdata.length, 2, 'what is below');
  t.equal(overlay.rrset(key, TYPE.AAAA), undefined);
  overlay.set(owner, TYPE.AAAA, aaaa);
  t.same(
    overlay.rrsets(key).map(({ rrset }) => rrset.type),
    [TYPE.TXT, TYPE.AAAA],
  );
  overlay.set(owner, TYPE.TXT, undefined);
  t.equal(overlay.rrset(key, TYPE.TXT), undefined, 'deleted here');
  t.same(
    overlay.rrsets(key).map(({ rrset }) => rrset.type),
    [TYPE.AAAA],
  );
  overlay.set(nameFromText('A.Test'), TYPE.TXT, txt(1, 3));
  t.equal(overlay.rrset(key, TYPE.TXT)?.rrset.ttl, 1, 'names are found without case');
  t.end();
});

t.test('changes: what differs from below, with what was there', (t) => {
  const rows: [name: string, type: number, rrset: RRset | undefined, changed: boolean][] = [
    ['the same records', TYPE.TXT, txt(60, 1, 2), false],
    ['in another order', TYPE.TXT, txt(60, 2, 1), false],
    ['another TTL', TYPE.TXT, txt(61, 1, 2), true],
    ['one record less', TYPE.TXT, txt(60, 1), true],
    ['another record', TYPE.TXT, txt(60, 1, 3), true],
    ['deleted', TYPE.TXT, undefined, true],
    ['deleted, and was not there', TYPE.AAAA, undefined, false],
    ['added', TYPE.AAAA, aaaa, true],
  ];
  for (const [name, type, rrset, changed] of rows) {
    const overlay = new Overlay(base());
    overlay.set(owner, type, rrset);
    const expected = { owner, type, rrset, before: base().rrset(key, type) };
    t.same(overlay.changes(), changed ? [expected] : [], name);
  }
  t.end();
});

t.test('there and back is no change; rebased it is measured against the new base', (t) => {
  const below = new Overlay(base());
  const overlay = new Overlay(below);
  below.set(owner, TYPE.TXT, undefined);
  overlay.set(owner, TYPE.TXT, txt(60, 1, 2));
  t.match(overlay.changes(), [{ before: undefined }], 'put back over a deletion');
  overlay.rebase(base());
  t.same(overlay.changes(), []);
  t.end();
});

t.test('apply lays a transaction on top without looking below', (t) => {
  const below = base();
  const overlay = new Overlay(below);
  overlay.apply([
    { owner, type: TYPE.TXT, rrset: undefined },
    { owner, type: TYPE.AAAA, rrset: aaaa },
  ]);
  t.equal(below.asked, 0);
  t.equal(overlay.rrset(key, TYPE.AAAA)?.rrset, aaaa);
  t.end();
});
