import type { Node } from '../lab.ts';
import { clusterNodes, edgePrivate, prefix, slaacAddress, zone } from '../plan.ts';
import { waitFor } from '../process.ts';
import { type Chapter, must, type Step, succeeded } from './step.ts';

/** What rdisc6 (ndisc6) says of the first advertisement it gets: `field: value` lines. */
async function solicit(node: Node): Promise<Map<string, string>> {
  const text = succeeded(await node.exec(['rdisc6', '-1', '-r', '3', '-w', '2000', 'prv0']));
  const fields = text.split('\n').flatMap((line): [string, string][] => {
    const match = /^\s*(.+?)\s*: +(.*?)\s*$/.exec(line);
    return match === null ? [] : [[match[1]!, match[2]!]];
  });
  return new Map(fields);
}

/** Compares as numbers, `1800 (0x00000708) seconds`. */
const seconds = (text: string | undefined) => Number(text?.split(' ')[0]);

const addressStep = (name: (typeof clusterNodes)[number]): Step => ({
  tried: `${name}, which had only a link-local address, has one of ${prefix}`,
  async run({ lab }) {
    const address = await waitFor(
      `SLAAC on ${name}`,
      async () => {
        const found = await lab.node(name).addresses('prv0');
        return found.find((one) => one.local.startsWith('fd00:6:6:') && one.tentative !== true);
      },
      { timeoutMs: 12_000 },
    );
    must(address.local === slaacAddress(name), `${address.local} instead of ${slaacAddress(name)}`);
    must(address.dynamic === true, `${address.local} is static`);
    return `${address.local}, preferred ${address.preferred_life_time} s, valid ${address.valid_life_time} s`;
  },
});

export const routerAdvertisements: Chapter = {
  title: 'Router advertisements',
  steps: [
    ...clusterNodes.map(addressStep),
    {
      tried: 'rdisc6 solicits: prefix',
      async run({ lab }) {
        const ra = await solicit(lab.node('worker1'));
        must(ra.get('Prefix') === prefix, [...ra.keys()].join(', '));
        must(ra.get('On-link') === 'Yes' && ra.get('Autonomous address conf.') === 'Yes', 'flags L or A are missing');
        const [valid, preferred] = [seconds(ra.get('Valid time')), seconds(ra.get('Pref. time'))];
        must(valid === 3600 && preferred === 1800, `lifetimes ${valid}/${preferred}`);
        return `${ra.get('Prefix')} on-link, autonomous, ${valid}/${preferred} s`;
      },
    },
    {
      tried: 'rdisc6 solicits: DNS server and search domain',
      async run({ lab }) {
        const node = lab.node('worker1');
        const ra = await solicit(node);
        const server = ra.get('Recursive DNS server');
        const domain = (ra.get('DNS search list') ?? ra.get('DNS search suffix'))?.replace(/\.$/, '');
        must(server === edgePrivate && domain === zone, `server ${server}, domain ${domain}`);
        // What rdnssd or systemd-networkd do with it.
        for (const name of clusterNodes) {
          lab.node(name).writeResolvConf(`nameserver ${server}\nsearch ${domain}\noptions timeout:3 attempts:2\n`);
        }
        return `${server} ${domain}, written to each node's resolv.conf`;
      },
    },
    {
      tried: 'no default route from the edge: router lifetime 0',
      async run({ lab }) {
        const node = lab.node('worker1');
        const lifetime = seconds((await solicit(node)).get('Router lifetime'));
        must(lifetime === 0, `router lifetime ${lifetime}`);
        const routes = succeeded(await node.exec(['ip', '-6', 'route', 'show', 'default']));
        must(!routes.includes('prv0') && !routes.includes('proto ra'), routes);
        return routes.replaceAll(/\s+/g, ' ');
      },
    },
    {
      tried: 'a solicitation is answered within a second',
      async run({ lab }) {
        const node = lab.node('worker2');
        const started = performance.now();
        const { stdout } = await node.exec(['rdisc6', '-1', '-v', '-r', '1', '-w', '1500', 'prv0']);
        const ms = performance.now() - started;
        const from = /from (fe80::\S+)/.exec(stdout)?.[1];
        must(from !== undefined, stdout);
        must(ms < 1000, `${ms.toFixed(0)} ms`);
        return `from ${from}, ${ms.toFixed(0)} ms with the start of rdisc6`;
      },
    },
  ],
};
