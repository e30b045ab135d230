/** `npm start`: the daemon with examples/quickstart.yaml, two backends behind it, and what to try. Ctrl-C ends all. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, errorMessage } from '../src/core/errors.ts';
import { startBackend } from './demo-backend.ts';

const root = join(import.meta.dirname, '..');
const admin = 'http://127.0.0.1:8653';
const readyWithinMs = 15_000;

const hints = `
v6edge runs. In another terminal, from ${root}:

  curl http://127.0.0.1:8080/           # again and again: two backends take turns
  curl 'http://[::1]:8080/'             # over IPv6: the backend still learns your address
  dig @127.0.0.1 -p 5300 edge.cluster.test AAAA
  printf 'server 127.0.0.1 5300\\nupdate add me.cluster.test 60 AAAA fd00:6:6::99\\nsend\\n' \\
    | nsupdate -k examples/keys/node-key.key
  dig @127.0.0.1 -p 5300 -x fd00:6:6::99
  bin/v6edge status --api ${admin}    # also: pools, zones, records cluster.test
  curl ${admin}/metrics

Ctrl-C ends it.
`;

async function main(): Promise<number> {
  try {
    await startBackend('one', 18081);
    await startBackend('two', 18082);
  } catch (error) {
    const hint = errorCode(error) === 'EADDRINUSE' ? ' (does another quickstart run?)' : '';
    process.stderr.write(`quickstart: ${errorMessage(error)}${hint}\n`);
    return 1;
  }
  const daemon = spawn(join(root, 'bin/v6edge'), ['run', '--config', join(root, 'examples/quickstart.yaml')], {
    stdio: 'inherit',
  });
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  let running = true;
  daemon.once('error', (error) => {
    process.stderr.write(`quickstart: ${error.message}\n`);
    resolve(1);
  });
  daemon.once('exit', (code) => {
    running = false;
    resolve(code ?? 1);
  });
  // A terminal sends Ctrl-C to the daemon too; this process only has to outlive it.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => daemon.kill('SIGTERM'));
  if (await isReady(() => running)) process.stdout.write(hints);
  return await ended;
}

/** Asks until the daemon says that it is ready, has ended, or has had its time. */
async function isReady(isRunning: () => boolean): Promise<boolean> {
  const end = Date.now() + readyWithinMs;
  while (isRunning() && Date.now() < end) {
    const answer = await fetch(`${admin}/readyz`).catch(() => undefined);
    if (answer?.ok) return true;
    if (answer !== undefined && Date.now() + 1000 > end) process.stdout.write(`${await answer.text()}\n`);
    await delay(100);
  }
  return isRunning();
}

process.exit(await main());
