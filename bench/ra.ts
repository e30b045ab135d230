/**
 * Router advertisements beside radvd's, each in a network namespace of its own, with the same words to nodes and no delay:
 * how long a node that asks waits for its answer by the edge's network interface (tcpdump takes the kernel's time, tshark
 * reads it), what a storm of solicitations costs, and what the daemon needs while nothing happens. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from './options.ts';
import { type Cores, Server, undoAtEnd } from './process.ts';
import { median, type Results } from './table.ts';

/** One node asks at a time, this far apart on average: far below each limit on answers, and the daemon sleeps between. */
const soloGapMs = 25;
/** The same with the daemon asleep for long: what it needs has left the processor's caches, and the processor sleeps as well. */
const restedGapMs = 1_000;
const restedCount = 30;
/** Below 128, from which on the kernel forgets neighbours. */
const soloSources = 100;
const stormSources = 200;
const stormPerSecond = 1_000;
const rested = 'after a second at rest';
/** Time at rest, a run: as long as it takes to see a thousandth of a core. */
const idleSeconds = 10;

const mac = (name: string): string => (name === 'v6edge' ? '02:00:00:00:00:01' : '02:00:00:00:00:02');

function v6edgeConfig(dir: string): string {
  return `workers: 1
log: { level: warn, format: json }
state: { dir: ${dir}/state-ra }
admin: { listen: ["unix:${dir}/admin-ra.sock"] }
ra:
  - interface: eth1
    maxDelay: 0s
    prefixes: [{ prefix: "fd00:6:6::/64" }]
    rdnss: { servers: ["fd00:6:6::1"], lifetime: 30m }
    dnssl: { domains: [cluster.test], lifetime: 30m }
`;
}

const radvdConfig = `interface eth1 {
  AdvSendAdvert on; AdvDefaultLifetime 0; prefix fd00:6:6::/64 { };
  RDNSS fd00:6:6::1 { AdvRDNSSLifetime 1800; }; DNSSL cluster.test { AdvDNSSLLifetime 1800; };
};
`;

/** The namespaces: one a daemon, and one of the nodes with a link to each. */
class Stage {
  readonly #prefix = `v6edge-bench-${process.pid}-`;
  readonly #undo: (() => void)[] = [];

