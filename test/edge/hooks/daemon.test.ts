/** Programs as hooks of a daemon that proxies and serves DNS: told of what its members do, and what they find open. */
import { chmodSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { waitFor } from '../../lab/process.ts';
import { DaemonHome, freePort, logged } from '../daemon-process.ts';

const listen = (server: Server, port: number) =>
  new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));

t.test('a member goes down and comes back', async (t) => {
  const home = new DaemonHome(t);
  const [member, front, dns] = [await freePort(), await freePort(), await freePort()];
  const server = createServer((socket) => socket.on('error', () => {}).end());
  await listen(server, member);
  t.teardown(() => server.close());
  const script = join(home.folder, 'notify');
  const told = join(home.folder, 'told');
  const lines = [
    '#!/bin/sh',
    '[ "$V6EDGE_TO" != down ] || { env; ls -l /proc/$$/fd; cat /proc/$$/stat; } >"$1.open"',
    'echo "$V6EDGE_POOL/$V6EDGE_MEMBER $V6EDGE_FROM $V6EDGE_TO: $V6EDGE_REASON" >>"$1"',
  ];
  writeFileSync(script, `${lines.join('\n')}\n`);
  chmodSync(script, 0o755);
  const broken = join(home.folder, 'broken');
  writeFileSync(broken, '#!/bin/sh\necho "the pager has no paper" >&2\nexit 1\n');
  chmodSync(broken, 0o755);
  home.configure(
    [
      `hooks: [{ exec: [${script}, ${told}], events: [member] }, { exec: [${broken}] }]`,
      'proxy:',
      `  listeners: [{ name: web, bind: ["127.0.0.1:${front}"], pool: web }]`,
      '  pools:',
      '    web:',
      '      check: { type: tcp, interval: 100ms, fastInterval: 100ms, rise: 1, fall: 1 }',
      `      members: [{ name: w1, address: 127.0.0.1, port: ${member} }]`,
      `dns: { listen: ["127.0.0.1:${dns}"], zones: [{ name: cluster.test, ns: [edge.cluster.test] }] }`,
    ].join('\n'),
  );
  // What a careless parent left open is not for hooks either.
  const daemon = await home.start({
    fds: [openSync('/etc/hostname', 'r')],
    env: { LISTEN_FDS: '0', SECRET_TOKEN: 'x' },
  });
  const read = () => (existsSync(told) ? readFileSync(told, 'utf8').trim().split('\n') : []);
  const why = { why: () => daemon.output };
  await waitFor('up', () => read().length === 1, why);
  await new Promise((resolve) => server.close(resolve));
  await waitFor('down', () => read().length === 2, why);
  await listen(server, member);
  await waitFor('up again', () => read().length === 3, why);
  t.match(read(), ['web/w1 unknown up: connected', /^web\/w1 up down: .*refused/, 'web/w1 down up: connected']);

  const open = readFileSync(`${told}.open`, 'utf8');
  // From 10 to 19 are the shell's: its script, and standard output while it is redirected.
  const targets = [...open.matchAll(/ (\d+) -> (\S+)$/gm)].filter(([, fd]) => !/^1\d$/.test(fd!));
  t.strictSame(
    targets.map(([, fd, target]) => `${fd} ${target!.replace(/:.*/, '')}`),
    ['0 socket', `1 ${told}.open`, '2 socket'],
    'standard streams alone',
  );
  t.notMatch(open, /^(SECRET_TOKEN|LISTEN_|NOTIFY_SOCKET|HOME)/m);
  const [pid, , , , group, session] = open
    .trim()
    .split('\n')
    .at(-1)!
    .replace(/\(.*\)/, 'name')
    .split(' ');
  t.strictSame([group, session], [pid, pid], 'a session of its own');

  await waitFor('the other has failed thrice', async () => (await missed(home, broken)) === 3, why);
  t.match(logged(daemon, /hook was not told/), [
    { level: 'warn', receiver: broken, reason: 'ended with status 1: the pager has no paper' },
  ]);
  t.equal(logged(daemon, /hook/).length, 1, 'told once');
  t.equal((await home.metrics()).get(`v6edge_hook_told_total{receiver="${script}"}`), 3);
});

async function missed(home: DaemonHome, receiver: string): Promise<number | undefined> {
  return (await home.metrics()).get(`v6edge_hook_missed_total{receiver="${receiver}"}`);
}
