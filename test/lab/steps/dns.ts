import { v4WebAddress } from '../peers/peers.ts';
import { edgePublic6, slaacAddress, zone } from '../plan.ts';
import { dig, records } from './dig.ts';
import { type Chapter, must, type Scene, succeeded } from './step.ts';

/** v4WebAddress inside the upstream's NAT64 prefix. */
const synthesized = 'AAAA 2001:db8:64:64::cb00:7150';

const ask = (scene: Scene, ...args: string[]) => dig(scene.lab.node('worker1'), args);

/** Answer records, or the whole answer as the error when they are others. */
function same(answer: Awaited<ReturnType<typeof dig>>, expected: readonly string[]): string {
  const got = records(answer.answer);
  must(got.join('\n') === expected.join('\n'), `${answer.status} ${got.join(', ')}`);
  return got.join(', ');
}

export const names: Chapter = {
  title: 'DNS: own zones and the world',
  steps: [
    {
      tried: 'worker1 pings "worker2": name by search domain, packets by SLAAC address',
      async run({ lab }) {
        const text = succeeded(await lab.node('worker1').exec(['ping', '-6', '-c1', '-W3', 'worker2']));
        const first = text.split('\n')[1] ?? '';
        must(first.includes(slaacAddress('worker2')) || first.includes('64 bytes from'), text);
        return first;
      },
    },
    {
      tried: 'an own name: authoritative answer',
      async run(scene) {
        const answer = await ask(scene, `master1.${zone}`, 'AAAA');
        must(answer.flags.includes('aa') && answer.flags.includes('ra'), `flags ${answer.flags.join(' ')}`);
        return `${same(answer, [`AAAA ${slaacAddress('master1')}`])}, aa`;
      },
    },
    {
      tried: 'a CNAME inside the zone',
      run: async (scene) => same(await ask(scene, `ntp.${zone}`, 'AAAA'), [`CNAME edge.${zone}.`, 'AAAA fd00:6:6::1']),
    },
    {
      tried: 'a CNAME that leaves the zone is followed by forwarding',
      run: async (scene) =>
        same(await ask(scene, `abroad.${zone}`, 'AAAA'), ['CNAME dual.inet.test.', 'AAAA 2001:db8:1::81']),
    },
    {
      tried: 'a wildcard',
      run: async (scene) =>
        same(await ask(scene, `shop.apps.${zone}`, 'AAAA'), [`CNAME edge.${zone}.`, 'AAAA fd00:6:6::1']),
    },
    {
      tried: 'a name that is not there: NXDOMAIN with the SOA',
      async run(scene) {
        const answer = await ask(scene, `nobody.${zone}`, 'AAAA');
        const authority = records(answer.authority)[0] ?? '';
        must(answer.status === 'NXDOMAIN' && authority.startsWith('SOA '), answer.text);
        return `${answer.status}, ${authority}`;
      },
    },
    {
      tried: 'a type that is not there: NOERROR, no answer, the SOA',
      async run(scene) {
        const answer = await ask(scene, `edge.${zone}`, 'MX');
        must(answer.status === 'NOERROR' && answer.answer.length === 0, answer.text);
        must(records(answer.authority)[0]?.startsWith('SOA '), answer.text);
        return 'NODATA with SOA';
      },
    },
    {
      tried: 'an IPv4-only name of the world, through the DNS64 upstream',
      async run(scene) {
        const answer = await ask(scene, 'v4only.inet.test', 'AAAA');
        must(!answer.flags.includes('aa'), 'flag aa on a forwarded answer');
        return `${v4WebAddress} became ${same(answer, [synthesized])}`;
      },
    },
    {
      tried: 'the same behind a CNAME, twice: from upstream, from the cache',
      async run(scene) {
        const expected = ['CNAME v4only.inet.test.', synthesized];
        same(await ask(scene, 'alias.inet.test', 'AAAA'), expected);
        return same(await ask(scene, 'alias.inet.test', 'AAAA'), expected);
      },
    },
    {
      tried: 'dig +cd for a fresh IPv4-only name does not spoil it for the others',
      only: 'v6edge',
      async run(scene) {
        // BIND caches both as one: whoever asks first with CD hides the synthesized address from everyone.
        const unchecked = await ask(scene, '+cd', 'fresh.inet.test', 'AAAA');
        must(unchecked.status === 'NOERROR' && unchecked.answer.length === 0, unchecked.text);
        return `NODATA with CD, ${same(await ask(scene, 'fresh.inet.test', 'AAAA'), [synthesized])} without`;
      },
    },
    {
      tried: 'an unknown name of the world',
      async run(scene) {
        const answer = await ask(scene, 'nosuch.inet.test', 'AAAA');
        must(answer.status === 'NXDOMAIN', answer.text);
        return answer.status;
      },
    },
    {
      tried: 'by TCP, two queries on one connection',
      async run(scene) {
        const result = await scene.lab
          .node('worker1')
          .exec([
            'dig',
            '+tcp',
            '+keepopen',
            '+short',
            '@fd00:6:6::1',
            `edge.${zone}`,
            'AAAA',
            'v4only.inet.test',
            'AAAA',
          ]);
        const got = succeeded(result).split('\n').join(' ');
        must(got === 'fd00:6:6::1 2001:db8:64:64::cb00:7150', got);
        return got;
      },
    },
    ...[zone, 'inet.test'].map((origin) => ({
      tried: `3 kB of TXT from ${origin}: truncated on UDP, whole on TCP`,
      async run(scene: Scene) {
        const answer = await ask(scene, `big.${origin}`, 'TXT');
        must(answer.truncatedFirst, 'not truncated on UDP');
        const size = /MSG SIZE\s+rcvd: (\d+)/.exec(answer.text)?.[1];
        must(Number(size) > 3000 && answer.status === 'NOERROR', answer.text);
        return `TC, then ${size} bytes`;
      },
    })),
    {
      tried: 'the internet client asks, whom `allow` leaves out',
      async run({ lab }) {
        const answer = await dig(lab.node('client'), ['v4only.inet.test', 'AAAA'], edgePublic6);
        must(answer.status === 'REFUSED' && answer.answer.length === 0, answer.text);
        return answer.status;
      },
    },
    {
      tried: 'worker1 curls an IPv4-only web server: RA, DNS, DNS64 and NAT64 at work',
      async run({ lab }) {
        const text = succeeded(await lab.node('worker1').exec(['curl', '-sS', '-m10', 'http://v4only.inet.test/']));
        must(text.startsWith('v4web saw 192.0.2.'), text);
        return text;
      },
    },
  ],
};
