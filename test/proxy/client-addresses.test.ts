import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { ClientAddresses } from '../../src/proxy/client-addresses.ts';
import { spanEndpoint } from '../../src/proxy/span.ts';
import { member, serve, Upstream, until } from './harness.ts';

/** A socket address as accept leaves it: the whole room of a sockaddr_in6, with what was there before behind a sockaddr_in. */
function accepted(address: string, port: number): Uint8Array {
  const name = new Uint8Array(28).fill(0xff);
  name.set(encodeSockaddr(parseAddress(address), port));
  return name;
}

t.test('each descriptor has its own address, until it is another connection’s', (t) => {
  const clients = new ClientAddresses();
  const name = accepted('192.0.2.1', 51_000);
  const first = clients.keep(255, name);
  name.fill(0);
  t.equal(spanEndpoint(first), '192.0.2.1:51000', 'a copy');
  // On either side of where arrays meet, and far from all others.
  const cases = [
    { fd: 0, address: '2001:db8::1', text: '[2001:db8::1]:1' },
    { fd: 254, address: '::', text: '[::]:1' },
    { fd: 256, address: '::ffff:198.51.100.7', text: '198.51.100.7:1' },
    {
      fd: 257,
      address: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      text: '[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1',
    },
    { fd: 1_048_575, address: '203.0.113.9', text: '203.0.113.9:1' },
  ];
  const spans = cases.map(({ fd, address }) => clients.keep(fd, accepted(address, 1)));
  t.strictSame(
    spans.map(spanEndpoint),
    cases.map(({ text }) => text),
  );
  t.equal(spanEndpoint(first), '192.0.2.1:51000', 'the neighbours’ do not reach over');
  t.equal(spanEndpoint(clients.keep(255, accepted('2001:db8::2', 2))), '[2001:db8::2]:2');
  t.equal(spanEndpoint(spans[1]!), '[::]:1');
  t.equal(spanEndpoint(spans[2]!), '198.51.100.7:1');
  t.end();
});

t.test('sessions that come and go on the same descriptors keep their clients apart', async (t) => {
  const upstream = await new Upstream((socket) => {
    socket.on('end', () => socket.end()).write('hello');
  }).listen();
  t.teardown(() => upstream.close());
  const { harness, port } = await serve(t, [member('m1', upstream.port)]);
  const open = async (i: number) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${i}` });
    t.teardown(() => socket.destroy());
    await once(socket, 'data');
    return socket;
  };
  const own = ({ localAddress, localPort }: net.Socket) => `${localAddress}:${localPort}`;
  const listed = () => harness.engine.sessions().map(({ client }) => client);
  const first = await Promise.all(Array.from({ length: 150 }, (_, i) => open(i)));
  const names = first.map(own);
  t.strictSame(listed().sort(), [...names].sort());
  // Every third gives its descriptor to one that comes after it.
  const gone = first.filter((_, i) => i % 3 === 0);
  const goneNames = gone.map(own);
  for (const socket of gone) socket.destroy();
  await until(() => harness.sessions.length === gone.length, 'the lines of those that went');
  const second = await Promise.all(Array.from({ length: gone.length }, (_, i) => open(200 - i)));
  const stay = [...names.filter((name) => !goneNames.includes(name)), ...second.map(own)];
  t.strictSame(listed().sort(), [...stay].sort());
  t.strictSame(harness.sessions.map(({ client }) => client).sort(), goneNames.sort(), 'and in the log');
});
