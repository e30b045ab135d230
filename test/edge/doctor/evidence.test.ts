import t from 'tap';
import { allNodes, type Evidence, findNode, groupByMac, likelyLinkLocals } from '../../../src/edge/doctor/evidence.ts';

/** Names and addresses of many hosts, as in a zone of the largest size that is listed. */
function manyHosts(count: number): Evidence {
  const hosts = Array.from({ length: count }, (_, i) => ({
    name: `n${i}.test`,
    zone: 'test',
    address: `fd00::${(i + 0x100).toString(16)}`,
    ptr: 'right' as const,
    lease: undefined,
  }));
  const evidence = {
    now: 0,
    since: 0,
    config: { ra: [] },
    own: new Set(['fd00::100']),
    hosts,
    neighbours: [],
    ledger: [],
    asked: new Map(),
    pools: [],
    ra: [],
    zones: ['test'],
  } as unknown as Omit<Evidence, 'macs'>;
  return {
    ...evidence,
    macs: groupByMac(
      evidence,
      new Map([
        ['fd00::102', '02:00:00:00:00:07'],
        ['fd00::103', '02:00:00:00:00:07'],
      ]),
    ),
  };
}

t.test('nodes are listed up to a number, the others are counted; the edge is none', (t) => {
  const { nodes, more } = allNodes(manyHosts(2_000), 10);
  t.equal(nodes.length, 10);
  t.equal(nodes.length + more, 1_998, 'one is the edge, and two addresses are of one node');
  t.end();
});

t.test('a node by what people call it', (t) => {
  const evidence = manyHosts(8);
  for (const text of ['n2', 'N2.test.', 'fd00::102', 'fd00:0::0102', '02:00:00:00:00:07', '02-00-00-00-00-07', 'n3']) {
    t.strictSame([...(findNode(evidence, text)?.addresses ?? [])].sort(), ['fd00::102', 'fd00::103'], text);
  }
  for (const text of ['n99', 'fd00::ffff', '02:00:00:00:00:08', '', 'a..b', '%', 'x'.repeat(300)]) {
    t.equal(findNode(evidence, text), undefined, `"${text.slice(0, 20)}"`);
  }
  t.end();
});

t.test('the link-local address that goes with an address made of a MAC', (t) => {
  t.strictSame(likelyLinkLocals(['fd00:6:6::ff:fe00:5', 'fd00::1']), ['fe80::ff:fe00:5']);
  t.strictSame(likelyLinkLocals(['fd00:6:6::ff:fe00:5', 'fe80::ff:fe00:5']), []);
  t.end();
});
