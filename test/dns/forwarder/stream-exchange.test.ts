import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { RCODE } from '../../../src/dns/wire/types.ts';
import { aaaa, askedName, Bench, FakeUpstream, reply } from '../peers.ts';

t.test('a connection that leads nowhere is given up for another', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const sockets: net.Socket[] = [];
  const deaf = new Set<net.Socket>();
  // Between the two, and from some moment on takes all and passes on nothing, for the connections there are.
  const relay = net.createServer((near) => {
    const far = net.connect(upstream.port, '127.0.0.1');
    sockets.push(near, far);
    near.on('error', () => {}).on('data', (data) => void (deaf.has(near) || far.write(data)));
    far.on('error', () => {}).on('data', (data) => void (deaf.has(near) || near.write(data)));
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  const { port } = relay.address() as net.AddressInfo;
  const { address } = upstream.config.endpoint;
  const config = {
    transport: 'tcp' as const,
    endpoint: { kind: 'inet' as const, address, port },
    serverName: undefined,
  };
  const bench = await Bench.start(t, { upstreams: [config], forward: { timeoutMs: 2000 } });
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  for (const socket of sockets) deaf.add(socket);
  t.match(await bench.ask('b.test'), { rcode: RCODE.SERVFAIL });
  const deadline = performance.now() + 8_000;
  while (bench.engine.upstreams()[0]!.state !== 'up') {
    if (performance.now() > deadline) throw new Error('not up again: probes go where queries are lost');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.match(await bench.ask('c.test'), { rcode: RCODE.NOERROR }, 'by a new connection');
  // The old one is closed.
  for (const socket of deaf) if (!socket.closed) await once(socket, 'close');
});
