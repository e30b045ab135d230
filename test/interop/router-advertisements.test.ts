/** Our advertisements before other programs' eyes: tshark's dissector, radvdump, rdisc6. */
import t from 'tap';
import { edgePrivate, prefix, zone } from '../lab/plan.ts';
import { waitFor } from '../lab/process.ts';
import { Capture, interopStage } from './stage.ts';

if (process.getuid?.() !== 0) t.plan(0, 'network namespaces need root');
else {
  const { lab } = await interopStage();
  t.teardown(() => lab.close());
  const node = lab.node('worker1');

  t.test('radvdump turns an advertisement back into the configuration it was made of', async (t) => {
    const radvdump = node.spawn(['radvdump']);
    // Periodic advertisements come every 4 seconds at most.
    const text = await waitFor(
      'an advertisement',
      () => radvdump.stdout.includes('}; # End of interface definition') && radvdump.stdout,
      { why: () => radvdump.output },
    );
    await radvdump.stop();
    for (const line of [
      'AdvManagedFlag off;',
      'AdvOtherConfigFlag off;',
      'AdvDefaultLifetime 0;',
      'AdvCurHopLimit 64;',
      'AdvSourceLLAddress on;',
      `prefix ${prefix}`,
      'AdvValidLifetime 3600;',
      'AdvPreferredLifetime 1800;',
      'AdvOnLink on;',
      'AdvAutonomous on;',
      `RDNSS ${edgePrivate}`,
      'AdvRDNSSLifetime 60;',
      `DNSSL ${zone}`,
      'AdvDNSSLLifetime 60;',
    ]) {
      t.ok(text.includes(line), line, { text });
    }
  });

  t.test('tshark finds nothing wrong, and every packet is as RFC 4861 wants it', async (t) => {
    const capture = await Capture.start(lab, node, 'prv0', 'icmp6 and (ip6[40] == 133 or ip6[40] == 134)');
    for (let i = 0; i < 3; i++) {
      t.equal(
        (await node.exec(['rdisc6', '-1', '-q', '-r', '3', '-w', '1500', 'prv0'])).code,
        0,
        'rdisc6 got an answer',
      );
    }
    await waitFor('periodic and solicited advertisements', async () => {
      const rows = await capture.fields('icmpv6.type == 134', ['ipv6.dst']);
      return rows.some(([to]) => to === 'ff02::1') && rows.length >= 4;
    });
    await capture.stop();
    t.strictSame(await capture.complaints('icmpv6.type == 134'), []);
    const names = [
      'ipv6.src',
      'ipv6.dst',
      'ipv6.hlim',
      'ipv6.tclass',
      'icmpv6.checksum.status',
      'icmpv6.code',
      'icmpv6.opt.type',
    ];
    const rows = await capture.fields('icmpv6.type == 134', names);
    const own = (await node.addresses('prv0')).find((one) => one.scope === 'link')!.local;
    for (const [from, to, hopLimit, , checksum, code, options] of rows) {
      t.match(from, /^fe80::/, 'from the link-local address');
      t.ok(to === 'ff02::1' || to === own, `to all nodes or to who asked (${to})`);
      t.equal(hopLimit, '255');
      t.equal(checksum, '1', 'a good checksum');
      t.equal(code, '0');
      t.strictSame(options!.split(',').sort(), ['1', '25', '3', '31'], 'link-layer address, RDNSS, prefix, DNSSL');
    }
  });
}
