import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openLog } from '../../src/edge/log.ts';
import { exec } from '../lab/process.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-log-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const module = join(import.meta.dirname, '../../src/edge/log.ts');

function file(t: Test, name: string) {
  const path = join(folder, name);
  const fd = openSync(path, 'w');
  t.teardown(() => closeSync(fd));
  return { fd, read: () => readFileSync(path, 'utf8') };
}

t.test('a line has level, time, fields of thread and child, and the message', async (t) => {
  const { fd, read } = file(t, 'json');
  const sink = await openLog({ level: 'info', format: 'json' }, { fd, fields: { thread: 'data-1' } });
  const before = Date.now();
  const log = sink.log.child({ module: 'proxy' });
  log.debug({}, 'not asked for');
  log.info({ client: 'fd00::1', bytes: 5 }, 'session');
  log.error({ err: new Error('no', { cause: new Error('because') }) }, 'failed');
  t.equal(log.debugEnabled, false);
  sink.flush();
  const [first, second, ...rest] = read()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.strictSame(rest, []);
  const { time, ...fields } = first;
  t.strictSame(fields, {
    level: 'info',
    thread: 'data-1',
    module: 'proxy',
    client: 'fd00::1',
    bytes: 5,
    msg: 'session',
  });
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.ok(Math.abs(Date.parse(time) - before) < 1000, time);
  t.match(second, { level: 'error', err: { message: /no/, stack: /log\.test/ } });
});

t.test('secrets are hidden', async (t) => {
  const { fd, read } = file(t, 'secrets');
  const sink = await openLog({ level: 'debug', format: 'json' }, { fd });
  sink.log.debug({ secret: 'hunter2', token: 'hunter2', authorization: 'Bearer hunter2' }, 'a request');
  sink.flush();
  t.notMatch(read(), /hunter2/);
  t.match(read(), /"secret":"\[hidden\]"/);
});

t.test('fields that JSON has no form for are written all the same', async (t) => {
  const { fd, read } = file(t, 'odd');
  const sink = await openLog({ level: 'info', format: 'json' }, { fd, fields: { thread: 'data-1' } });
  const circle: Record<string, unknown> = { name: 'a "b"\n€' };
  circle.self = circle;
  sink.log.info({ circle }, 'circle');
  sink.log.info({ big: 2n ** 60n }, 'big');
  sink.log.info({ nothing: undefined, none: Number.NaN, text: 'a "b"\n€' }, 'said "so"');
  sink.log.child({ err: new Error('no') }).info({}, 'child');
  sink.log.info({}, '');
  sink.flush();
  const lines = read()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(lines, [
    { level: 'info', thread: 'data-1', circle: { name: 'a "b"\n€' }, msg: 'circle' },
    { big: 2 ** 60, msg: 'big' },
    { thread: 'data-1', none: null, text: 'a "b"\n€', msg: 'said "so"' },
    { err: { message: 'no' }, msg: 'child' },
    { thread: 'data-1', msg: '' },
  ]);
  t.notOk('nothing' in lines[2]);
});

t.test('lines of any length keep their order', async (t) => {
  const { fd, read } = file(t, 'long');
  const sink = await openLog({ level: 'info', format: 'json' }, { fd });
  const texts = Array.from({ length: 40 }, (_, i) => `${i} ${'é'.repeat((i * 997) % 20_000)}`);
  for (const text of texts) sink.log.info({ text }, 'line');
  await sink.drain();
  const lines = read()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).text);
  t.strictSame(lines, texts);
  t.equal(sink.dropped(), 0);
});

t.test('pretty lines are for people', async (t) => {
  const { fd, read } = file(t, 'pretty');
  const sink = await openLog({ level: 'info', format: 'pretty' }, { fd });
  sink.log.warn({ zone: 'a.test' }, 'not loaded');
  sink.flush();
  t.match(read(), /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: not loaded \{"zone":"a\.test"\}\n$/);
});

t.test('a session is one line in the order of HAProxy’s tcplog', async (t) => {
  const { fd, read } = file(t, 'sessions');
  const { log, flush } = await openLog({ level: 'info', format: 'pretty' }, { fd, fields: { thread: 1 } });
  const begun = { id: 'a-1', listener: 'api', client: '192.0.2.1:1234', pool: 'masters', member: 'm1' };
  log.info({ ...begun, connectMs: 0.4, retries: 0 }, 'session begins');
  const counts = { sessions: 4, listenerSessions: 3, poolSessions: 2, memberSessions: 1, retries: 0 };
  const ended = { ...begun, serverName: 'a.test', prefaceMs: 1.5, queueMs: 20, connectMs: 0.4, totalMs: 99.1 };
  log.info(
    { ...ended, bytesIn: 17, bytesOut: 400, ...counts, queuedBehind: 2, state: 'SD', cause: 'member aborted' },
    'session',
  );
  log.info(
    { ...begun, member: undefined, totalMs: 0.1, bytesIn: 0, bytesOut: 0, state: 'PR', cause: 'denied' },
    'session',
  );
  flush();
  t.strictSame(
    read()
      .replaceAll(/^\[[\d:.]{12}\] /gm, '')
      .split('\n'),
    [
      'INFO: session begins 192.0.2.1:1234 api masters/m1 -/0.4 0 id a-1',
      'INFO: session 192.0.2.1:1234 api masters/m1 20/0.4/99.1 400 SD 4/3/2/1/0 2 member aborted, in 17, preface 1.5, sni a.test, id a-1',
      'INFO: session 192.0.2.1:1234 api masters/- -/-/0.1 0 PR -/-/-/-/- - denied, in 0, id a-1',
      '',
    ],
  );
});