  constructor(daemons: readonly string[]) {
    try {
      this.#add('nodes');
      for (const name of daemons) {
        this.#add(name);
        const [edge, nodes] = [this.#prefix + name, `${this.#prefix}nodes`];
        ip(
          '-n',
          edge,
          'link',
          'add',
          'eth1',
          'address',
          mac(name),
          'type',
          'veth',
          'peer',
          'name',
          name,
          'netns',
          nodes,
        );
        ip('-n', nodes, 'link', 'set', name, 'up');
        ip('-n', edge, 'link', 'set', 'eth1', 'up');
        for (let i = 1; i <= stormSources; i++) {
          ip('-n', nodes, 'addr', 'add', `fe80::1:${i.toString(16)}/64`, 'dev', name, 'nodad');
        }
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #add(name: string): void {
    this.#undo.push(undoAtEnd(() => ip('netns', 'del', this.#prefix + name)));
    ip('netns', 'add', this.#prefix + name);
    // Without duplicate address detection, whose second is not the daemon's; forwarding, or radvd has a complaint.
    execFileSync(
      'ip',
      this.inside(name, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.forwarding=1').slice(
        1,
      ),
    );
  }

  inside(name: string, ...command: string[]): string[] {
    return ['ip', 'netns', 'exec', this.#prefix + name, ...command];
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

/** What passed the edge's interface while `work` ran. */
interface Traffic {
  readonly solicitations: number;
  /** Milliseconds from each solicitation to its answer. */
  readonly waits: readonly number[];
  readonly multicasts: number;
}

export async function benchRa(
  dir: string,
  cores: Cores,
  options: BenchOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const stage = new Stage(['v6edge', 'radvd']);
  const servers: Server[] = [];
  const solicit = (server: Server, ...args: (string | number)[]): Promise<void> => {
    const program = [process.execPath, join(import.meta.dirname, 'solicit.ts'), server.name, ...args.map(String)];
    return new Promise((resolve, reject) => {
      const load = new Server('solicit', cores.rest, stage.inside('nodes', ...program), { NODE_OPTIONS: '' });
      load.exited.then((code) => (code === 0 ? resolve() : reject(new Error(`solicit.ts:\n${load.output}`))), reject);
    });
  };
  const captured = async (server: Server, work: () => Promise<void>): Promise<Traffic> => {
    const file = join(dir, `ra-${server.name}.pcap`);
    const filter = 'icmp6 and (ip6[40] == 133 or ip6[40] == 134)';
    const capture = new Server(
      'tcpdump',
      cores.rest,
      stage.inside(
        server.name,
        ...[
          'tcpdump',
          '-i',
          'eth1',
          '-n',
          '--immediate-mode',
          '-B',
          '8192',
          '--time-stamp-precision',
          'nano',
          '-w',
          file,
          filter,
        ],
      ),
    );
    await capture.ready(() => capture.output.includes('listening on'));
    await work();
    await capture.stop('SIGINT');
    return readTraffic(file);
  };
  /** Waits in µs, sorted. */
  const answers = async (server: Server, count: number, gapMs: number): Promise<number[]> => {
    const { waits } = await captured(server, () => solicit(server, soloSources, count, gapMs));
    if (waits.length < count * 0.98) throw new Error(`${server.name} answered ${waits.length} of ${count}`);
    return waits.map((ms) => ms * 1_000).sort((a, b) => a - b);
  };
  try {
    writeFileSync(join(dir, 'ra.yaml'), v6edgeConfig(dir));
    writeFileSync(join(dir, 'radvd.conf'), radvdConfig);
    const start = (name: string, command: string[]): void => {
      servers.push(new Server(name, cores.measured, stage.inside(name, ...command), { NODE_OPTIONS: '' }));
    };
    start('v6edge', [join(import.meta.dirname, '../bin/v6edge'), 'run', '--config', join(dir, 'ra.yaml')]);
    start('radvd', ['radvd', '-n', '-m', 'stderr', '-C', join(dir, 'radvd.conf'), '-p', join(dir, 'radvd.pid')]);
    for (const server of servers) {
      await server.ready(async () => {
        const { waits } = await captured(server, () => solicit(server, 1, 1, 0));
        return waits.length > 0;
      });
      // All neighbours known, as those of a router are.
      await solicit(server, soloSources, soloSources, soloGapMs);
    }
    for (let run = 1; run <= options.runs; run++) {
      for (const server of options.wants('solicitation') ? servers : []) {
        const count = Math.round((options.seconds * 1_000) / soloGapMs);
        const sorted = await answers(server, count, soloGapMs);
        results.add('solicitation', 'answered after, p50', 'µs', server.name, median(sorted));
        results.add(
          'solicitation',
          'answered after, p99',
          'µs',
          server.name,
          sorted[Math.floor(sorted.length * 0.99)]!,
        );
      }
      if (options.wants(rested)) {
        // Both at once: they hardly ever answer at the same moment.
        const sorted = await Promise.all(servers.map((server) => answers(server, restedCount, restedGapMs)));
        for (const [i, server] of servers.entries()) {
          results.add(rested, 'answered after, p50', 'µs', server.name, median(sorted[i]!));
        }
      }
      for (const server of options.wants('1,000 solicitations/s') ? servers : []) {
        const count = options.seconds * stormPerSecond;
        const before = server.cpu();
        const traffic = await captured(server, () =>
          solicit(server, stormSources, count, 1_000 / stormPerSecond, 'even'),
        );
        const { total } = server.cpu();
        results.add('1,000 solicitations/s', 'CPU each', 'µs', server.name, (total - before.total) / count);
        results.add(
          '1,000 solicitations/s',
          'unicast answers',
          '1/s',
          server.name,
          traffic.waits.length / options.seconds,
        );
      }
      if (options.wants('at rest')) {
        // What the storm left to do is done.
        await delay(2_000);
        const idle = servers.map((server) => server.cpu().total);
        await delay(idleSeconds * 1_000);
        for (const [i, server] of servers.entries()) {
          const percent = (server.cpu().total - idle[i]!) / (idleSeconds * 10_000);
          results.add('at rest', 'share of a core', '%', server.name, percent);
        }
      }
      say(`router advertisements: run ${run} of ${options.runs}`);
    }
  } finally {
    for (const server of servers.reverse()) await server.stop();
    stage.close();
  }
}

function readTraffic(file: string): Traffic {
  const fields = ['frame.time_epoch', 'icmpv6.type', 'ipv6.src', 'ipv6.dst'].flatMap((name) => ['-e', name]);
  const text = execFileSync('tshark', ['-n', '-r', file, '-T', 'fields', ...fields], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const asked = new Map<string, number>();
  const waits: number[] = [];
  let [solicitations, multicasts] = [0, 0];
  for (const line of text.split('\n')) {
    const [time, type, from, to] = line.split('\t');
    // Since midnight: a double has the nanoseconds then.
    const [seconds, fraction] = (time ?? '').split('.');
    const ms = (Number(seconds) % 86_400) * 1_000 + Number(`0.${fraction}`) * 1_000;
    if (type === '133') {
      solicitations++;
      asked.set(from!, ms);
    } else if (to === 'ff02::1') {
      multicasts++;
    } else if (to !== undefined && asked.has(to)) {
      waits.push(ms - asked.get(to)!);
      asked.delete(to);
    }
  }
  return { solicitations, waits, multicasts };
}
