/** A BIND 9 of its own for a test: one process, one directory, one loopback port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TsigKey } from '../../src/dns/config.ts';
import { formatKeyFile } from '../../src/dns/keyfile.ts';
import { freePort } from '../free-port.ts';

export interface Bind {
  readonly port: number;
  /** Its folder, with named.conf and NAME.db for each zone. */
  readonly dir: string;
  /** What it logged. */
  log(): string;
  stop(): Promise<void>;
}

/**
 * @param zones name, zone file (none: a secondary, unless the statements have a type), and statements of the zone
 * @param recursion what the options say of it
 */
export async function startBind(
  keys: readonly TsigKey[],
  zones: readonly { name: string; file?: string; statements: string }[],
  recursion = 'recursion no;',
): Promise<Bind> {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-bind-'));
  const port = await freePort('::1');
  let conf = `options {
  directory "${dir}"; pid-file "${dir}/named.pid"; session-keyfile "${dir}/session.key"; lock-file none;
  managed-keys-directory "${dir}"; listen-on { none; }; listen-on-v6 port ${port} { ::1; };
  ${recursion} notify no; dnssec-validation no; allow-transfer { any; };
};
controls { };
${keys.map(formatKeyFile).join('')}`;
  for (const { name, file, statements } of zones) {
    const secondary = statements.includes('type ') ? '' : 'type secondary;';
    const type = file === undefined ? secondary : `type primary; file "${name}.db";`;
    if (file !== undefined) writeFileSync(join(dir, `${name}.db`), file);
    conf += `zone "${name}" { ${type} ${statements} };\n`;
  }
  writeFileSync(join(dir, 'named.conf'), conf);
  const child = spawn('named', ['-g', '-n', '1', '-c', join(dir, 'named.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await running(child, (text) => {
      log += text;
      return log;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, dir, log: () => log, stop };
}

function running(child: ChildProcess, read: (text: string) => string): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`named ended with ${code}:\n${log}`)));
    child.stderr!.on('data', (data: Buffer) => {
      log = read(data.toString());
      if (/^.* running$/m.test(log)) resolve();
    });
  });
}
