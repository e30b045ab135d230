/**
 * The doctor against real situations: nodes in network namespaces on one link with the edge, whose kernels solicit, update, ask,
 * lose their address and fail checks as real ones do.
 */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { EdgeReport, Finding, NodeReport } from '../../../src/edge/doctor/report.ts';
import { waitFor } from '../../lab/process.ts';
import { inNamespace, ip, PeerNamespace, run } from '../../linux/netns.ts';
import { DaemonHome, keyName, keySecret } from '../daemon-process.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');
const edge = 'fd00:6:6::1';

/** A node on the link; its address is the one its kernel makes of the advertised prefix. */
class NodeOnLink {
  readonly peer: PeerNamespace;
  readonly address: string;

  private constructor(peer: PeerNamespace, address: string) {
    this.peer = peer;
    this.address = address;
  }

  static async join(t: Test, number: number, before: (peer: PeerNamespace) => void = () => undefined) {
    const peer = await PeerNamespace.open(t);
    ip(`link add n${number} master eth1 type veth peer name prv0 address 02:00:00:00:00:0${number} netns ${peer.pid}`);
    ip(`link set n${number} up`);
    peer.sysctl('net/ipv6/conf/prv0/accept_dad', 0);
    peer.sysctl('net/ipv6/conf/prv0/addr_gen_mode', 0);
    before(peer);
    peer.ip('link set prv0 up');
    return new NodeOnLink(peer, `fd00:6:6::ff:fe00:${number}`);
  }

  async hasAddress(): Promise<void> {
    const there = () => this.peer.ip('-6 addr show dev prv0').includes(this.address);
    await waitFor('an address from the advertisement', there, { timeoutMs: 10_000 });
  }

  /** Runs nsupdate; returns what it says when it is refused. */
  update(home: DaemonHome, lines: readonly string[], secret = keySecret): string {
    const file = join(home.folder, `${secret.length}${secret[0]}.key`);
    writeFileSync(file, `key "${keyName}" { algorithm hmac-sha256; secret "${secret}"; };\n`);
    const script = [`server ${edge}`, 'zone cluster.test', ...lines, 'send', ''].join('\n');
    const words = ['-t', String(this.peer.pid), '-n', 'nsupdate', '-k', file];
    return spawnSync('nsenter', words, { input: script, encoding: 'utf8' }).stderr;
  }

  ask(name: string, ...more: string[]): string {
    return this.peer.run('dig', `@${edge}`, '+tries=1', '+time=2', '+short', ...more, name, 'AAAA');
  }
}

function findingOf(report: { findings: readonly Finding[] }, id: string): Finding | undefined {
  return report.findings.find((each) => each.id === id);
}

