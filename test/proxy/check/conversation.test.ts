/** Checks with steps: a table of what a member may say, judged by ours and, beside it, by HAProxy's `tcp-check`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { systemClock } from '../../../src/core/clock.ts';
import { maxAnswerBytes } from '../../../src/proxy/check/conversation.ts';
import { networkProbe } from '../../../src/proxy/check/probe.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';
import type { CheckStep } from '../../../src/proxy/config.ts';

interface Case {
  readonly name: string;
  readonly steps: readonly CheckStep[];
  /** The same as HAProxy has it. */
  readonly haproxy: readonly string[];
  /** The member: what it does with a client. */
  readonly serve: (client: Socket) => void;
  readonly code: string;
  readonly reason: RegExp;
}

const send = (what: string): CheckStep => ({ kind: 'send', bytes: Buffer.from(what) });
const expect = (what: string): CheckStep => ({ kind: 'expect', bytes: Buffer.from(what) });
const match = (expression: string): CheckStep => ({ kind: 'match', expression });

/** Says the words in this order, each when the client has said something. */
const answers =
  (...words: readonly (string | Buffer)[]) =>
  (client: Socket) => {
    let said = 0;
    client.on('data', () => client.write(words[said++] ?? '?'));
  };

const cases: readonly Case[] = [
  {
    name: 'another answer, and the connection stays',
    steps: [send('PING\r\n'), expect('+PONG')],
    haproxy: ['send PING\\r\\n', 'expect string +PONG'],
    serve: answers('-ERR\r\n'),
    code: 'L7TOUT',
    reason: /^step 2: "\+PONG" did not come \(got "-ERR\\r\\n"\) within 700 ms$/,
  },
  {
    name: 'another answer, then the end',
    steps: [send('PING\r\n'), expect('+PONG')],
    haproxy: ['send PING\\r\\n', 'expect string +PONG'],
    serve: (client) => client.end('-ERR\r\n'),
    code: 'L7RSP',
    reason: /^step 2: "\+PONG" did not come \(got "-ERR\\r\\n"\) before the connection was closed$/,
  },
  {
    name: 'nothing at all, then the end',
    steps: [expect('220 ')],
    haproxy: ['expect string 220\\ '],
    serve: (client) => client.end(),
    code: 'L7RSP',
    reason: /no answer/,
  },
  {
    name: 'the answer',
    steps: [send('PING\r\n'), expect('+PONG')],
    haproxy: ['send PING\\r\\n', 'expect string +PONG'],
    serve: answers('+PONG\r\n'),
    code: 'L7OK',
    reason: /^all 2 steps went well$/,
  },
  {
    name: 'the answer in two pieces',
    steps: [send('PING\r\n'), expect('+PONG')],
    haproxy: ['send PING\\r\\n', 'expect string +PONG'],
    serve: (client) => client.once('data', () => client.write('+PO', () => setImmediate(() => client.write('NG\r\n')))),
    code: 'L7OK',
    reason: /^all/,
  },
  {
    name: 'a greeting, a command, an answer by expression',
    steps: [expect('220 '), send('EHLO edge\r\n'), match('^250[ -].*\\r\\n')],
    haproxy: ['expect string 220\\ ', 'send EHLO\\ edge\\r\\n', 'expect rstring ^250[\\ -].*\\r\\n'],
    serve: (client) => {
      client.write('220 mail ready\r\n');
      answers('250-mail\r\n250 SIZE 1\r\n')(client);
    },
    code: 'L7OK',
    reason: /^all 3/,
  },
  {
    name: 'two expectations of one answer, the second of which comes first',
    steps: [send('x'), expect('role:master'), expect('redis')],
    haproxy: ['send x', 'expect string role:master', 'expect string redis'],
    serve: answers('redis role:master\r\n'),
    code: 'L7OK',
    reason: /^all/,
  },
  {
    name: 'what came before a send does not count after it',
    steps: [send('a'), expect('one'), send('b'), expect('one')],
    haproxy: ['send a', 'expect string one', 'send b', 'expect string one'],
    serve: answers('one', 'two'),
    code: 'L7TOUT',
    reason: /^step 4: "one" did not come \(got "two"\)/,
  },
  {
    name: 'bytes',
    steps: [
      { kind: 'send', bytes: Buffer.from('0001', 'hex') },
      { kind: 'expect', bytes: Buffer.from('00ff80', 'hex') },
    ],
    haproxy: ['send-binary 0001', 'expect binary 00ff80'],
    serve: answers(Buffer.from('0100ff8002', 'hex')),
    code: 'L7OK',
    reason: /^all/,
  },
  {
    name: 'only sent',
    steps: [send('QUIT\r\n')],
    haproxy: ['send QUIT\\r\\n'],
    serve: answers('bye'),
    code: 'L7OK',
    reason: /^all 1 steps/,
  },
];

