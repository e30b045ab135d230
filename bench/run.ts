/**
 * `npm run bench [-- proxy|dns] [--runs N] [--seconds S]`: v6edge and its peers in one run, on one core each in turn, and
 * what it needs as a ratio of what they need. Writes bench/results/latest.{json,md}.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchDns } from './dns.ts';
import { chooseCores, hasProgram } from './process.ts';
import { benchProxy } from './proxy.ts';
import { markdown, Results } from './table.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    help: { type: 'boolean', default: false },
  },
});

function version(command: string[], pattern: RegExp): string {
  const run = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  return pattern.exec(`${run.stdout}${run.stderr}`)?.[1] ?? 'absent';
}

async function main(): Promise<number> {
  if (values.help || positionals.some((word) => word !== 'proxy' && word !== 'dns')) {
    process.stdout.write('usage: npm run bench -- [proxy] [dns] [--runs 5] [--seconds 2]\n');
    return values.help ? 0 : 2;
  }
  const missing = ['cc', 'taskset', 'dnsperf', 'named'].filter((name) => !hasProgram(name));
  if (missing.length > 0) {
    process.stderr.write(`missing: ${missing.join(', ')} (apt-get install gcc libc6-dev util-linux dnsperf bind9)\n`);
    return 1;
  }
  const options = { runs: Number(values.runs), seconds: Number(values.seconds) };
  const which = positionals.length === 0 ? ['proxy', 'dns'] : positionals;
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-bench-'));
  const results = new Results();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  try {
    const load = join(dir, 'load');
    const compiled = spawnSync('cc', ['-O2', '-o', load, join(import.meta.dirname, 'load.c')], { encoding: 'utf8' });
    if (compiled.status !== 0) throw new Error(`cc: ${compiled.stderr}`);
    const cores = chooseCores();
    if (which.includes('proxy')) await benchProxy(dir, load, cores, options, results, say);
    if (which.includes('dns')) await benchDns(dir, cores, options, results, say);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  const rows = results.rows();
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    kernel: version(['uname', '-r'], /(\S+)/),
    node: process.version,
    haproxy: version(['haproxy', '-v'], /version (\S+)/),
    bind: version(['named', '-v'], /BIND (\S+)/),
    unbound: version(['unbound', '-V'], /Version (\S+)/),
  };
  const about = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  const table = markdown(rows);
  const text = `# Benchmark\n\nMedians of ${options.runs} runs of ${options.seconds} s each, the peers in turn, pinned to one core; load on the others.\n${about.join(' · ')}\n\n${table}\n`;
  const out = join(import.meta.dirname, 'results');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'latest.md'), text);
  writeFileSync(
    join(out, 'latest.json'),
    `${JSON.stringify({ machine, options, rows, series: results.series }, null, 2)}\n`,
  );
  process.stdout.write(`${table}\n`);
  return 0;
}

process.exitCode = await main();
