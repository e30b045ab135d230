/**
 * `npm run bench -- [proxy] [dns] [ra] [all] [--runs N] [--seconds S] [--only PATTERN]`: v6edge and its peers in one run, on one
 * core each in turn, and what it needs as a ratio of what they need. Writes bench/results/PART.{json,md}. docs/benchmarks.md
 * says what is compared.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchDns } from './dns.ts';
import type { BenchOptions } from './options.ts';
import { type Cores, chooseCores, hasProgram, temporaryFolder } from './process.ts';
import { benchProxy } from './proxy.ts';
import { benchRa } from './ra.ts';
import { markdown, Results } from './table.ts';

const usage = `usage: npm run bench -- [proxy] [dns] [ra] [all] [options]

  proxy             the TCP proxy beside HAProxy, nginx and a relay in C
  dns               the DNS server beside BIND, Unbound, Knot and dnsmasq
  ra                router advertisements beside radvd's (root)
  all               every one (the default)

  --runs N          runs that count, after one that warms up; the figures are their medians (5)
  --seconds S       length of a run (2)
  --only PATTERN    only the works whose name has PATTERN in it (a regular expression)
  --help

Results: bench/results/PART.md and PART.json. Needs two cores or more, otherwise idle.
`;

/** What a part needs before it can start: a program, and the Debian package that brings it. */
type Needs = Readonly<Record<string, string>>;

interface Part {
  readonly needs: Needs;
  /** Programs that are compared with, and the pattern of their version; a part goes on without those that are missing. */
  readonly peers: readonly { readonly name: string; readonly command: readonly string[]; readonly version: RegExp }[];
  run(dir: string, cores: Cores, options: BenchOptions, results: Results, say: (line: string) => void): Promise<void>;
}

const parts: Readonly<Record<string, Part>> = {
  proxy: {
    needs: { cc: 'gcc libc6-dev', taskset: 'util-linux' },
    peers: [
      { name: 'haproxy', command: ['haproxy', '-v'], version: /version (\S+)/ },
      { name: 'nginx', command: ['nginx', '-v'], version: /nginx\/(\S+)/ },
    ],
    run: benchProxy,
  },
  dns: {
    needs: {
      cc: 'gcc libc6-dev',
      taskset: 'util-linux',
      dnsperf: 'dnsperf',
      named: 'bind9',
      nsupdate: 'bind9-dnsutils',
    },
    peers: [
      { name: 'bind', command: ['named', '-v'], version: /BIND (\S+)/ },
      { name: 'unbound', command: ['unbound', '-V'], version: /Version (\S+)/ },
      { name: 'knot', command: ['knotd', '--version'], version: /version (\S+)/ },
      { name: 'dnsmasq', command: ['dnsmasq', '--version'], version: /version (\S+)/i },
    ],
    run: benchDns,
  },
  ra: {
    needs: { taskset: 'util-linux', radvd: 'radvd', tcpdump: 'tcpdump', tshark: 'tshark' },
    peers: [{ name: 'radvd', command: ['radvd', '--version'], version: /Version: (\S+)/ }],
    run: benchRa,
  },
};

/** The options, or undefined after saying what is wrong with them. */
function readArguments(): { which: string[]; options: BenchOptions } | undefined {
  const wrong = (what: string) => {
    process.stderr.write(`${what}\n\n${usage}`);
    return undefined;
  };
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
        only: { type: 'string', default: '' },
      },
    });
    const unknown = positionals.find((word) => word !== 'all' && parts[word] === undefined);
    if (unknown !== undefined) return wrong(`there is no benchmark "${unknown}"`);
    const runs = Number(values.runs);
    const seconds = Number(values.seconds);
    if (!Number.isInteger(runs) || runs < 1) return wrong('--runs takes a whole number from 1');
    if (!(seconds > 0)) return wrong('--seconds takes a number above 0');
    const only = new RegExp(values.only);
    const all = positionals.length === 0 || positionals.includes('all');
    return {
      which: all ? Object.keys(parts) : [...new Set(positionals)],
      options: { runs, seconds, wants: (work) => only.test(work) },
    };
  } catch (error) {
    return wrong((error as Error).message);
  }
}

/** One of a program's lines of version, or "absent". */
function version(command: readonly string[], pattern: RegExp): string {
  const run = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  return pattern.exec(`${run.stdout}${run.stderr}`)?.[1] ?? 'absent';
}

async function runPart(name: string, part: Part, cores: Cores, options: BenchOptions): Promise<void> {
  const [dir, remove] = temporaryFolder('v6edge-bench');
  const results = new Results();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  try {
    await part.run(dir, cores, options, results, say);
  } finally {
    remove();
  }
  const machine: Record<string, string> = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: String(cpus().length),
    kernel: version(['uname', '-r'], /(\S+)/),
    node: process.version,
  };
  for (const peer of part.peers) machine[peer.name] = version(peer.command, peer.version);
  const { runs, seconds } = options;
  const date = new Date().toISOString().slice(0, 10);
  const rows = results.rows();
  const table = markdown(rows);
  const about = Object.entries(machine).map(([what, value]) => `${what} ${value}`);
  const text = `# Benchmark: ${name}

${date} · ${about.join(' · ')}

Medians of ${runs} runs of ${seconds} s each, the peers in turn, pinned to one core; load on the others.

${table}
`;
  const out = join(import.meta.dirname, 'results');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `${name}.md`), text);
  writeFileSync(
    join(out, `${name}.json`),
    `${JSON.stringify({ date, machine, options: { runs, seconds }, rows, series: results.series }, null, 2)}\n`,
  );
  process.stdout.write(`${table}\n`);
}

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    process.stdout.write(usage);
    return 0;
  }
  const wanted = readArguments();
  if (wanted === undefined) return 2;
  const needs = Object.assign({}, ...wanted.which.map((name) => parts[name]!.needs)) as Needs;
  const missing = Object.keys(needs).filter((program) => !hasProgram(program));
  if (missing.length > 0) {
    const packages = missing.map((program) => needs[program]);
    process.stderr.write(`missing: ${missing.join(', ')} (apt-get install ${packages.join(' ')})\n`);
    return 1;
  }
  const cores = chooseCores();
  // This process reads the peers' logs: not on the core that is measured.
  spawnSync('taskset', ['-apc', cores.rest, String(process.pid)]);
  for (const name of wanted.which) await runPart(name, parts[name]!, cores, wanted.options);
  return 0;
}

process.exitCode = await main();
