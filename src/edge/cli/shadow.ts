/** `v6edge shadow`: the configuration beside the old daemons, on other ports, asked what they are asked. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, errorMessage, V6edgeError } from '../../core/errors.ts';
import type { RaInterfaceConfig } from '../../ra/config.ts';
import type { RecordReport, ZoneReport } from '../admin/source.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem-text.ts';
import { capturedQuestions } from '../shadow/captured-questions.ts';
import { reached, type ShadowConfig, shadowConfig } from '../shadow/config.ts';
import { compareDns, type Question, readQuestions } from '../shadow/dns.ts';
import { compareProxy } from '../shadow/proxy.ts';
import { compareRa } from '../shadow/ra.ts';
import type { Compared, ShadowReport } from '../shadow/report.ts';
import { callApi, getJson } from './client.ts';
import { importConfigs } from './import.ts';
import type { Paint } from './table.ts';

/** What went wrong before anything could be compared. */
export class ShadowError extends V6edgeError {}

export interface ShadowOptions {
  readonly haproxy: string | undefined;
  readonly named: string | undefined;
  readonly radvd: string | undefined;
  /** Instead of these: a configuration of ours. */
  readonly config: string | undefined;
  /** A file of questions; undefined: every name of the zones. */
  readonly queries: string | undefined;
  /** Questions, or connections, a second, to each side. */
  readonly rate: number;
  /** Questions at most. */
  readonly limit: number;
  /** Connections to each listener. */
  readonly tries: number;
}

const readyMs = 20_000;
const none: Compared = { count: 0, differences: [], remarks: [] };
const idle: ShadowReport = {
  equal: true,
  questions: 0,
  connections: 0,
  advertisements: 0,
  differences: [],
  remarks: [],
};

/**
 * Runs it and compares; the old daemons run and go on.
 * @throws {ShadowError} a configuration does not load, or ours does not start with it
 */
export async function shadow(options: ShadowOptions): Promise<ShadowReport> {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-shadow-'));
  try {
    const file = options.config ?? imported(options, join(folder, 'import'));
    const loaded = loadConfig(file);
    if ('errors' in loaded) throw new ShadowError('V6_SHADOW_CONFIG', loaded.errors.map(formatProblem).join('\n'));
    const config = await shadowConfig(file, folder);
    const ra = await advertised(loaded.config.ra);
    // With advertisements alone there is nothing to run.
    const serves = config.dns.length + config.proxy.length > 0;
    return withRa(serves ? await beside(config, options) : idle, ra);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Advertisements, as far as this user may look at them. */
async function advertised(interfaces: readonly RaInterfaceConfig[]): Promise<Compared> {
  try {
    return interfaces.length === 0 ? none : await compareRa(interfaces);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') throw error;
    return { ...none, remarks: ['advertisements were not compared: that needs root, or the capability CAP_NET_RAW'] };
  }
}

function withRa(report: ShadowReport, ra: Compared): ShadowReport {
  return {
    ...report,
    equal: report.equal && ra.differences.length === 0,
    advertisements: ra.count,
    differences: [...report.differences, ...ra.differences],
    remarks: [...report.remarks, ...ra.remarks],
  };
}

function imported({ haproxy, named, radvd }: ShadowOptions, out: string): string {
  importConfigs({ haproxy, named, radvd, out });
  return join(out, 'v6edge.yaml');
}

async function beside(config: ShadowConfig, options: ShadowOptions): Promise<ShadowReport> {
  const program = [...process.execArgv, process.argv[1]!, 'run', '--config', config.file];
  const child = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    const target = { api: `unix:${config.socket}`, token: undefined };
    await ready(
      target,
      () => child.exitCode !== null,
      () => said,
    );
    const zones = await getJson<ZoneReport[]>(target, '/v1/zones');
    const questions = await questionsOf(target, zones, options);
    const [pair] = config.dns;
    const dns =
      pair === undefined || questions.length === 0
        ? none
        : await compareDns(
            { old: reached(pair.old), ours: reached(pair.ours) },
            questions,
            zones.map(({ name }) => name),
            options.rate,
          );
    const proxy = await compareProxy(config.proxy, options.tries, options.rate);
    const differences = [...dns.differences, ...proxy.differences];
    return {
      equal: differences.every(({ accepted }) => accepted !== undefined),
      questions: dns.count,
      connections: proxy.count,
      advertisements: 0,
      differences,
      remarks: [...dns.remarks, ...proxy.remarks],
    };
  } finally {
    child.kill('SIGTERM');
    await Promise.race([exited, sleep(5_000, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
    await exited;
  }
}

/** Waits until ours serves; members' first checks have ended then. */
async function ready(target: Parameters<typeof callApi>[0], ended: () => boolean, said: () => string): Promise<void> {
  for (const end = performance.now() + readyMs; performance.now() < end; ) {
    if (ended()) throw new ShadowError('V6_SHADOW_START', `v6edge does not start with it: ${said().trim()}`);
    try {
      await callApi(target, '/readyz');
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new ShadowError('V6_SHADOW_START', `v6edge was not ready within ${readyMs / 1000} s: ${said().trim()}`);
}

async function questionsOf(
  target: Parameters<typeof getJson>[0],
  zones: readonly ZoneReport[],
  { queries, limit }: ShadowOptions,
): Promise<Question[]> {
  if (queries !== undefined) {
    try {
      return capturedQuestions(queries, limit) ?? readQuestions(readFileSync(queries, 'utf8'), limit);
    } catch (error) {
      const why = errorCode(error) === 'ENOENT' ? 'there is no such file' : errorMessage(error);
      throw new ShadowError('V6_SHADOW_QUERIES', `cannot read ${queries}: ${why}`, { cause: error });
    }
  }
  const questions: Question[] = [];
  for (const { name } of zones) {
    const records = await getJson<RecordReport[]>(target, `/v1/zones/${name}/records`);
    questions.push(...records.map((each) => ({ name: each.name.toLowerCase(), type: each.type })));
    // What is not there, and a type that a name has not.
    questions.push({ name: `v6edge-shadow.${name}`, type: 'AAAA' }, { name, type: 'LOC' });
  }
  return questions.slice(0, limit);
}

/** For people. */
export function showShadow(report: ShadowReport, paint: Paint): string {
  const { questions, connections, advertisements, differences, remarks } = report;
  const open = differences.filter(({ accepted }) => accepted === undefined);
  const reasons = Map.groupBy(
    differences.filter(({ accepted }) => accepted !== undefined),
    ({ accepted }) => accepted!,
  );
  const of = [counted(questions, 'question'), counted(connections, 'connection')].join(' and ');
  const ra = advertisements === 0 ? '' : `, the advertisements of ${counted(advertisements, 'interface')}`;
  const result = open.length === 0 ? paint('green', 'the same') : paint('red', counted(open.length, 'difference'));
  return [
    `${of}${ra}: ${result}\n`,
    // One below the other: as columns, replies and records would be wider than any terminal.
    ...open.map(
      ({ of, what, part, old, ours }) =>
        `\n${paint('bold', `${of} ${what}: ${part}`)}\n  old     ${old || 'nothing'}\n  v6edge  ${ours || 'nothing'}\n`,
    ),
    ...(reasons.size + remarks.length > 0 ? ['\n'] : []),
    ...[...reasons].map(([reason, { length }]) => `${counted(length, 'difference')}, right so: ${reason}\n`),
    ...remarks.map((each) => `${each}\n`),
  ].join('');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
