import t from 'tap';
import { RRsetDraft } from '../../src/dns/rrset-draft.ts';
import type { RRset } from '../../src/dns/snapshot.ts';
import { rdataFromText, rdataToText } from '../../src/dns/wire/rdata.ts';
import { typeFromText } from '../../src/dns/wire/types.ts';

const data = (type: string, text: string) => rdataFromText(typeFromText(type), text);

function rrset(type: string, ...texts: string[]): RRset {
  return { type: typeFromText(type), ttl: 60, rdata: texts.map((text) => data(type, text)) };
}

function draftOf(type: string, ...texts: string[]): RRsetDraft {
  return new RRsetDraft(typeFromText(type), texts.length === 0 ? undefined : rrset(type, ...texts));
}

const texts = ({ type, rrset }: RRsetDraft) => rrset?.rdata.map((rdata) => rdataToText(type, rdata)) ?? [];

t.test('a record that is added', (t) => {
  const rows: [name: string, type: string, before: string[], added: string, after: string[]][] = [
    ['the first', 'A', [], '192.0.2.1', ['192.0.2.1']],
    ['beside another', 'A', ['192.0.2.1'], '192.0.2.2', ['192.0.2.1', '192.0.2.2']],
    ['once more', 'A', ['192.0.2.1', '192.0.2.2'], '192.0.2.1', ['192.0.2.1', '192.0.2.2']],
    ['a name in it in another case is the same', 'MX', ['1 h.test.'], '1 H.test.', ['1 h.test.']],
    ['text in another case is not', 'TXT', ['"x"'], '"X"', ['"x"', '"X"']],
    ['a prefix of another', 'TXT', ['"xy"'], '"x"', ['"xy"', '"x"']],
    ['an alias takes the place of the one before', 'CNAME', ['a.test.'], 'b.test.', ['b.test.']],
    ['the same alias, in another case, stays', 'CNAME', ['a.test.'], 'A.test.', ['a.test.']],
    ['DNAME too', 'DNAME', ['a.test.'], 'b.test.', ['b.test.']],
    ['SOA too', 'SOA', ['a. b. 1 2 3 4 5'], 'a. b. 2 2 3 4 5', ['a. b. 2 2 3 4 5']],
    [
      'WKS of one address and protocol',
      'WKS',
      ['\\# 6 0a0000010601', '\\# 6 0a0000011101'],
      '\\# 6 0a0000010602',
      ['\\# 6 0a0000010602', '\\# 6 0a0000011101'],
    ],
  ];
  for (const [name, type, before, added, after] of rows) {
    const draft = draftOf(type, ...before);
    draft.add(data(type, added), 60);
    t.same(texts(draft), after, name);
    t.equal(draft.size, after.length, name);
    t.equal(
      draft.octets,
      draft.rrset!.rdata.reduce((sum, { length }) => sum + length + 12, 0),
      `${name}: octets`,
    );
  }
  t.end();
});

t.test('a record that is deleted', (t) => {
  const rows: [name: string, type: string, before: string[], deleted: string, after: string[]][] = [
    ['there', 'A', ['192.0.2.1', '192.0.2.2'], '192.0.2.1', ['192.0.2.2']],
    ['not there', 'A', ['192.0.2.1'], '192.0.2.2', ['192.0.2.1']],
    ['nothing there', 'A', [], '192.0.2.2', []],
    ['the last', 'A', ['192.0.2.1'], '192.0.2.1', []],
    ['a name in it in another case', 'SRV', ['0 0 1 h.test.'], '0 0 1 H.TEST.', []],
    ['another alias', 'CNAME', ['a.test.'], 'b.test.', ['a.test.']],
    ['other services of the protocol', 'WKS', ['\\# 6 0a0000010601'], '\\# 6 0a0000010602', ['\\# 6 0a0000010601']],
  ];
  for (const [name, type, before, deleted, after] of rows) {
    const draft = draftOf(type, ...before);
    t.equal(draft.delete(data(type, deleted)), before.length !== after.length, name);
    t.same(texts(draft), after, name);
    t.equal(
      draft.octets,
      (draft.rrset?.rdata ?? []).reduce((sum, { length }) => sum + length + 12, 0),
    );
  }
  t.end();
});

t.test('what was not changed is the RRset there was', (t) => {
  const before = rrset('A', '192.0.2.1');
  const draft = new RRsetDraft(before.type, before);
  t.equal(draft.rrset, before);
  draft.delete(data('A', '192.0.2.2'));
  draft.add(data('A', '192.0.2.1'), 60);
  t.equal(draft.rrset, before);
  draft.add(data('A', '192.0.2.1'), 61);
  t.same(draft.rrset, { ...before, ttl: 61 }, 'one TTL for all: the newest');
  t.equal(draft.rrset, draft.rrset, 'made once');
  t.end();
});
