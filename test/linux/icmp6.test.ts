import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { formatAddress, parseAddress } from '../../src/core/address.ts';
import { encodeFilter, type Icmp6Packet, Icmp6Socket } from '../../src/linux/icmp6.ts';
import { eventually, inNamespace, ip, PeerNamespace, run } from './netns.ts';

const ENODEV = -19;
const EADDRNOTAVAIL = -99;
const EADDRINUSE = -98;
const EINVAL = -22;
const EBADF = -9;
const EMSGSIZE = -90;

t.test('the filter blocks all but the types named', (t) => {
  const filter = encodeFilter([133, 134]);
  for (let type = 0; type < 256; type++) {
    // RFC 3542 §3.2 on Linux: ICMP6_FILTER_WILLPASS is a zero bit in a 32-bit word.
    const blocked = (filter.readUInt32LE((type >> 5) * 4) >>> (type & 31)) & 1;
    if (blocked !== (type === 133 || type === 134 ? 0 : 1)) t.fail(`type ${type}`);
  }
  t.equal(filter.length, 32);
  t.end();
});

t.test('a rehearsal: delivered as from the kernel, sent to nowhere, and no descriptor', (t) => {
  const packets: Icmp6Packet[] = [];
  const socket = new Icmp6Socket(
    [],
    (packet) => packets.push({ ...packet, bytes: Uint8Array.from(packet.bytes) }),
    true,
  );
  const message = Buffer.from('8500000000000000', 'hex');
  const [source, destination] = [parseAddress('fe80::2'), parseAddress('ff02::2')];
  socket.rehearse(message, source, destination, 7);
  t.strictSame(packets, [
    { bytes: Uint8Array.from(message), source, destination, ifindex: 7, hopLimit: 255, fragmented: false },
  ]);
  t.equal(socket.send(message, source, 7, destination), message.length);
  t.equal(socket.join(destination, 7), EBADF);
  socket.close();
  socket.close();
  t.end();
});

