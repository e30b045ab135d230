/** Advertisements as they leave eth1, by tcpdump and tshark. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run } from '../linux/netns.ts';

/** Lifetimes of one advertisement, seconds; NaN where the option is absent. */
export interface Lifetimes {
  readonly prefix: number;
  readonly route: number;
  readonly dns: number;
  readonly search: number;
}

/** What leaves eth1. */
export class Capture {
  readonly #child: ChildProcess;
  readonly #file: string;

  private constructor(child: ChildProcess, file: string) {
    this.#child = child;
    this.#file = file;
  }

  static async start(t: Test): Promise<Capture> {
    const file = join(t.testdir({}), 'sent.pcap');
    const options = ['-i', 'eth1', '--immediate-mode', '-U', '-w', file, 'icmp6 and ip6[40] == 134'];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'tcpdump', ...options], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    await new Promise<void>((resolve) =>
      child.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
    );
    return new Capture(child, file);
  }

  /** Ends it. */
  async lifetimes(): Promise<Lifetimes[]> {
    const closed = new Promise((resolve) => this.#child.on('close', resolve));
    this.#child.kill('SIGINT');
    await closed;
    const names = ['prefix.valid_lifetime', 'route_lifetime', 'rdnss.lifetime', 'dnssl.lifetime'];
    const fields = names.flatMap((name) => ['-e', `icmpv6.opt.${name}`]);
    const text = run('tshark', '-r', this.#file, '-T', 'fields', ...fields).trimEnd();
    return text.split('\n').map((line) => {
      const [prefix, route, dns, search] = line.split('\t').map((field) => (field === '' ? Number.NaN : Number(field)));
      return { prefix: prefix!, route: route!, dns: dns!, search: search! };
    });
  }
}
