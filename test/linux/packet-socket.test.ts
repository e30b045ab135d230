import { writeFileSync } from 'node:fs';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { hasAddress } from '../../src/linux/bind-probe.ts';
import { encodeIcmp6Packet, PacketSocket } from '../../src/linux/packet-socket.ts';
import { eventually, inNamespace, ip, PeerNamespace, run } from './netns.ts';

const ENODEV_OR_ENXIO = [-19, -6];
const EMSGSIZE = -90;

t.test('a packet, field by field', (t) => {
  const packet = encodeIcmp6Packet(
    Buffer.from('8600000040c00708' + '0000000000000000', 'hex'),
    parseAddress('fe80::1'),
    parseAddress('ff02::1'),
  );
  const fields: [hex: string, name: string][] = [
    ['6000 0000', 'version, traffic class, flow label'],
    ['0010 3a ff', 'payload length, next header, hop limit'],
    ['fe80 0000 0000 0000 0000 0000 0000 0001', 'source'],
    ['ff02 0000 0000 0000 0000 0000 0000 0001', 'destination'],
    // fe80+1+ff02+1+10+3a+8600+40c0+708 = 2cb96 -> cb98, and its complement.
    ['86 00 3467', 'type, code, checksum'],
    ['40 c0 0708 00000000 00000000', 'the rest of the message'],
  ];
  let at = 0;
  for (const [hex, name] of fields) {
    const expected = hex.replaceAll(' ', '');
    t.equal(packet.subarray(at, at + expected.length / 2).toString('hex'), expected, name);
    at += expected.length / 2;
  }
  t.equal(packet.length, at);
  t.end();
});

if (inNamespace(t, import.meta.filename)) {
  t.test('one veth pair, the other end elsewhere', async (t) => {
    const peer = await PeerNamespace.open(t);
    ip(`link add frame0 type veth peer name frame1 netns ${peer.pid}`);
    t.teardown(() => ip('link del frame0'));
    ip('addr add fe80::1/64 dev frame0 nodad');
    ip('link set frame0 up');
    peer.ip('link set frame1 up');
    const [{ ifindex }] = JSON.parse(ip('-j link show frame0'));
    const [allNodes, source] = [parseAddress('ff02::1'), parseAddress('fe80::1')];
    const socket = new PacketSocket();
    t.teardown(() => socket.close());
    await eventually(() => hasAddress(source, ifindex));

    await t.test('what a receiver gets: address of the group, hop limit, checksum, every length', async (t) => {
      const capture = peer.spawn('tcpdump', '-i', 'frame1', '-c', '3', '-w', '-', '-U', 'icmp6 and ip6[40] == 134');
      const chunks: Buffer[] = [];
      capture.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
      await new Promise<void>((resolve) =>
        capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
      );
      // An option of a type that nobody knows; one length is odd.
      for (const extra of [0, 8, 15]) {
        const message = Buffer.alloc(16 + extra, 0xa5);
        message.set(Buffer.from('86000000400007080000000000000000', 'hex'));
        if (extra > 0) message.set([253, 1], 16);
        t.equal(socket.send(message, allNodes, ifindex, source), message.length);
      }
      await new Promise((resolve) => capture.on('close', resolve));
      const file = `${t.testdir({})}/out.pcap`;
      writeFileSync(file, Buffer.concat(chunks));
      const names = ['eth.dst', 'eth.type', 'ipv6.src', 'ipv6.dst', 'ipv6.hlim', 'ipv6.plen', 'icmpv6.checksum.status'];
      const text = run('tshark', '-r', file, '-T', 'fields', ...names.flatMap((name) => ['-e', name]));
      const line = (octets: number) => `33:33:00:00:00:01\t0x86dd\tfe80::1\tff02::1\t255\t${octets}\t1\n`;
      t.equal(text, line(16) + line(24) + line(31));
    });

    await t.test('the kernel at the other end takes it', async (t) => {
      peer.sysctl('net/ipv6/conf/frame1/accept_ra', 2);
      const prefix = '030440c0' + '00000e10' + '00000708' + '00000000' + 'fd000006000600000000000000000000';
      const message = Buffer.from(`86000000400007080000000000000000${prefix}`, 'hex');
      t.equal(socket.send(message, allNodes, ifindex, source), message.length);
      await eventually(() => /inet6 fd00:6:6:/.test(peer.ip('-6 addr show dev frame1')));
      t.match(peer.ip('-6 route show default'), /via fe80::1/);
    });

    await t.test('failures are numbers', (t) => {
      const send = (octets: number, on: number) => socket.send(Buffer.alloc(octets), allNodes, on, source);
      t.equal(send(1460, ifindex), 1460);
      t.equal(send(1461, ifindex), EMSGSIZE, 'larger than the MTU');
      t.ok(ENODEV_OR_ENXIO.includes(send(16, 99_999)), 'no such interface');
      socket.close();
      t.equal(send(16, ifindex), 16, 'opened again');
      socket.close();
      socket.close();
      t.end();
    });

    await t.test('whose address it is', (t) => {
      const has = (address: string, on = ifindex) => hasAddress(parseAddress(address), on);
      t.equal(has('fe80::1'), true);
      t.equal(has('fe80::1', 1), false, 'of another interface');
      t.equal(has('fe80::1', 99_999), false, 'no such interface');
      t.equal(has('fe80::2'), false);
      t.equal(has('2001:db8::1'), false);
      t.equal(has('::1', 1), true);
      ip('addr add 2001:db8::1/64 dev frame0 nodad');
      t.equal(has('2001:db8::1'), true);
      ip('addr del 2001:db8::1/64 dev frame0');
      t.equal(has('2001:db8::1'), false);
      t.end();
    });
  });
}
