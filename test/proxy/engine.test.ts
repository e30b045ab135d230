import net from 'node:net';
import t from 'tap';
import { freePort, Harness, listener, member, outcome, pool, snapshot, Upstream } from './harness.ts';

t.test('relays both ways and logs the session', async (t) => {
  const upstream = await new Upstream((socket) => {
    socket.on('data', () => socket.end('hello\n'));
    socket.on('end', () => socket.end());
  }).listen();
  const port = await freePort();
  const harness = new Harness();
  t.teardown(() => {
    harness.close();
    upstream.close();
  });
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  t.same(harness.engine.listening, [{ listener: 'front', endpoint: `127.0.0.1:${port}`, open: true, code: undefined }]);
  const client = net.connect(port, '127.0.0.1');
  client.write('hi\n');
  t.same(await outcome(client), { data: Buffer.from('hello\n'), code: undefined });
  const line = await harness.session();
  t.match(line, { listener: 'front', pool: 'pool', member: 'm1', bytesIn: 3, bytesOut: 6, retries: 0, state: '--' });
});
