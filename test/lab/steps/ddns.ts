import { clusterNodes, edgePrivate, slaacAddress, zone } from '../plan.ts';
import { describe } from '../process.ts';
import { dig, nsupdate, records } from './dig.ts';
import { type Chapter, must, type Scene, type Step } from './step.ts';

/** The PTR name of a lab address. */
export function reverseName(address: string): string {
  const [head, tail] = address.split('::') as [string, string];
  const groups = (text: string) => text.split(':').map((group) => group.padStart(4, '0'));
  const [left, right] = [groups(head), groups(tail)];
  const all = [...left, ...Array<string>(8 - left.length - right.length).fill('0000'), ...right];
  return `${[...all.join('')].reverse().join('.')}.ip6.arpa`;
}

/** An update that must end with this rcode. */
async function expectRcode(
  scene: Scene,
  lines: readonly string[],
  rcode: string,
  key = scene.keys.node,
): Promise<string> {
  const result = await nsupdate(scene.lab.node('worker1'), key, lines);
  must(result.rcode === rcode, `${result.rcode} instead of ${rcode}`);
  return rcode;
}

const own = `worker1.${zone}`;
const test = `test.${zone}`;

const refusals: readonly Step[] = [
  {
    tried: 'nsupdate with the right name and a wrong secret',
    run: (scene) => expectRcode(scene, [`update add ${test} 60 A 192.0.2.1`], 'NOTAUTH(BADSIG)', scene.keys.forged),
  },
  {
    tried: 'nsupdate with a key the server does not know',
    run: (scene) =>
      expectRcode(scene, [`zone ${zone}`, `update add ${test} 60 A 192.0.2.1`], 'NOTAUTH(BADKEY)', scene.keys.unknown),
  },
  {
    tried: 'nsupdate without a key',
    async run({ lab }) {
      const result = await nsupdate(lab.node('worker1'), undefined, [`update add ${test} 60 A 192.0.2.1`]);
      must(result.rcode === 'REFUSED', result.rcode);
      return result.rcode;
    },
  },
  {
    tried: 'a known key that no policy names',
    run: (scene) => expectRcode(scene, [`update add ${test} 60 A 192.0.2.1`], 'REFUSED', scene.keys.stranger),
  },
  {
    tried: 'a record type the policy does not allow (MX)',
    run: (scene) => expectRcode(scene, [`update add ${test} 60 MX 10 mail.${zone}.`], 'REFUSED'),
  },
  {
    tried: 'a name outside the zone it says',
    run: (scene) => expectRcode(scene, [`zone ${zone}`, 'update add elsewhere.test 60 A 192.0.2.1'], 'NOTZONE'),
  },
  {
    tried: 'none of these left a trace',
    async run({ lab }) {
      const answer = await dig(lab.node('worker1'), [test, 'ANY', '+tcp']);
      must(answer.status === 'NXDOMAIN', answer.text);
      return answer.status;
    },
  },
];

/** A prerequisite that does not hold, and its rcode (RFC 2136 §2.4). */
const prerequisites: readonly (readonly [string, string])[] = [
  [`prereq nxdomain ${own}`, 'YXDOMAIN'],
  [`prereq yxdomain ${test}`, 'NXDOMAIN'],
  [`prereq nxrrset ${own} AAAA`, 'YXRRSET'],
  [`prereq yxrrset ${own} TXT`, 'NXRRSET'],
  [`prereq yxrrset ${own} AAAA fd00::bad`, 'NXRRSET'],
];