const sockets = new Set<Socket>();

async function listen(serve: (client: Socket) => void): Promise<number> {
  const server = createServer((client) => {
    sockets.add(client);
    client.on('error', () => {}).on('close', () => sockets.delete(client));
    serve(client);
  });
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, '::1'), 'listening');
  return (server.address() as AddressInfo).port;
}

function check(port: number, steps: readonly CheckStep[], more: Partial<CheckTarget> = {}): Promise<CheckResult> {
  const target: CheckTarget = {
    type: 'tcp',
    address: '::1',
    port,
    timeoutMs: 700,
    proxyProtocol: 'none',
    method: 'GET',
    path: '/',
    host: undefined,
    expect: [200],
    steps,
    sni: undefined,
    verify: false,
    ca: undefined,
    ...more,
  };
  return new Promise((done) => networkProbe(target, systemClock, done));
}

t.test('steps, ours', async (t) => {
  for (const { name, steps, serve, code, reason } of cases) {
    t.match(await check(await listen(serve), steps), { ok: code.endsWith('OK'), code, reason }, name);
  }
});

t.test('an answer without end is not kept', async (t) => {
  const port = await listen((client) => client.write(Buffer.alloc(maxAnswerBytes * 4, 'x')));
  t.match(await check(port, [expect('y')]), { ok: false, code: 'L7RSP', reason: /in 16384 bytes$/ });
});

t.test('an expression that takes exponential time on the answer is stopped', async (t) => {
  const port = await listen((client) => client.write(`${'a'.repeat(4000)}!`));
  t.match(await check(port, [match('^(a+)+$')], { timeoutMs: 5000 }), {
    ok: false,
    code: 'L7RSP',
    reason: /takes too long/,
  });
  t.match(await check(port, [match('a!$')]), { ok: true }, 'the next one works');
});

t.test('the PROXY header goes first, and a member that cannot read it is told of', async (t) => {
  const port = await listen((client) => {
    client.on('data', (data: Buffer) => client.end(data.toString('latin1').startsWith('PING') ? '+PONG' : '-ERR'));
  });
  const result = await check(port, [send('PING'), expect('+PONG')], { proxyProtocol: 'v1' });
  t.match(result, { ok: false, code: 'L7RSP', refusesHeader: true });
  const reader = await listen((client) => {
    let got = '';
    client.on('data', (data: Buffer) => {
      got += data.toString('latin1');
      if (got === 'PROXY UNKNOWN\r\nPING') client.end('+PONG');
    });
  });
  t.match(await check(reader, [send('PING'), expect('+PONG')], { proxyProtocol: 'v1' }), { ok: true, code: 'L7OK' });
});

t.test('steps, HAProxy', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'v6edge-steps-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 'stats');
  const backends = await Promise.all(
    cases.map(
      async ({ haproxy, serve }, i) =>
        `backend b${i}\n  option tcp-check\n${haproxy.map((line) => `  tcp-check ${line}\n`).join('')}` +
        `  server s [::1]:${await listen(serve)} check\n`,
    ),
  );
  const config = join(directory, 'haproxy.cfg');
  writeFileSync(
    config,
    `global\n  stats socket ${socket} mode 600\ndefaults\n  mode tcp\n  timeout connect 700ms\n  timeout server 5s\n` +
      `  timeout client 5s\n  timeout check 700ms\n  default-server inter 800ms rise 1 fall 1\n${backends.join('')}`,
  );
  const haproxy = spawn('setpriv', ['--pdeathsig', 'KILL', 'haproxy', '-db', '-f', config], { stdio: 'ignore' });
  t.teardown(async () => {
    haproxy.kill('SIGKILL');
    if (haproxy.exitCode === null && haproxy.signalCode === null) await once(haproxy, 'exit');
  });
  const seen = new Map<string, string>();
  for (const end = performance.now() + 10_000; seen.size < cases.length; ) {
    if (performance.now() > end) throw new Error(`HAProxy judged ${[...seen.keys()]} alone`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const line of (await ask(socket, 'show stat')).split('\n')) {
      const fields = line.split(',');
      // pxname, svname, …, check_status (36): "* " in front while a check runs.
      if (fields[1] === 's' && /^L/.test(fields[36] ?? '')) seen.set(fields[0]!, fields[36]!);
    }
  }
  for (const [i, { name, code }] of cases.entries()) t.equal(seen.get(`b${i}`), code, name);
});

/** One command on HAProxy's stats socket; empty while it does not listen yet. */
async function ask(path: string, command: string): Promise<string> {
  const client = connect(path);
  try {
    await once(client, 'connect');
    client.write(`${command}\n`);
    return await text(client);
  } catch {
    return '';
  }
}
