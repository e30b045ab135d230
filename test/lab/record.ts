/**
 * What a lab leaves on the machine, written down before it is made: namespaces and directories, nothing else. Taking
 * a lab down means taking down its record, so it works just the same after the runner was killed with SIGKILL.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** One lab on this machine. */
export interface LabRecord {
  readonly id: string;
  /** The runner: its process id and start time, which together are never used twice. */
  readonly runner: { readonly pid: number; readonly started: string };
  readonly namespaces: readonly string[];
  readonly directories: readonly string[];
}

export const recordFolder = '/run/v6edge-lab';

/** When a process started, in clock ticks since boot; undefined when it is gone (proc(5), stat field 22). */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The program's name, field 2, may hold spaces and brackets: count from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function writeRecord(record: LabRecord): void {
  mkdirSync(recordFolder, { recursive: true, mode: 0o755 });
  const path = join(recordFolder, `${record.id}.json`);
  // Written whole or not at all: another runner may read it at any moment.
  writeFileSync(`${path}.new`, JSON.stringify(record));
  renameSync(`${path}.new`, path);
}

/** Every lab with a record here. */
export function readRecords(): LabRecord[] {
  if (!existsSync(recordFolder)) return [];
  return readdirSync(recordFolder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(join(recordFolder, name), 'utf8')) as LabRecord];
      } catch {
        return []; // taken down in this moment
      }
    });
}

/** Whether the process that runs the lab lives. */
export function isAlive(record: LabRecord): boolean {
  return processStart(record.runner.pid) === record.runner.started;
}

/** Ends every process of the lab and removes namespaces, directories and the record. Synchronous: it runs in exit handlers. */
export function takeDown(record: LabRecord): void {
  const existing = new Set(existsSync('/run/netns') ? readdirSync('/run/netns') : []);
  const namespaces = record.namespaces.filter((name) => existing.has(name));
  for (let round = 0; round < 20; round++) {
    const pids = namespaces.flatMap(processesIn);
    if (pids.length === 0) break;
    for (const pid of pids) kill(pid);
    if (round > 0) pause(10);
  }
  const deletion = namespaces.map((name) => `netns del ${name}\n`).join('');
  spawnSync('ip', ['-force', '-batch', '-'], { input: deletion });
  for (const directory of record.directories) rmSync(directory, { recursive: true, force: true });
  rmSync(join(recordFolder, `${record.id}.json`), { force: true });
}

/** Takes down labs whose runner is gone; returns their ids. */
export function takeDownAbandoned(): string[] {
  const abandoned = readRecords().filter((record) => !isAlive(record));
  for (const record of abandoned) takeDown(record);
  return abandoned.map((record) => record.id);
}

function processesIn(namespace: string): number[] {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ended by itself
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
