import t from 'tap';
import { formatAddress } from '../../src/core/address.ts';
import { readNeighbours } from '../../src/linux/neighbours.ts';
import { inNamespace, ip, run } from './netns.ts';

if (inNamespace(t, import.meta.filename)) {
  ip('link add v0 type veth peer name v1');
  ip('link set v0 up');
  ip('link set v1 up');
  t.test('the neighbour cache is read whole, as ip says it', (t) => {
    // More than one datagram holds.
    const batch = Array.from({ length: 600 }, (_, i) => {
      const end = (i + 1).toString(16);
      return `neigh add fd00::${end} lladdr 02:00:00:00:${(i >> 8).toString(16)}:${(i & 255).toString(16)} dev v0 nud permanent`;
    });
    run('sh', '-c', `ip -batch - <<'E'\n${batch.join('\n')}\nE`);
    const entries = readNeighbours().filter(({ state }) => state === 'permanent');
    t.equal(entries.length, 600);

    const first = entries.find(({ address }) => formatAddress(address) === 'fd00::1')!;
    t.match(first, { state: 'permanent', mac: Buffer.from('020000000000', 'hex') });
    t.ok(
      entries.every((each) => each.index === first.index),
      'all on one interface',
    );
    t.end();
  });
}