export const dynamicUpdates: Chapter = {
  title: 'Dynamic updates (RFC 2136, TSIG)',
  steps: [
    {
      tried: 'each node registers its name and PTR; nsupdate finds the zones itself',
      async run({ lab, keys }) {
        for (const name of clusterNodes) {
          const node = lab.node(name);
          const address = slaacAddress(name);
          const forward = await nsupdate(node, keys.node, [`update add ${name}.${zone} 300 AAAA ${address}`]);
          must(forward.rcode === 'NOERROR', `${name} AAAA: ${forward.rcode}`);
          const reverse = await nsupdate(node, keys.node, [
            `update add ${reverseName(address)} 300 PTR ${name}.${zone}.`,
          ]);
          must(reverse.rcode === 'NOERROR', `${name} PTR: ${reverse.rcode}`);
        }
        for (const name of clusterNodes) {
          const answer = await dig(lab.node('worker2'), [`${name}.${zone}`, 'AAAA']);
          must(records(answer.answer)[0] === `AAAA ${slaacAddress(name)}`, answer.text);
          const reverse = await dig(lab.node('worker2'), ['-x', slaacAddress(name)]);
          must(records(reverse.answer)[0] === `PTR ${name}.${zone}.`, reverse.text);
        }
        return `${clusterNodes.length} names and their PTRs, seen from worker2`;
      },
    },
    {
      tried: 'nsupdate replaces a record, then deletes the name',
      async run(scene) {
        const node = scene.lab.node('worker1');
        await expectRcode(scene, [`update add temp.${zone} 60 A 192.0.2.1`], 'NOERROR');
        await expectRcode(
          scene,
          [
            `prereq yxrrset temp.${zone} A 192.0.2.1`,
            `update delete temp.${zone} A`,
            `update add temp.${zone} 90 A 192.0.2.2`,
          ],
          'NOERROR',
        );
        const changed = await dig(node, [`temp.${zone}`, 'A']);
        must(/\s90\s+IN\s+A\s+192\.0\.2\.2$/.test(changed.answer.join('\n')), changed.text);
        await expectRcode(scene, [`update delete temp.${zone}`], 'NOERROR');
        const gone = await dig(node, [`temp.${zone}`, 'A']);
        must(gone.status === 'NXDOMAIN', gone.text);
        return '192.0.2.1, then 192.0.2.2, then NXDOMAIN';
      },
    },
    {
      tried: 'every change raises the serial by one',
      async run(scene) {
        const serial = async () => {
          const answer = await dig(scene.lab.node('worker1'), [zone, 'SOA']);
          return Number(records(answer.answer)[0]?.split(' ')[3]);
        };
        const before = await serial();
        await expectRcode(scene, [`update add temp.${zone} 60 A 192.0.2.1`], 'NOERROR');
        await expectRcode(scene, [`update add temp.${zone} 60 A 192.0.2.1`], 'NOERROR');
        await expectRcode(scene, [`update delete temp.${zone}`], 'NOERROR');
        const after = await serial();
        must(after - before === 2, `${before} to ${after} after an addition, the same again and a deletion`);
        return `${before} to ${after}; adding the same again changed nothing`;
      },
    },
    {
      tried: "Knot's knsupdate signs and adds, too",
      async run({ lab, keys }) {
        const { algorithm, name, secret } = keys.node;
        const input = `server ${edgePrivate}\nzone ${zone}.\nadd knot.${zone}. 60 TXT "by knsupdate"\nsend\ndel knot.${zone}.\nsend\n`;
        const result = await lab.node('worker1').exec(['knsupdate', '-y', `${algorithm}:${name}:${secret}`], { input });
        must(result.code === 0, describe(result));
        return 'NOERROR, twice';
      },
    },
    ...refusals,
    {
      tried: 'a prerequisite that does not hold: each its own rcode',
      async run(scene) {
        const rcodes: string[] = [];
        for (const [line, rcode] of prerequisites) {
          rcodes.push(await expectRcode(scene, [line, `update add ${test} 60 A 192.0.2.1`], rcode));
        }
        return rcodes.join(' ');
      },
    },
    {
      tried: 'several changes in one update: all or nothing',
      async run(scene) {
        await expectRcode(
          scene,
          [`update add ${test} 60 A 192.0.2.1`, `update add ${test} 60 MX 10 mail.${zone}.`],
          'REFUSED',
        );
        const answer = await dig(scene.lab.node('worker1'), [test, 'A']);
        must(answer.status === 'NXDOMAIN', answer.text);
        return 'REFUSED, and nothing of it was applied';
      },
    },
  ],
};
