import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Outgoing } from '../../../src/edge/hooks/event.ts';
import { environment, runProgram } from '../../../src/edge/hooks/program.ts';
import { waitFor } from '../../lab/process.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-program-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const event: Outgoing = { kind: 'member', pool: 'web', member: 'w1', to: 'down', id: 7, at: 1000, host: 'edge1' };
const never = new AbortController().signal;
let scripts = 0;

/** A script of `body`, which can write to `$1`; `output` is what it wrote there. */
function script(body: string): { command: string[]; output: () => string } {
  const path = join(folder, `script-${++scripts}`);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  const written = `${path}.out`;
  return { command: [path, written], output: () => (existsSync(written) ? readFileSync(written, 'utf8') : '') };
}

/** Whether a process lives; one that has ended and is not waited for does not. */
function lives(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

t.test('how a program can fail', async (t) => {
  const cases: [name: string, command: string[], failure: RegExp][] = [
    ['it is not there', [join(folder, 'none')], /^cannot be run: ENOENT$/],
    ['it may not be run', [folder], /^cannot be run: EACCES$/],
    ['it says no', script('exit 3').command, /^ended with status 3$/],
    ['it says why', script('echo "no pager" >&2; echo more >&2; exit 1').command, /^ended with status 1: no pager$/],
    ['control characters', script(`printf 'a\\033[1mb\\n' >&2; exit 1`).command, /^ended with status 1: a \[1mb$/],
    ['a lot', script('head -c 3000000 /dev/zero | tr "\\0" x >&2; exit 1').command, /^ended with status 1: x{512}$/],
    ['a signal', script('kill -TERM $$').command, /^ended with SIGTERM$/],
  ];
  for (const [name, command, failure] of cases) {
    await t.rejects(runProgram(command, event, never), { message: failure }, name);
  }
});

t.test('what it gets: arguments as they are, the event, and nothing of ours', async (t) => {
  process.env.NOTIFY_SOCKET = '/run/not-for-you';
  t.teardown(() => delete process.env.NOTIFY_SOCKET);
  const { command, output } = script('{ env; echo "[$2] [$3]"; pwd; cat; } >"$1"');
  await runProgram([...command, '$(id) `id`', ''], event, never);
  const lines = output().split('\n');
  t.strictSame(lines.filter((line) => /^(V6EDGE_|NOTIFY|PATH|LANG|HOME)/.test(line)).sort(), [
    'LANG=C.UTF-8',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'V6EDGE_AT=1000',
    'V6EDGE_HOST=edge1',
    'V6EDGE_ID=7',
    'V6EDGE_KIND=member',
    'V6EDGE_MEMBER=w1',
    'V6EDGE_POOL=web',
    'V6EDGE_TO=down',
  ]);
  t.ok(lines.includes('[$(id) `id`] []'));
  t.ok(lines.includes('/'), 'its folder keeps nothing busy');
  t.strictSame(JSON.parse(lines.at(-2)!), event);
});

t.test('the environment: names, and values that peers have a hand in', (t) => {
  const cases: [value: unknown, variable: string | undefined][] = [
    ['plain', 'plain'],
    ['a\0b\nc\u0085d', 'a b c d'],
    ['$(reboot)', '$(reboot)'],
    ['x'.repeat(200_000), 'x'.repeat(4096)],
    [12, '12'],
    [false, 'false'],
    [undefined, undefined],
    [['a'], undefined],
    [{ a: 1 }, undefined],
  ];
  for (const [value, variable] of cases) {
    t.equal(
      environment({ ...event, tookLongMs: value }).V6EDGE_TOOK_LONG_MS,
      variable,
      JSON.stringify(value)?.slice(0, 40),
    );
  }
  t.end();
});

t.test('an event larger than a pipe, to a program that does not read', async () => {
  await runProgram(script('exit 0').command, { ...event, errors: 'x'.repeat(1_000_000) }, never);
});

t.test('its time is over: it goes, and all that it has started', async (t) => {
  const { command, output } = script('sleep 1000 & echo $! $$ >"$1"; trap "" TERM; wait');
  const abort = new AbortController();
  const run = runProgram(command, event, abort.signal);
  await waitFor('its processes', () => output().endsWith('\n'));
  abort.abort(new Error('no end in time'));
  await t.rejects(run, { message: 'no end in time' });
  const pids = output().trim().split(' ').map(Number);
  t.equal(pids.length, 2);
  await waitFor('their end', () => !pids.some(lives));
});

t.test('what it leaves behind in its group ends with it', async () => {
  const { command, output } = script('sleep 1000 & echo $! >"$1"; exit 0');
  await runProgram(command, event, never);
  await waitFor('the end of it', () => !lives(Number(output())));
});

t.test('somebody who left the group and keeps standard error open is not waited for', async (t) => {
  const { command, output } = script(
    'setsid sh -c \'echo $$ >"$1"; exec sleep 1000\' sh "$1" & while ! [ -s "$1" ]; do :; done; exit 4',
  );
  await t.rejects(runProgram(command, event, never), { message: 'ended with status 4' });
  process.kill(Number(output()), 'SIGKILL');
});

t.test('given up before it was begun', async (t) => {
  const { command, output } = script('echo ran >"$1"');
  await t.rejects(runProgram(command, event, AbortSignal.abort(new Error('the hook is gone'))), {
    message: 'the hook is gone',
  });
  t.equal(output(), '');
});

t.test('none of our capabilities', async (t) => {
  if (process.getuid?.() !== 0) {
    t.pass('ambient capabilities are given by root', { skip: 'not root' });
    return;
  }
  // As the unit has it: a user without rights of its own, and ports below 1024.
  const user = ['--securebits', '+noroot', '--inh-caps', '+net_bind_service', '--ambient-caps', '+net_bind_service'];
  const runner = join(import.meta.dirname, 'capable.ts');
  const told = script('grep ^CapEff: /proc/$$/status >"$1"');
  const stdout = execFileSync('setpriv', [...user, process.execPath, runner, ...told.command], {
    encoding: 'utf8',
    env: { NODE_OPTIONS: '' },
  });
  const bindService = 'CapEff:\t0000000000000400\n';
  t.equal(stdout, `${bindService}${bindService}`, 'we have it, before and after');
  t.equal(told.output(), 'CapEff:\t0000000000000000\n');
});