t.test('by itself it is pretty on a terminal alone', async (t) => {
  const code = `const { log, flush } = await openLog({ level: 'info', format: 'auto' });
    log.warn({ zone: 'a.test' }, 'not loaded'); flush();`;
  const command = [process.execPath, script('auto.mjs', code)];
  const terminal = await exec(['script', '-qec', command.join(' '), '/dev/null'], { env: { NO_COLOR: '1' } });
  t.match(terminal.stdout, /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: not loaded \{"zone":"a\.test"\}\r?\n$/);
  const pipe = await exec(command);
  t.match(JSON.parse(pipe.stdout), { level: 'warn', zone: 'a.test', msg: 'not loaded' });
});

/** A module file whose code may use `openLog` and `Worker`. */
function script(name: string, code: string): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    `import { Worker, workerData } from 'node:worker_threads';
     import { openLog } from ${JSON.stringify(module)};
     ${code}`,
  );
  return path;
}

t.test('what is gathered leaves when the process or a thread exits', (t) => {
  const logger = script(
    'logger.mjs',
    `const { log } = await openLog({ level: 'info', format: 'json' });
     for (let i = 0; i < 300; i++) log.info({ i }, 'line');
     process.exit(3);`,
  );
  const parent = script('parent.mjs', `new Worker(${JSON.stringify(logger)});`);
  for (const [name, path, status] of [
    ['process', logger, 3],
    ['thread', parent, 0],
  ] as const) {
    const run = spawnSync(process.execPath, [path], { encoding: 'utf8' });
    t.equal(run.status, status, run.stderr);
    const lines = run.stdout.trimEnd().split('\n');
    t.strictSame(
      lines.map((line) => JSON.parse(line).i),
      Array.from({ length: 300 }, (_, i) => i),
      name,
    );
  }
  t.end();
});

t.test('drain waits for a line that a background write has in hand', (t) => {
  // One thread in libuv's pool and work before the write: it is still queued when the thread of the log wants to exit.
  const logger = script(
    'queued.mjs',
    `import { pbkdf2 } from 'node:crypto';
     const { log, drain } = await openLog({ level: 'info', format: 'json' });
     pbkdf2('a', 'b', 10_000, 64, 'sha512', () => {});
     log.info({ text: 'x'.repeat(5000) }, 'last words');
     if (workerData === 'drain') await drain();
     process.exit(0);`,
  );
  for (const workerData of ['drain', 'exit']) {
    const parent = script(
      `queued-${workerData}.mjs`,
      `new Worker(${JSON.stringify(logger)}, { workerData: '${workerData}' });`,
    );
    // Into a named pipe no write is made at once (RWF_NOWAIT), so the background makes it.
    const fifo = join(folder, `queued-${workerData}`);
    execFileSync('mkfifo', [fifo]);
    const stdout = execFileSync('sh', ['-c', 'cat "$2" & "$0" "$1" >"$2"; wait', process.execPath, parent, fifo], {
      encoding: 'utf8',
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    });
    if (workerData === 'drain') t.match(stdout, /last words/);
    else t.notMatch(stdout, /last words/, 'without it the line is lost: the case is real');
  }
  t.end();
});

t.test('lines of threads that write to one pipe stay whole', (t) => {
  const logger = script(
    'two-loggers.mjs',
    `const { log } = await openLog({ level: 'info', format: 'json' }, { fields: { thread: workerData } });
     for (let i = 0; i < 2000; i++) {
       log.info({ i, text: 'x'.repeat(150) }, 'line');
       if (i % 10 === 0) await new Promise(setImmediate);
     }`,
  );
  const parent = script(
    'two-threads.mjs',
    `for (const workerData of ['a', 'b']) new Worker(${JSON.stringify(logger)}, { workerData });`,
  );
  // A shell's pipe, so that it is a FIFO: Node gives its children socket pairs.
  const out = execFileSync('sh', ['-c', '"$0" "$1" | cat', process.execPath, parent], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  const lines = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.equal(lines.length, 4000);
  t.end();
});

t.test('a reader that is late misses nothing that there was room for', (t) => {
  const go = join(folder, 'go');
  execFileSync('mkfifo', [go]);
  const logger = script(
    'early.mjs',
    `import { writeFileSync } from 'node:fs';
     const { log, drain, dropped } = await openLog({ level: 'info', format: 'json' });
     const text = 'x'.repeat(150);
     for (let i = 0; i < 2000; i++) {
       log.info({ i, text }, 'line');
       if (i % 10 === 0) await new Promise(setImmediate);
     }
     writeFileSync(${JSON.stringify(go)}, '');
     await drain();
     for (let i = 2000; i < 2100; i++) log.info({ i, dropped: dropped() }, 'line');
     await drain();`,
  );
  // The pipe is full long before anybody reads; the reader begins when the last line is written.
  const out = execFileSync('sh', ['-c', '"$0" "$1" | { cat "$2"; cat; }', process.execPath, logger, go], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  const lines = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.strictSame(
    lines.map(({ i }) => i),
    Array.from({ length: 2100 }, (_, i) => i),
  );
  t.equal(lines.at(-1).dropped, 0);
  t.end();
});

t.test('a reader that does not read costs lines, not memory or time', async (t) => {
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  // Opened for both directions, so that neither end waits for the other.
  const fd = openSync(path, 'r+');
  const sink = await openLog({ level: 'info', format: 'json' }, { fd });
  const text = 'x'.repeat(1000);
  for (let i = 0; i < 3000; i++) sink.log.info({ text }, 'line');
  t.ok(sink.dropped() > 1000, `${sink.dropped()} dropped`);
  // Reads all that was kept, so that the writer in the thread pool ends.
  const reader = spawn('cat', [path], { stdio: ['ignore', 'ignore', 'inherit'] });
  sink.flush();
  reader.kill();
  closeSync(fd);
});
