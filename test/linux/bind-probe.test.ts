import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import t from 'tap';
import { type InetEndpoint, parseInetEndpoint } from '../../src/core/address.ts';
import { probeBind } from '../../src/linux/bind-probe.ts';
import { EADDRINUSE } from '../../src/linux/constants.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { listenTcp } from '../../src/linux/tcp.ts';
import { UdpSocket } from '../../src/linux/udp.ts';

const loopback = ['127.0.0.1', '::1'];

function endpoint(host: string, port: number): InetEndpoint {
  return parseInetEndpoint(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
}

for (const host of loopback) {
  const wildcard = host === '::1' ? '::' : '0.0.0.0';

  t.test(`TCP on ${host}`, async (t) => {
    const server = createServer((socket) => socket.on('error', () => undefined));
    server.listen(0, host);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    t.equal(probeBind(endpoint(host, port), 'tcp'), -EADDRINUSE, 'somebody listens');
    t.equal(probeBind(endpoint(wildcard, port), 'tcp'), -EADDRINUSE, 'somebody listens on one of all addresses');
    t.equal(probeBind(endpoint(host, port), 'udp'), 0, 'UDP is another matter');
    // The server closes first: its side of the connection stays in TIME_WAIT.
    const client = connect(port, host);
    const [accepted] = await once(server, 'connection');
    accepted.end();
    await once(client.resume(), 'close');
    server.close();
    await once(server, 'close');
    t.equal(probeBind(endpoint(host, port), 'tcp'), 0, 'remains of connections do not count');
    const shared = listenTcp(endpoint(host, port), { backlog: 1, keepaliveSeconds: 0 });
    t.equal(probeBind(endpoint(host, port), 'tcp'), -EADDRINUSE, 'one that would share its port');
    closeFd(shared);
    t.equal(probeBind(endpoint(host, port), 'tcp'), 0);
  });

  t.test(`UDP on ${host}`, async (t) => {
    const socket = createSocket(host === '::1' ? 'udp6' : 'udp4');
    socket.bind(0, host);
    await once(socket, 'listening');
    const { port } = socket.address();
    t.equal(probeBind(endpoint(host, port), 'udp'), -EADDRINUSE, 'somebody listens');
    t.equal(probeBind(endpoint(wildcard, port), 'udp'), -EADDRINUSE, 'somebody listens on one of all addresses');
    socket.close();
    await once(socket, 'close');
    t.equal(probeBind(endpoint(host, port), 'udp'), 0);
    const shared = UdpSocket.listen(endpoint(host, port).address, port);
    t.equal(probeBind(endpoint(host, port), 'udp'), -EADDRINUSE, 'one that would share its port');
    shared.close();
  });
}

t.test('an address that is not there yet is no obstacle, a zone that is none is an error', (t) => {
  t.equal(probeBind(parseInetEndpoint('[2001:db8::1]:40001'), 'tcp'), 0);
  t.equal(probeBind(parseInetEndpoint('192.0.2.1:40001'), 'udp'), 0);
  t.throws(() => probeBind(parseInetEndpoint('[fe80::1%nowhere0]:40001'), 'tcp'), { code: 'V6_VALUE' });
  t.end();
});
