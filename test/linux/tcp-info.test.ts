/** `struct tcp_info` against the kernel: what ss(8) reads of the same socket. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET } from '../../src/linux/constants.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import * as tcp from '../../src/linux/tcp.ts';
import { tcpInfo } from '../../src/linux/tcp-info.ts';
import { eventually, inNamespace, ip, run } from './netns.ts';

/** What ss says of the one socket with this peer. */
function ss(peer: string): string {
  return run('ss', '-Htin', 'dst', peer);
}

function connectTo(text: string): number {
  const { address, port } = parseInetEndpoint(text);
  const fd = tcp.openTcp(AF_INET);
  tcp.connectTcp(fd, tcp.Memory.of(encodeSockaddr(address, port)));
  return fd;
}

async function tests(): Promise<void> {
  t.test('what is no TCP socket has none', async (t) => {
    t.equal(tcpInfo(-1), undefined);
    t.equal(tcpInfo(0), undefined);
  });

  t.test('round-trip time and segments of a connection', async (t) => {
    const server = net.createServer((client) => client.resume().on('error', () => {}));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as net.AddressInfo;
    const fd = connectTo(`127.0.0.1:${port}`);
    const memory = tcp.Memory.make(1 << 16);
    for (let i = 0; i < 20; i++) tcp.send(fd, memory.address, 1 << 16);
    await eventually(() => tcp.unacknowledged(fd) === 0);
    const said = ss(`127.0.0.1:${port}`);
    const info = tcpInfo(fd)!;
    t.equal(info.segments, Number(/segs_out:(\d+)/.exec(said)![1]), said);
    t.equal(info.rttMicros / 1000, Number(/ rtt:([\d.]+)/.exec(said)![1]), said);
    t.equal(info.retransmits, Number(/ retrans:\d+\/(\d+)/.exec(said)?.[1] ?? 0), said);
    t.ok(info.segments > 2);
    t.equal(info.timeouts, 0);
    closeFd(fd);
    server.close();
  });

  t.test('how long nothing was received, and sent', async (t) => {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const accepted = once(server, 'connection');
    const { port } = server.address() as net.AddressInfo;
    const fd = connectTo(`127.0.0.1:${port}`);
    const [peer] = (await accepted) as [net.Socket];
    t.teardown(() => {
      peer.destroy();
      closeFd(fd);
      server.close();
    });
    tcp.send(fd, tcp.Memory.make(1).address, 1);
    // Far enough apart to tell the two.
    await eventually(() => tcpInfo(fd)!.sinceSentMs >= 200);
    peer.write('x');
    await eventually(() => tcpInfo(fd)!.sinceSentMs - tcpInfo(fd)!.sinceReceivedMs >= 100);
    const before = tcpInfo(fd)!;
    const said = ss(`127.0.0.1:${port}`);
    const after = tcpInfo(fd)!;
    for (const [name, first, last] of [
      ['lastsnd', before.sinceSentMs, after.sinceSentMs],
      ['lastrcv', before.sinceReceivedMs, after.sinceReceivedMs],
    ] as const) {
      const ms = Number(new RegExp(` ${name}:(\\d+)`).exec(said)?.[1] ?? 0);
      t.ok(first <= ms && ms <= last, `${name}: ${first} <= ${ms} <= ${last}`);
    }
  });

  t.test('what is sent again, and lost', async (t) => {
    // The other end has no such neighbour: what is sent there is gone.
    ip('link add gone0 type veth peer name gone1');
    ip('link set gone1 up');
    ip('addr add 192.0.2.1/24 dev gone0');
    ip('link set gone0 up');
    ip('neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev gone0');
    const fd = connectTo('192.0.2.9:80');
    await eventually(() => tcpInfo(fd)!.retransmits > 0);
    const said = ss('192.0.2.9:80');
    const info = tcpInfo(fd)!;
    t.equal(info.retransmits, Number(/ retrans:\d+\/(\d+)/.exec(said)![1]), said);
    t.equal(info.timeouts, info.retransmits, 'nothing was acknowledged since');
    t.equal(info.lost, Number(/ lost:(\d+)/.exec(said)?.[1] ?? 0), said);
    closeFd(fd);
  });
}

if (inNamespace(t, import.meta.filename)) await tests();
