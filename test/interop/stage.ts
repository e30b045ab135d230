/** A lab with the daemon on the edge, for tests that let other programs judge it. */
import { join } from 'node:path';
import type { EdgeKind } from '../lab/edge/edge.ts';
import type { Lab, Node } from '../lab/lab.ts';
import { clusterNodes, slaacAddress } from '../lab/plan.ts';
import { type LabProcess, waitFor } from '../lab/process.ts';
import { succeeded } from '../lab/steps/step.ts';
import { type Stage, setStage } from '../lab/walk.ts';

/** `V6EDGE_LAB_EDGE=reference` runs the interop tests against HAProxy, BIND and radvd: to test the tests. */
const kind: EdgeKind = process.env.V6EDGE_LAB_EDGE === 'reference' ? 'reference' : 'v6edge';

/** Starts a lab and waits until the nodes have their addresses. */
export async function interopStage(): Promise<Stage> {
  const stage = await setStage(kind, true, () => undefined);
  for (const name of clusterNodes) {
    await waitFor(
      `SLAAC on ${name}`,
      async () => {
        const addresses = await stage.lab.node(name).addresses('prv0');
        return addresses.some((one) => one.local === slaacAddress(name) && one.tentative !== true);
      },
      { timeoutMs: 15_000 },
    );
  }
  return stage;
}

/**
 * tshark 4.0 does not look into TSIG's MAC, whatever the algorithm. And it takes a datagram for traceroute's when the client that it
 * goes to was given one of the ports that traceroute begins with.
 */
const tsharkLacks = /^(No dissector for algorithm|Possible traceroute: hop #\d+$|\s*attempt #\d+$)/;

/** Packets of one interface, kept in a file for tshark. */
export class Capture {
  readonly path: string;
  readonly #node: Node;
  readonly #tcpdump: LabProcess;

  private constructor(node: Node, tcpdump: LabProcess, path: string) {
    this.#node = node;
    this.#tcpdump = tcpdump;
    this.path = path;
  }

  /** Starts; returns when packets are being captured. */
  static async start(lab: Lab, node: Node, device: string, filter: string): Promise<Capture> {
    const path = join(lab.directory, `${node.name}-${Date.now()}.pcap`);
    const argv = ['tcpdump', '--immediate-mode', '-U', '-Z', 'root', '-s', '0', '-i', device, '-w', path, filter];
    const tcpdump = node.spawn(argv);
    await waitFor('tcpdump', () => tcpdump.stderr.includes('listening on'), { why: () => tcpdump.output });
    return new Capture(node, tcpdump, path);
  }

  async stop(): Promise<void> {
    await this.#tcpdump.stop();
  }

  /** Rows of fields, of the packets that a display filter lets through. */
  async fields(filter: string, names: readonly string[], more: readonly string[] = []): Promise<string[][]> {
    const fields = names.flatMap((name) => ['-e', name]);
    const argv = [
      'tshark',
      '-n',
      '-r',
      this.path,
      ...more,
      '-Y',
      filter,
      '-T',
      'fields',
      '-E',
      'separator=|',
      ...fields,
    ];
    const text = succeeded(await this.#node.exec(argv, { timeoutMs: 60_000 }));
    return text === '' ? [] : text.split('\n').map((line) => line.split('|'));
  }

  /** What tshark's dissectors complain about: malformed packets, and expert items of level warning and error. */
  async complaints(filter: string, more: readonly string[] = []): Promise<string[]> {
    const bad = `(${filter}) && (_ws.malformed || _ws.expert.severity >= 0x600000)`;
    const rows = await this.fields(
      bad,
      ['frame.number', 'frame.protocols', '_ws.malformed', '_ws.expert.message'],
      more,
    );
    return rows
      .map(([number, protocols, malformed, messages]) => {
        const real = messages!.split(',').filter((message) => !tsharkLacks.test(message));
        return malformed === '' && real.length === 0 ? '' : `${number} ${protocols} ${malformed} ${real.join(', ')}`;
      })
      .filter((complaint) => complaint !== '');
  }
}
