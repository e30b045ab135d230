import { join } from 'node:path';
import { edgePrivate, edgePublic4, ports, slaacAddress, zone } from '../plan.ts';
import { waitFor } from '../process.ts';
import { dig, records } from './dig.ts';
import { type Chapter, growth, must, readMetrics, type Scene, succeeded } from './step.ts';

const tools = join(import.meta.dirname, '../tools');

/** Runs something nasty; afterwards the daemon lives, and its metrics have counted. Returns what grew. */
async function counted(scene: Scene, pattern: RegExp, run: () => Promise<unknown>): Promise<string> {
  const edge = scene.lab.node('edge');
  const watched = scene.edge.kind === 'v6edge';
  const before = watched ? await readMetrics(edge) : new Map<string, number>();
  await run();
  const ended = scene.edge.ended();
  must(ended === undefined, `ended: ${ended}`);
  if (!watched) return 'alive';
  // Counters of the data threads are read when asked for, but what is on its way may need a moment.
  const grown = await waitFor(
    `metrics like ${pattern.source} growing`,
    async () => {
      const found = growth(before, await readMetrics(edge), pattern);
      return found.size > 0 && found;
    },
    { timeoutMs: 3000 },
  );
  return [...grown].map(([name, more]) => `${name} +${more}`).join(', ');
}

export const abuse: Chapter = {
  title: 'Broken input',
  steps: [
    {
      tried: 'random, cut and lying DNS messages over UDP; silent, cut and reset TCP connections',
      run: (scene) =>
        counted(scene, /^v6edge_dns_.*(malformed|formerr|invalid|bad|dropped)/i, async () => {
          const datagrams = scene.quick ? '2000' : '20000';
          scene.progress(`${datagrams} datagrams`);
          const argv = [process.execPath, join(tools, 'dns-noise.ts'), edgePrivate, '6', datagrams, '100'];
          succeeded(await scene.lab.node('worker2').exec(argv, { timeoutMs: 60_000 }));
        }),
    },
    {
      tried: 'solicitations and advertisements that RFC 4861 §6.1 and RFC 6980 want discarded',
      run: (scene) =>
        counted(scene, /^v6edge_ra_.*(invalid|malformed|discarded|ignored|rejected|bad)/i, async () => {
          const argv = [process.execPath, join(tools, 'bad-messages.ts'), 'prv0', '50'];
          const sent = succeeded(await scene.lab.node('worker2').exec(argv));
          must(Number(sent) === 50 * 16, `${sent} sent`);
        }),
    },
    {
      tried: 'TCP clients that say nothing, and such that reset',
      run: (scene) =>
        counted(scene, /^v6edge_proxy_/, async () => {
          const script = `const { connect } = await import('node:net');
            const all = Array.from({ length: 200 }, (_, i) => new Promise((resolve) => {
              const socket = connect(${ports.http}, '${edgePublic4}');
              socket.on('connect', () => setTimeout(() => i % 2 ? socket.resetAndDestroy() : socket.destroy(), 200));
              socket.on('error', () => undefined).on('close', resolve);
            }));
            await Promise.all(all);`;
          succeeded(await scene.lab.node('client').exec([process.execPath, '--input-type=module', '-e', script]));
        }),
    },
    {
      tried: 'after all this: name, solicitation and page, as before',
      async run({ lab }) {
        const answer = await dig(lab.node('worker1'), [`worker1.${zone}`, 'AAAA']);
        must(records(answer.answer)[0] === `AAAA ${slaacAddress('worker1')}`, answer.text);
        succeeded(await lab.node('worker1').exec(['rdisc6', '-1', '-q', '-r', '3', '-w', '1000', 'prv0']));
        const page = succeeded(await lab.node('client').exec(['curl', '-sS', '-m5', `http://${edgePublic4}/whoami`]));
        return `${records(answer.answer)[0]}; ${page}`;
      },
    },
  ],
};
