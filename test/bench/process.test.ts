/** What a benchmark starts ends with it, however that is. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
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

/** A benchmark that has made a folder and a namespace, and has a server write into the one. */
async function startWithThings(
  t: Test,
  then: string,
): Promise<{ bench: ChildProcess; folder: string; namespace: string }> {
  const namespace = `v6edge-bench-test-${process.pid}`;
  const program = `
    import { execFileSync } from 'node:child_process';
    import { Server, temporaryFolder, undoAtEnd } from ${JSON.stringify(new URL('../../bench/process.ts', import.meta.url).href)};
    const [folder, remove] = temporaryFolder('v6edge-bench-test');
    const removeNamespace = undoAtEnd(() => execFileSync('ip', ['netns', 'del', '${namespace}']));
    execFileSync('ip', ['netns', 'add', '${namespace}']);
    const write = 'echo there; while :; do : > "' + folder + '/$((i += 1))"; done';
    const server = new Server('server', '0', ['ip', 'netns', 'exec', '${namespace}', 'sh', '-c', write]);
    await server.ready(() => server.output.includes('there'), 5);
    console.log(folder);
    ${then}`;
  const bench = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => bench.kill('SIGKILL'));
  const [folder] = (await once(createInterface(bench.stdout!), 'line')) as [string];
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    if (existsSync(`/run/netns/${namespace}`)) execFileSync('ip', ['netns', 'del', namespace]);
  });
  return { bench, folder, namespace };
}

if (process.getuid?.() === 0) {
  for (const [name, then, signal] of [
    ['it fails', 'throw new Error("a peer was not ready")', undefined],
    ['it comes to its end', 'removeNamespace(); await server.stop(); remove();', undefined],
    ['it forgets', 'process.exit(0)', undefined],
    ['Ctrl-C', 'await server.exited', 'SIGINT'],
    ['it is told to end', 'await server.exited', 'SIGTERM'],
    ['its terminal is gone', 'await server.exited', 'SIGHUP'],
  ] as const) {
    t.test(`folder and namespace: ${name}`, async (t) => {
      const { bench, folder, namespace } = await startWithThings(t, then);
      const exit = bench.exitCode === null && bench.signalCode === null ? once(bench, 'exit') : undefined;
      if (signal !== undefined) bench.kill(signal);
      await exit;
      t.notOk(existsSync(folder), 'the folder');
      t.notOk(existsSync(`/run/netns/${namespace}`), 'the namespace');
    });
  }
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
