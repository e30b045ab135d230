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

/** Lifetimes of one advertisement, in seconds. */
interface Lifetimes {
  readonly router: number;
  readonly valid: number;
  readonly preferred: number;
  readonly rdnss: number;
  readonly dnssl: number;
}

/** Captures advertisements on worker2 while `run` runs; what tshark reads of them. */
async function watched<T>(scene: Scene, run: () => Promise<T>): Promise<{ result: T; seen: Lifetimes[] }> {
  const node = scene.lab.node('worker2');
  const capture = join(scene.lab.directory, 'stop.pcap');
  const filter = 'icmp6 and ip6[40] == 134';
  const tcpdump = node.spawn(['tcpdump', '--immediate-mode', '-U', '-Z', 'root', '-i', 'prv0', '-w', capture, filter]);
  await waitFor('tcpdump', () => tcpdump.stderr.includes('listening on'), { why: () => tcpdump.output });
  const result = await run();
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
  const text = succeeded(await node.exec(argv, { timeoutMs: 30_000 }));
  const seen = text.split('\n').map((line) => {
    const [router, valid, preferred, rdnss, dnssl] = line.split(',').map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { router, valid, preferred, rdnss, dnssl };
  });
  return { result, seen };
}

export const restart: Chapter = {
  title: 'Stop and start',
  steps: [
    {
      tried: 'SIGTERM: ends by itself; the last advertisement takes DNS back and leaves the addresses',
      async run(scene) {
        const { result: end, seen } = await watched(scene, () => scene.edge.stop());
        const { router, valid, preferred, rdnss, dnssl } = seen.at(-1)!;
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
      tried: 'SIGUSR2, as systemd restarts it: no advertisement takes the DNS server back in between',
      only: 'v6edge',
      async run(scene) {
        const { seen } = await watched(scene, async () => {
          await scene.edge.stop('SIGUSR2');
          scene.edge = await scene.startEdge();
        });
        // The new daemon is ready once it advertises.
        const lifetimes = seen.map(({ rdnss }) => `${rdnss} s`).join(', ');
        must(seen.length > 0 && seen.every(({ rdnss, dnssl }) => rdnss === 60 && dnssl === 60), `RDNSS ${lifetimes}`);
        return `RDNSS ${lifetimes}`;
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
