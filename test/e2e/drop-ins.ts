/** What docs/install.md has operators add to the unit, as it stands there, in a booted container: it gives what it promises. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { exec, waitFor } from '../lab/process.ts';
import { ip } from '../linux/netns.ts';
import type { Container } from './container.ts';

/** The installed edge. Its interface prv0 has advertisements; the other end of it, `link`, is here. */
export interface InstalledEdge {
  readonly configuration: string;
  readonly link: string;
  systemctl(...args: string[]): Promise<string>;
  ready(): Promise<unknown>;
}

const folder = '/etc/systemd/system/v6edge.service.d';
const acceptRa = '/proc/sys/net/ipv6/conf/prv0/accept_ra';
/** The link-layer address of nodes that do not exist. */
const noNode = '02:00:00:00:00:01';

/** Tries one after the other, and leaves unit and configuration as they were. */
export async function tryDropIns(t: Test, box: Container, edge: InstalledEdge): Promise<void> {
  const { configuration, link, systemctl, ready } = edge;
  const metric = async (name: string) => {
    const socket = ['--unix-socket', '/run/v6edge/admin.sock'];
    const text = await box.must(['curl', '-sS', '--max-time', '5', ...socket, 'http://localhost/metrics']);
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  const restart = async () => {
    await systemctl('daemon-reload');
    await systemctl('restart', 'v6edge');
    await ready();
  };
  const add = async (word: string) => {
    // What `systemctl edit` makes, which wants a terminal.
    box.write(`${folder}/override.conf`, dropIn(word));
    await restart();
    const report = await box.must(['systemd-analyze', 'security', '--no-pager', 'v6edge.service']);
    t.comment(`${word}: systemd-analyze security ${/exposure level for v6edge\.service: ([\d.]+)/.exec(report)?.[1]}`);
  };
  const [failures, past] = ['v6edge_ra_send_failures_total', 'v6edge_ra_neighbour_table_full_total'];
  const filledUntil = async (what: string, reached: () => Promise<boolean>) => {
    const again = () => {
      fillNeighbours(link);
      return reached();
    };
    try {
      await waitFor(what, again, { timeoutMs: 20_000, everyMs: 1000, why: () => box.console });
    } finally {
      ip(`-6 neigh flush dev ${link}`);
    }
  };

  const often = configuration.replace('prv0, ', 'prv0, interval: { min: 3s, max: 4s }, ');
  await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: often });
  await systemctl('reload', 'v6edge');
  await filledUntil('an advertisement that cannot be sent', async () => (await metric(failures)) > 0);
  t.equal(await metric(past), 0, 'the unit as it is has no packet sockets');
  await add('AF_PACKET');
  await filledUntil('an advertisement past the table', async () => (await metric(past)) > 0);
  const tcpdump = ['timeout', '20', 'tcpdump', '-n', '-c', '1', '-i', link, 'ip6[40] == 134'];
  await filledUntil('it to come', async () => /ff02::1: .*router advertisement/.test((await exec(tcpdump)).stdout));
  t.equal(await metric(failures), 0);
  t.match(await box.journal('-u', 'v6edge', '-n', '20'), /neighbour table is full .*: all nodes are told past it/);

  await box.must(['sh', '-c', `echo 1 >${acceptRa}`]);
  await add('CAP_NET_ADMIN');
  t.equal(await box.must(['cat', acceptRa]), '0\n', 'it switched the interface off to advertisements of others');

  await box.must(['rm', '-r', folder]);
  await box.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration });
  await restart();
}

/** The one of docs/install.md that has the word. */
function dropIn(word: string): string {
  const book = readFileSync(join(import.meta.dirname, '../../docs/install.md'), 'utf8');
  const blocks = [...book.matchAll(/^```ini\n# systemctl edit v6edge\n(.*?)^```$/gms)].map(([, text]) => text!);
  return blocks.find((text) => text.includes(word))!;
}

/**
 * Fills the kernel's neighbour table, one for the machine, with nodes that do not exist: until they are taken away, or some seconds
 * after the last call, no multicast leaves by an ordinary socket.
 */
function fillNeighbours(link: string): void {
  for (let batch = 0; batch < 64; batch++) {
    const lines = Array.from(
      { length: 1024 },
      (_, i) =>
        `neigh replace fd00:6:6::${batch.toString(16)}:${i.toString(16)}:1 lladdr ${noNode} dev ${link} nud reachable\n`,
    );
    const { stderr } = spawnSync('ip', ['-6', '-force', '-batch', '-'], { input: lines.join(''), encoding: 'utf8' });
    if (stderr.includes('No buffer space available')) return;
  }
  throw new Error('the neighbour table has no end');
}