if (inNamespace(t, import.meta.filename)) {
  ip('link add eth1 type bridge mcast_snooping 0');
  ip(`addr add ${edge}/64 dev eth1 nodad`);
  ip('addr add fd00:7::1/64 dev eth1 nodad');
  ip('link set eth1 up');
  const home = new DaemonHome(t);
  home.configure(
    `proxy:
  listeners: [{ name: web, bind: ["[::1]:8080"], pool: web }]
  pools:
    web: { check: { type: tcp, interval: 200ms, timeout: 200ms }, discover: { aaaa: web.cluster.test, port: 8080 } }
dns:
  listen: ["[${edge}]:53"]
  allow: ["fd00:6:6::/64"]
  keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }
  zones:
    - name: cluster.test
      ns: [edge.cluster.test]
      update: [{ key: ${keyName}, match: zonesub, types: [AAAA] }]
      reverse: true
    - { name: bare.test, ns: [edge.bare.test] }
    - { name: leased.test, ns: [edge.leased.test], lease: 30s, update: [{ key: ${keyName}, match: zonesub }] }
    - { name: 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa, ns: [edge.cluster.test] }
ra:
  - interface: eth1
    interval: { min: 60s, max: 90s }
    prefixes: [{ prefix: "fd00:6:6::/64", valid: 1h, preferred: 30m }]
    rdnss: { servers: ["${edge}"], lifetime: 20m }
`,
    1,
  );
  const daemon = await home.start();
  /** As an operator calls it; the report and the exit code. */
  const cli = (...words: string[]) => {
    const { stdout, stderr, status } = spawnSync(
      program,
      ['doctor', ...words, '--api', `unix:${home.socket}`, '--config', home.configFile],
      {
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: '' },
      },
    );
    return { text: stdout, stderr, status };
  };
  const examine = (node: string) => home.json<NodeReport>(`/v1/doctor/${encodeURIComponent(node)}`);
  const expectFinding = async (
    t: Test,
    node: string,
    id: Finding['id'],
    like: Partial<Record<keyof Finding, unknown>>,
  ) => {
    const found = findingOf(await examine(node), id);
    t.match(found, { id, ...like }, `${node}: ${id}`);
  };

  // It stays on the link until the end, and is watched all the time: the shortest lease is 30 s.
  const whole = t;
  let ending: Promise<unknown> | undefined;
  t.test('a lease that was just granted', async (t) => {
    const six = await NodeOnLink.join(whole, 6);
    await six.hasAddress();
    const file = join(home.folder, 'lease.key');
    writeFileSync(file, `key "${keyName}" { algorithm hmac-sha256; secret "${keySecret}"; };\n`);
    const script = `server ${edge}\nzone leased.test\nupdate add six.leased.test 60 AAAA ${six.address}\nsend\n`;
    t.equal(
      spawnSync('nsenter', ['-t', String(six.peer.pid), '-n', 'nsupdate', '-k', file], {
        input: script,
        encoding: 'utf8',
      }).stderr,
      '',
    );
    t.equal(findingOf(await examine('six'), 'lease-ending'), undefined, 'a fresh lease is none');
    ending = waitFor(
      '80 % of the lease to pass',
      async () => findingOf(await examine('six'), 'lease-ending') !== undefined,
      { timeoutMs: 35_000, everyMs: 500 },
    );
    ending.catch(() => undefined);
  });

  t.test('a node that does everything right is well', async (t) => {
    const one = await NodeOnLink.join(t, 1);
    await one.hasAddress();
    const server = one.peer.spawn(
      process.execPath,
      '-e',
      "require('node:net').createServer((s) => s.end()).listen(8080, '::')",
    );
    t.teardown(() => server.kill('SIGKILL'));
    t.equal(
      one.update(home, [
        `update add one.cluster.test 60 AAAA ${one.address}`,
        `update add web.cluster.test 60 AAAA ${one.address}`,
      ]),
      '',
    );
    for (let i = 0; i < 4; i++) t.equal(one.ask('one.cluster.test').trim(), one.address);
    await waitFor('the member', async () => (await examine('one')).members[0]?.state === 'up');
    const report = await examine('one');
    t.match(report, {
      healthy: true,
      findings: [],
      names: ['one.cluster.test', 'web.cluster.test'],
      updates: { accepted: 1, refused: 0 },
      queries: { refused: 0 },
    });
    t.ok(report.queries.count >= 4, 'its queries are counted');
    for (const same of ['one.cluster.test', one.address, '02:00:00:00:00:01', 'fe80::ff:fe00:1%eth1']) {
      t.ok((await examine(same)).names.includes('one.cluster.test'), `found as ${same}`);
    }
    const { text, status } = cli('one');
    t.equal(status, 0, 'exit code');
    t.match(text, /^one: nothing is wrong\n/);
    t.match(text, new RegExp(`${one.address} (reachable|stale|delay|probe) 02:00:00:00:00:01 eth1`));

    server.kill('SIGKILL');
    await waitFor('the check to fail', async () => (await examine('one')).members[0]?.state === 'down');
    await expectFinding(t, 'one', 'check-failing', {
      severity: 'error',
      text: /refused/i,
      where: 'node',
      run: [/ss -lntp.*8080/],
    });
    t.equal(cli('one').status, 1, 'exit code with a finding');
    t.match(JSON.parse(cli('one', '--json').text), { node: 'one', healthy: false });
  });

  t.test('a node that solicits, is announced and never asks us', async (t) => {
    const two = await NodeOnLink.join(t, 2);
    await two.hasAddress();
    // Its kernel may have learnt all from a periodic advertisement.
    two.peer.run('rdisc6', '-1', '-w', '2000', 'prv0');
    await expectFinding(t, 'fe80::ff:fe00:2', 'not-announced', { severity: 'warning', where: 'node' });
    t.equal(two.update(home, [`update add two.cluster.test 60 AAAA ${two.address}`]), '');
    await expectFinding(t, 'two', 'resolver-elsewhere', {
      severity: 'warning',
      text: /solicited .* and sent 1 updates and .*no DNSSL/,
      run: [/dnssl: \{ domains: \[cluster.test\] \}/, 'v6edge reload'],
      where: 'edge',
    });
    for (let i = 0; i < 4; i++) two.ask('two.cluster.test');
    t.equal(findingOf(await examine('two'), 'resolver-elsewhere'), undefined, 'gone once it asks');
    two.peer.ip('addr add fd00:7::2/64 dev prv0 nodad');
    try {
      two.ask('two.cluster.test', '-b', 'fd00:7::2');
    } catch {
      // dig's exit code is of no interest.
    }
    await expectFinding(t, 'two', 'dns-refused', { severity: 'error', run: [/dns.allow/] });
  });

  t.test('a node whose clock is off', async (t) => {
    const three = await NodeOnLink.join(t, 3);
    await three.hasAddress();
    const late = (seconds: number) =>
      three.peer
        .run(
          process.execPath,
          join(import.meta.dirname, 'signed-late.ts'),
          edge,
          'three.cluster.test',
          three.address,
          String(seconds),
        )
        .trim();
    t.equal(late(412), '9', 'NOTAUTH');
    await expectFinding(t, three.address, 'clock-off', {
      severity: 'error',
      text: /41[23] s behind ours/,
      run: [/timedatectl/],
    });
    t.equal(late(-500), '9');
    await expectFinding(t, three.address, 'clock-off', { text: /500 s ahead of ours|499 s ahead of ours/ });
    t.equal(late(100), '0');
    const report = await examine('three');
    t.equal(findingOf(report, 'clock-off'), undefined, 'an update that was taken ends it');
    await expectFinding(t, 'three', 'clock-drifts', { severity: 'warning', text: /10[01] s behind/ });
  });

  t.test('a key that is refused, and an update that no rule allows', async (t) => {
    const four = await NodeOnLink.join(t, 4);
    await four.hasAddress();
    t.match(
      four.update(
        home,
        [`update add four.cluster.test 60 AAAA ${four.address}`],
        'd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3JvbmchIQ==',
      ),
      /NOTAUTH\(BADSIG\)/,
    );
    await expectFinding(t, four.address, 'key-refused', {
      severity: 'error',
      text: /BADSIG.*the secrets differ/,
      run: [/node-key/],
    });
    t.match(four.update(home, ['update add four.cluster.test 60 TXT "x"']), /REFUSED/);
    await expectFinding(t, 'four', 'update-refused', {
      severity: 'error',
      text: /four.cluster.test.*rule 1 .*: not this type/,
      where: 'edge',
    });
    t.equal(four.update(home, [`update add four.cluster.test 60 AAAA ${four.address}`]), '');
    t.equal(findingOf(await examine('four'), 'update-refused'), undefined, 'mended');
  });

  t.test('a node that lost its address, and one that is gone', async (t) => {
    const five = await NodeOnLink.join(t, 5);
    await five.hasAddress();
    t.equal(five.update(home, [`update add five.cluster.test 60 AAAA ${five.address}`]), '');
    // As a CNI does it; the address would go when its lifetime is over.
    five.peer.sysctl('net/ipv6/conf/all/forwarding', 1);
    five.peer.ip(`addr del ${five.address}/64 dev prv0`);
    ip('neigh flush dev eth1');
    const found = findingOf(await examine('five'), 'address-lost');
    t.match(found, {
      severity: 'error',
      subject: five.address,
      text: /fe80::ff:fe00:5 answers.*accept_ra=1 with forwarding=1/,
      where: 'node',
    });
    t.match(found?.run.join('\n'), /accept_ra=2/);
    five.peer.ip('link set prv0 down');
    ip('neigh flush dev eth1');
    await waitFor(
      'nothing of it to answer',
      async () => findingOf(await examine('five'), 'node-silent') !== undefined,
      { timeoutMs: 15_000 },
    );
    t.pass('a node that is off is told apart');
  });

  t.test('an address without PTR', async (t) => {
    const record = await home.api(
      'PUT',
      '/v1/zones/bare.test/records/old.bare.test/AAAA',
      {},
      { ttl: 60, data: ['fd00:6:6::99'] },
    );
    t.equal(record.status, 200, record.body);
    await expectFinding(t, 'old.bare.test', 'no-ptr', {
      severity: 'note',
      run: [/reverse: true for zone bare.test/],
    });
  });

  t.test('nobody knows the node', async (t) => {
    const { text, status } = cli('nemo');
    t.equal(status, 1);
    t.match(text, /error: node-unknown\n.*has nemo: known are .*one\.cluster\.test/);
  });

  t.test('the edge itself, and a line for each node', async (t) => {
    const seven = await NodeOnLink.join(t, 7);
    await seven.hasAddress();
    const file = join(home.folder, 'radvd.conf');
    writeFileSync(
      file,
      'interface prv0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvCurHopLimit 32; prefix fd00:8::/64 {}; };\n',
    );
    seven.peer.sysctl('net/ipv6/conf/all/forwarding', 1);
    const radvd = seven.peer.spawn('radvd', '-n', '-C', file, '-p', join(home.folder, 'radvd.pid'), '-m', 'stderr');
    t.teardown(() => radvd.kill('SIGKILL'));
    run('sh', '-c', 'echo 2 > /proc/sys/net/ipv6/conf/eth1/accept_ra');
    const report = () => home.json<EdgeReport>('/v1/doctor');
    await waitFor('the other router', async () => findingOf(await report(), 'two-routers') !== undefined, {
      timeoutMs: 10_000,
    });
    const { findings, nodes, healthy } = await report();
    t.notOk(healthy);
    t.match(findingOf({ findings }, 'two-routers'), {
      severity: 'warning',
      subject: 'eth1 fe80::ff:fe00:7',
      text: /CurHopLimit/i,
    });
    t.match(findingOf({ findings }, 'accept-ra'), { severity: 'warning', subject: 'eth1', run: [/accept_ra=0/] });
    t.match(findingOf({ findings }, 'pool-empty'), { severity: 'error', subject: 'web' });
    await expectFinding(t, 'two', 'two-routers', { where: 'edge' });
    t.ok(nodes.some(({ node }) => node === 'two.cluster.test'));
    const { text, status } = cli();
    t.equal(status, 1);
    t.match(text, /^the edge needs mending\n/);
    t.match(text, /\nnodes\n[\s\S]*two\.cluster\.test +dns-refused {2}it asked once from an address/);
  });

  t.test('a lease that is not renewed', async (t) => {
    await ending;
    t.pass('a fifth of it was left');
  });

  t.test('with the daemon down it says why, and who has its port', async (t) => {
    await daemon.stop();
    const holder = spawn(process.execPath, ['-e', `require('node:dgram').createSocket('udp6').bind(53, '${edge}')`]);
    t.teardown(() => holder.kill('SIGKILL'));
    await waitFor('the port to be held', () => run('ss', '-lnu', 'sport = :53').includes(edge));
    const { text, status } = cli();
    t.equal(status, 1);
    t.match(text, /error: daemon-down/);
    t.match(
      text,
      new RegExp(
        `error: port-held\\n  .*\\(.*pid ${holder.pid}\\) has udp \\[fd00:6:6::1\\]:53\\n  on the edge:\\n    \\w`,
      ),
    );
  });
}
