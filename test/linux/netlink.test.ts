import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { formatAddress } from '../../src/core/address.ts';
import { FakeClock, systemClock } from '../../src/core/clock.ts';
import { MemoryLogger, nullLogger } from '../../src/core/logger.ts';
import { NetworkMonitor } from '../../src/linux/netlink.ts';
import { Reactor } from '../../src/linux/reactor.ts';
import { eventually, inNamespace, ip, run } from './netns.ts';

if (inNamespace(t, import.meta.filename)) {
  const open = async (t: Test, receiveBytes?: number) => {
    const log = new MemoryLogger();
    const reactor = new Reactor();
    const network = new NetworkMonitor({
      reactor,
      clock: systemClock,
      log,
      ...(receiveBytes === undefined ? {} : { receiveBytes }),
    });
    t.teardown(() => {
      network.close();
      reactor.close();
    });
    await network.start();
    return { network, log };
  };
  const texts = (network: NetworkMonitor, name: string): string[] =>
    network
      .addresses(network.link(name)?.index ?? 0)
      .map((a) => `${formatAddress(a.address)}/${a.prefixLength}`)
      .sort();

  t.test('the first dump says what ip says', async (t) => {
    ip('link add first0 mtu 1400 address 02:00:00:00:00:01 type veth peer name first1');
    t.teardown(() => ip('link del first0'));
    ip('addr add 2001:db8::1/64 dev first0 nodad');
    ip('addr add 192.0.2.1/24 dev first0');
    const { network } = await open(t);
    const link = network.link('first0')!;
    t.equal(link.mtu, 1400);
    t.equal(Buffer.from(link.mac).toString('hex'), '020000000001');
    t.equal(link.up, false);
    t.equal(link.index, JSON.parse(ip('-j link show first0'))[0].ifindex);
    t.strictSame(texts(network, 'first0'), ['192.0.2.1/24', '2001:db8::1/64']);
    t.equal(network.link('no-such'), undefined);
    t.ok(network.link('lo')!.up);
    t.equal(network.addresses(1).find((a) => a.address.family === 6)!.scope, 'host');
  });

  t.test('a start that failed is no start: the next one reads all', async (t) => {
    const clock = new FakeClock();
    const reactor = new Reactor();
    const deaf = { add: () => undefined, forget: () => undefined };
    let hears = false;
    const network = new NetworkMonitor({
      reactor: {
        add: (...args: Parameters<Reactor['add']>) => (hears ? reactor : deaf).add(...args),
        forget: (fd: number) => (hears ? reactor : deaf).forget(fd),
      } as unknown as Reactor,
      clock,
      log: nullLogger,
    });
    t.teardown(() => {
      network.close();
      reactor.close();
    });
    const before = readdirSync('/proc/self/fd').length;
    let told = 0;
    network.onChange(() => told++);
    const failed = t.rejects(network.start(), { code: 'V6_NETLINK', message: /no answer/ });
    clock.advance(60_000);
    await failed;
    t.equal(readdirSync('/proc/self/fd').length, before, 'no socket is left');
    hears = true;
    await network.start();
    t.ok(network.link('lo'));
    t.ok(told > 0, 'who listened before still does');
  });

  t.test('links come, go up, are renamed and go', async (t) => {
    const { network } = await open(t);
    const seen: number[] = [];
    t.teardown(network.onChange((index) => seen.push(index)));
    ip('link add come0 type veth peer name come1');
    await eventually(() => network.link('come0') !== undefined);
    const { index } = network.link('come0')!;
    t.ok(seen.includes(index));
    ip('link set come0 up');
    t.equal(network.link('come0')!.up, false, 'no carrier yet');
    ip('link set come1 up');
    await eventually(() => network.link('come0')!.up);
    ip('link set come1 down');
    await eventually(() => !network.link('come0')!.up);
    ip('link set come0 down');
    ip('link set come0 name gone0');
    await eventually(() => network.link('gone0') !== undefined);
    t.equal(network.link('come0'), undefined);
    t.equal(network.link('gone0')!.index, index, 'the same interface');
    ip('link set gone0 mtu 1300');
    await eventually(() => network.link('gone0')!.mtu === 1300);
    ip('link del gone0');
    await eventually(() => network.link('gone0') === undefined);
    t.strictSame(network.addresses(index), []);
  });

  t.test('a port that leaves a bridge is still a link', async (t) => {
    const { network } = await open(t);
    ip('link add bridge0 type bridge');
    ip('link add port0 type veth peer name port1');
    t.teardown(() => run('sh', '-c', 'ip link del bridge0; ip link del port0'));
    ip('link set port0 master bridge0');
    ip('link set port0 nomaster');
    ip('link set port0 mtu 1234');
    await eventually(() => network.link('port0')?.mtu === 1234);
    t.ok(network.link('bridge0'));
  });

  t.test('an address leaves DAD, is deprecated, goes', async (t) => {
    ip('link add dad0 type veth peer name dad1');
    t.teardown(() => ip('link del dad0'));
    const { network } = await open(t);
    const linkLocal = () => network.addresses(network.link('dad0')!.index).find((a) => a.scope === 'link');
    ip('link set dad0 up');
    ip('link set dad1 up');
    // The kernel tells of a link-local address only when it has left DAD, of others at once.
    await eventually(() => linkLocal() !== undefined);
    t.match(linkLocal(), { tentative: false, prefixLength: 64 });
    const global = () => network.addresses(network.link('dad0')!.index).find((a) => a.scope === 'global');
    ip('addr add 2001:db8:1::1/64 dev dad0');
    await eventually(() => global() !== undefined);
    t.match(global(), { tentative: true, deprecated: false, temporary: false, prefixLength: 64 });
    await eventually(() => !global()!.tentative);
    ip('addr change 2001:db8:1::1/64 dev dad0 preferred_lft 0');
    await eventually(() => global()!.deprecated);
    ip('addr del 2001:db8:1::1/64 dev dad0');
    await eventually(() => global() === undefined);
  });

  t.test('the same address on both ends fails DAD', async (t) => {
    ip('link add twin0 type veth peer name twin1');
    t.teardown(() => ip('link del twin0'));
    const { network } = await open(t);
    ip('link set twin0 up');
    ip('link set twin1 up');
    ip('addr add 2001:db8:2::1/64 dev twin1 nodad');
    ip('addr add 2001:db8:2::1/64 dev twin0');
    await eventually(() => network.addresses(network.link('twin0')!.index).some((a) => a.dadFailed));
    t.match(
      network.addresses(network.link('twin0')!.index).find((a) => a.dadFailed),
      { tentative: true },
    );
  });

  t.test('lost events: everything is read again, listeners hear of it', async (t) => {
    const { network, log } = await open(t, 4096);
    const changed = new Set<number>();
    t.teardown(network.onChange((index) => changed.add(index)));
    const lines = Array.from({ length: 40 }, (_, i) => `link add flood${i} type veth peer name floodp${i}`);
    // One synchronous call: this thread reads no event until all have happened.
    run('sh', '-c', `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} | ip -batch -`);
    t.teardown(() => run('sh', '-c', 'for i in $(seq 0 39); do ip link del flood$i; done'));
    await eventually(() => network.link('flood39') !== undefined && network.resyncs > 0);
    t.match(log.lines, [{ level: 'info', message: /events were lost/ }]);
    for (let i = 0; i < 40; i++) t.ok(network.link(`flood${i}`), `flood${i}`);
    t.ok(changed.has(network.link('flood39')!.index));
    ip('link set flood3 mtu 1331');
    await eventually(() => network.link('flood3')!.mtu === 1331);
    t.pass('and it goes on with events');
  });

  t.test('random changes end in what the kernel has', async (t) => {
    const { network } = await open(t);
    const script = Array.from({ length: 60 }, (_, i) =>
      i % 3 === 2
        ? `link del r${i - 2}`
        : i % 3 === 1
          ? `addr add 2001:db8:${i}::1/64 dev r${i - 1} nodad`
          : `link add r${i} type veth peer name rp${i}`,
    );
    run('sh', '-c', `printf '%s\\n' ${script.map((line) => `'${line}'`).join(' ')} | ip -batch -`);
    ip('link add last0 type bridge');
    await eventually(() => network.link('last0') !== undefined);
    const expected = (JSON.parse(ip('-j link')) as { ifname: string }[]).map((link) => link.ifname).sort();
    t.strictSame(
      network
        .links()
        .map((link) => link.name)
        .sort(),
      expected,
    );
    ip('link del last0');
  });

  t.test('started twice, one socket', async (t) => {
    const { network } = await open(t);
    const sockets = (): number => readdirSync('/proc/self/fd').length;
    const before = sockets();
    await network.start();
    t.equal(sockets(), before);
    t.ok(network.link('lo')!.up);
  });

  t.test('closed twice, quiet afterwards', async (t) => {
    const reactor = new Reactor();
    t.teardown(() => reactor.close());
    const network = new NetworkMonitor({ reactor, clock: systemClock, log: nullLogger });
    await network.start();
    network.onChange(() => t.fail('a change after close'));
    network.close();
    network.close();
    ip('link add after0 type bridge');
    ip('link del after0');
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.equal(network.link('after0'), undefined);
  });
}