if (inNamespace(t, import.meta.filename)) {
  const solicitation = Buffer.from('8500000000000000', 'hex');
  const allRouters = parseAddress('ff02::2');
  const index = (name: string): number => JSON.parse(ip(`-j link show ${name}`))[0].ifindex;
  const linkLocal = (out: string): string =>
    JSON.parse(out)[0]?.addr_info.find(
      (a: { scope: string; tentative?: boolean; local: string }) => a.scope === 'link' && a.tentative !== true,
    )?.local;

  const open = (t: Test, types: number[]) => {
    const packets: Icmp6Packet[] = [];
    const socket = new Icmp6Socket(types, (packet) =>
      packets.push({ ...packet, bytes: Uint8Array.from(packet.bytes) }),
    );
    t.teardown(() => socket.close());
    return { socket, packets };
  };

  t.test('one veth pair, the other end elsewhere', async (t) => {
    const peer = await PeerNamespace.open(t);
    ip(`link add raw0 type veth peer name raw1 netns ${peer.pid}`);
    t.teardown(() => ip('link del raw0'));
    ip('link set raw0 up');
    peer.ip('link set raw1 up');
    const own = () => linkLocal(ip('-6 -j addr show dev raw0'));
    const other = () => linkLocal(peer.ip('-6 -j addr show dev raw1'));
    await eventually(() => own() !== undefined && other() !== undefined);
    const ifindex = index('raw0');

    await t.test('what comes in: bytes, source, destination, interface, hop limit', async (t) => {
      const { socket, packets } = open(t, [133]);
      t.equal(socket.join(allRouters, ifindex), 0);
      t.equal(socket.join(allRouters, ifindex), EADDRINUSE);
      // rdisc6 sends a solicitation with its link-layer address, hop limit 255.
      peer.run('sh', '-c', 'rdisc6 -1 -r 1 -w 1 raw1 || true');
      await eventually(() => packets.some((p) => formatAddress(p.source) === other()));
      const packet = packets.find((p) => formatAddress(p.source) === other())!;
      t.equal(packet.bytes[0], 133);
      t.equal(formatAddress(packet.destination), 'ff02::2');
      t.equal(packet.ifindex, ifindex);
      t.equal(packet.hopLimit, 255);
      t.equal(packet.bytes.length % 8, 0);
      t.equal(socket.leave(allRouters, ifindex), 0);
    });

    await t.test('a hop limit below 255 is told as it was', async (t) => {
      const { socket, packets } = open(t, [128]);
      t.equal(socket.join(allRouters, ifindex), 0);
      peer.run('ping', '-6', '-c', '1', '-W', '1', '-t', '64', `${own()}%raw1`);
      await eventually(() => packets.length > 0);
      t.equal(packets[0]!.hopLimit, 64);
      t.equal(formatAddress(packets[0]!.destination), own());
    });

    await t.test('the filter keeps other types out', async (t) => {
      const { packets } = open(t, [133]);
      peer.run('ping', '-6', '-c', '1', '-W', '1', `${own()}%raw1`);
      t.strictSame(
        packets.filter((p) => p.bytes[0] !== 133),
        [],
      );
    });

    await t.test('what goes out: hop limit 255, checksum right, source as asked, not looped back', async (t) => {
      const { socket, packets } = open(t, [133]);
      socket.join(allRouters, ifindex);
      const capture = peer.spawn('tcpdump', '-i', 'raw1', '-c', '2', '-w', '-', '-U', 'icmp6 and ip6[40] == 133');
      const chunks: Buffer[] = [];
      capture.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
      await new Promise<void>((resolve) =>
        capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
      );
      t.equal(socket.send(solicitation, allRouters, ifindex, parseAddress(own())), solicitation.length);
      t.equal(socket.send(solicitation, parseAddress(other()), ifindex, parseAddress(own())), solicitation.length);
      await new Promise((resolve) => capture.on('close', resolve));
      const file = `${t.testdir({})}/out.pcap`;
      writeFileSync(file, Buffer.concat(chunks));
      const fields = ['ipv6.src', 'ipv6.dst', 'ipv6.hlim', 'icmpv6.checksum.status'].flatMap((name) => ['-e', name]);
      const text = run('tshark', '-r', file, '-T', 'fields', ...fields);
      t.equal(text, `${own()}\tff02::2\t255\t1\n${own()}\t${other()}\t255\t1\n`);
      t.strictSame(
        packets.filter((p) => formatAddress(p.source) === own()),
        [],
      );
    });

    await t.test('nothing leaves in fragments: one octet more than the MTU is refused', async (t) => {
      const { socket } = open(t, [133]);
      for (const mtu of [1500, 1280]) {
        ip(`link set raw0 mtu ${mtu}`);
        const message = (octets: number) => Buffer.concat([solicitation, Buffer.alloc(octets - solicitation.length)]);
        const send = (octets: number, to: string) =>
          socket.send(message(octets), parseAddress(to), ifindex, parseAddress(own()));
        for (const to of ['ff02::2', other()]) {
          t.equal(send(mtu - 40, to), mtu - 40, `${mtu}: ${to}`);
          t.equal(send(mtu - 39, to), EMSGSIZE, `${mtu}: ${to}`);
        }
      }
      ip('link set raw0 mtu 1500');
    });

    await t.test('failures are numbers', async (t) => {
      const { socket } = open(t, [133]);
      t.equal(socket.join(allRouters, 99_999), ENODEV);
      t.equal(socket.leave(allRouters, ifindex), EADDRNOTAVAIL);
      t.equal(
        socket.send(solicitation, allRouters, ifindex, parseAddress('2001:db8::77')),
        EINVAL,
        'a source not ours',
      );
      t.ok(socket.send(solicitation, allRouters, 99_999, parseAddress(own())) < 0, 'no such interface');
      socket.close();
      socket.close();
    });

    await t.test('a flood leaves turns for other work', async (t) => {
      const { socket, packets } = open(t, [128]);
      // Synchronous: nothing is read until all are queued.
      peer.run('ping', '-6', '-q', '-c', '80', '-i', '0', '-W', '1', `${own()}%raw1`);
      const seen: number[] = [];
      while (packets.length < 80) {
        await new Promise((resolve) => setImmediate(resolve));
        if (packets.length !== seen.at(-1)) seen.push(packets.length);
      }
      t.strictSame(
        seen.filter((count) => count > 0),
        [64, 80],
      );
      socket.close();
    });
  });
}
