/** What a benchmark starts ends with it, however that is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { waitFor } from '../lab/process.ts';

/** Whoever adopted it may take its time to bury it. */
function runs(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'ascii'));
  } catch {
    return false;
  }
}

/** A benchmark that has a server and a load running when it comes to `then`. */
async function start(t: Test, then: string): Promise<{ bench: ChildProcess; pids: number[] }> {
  const program = `
    import { readdirSync, readFileSync } from 'node:fs';
    import { Server, runLoad } from ${JSON.stringify(new URL('../../bench/process.ts', import.meta.url).href)};
    new Server('server', '0', ['sleep', '600']);
    const load = runLoad('0', ['sleep', '601']);
    load.catch(() => {});
    const children = () => readFileSync('/proc/self/task/' + process.pid + '/children', 'ascii').trim().split(' ');
    const comm = (pid) => readFileSync('/proc/' + pid + '/comm', 'ascii').trim();
    while (children().length < 2 || children().some((pid) => comm(pid) !== 'sleep')) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log(children().join(' '));
    ${then}`;
  const bench = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => bench.kill('SIGKILL'));
  const [line] = (await once(createInterface(bench.stdout!), 'line')) as [string];
  const pids = line.split(' ').map(Number);
  t.teardown(() => {
    for (const pid of pids) if (runs(pid)) process.kill(pid, 'SIGKILL');
  });
  t.equal(pids.length, 2);
  return { bench, pids };
}

for (const [name, then, signal] of [
  ['it fails', 'throw new Error("a peer was not ready")', undefined],
  ['it comes to its end', 'process.exit(0)', undefined],
  ['Ctrl-C', 'await load', 'SIGINT'],
  ['it is told to end', 'await load', 'SIGTERM'],
  ['it is killed', 'await load', 'SIGKILL'],
] as const) {
  t.test(name, async (t) => {
    const { bench, pids } = await start(t, then);
    const exit = bench.exitCode === null && bench.signalCode === null ? once(bench, 'exit') : undefined;
    if (signal !== undefined) bench.kill(signal);
    await exit;
    await waitFor('the end of both', () => !pids.some(runs), { everyMs: 5 });
    t.pass('both ended');
  });
}
