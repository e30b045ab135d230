/** An update that moves a member and drains its sessions is one story: in the event stream, in the log, and in the words of both. */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { waitFor } from '../lab/process.ts';
import { inNamespace, ip } from '../linux/netns.ts';
import { DaemonHome, keyName, keySecret, logged } from './daemon-process.ts';

const backends = ['fd00:6:6::11', 'fd00:6:6::12'] as const;

if (inNamespace(t, import.meta.filename)) {
  for (const address of backends) ip(`addr add ${address}/128 dev lo nodad`);
  const echo = `require('node:net').createServer((s) => s.pipe(s).on('error', () => {})).listen(8080, process.argv[1])`;
  for (const address of backends) {
    const server = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, '-e', echo, address]);
    t.teardown(() => server.kill('SIGKILL'));
  }
  const home = new DaemonHome(t);
  home.configure(
    `proxy:
  listeners: [{ name: web, bind: ["[::1]:8000"], pool: web }]
  pools:
    web: { check: { type: tcp, interval: 200ms, timeout: 200ms }, discover: { aaaa: web.cluster.test, port: 8080 } }
dns:
  listen: ["[::1]:5300"]
  allow: ["::1/128"]
  keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }
  zones: [{ name: cluster.test, ns: [edge.cluster.test], update: [{ key: ${keyName}, match: zonesub }] }]
`,
    2,
  );
  const daemon = await home.start();
  const events: Record<string, unknown>[] = [];
  let reading = false;
  const reader = request({ socketPath: home.socket, path: '/v1/events' }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      reading = true;
      const whole = text.split('\n\n');
      text = whole.pop()!;
      for (const each of whole) {
        const data = /^data: (.*)$/m.exec(each)?.[1];
        if (data !== undefined) events.push(JSON.parse(data));
      }
    });
    response.on('error', () => undefined);
  });
  reader.on('error', () => undefined);
  reader.end();
  t.teardown(() => reader.destroy());
  await waitFor('the event stream', () => reading);
  const keyFile = join(home.folder, 'node.key');
  writeFileSync(keyFile, `key "${keyName}" { algorithm hmac-sha256; secret "${keySecret}"; };\n`);
  const update = (...lines: string[]) => {
    const input = ['server ::1 5300', 'zone cluster.test', ...lines, 'send', ''].join('\n');
    return spawnSync('nsupdate', ['-k', keyFile], { input, encoding: 'utf8' }).stderr;
  };
  const stories = () => events.filter(({ kind }) => kind === 'story');
  const session = async (): Promise<Socket> => {
    const socket = connect(8000, '::1');
    socket.on('error', () => undefined);
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    return socket;
  };

  t.test('a member comes', async (t) => {
    t.equal(update(`update add web.cluster.test 60 AAAA ${backends[0]}`), '');
    await waitFor('the story', () => stories().length === 1);
    const [story] = stories() as { cause: string }[];
    t.match(story, {
      by: keyName,
      client: /^\[::1\]:\d+$/,
      zone: 'cluster.test',
      changed: ['web.cluster.test AAAA'],
      pools: [{ pool: 'web', name: 'web.cluster.test', added: ['fd00-6-6--11'], gone: [] }],
      sessions: { drained: 0, left: 0 },
      advertisements: 'unchanged',
      settled: true,
      text: /^node-key from \[::1\]:\d+ changed web\.cluster\.test AAAA \(cluster\.test serial \d+\) → pool web: \+fd00-6-6--11 → advertisements unchanged$/,
    });
    const chapter = events
      .filter(({ cause }) => cause === story!.cause)
      .map(({ kind, to }) => (to === undefined ? kind : `${kind} ${to}`));
    t.strictSame([...chapter].sort(), ['discovery', 'member up', 'story', 'zone-updated']);
    t.equal(chapter.at(-1), 'story', 'the sum comes last');
  });

  t.test('it moves: its sessions drain, and the other takes over', async (t) => {
    const sockets = await Promise.all([session(), session(), session()]);
    t.equal(update('update delete web.cluster.test AAAA', `update add web.cluster.test 60 AAAA ${backends[1]}`), '');
    await waitFor('the member to drain', () => events.some(({ kind, to }) => kind === 'member' && to === 'drain'));
    t.equal(stories().length, 1, 'it is not at its end while sessions live');
    const next = await session();
    for (const socket of sockets) socket.end();
    await waitFor('the story', () => stories().length === 2);
    const story = stories()[1] as { cause: string; text: string };
    t.match(story, {
      pools: [{ pool: 'web', added: ['fd00-6-6--12'], gone: ['fd00-6-6--11'] }],
      sessions: { drained: 3, left: 0 },
      settled: true,
      text: /→ pool web: \+fd00-6-6--12 −fd00-6-6--11 → 3 sessions drained in .* → advertisements unchanged$/,
    });
    const chapter = events
      .filter(({ cause }) => cause === story.cause)
      .map(({ kind, member, to }) => [kind, member, to].filter((each) => each !== undefined).join(' '));
    t.strictSame([...chapter].sort(), [
      'discovery',
      'member fd00-6-6--11 drain',
      'member fd00-6-6--12 up',
      'member-removed fd00-6-6--11',
      'story',
      'zone-updated',
    ]);
    t.ok(chapter.indexOf('discovery') < chapter.indexOf('member fd00-6-6--11 drain'), 'cause before effect');
    await waitFor('its line of the log', () => logged(daemon, /3 sessions drained/).length > 0);
    const lines = logged(daemon, /3 sessions drained/);
    t.equal(lines.length, 1, 'one line of the log');
    t.match(lines[0], { cause: story.cause, msg: story.text, settled: true });
    next.destroy();
  });

  t.test('sessions that stay are told of, and once more when they are gone', async (t) => {
    const socket = await session();
    t.equal(update('update delete web.cluster.test AAAA', `update add web.cluster.test 60 AAAA ${backends[0]}`), '');
    await waitFor('the first sum', () => stories().length === 3, { timeoutMs: 10_000 });
    t.match(stories()[2], { settled: false, sessions: { drained: 0, left: 1 }, text: /1 session left after 5s/ });
    socket.end();
    await waitFor('the end', () => stories().length === 4);
    t.match(stories()[3], { settled: true, cause: stories()[2]!.cause, sessions: { drained: 1, left: 0 } });
  });

  t.test('an update that no pool follows is its own event and nothing more', async (t) => {
    t.equal(update('update add other.cluster.test 60 AAAA fd00::99'), '');
    await waitFor('its event', () => events.some(({ changed }) => String(changed) === 'other.cluster.test AAAA'));
    t.equal(stories().length, 4);
    t.match(events.at(-1), { kind: 'zone-updated', cause: /^cluster\.test\/\d+$/ });
  });
}
