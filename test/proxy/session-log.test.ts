import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Ended } from '../../src/proxy/termination.ts';
import { member, outcome, serve, Upstream, until } from './harness.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/session-log.md'), 'utf8');

t.test('what a session leaves in the log, and nothing that its page does not explain', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('goodbye'))).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port)]);
  const other = net.connect(port, '127.0.0.1');
  await once(other, 'connect');
  const client = net.connect(port, '127.0.0.1');
  client.write('hello');
  await outcome(client);
  const line = await harness.session();
  t.match(line, {
    id: /^[0-9a-f]{8}-2$/,
    listener: 'front',
    client: /^127\.0\.0\.1:\d+$/,
    pool: 'pool',
    member: 'm1',
    connectMs: Number,
    totalMs: Number,
    bytesIn: 5,
    bytesOut: 7,
    sessions: 2,
    listenerSessions: 2,
    poolSessions: 2,
    memberSessions: 2,
    retries: 0,
    state: '--',
    cause: 'done',
  });
  t.ok((line.totalMs as number) >= (line.connectMs as number));
  for (const name of Object.keys(line)) t.match(page, `\`${name}\``, name);
  other.destroy();
});

t.test('a session that waited', async (t) => {
  const upstream = await new Upstream((socket) => socket.end('x')).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port, { maxConnections: 1 })]);
  const first = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(first.resume(), 'end');
  const second = outcome(net.connect(port, '127.0.0.1'));
  await new Promise((resolve) => setTimeout(resolve, 40));
  first.end();
  await second;
  const line = await harness.session(2);
  t.match(line, { queueMs: Number, queuedBehind: 0, connectMs: Number, cause: 'done' });
  const { queueMs, connectMs, totalMs } = line as { queueMs: number; connectMs: number; totalMs: number };
  t.ok(queueMs >= 20 && connectMs >= 0 && totalMs >= queueMs + connectMs - 0.2, JSON.stringify(line));
});

t.test('the page names every way a session can end', async (t) => {
  const rows = [...page.matchAll(/^\| `([A-Za-z-]{2})`\s*\| ([a-zA-Z][^|`]+)\|/gm)].flatMap(([, code, causes]) =>
    causes!.split(';').map((cause) => `${code} ${cause.trim()}`),
  );
  t.strictSame(
    rows.sort(),
    Object.values(Ended)
      .map(({ code, cause }) => `${code} ${cause}`)
      .sort(),
  );
});

t.test('a line at the begin, and none for who wanted nothing', async (t) => {
  const upstream = await new Upstream((socket) => socket.once('data', () => socket.end('goodbye'))).listen();
  t.teardown(() => upstream.close());
  const options = { listener: { logStart: true, logSilent: false } };
  const { harness, port } = await serve(t, [member('m1', upstream.port)], options);
  const begun = () =>
    harness.log.lines.filter(({ message }) => message === 'session begins').map(({ fields }) => fields);
  const silent = net.connect(port, '127.0.0.1');
  await until(() => begun().length === 1, 'the first');
  silent.resetAndDestroy();
  await until(() => harness.engine.sessions().length === 0, 'its end');
  const client = net.connect(port, '127.0.0.1');
  client.write('hello');
  await outcome(client);
  t.match(
    await harness.session(),
    { id: begun()[1]!.id, bytesIn: 5 },
    'the first line of an end is that of the second',
  );
  t.match(begun()[1], { id: /-2$/, listener: 'front', client: String, pool: 'pool', member: 'm1', connectMs: Number });
  for (const name of Object.keys(begun()[1]!)) t.match(page, `\`${name}\``, name);
});
