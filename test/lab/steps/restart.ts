import { join } from 'node:path';
import { edgePrivate, prefix, slaacAddress, zone } from '../plan.ts';
import { waitFor } from '../process.ts';
import { dig, nsupdate, records } from './dig.ts';
import { type Chapter, must, type Scene, succeeded } from './step.ts';

/** Fields tshark prints of each advertisement: router lifetime; valid and preferred lifetime; RDNSS and DNSSL lifetime. */
const fields = [
  'icmpv6.nd.ra.router_lifetime',
  'icmpv6.opt.prefix.valid_lifetime',
  'icmpv6.opt.prefix.preferred_lifetime',
  'icmpv6.opt.rdnss.lifetime',
  'icmpv6.opt.dnssl.lifetime',
];

/** Stops the daemon while worker2 captures advertisements; the last one as tshark reads it. */
async function stopWatched(scene: Scene): Promise<{ end: string; last: string[] }> {
  const node = scene.lab.node('worker2');
  const capture = join(scene.lab.directory, 'stop.pcap');
  const filter = 'icmp6 and ip6[40] == 134';
  const tcpdump = node.spawn(['tcpdump', '--immediate-mode', '-U', '-Z', 'root', '-i', 'prv0', '-w', capture, filter]);
  await waitFor('tcpdump', () => tcpdump.stderr.includes('listening on'), { why: () => tcpdump.output });
  const end = await scene.edge.stop();
  await tcpdump.stop();
  const argv = [
    'tshark',
    '-r',
    capture,
    '-T',
    'fields',
    '-E',
    'separator=,',
    ...fields.flatMap((name) => ['-e', name]),
  ];
  const lines = succeeded(await node.exec(argv, { timeoutMs: 30_000 })).split('\n');
  return { end, last: lines.at(-1)!.split(',') };
}

export const restart: Chapter = {
  title: 'Stop and start',
  steps: [
    {
      tried: 'SIGTERM: ends by itself; the last advertisement takes DNS back and leaves the addresses',
      async run(scene) {
        const { end, last } = await stopWatched(scene);
        const [router, valid, preferred, rdnss, dnssl] = last.map(Number);
        must(router === 0 && rdnss === 0 && dnssl === 0, `lifetimes: router ${router}, RDNSS ${rdnss}, DNSSL ${dnssl}`);
        must(valid === 3600 && preferred === 1800, `prefix lifetimes ${valid}/${preferred}`);
        const addresses = await scene.lab.node('worker2').addresses('prv0');
        must(
          addresses.some((one) => one.local.startsWith(prefix.slice(0, 9)) && one.tentative !== true),
          'the address is gone',
        );
        return `${end}; RDNSS 0 s, DNSSL 0 s, prefix ${valid}/${preferred} s`;
      },
    },
    {
      tried: 'started again: the names that nodes registered are there',
      async run(scene) {
        const started = performance.now();
        scene.edge = await scene.startEdge();
        const ms = performance.now() - started;
        const answer = await dig(scene.lab.node('worker1'), [`worker2.${zone}`, 'AAAA']);
        must(records(answer.answer)[0] === `AAAA ${slaacAddress('worker2')}`, answer.text);
        return `${records(answer.answer)[0]}; ready after ${ms.toFixed(0)} ms`;
      },
    },
    {
      tried: 'kill -9 right after an acknowledged update: it is there after the next start',
      async run(scene) {
        const node = scene.lab.node('worker1');
        const update = await nsupdate(node, scene.keys.node, [`update add durable.${zone} 60 TXT "kept"`]);
        must(update.rcode === 'NOERROR', update.rcode);
        await scene.edge.kill();
        scene.edge = await scene.startEdge();
        const answer = await dig(node, [`durable.${zone}`, 'TXT']);
        must(records(answer.answer)[0] === 'TXT "kept"', answer.text);
        return `${records(answer.answer)[0]}`;
      },
    },
    {
      tried: 'the nodes get their DNS server back',
      async run({ lab }) {
        const text = succeeded(await lab.node('worker2').exec(['rdisc6', '-1', '-r', '5', '-w', '1000', 'prv0']));
        const server = /Recursive DNS server +: (\S+)/.exec(text)?.[1];
        must(server === edgePrivate && /DNS server lifetime +: +60 /.test(text), text);
        return `${server} for 60 s`;
      },
    },
  ],
};
