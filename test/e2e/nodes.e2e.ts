/**
 * Nodes join a cluster behind a packaged edge by the one command that the edge prints, with stand-ins of kubeadm, kubelet and CRI-O
 * (stand-ins.ts): networkd, resolved, apt, nsupdate and the daemon are real, and a private and a public network join a control
 * plane and two workers, each a booted Debian in a container. `npm run test:e2e`; needs root.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { exec, waitFor } from '../lab/process.ts';
import { inNamespace, ip } from '../linux/netns.ts';
import { ownFolder } from '../own-folder.ts';
import { Container } from './container.ts';
import { packageFile } from './debs.ts';
import { makeRepositories, repositoryPaths, serveFiles } from './stand-ins.ts';

const edgeAddress = 'fd00:6:6::1';
const provider = '2001:db8:1::1';
const joinMs = 180_000;
/** The shortest that the node scripts allow. */
const leaseMs = 120_000;

const configuration = (fingerprint: string) => `workers: 1
proxy:
  listeners:
    - { name: kube-api, bind: ["[::]:6443"], pool: masters }
    - { name: http, bind: ["[::]:80", "0.0.0.0:80"], pool: workers }
  pools:
    masters:
      check: { type: tcp, interval: 500ms }
      discover: { srv: _kube-api._tcp.cluster.test }
    workers:
      proxyProtocol: v2
      check: { type: tcp, interval: 500ms, timeout: 500ms, fall: 2 }
      discover: { srv: _http._tcp.cluster.test }
dns:
  listen: ["[${edgeAddress}]:53"]
  allow: ["fd00:6:6::/64"]
  zones:
    - { name: cluster.test, ns: [edge.cluster.test], file: cluster.test.zone, lease: 2m, reverse: true }
    - { name: 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa, ns: [edge.cluster.test] }
ra:
  - interface: prv0
    prefixes: [{ prefix: "fd00:6:6::/64" }]
    rdnss: { servers: ["${edgeAddress}"] }
    dnssl: { domains: [cluster.test] }
    maxDelay: 0s
join:
  listen: ["[${edgeAddress}]:8654"]
  services: { worker: ["_http._tcp:80"] }
  cluster:
    lease: 2m
    repositories:
      kubernetes: "http://[${provider}]${repositoryPaths.kubernetes}"
      crio: "http://[${provider}]${repositoryPaths.crio}"
      kubernetesKey: ${fingerprint}
      crioKey: ${fingerprint}
`;

/** A rented machine as its provider hands it over: a name, a public interface with the provider's DNS, a private one that is only there. */
const handedOver = (name: string, host: number) => (root: string) => {
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  write('etc/hostname', `${name}\n`);
  write(
    'etc/systemd/network/10-provider.network',
    `[Match]\nName=pub0\n[Network]\nAddress=2001:db8:1::${host}/64\nGateway=${provider}\nDNS=2001:db8:1::53\nIPv6AcceptRA=no\n`,
  );
  write('etc/apt/sources.list', `deb [trusted=yes] http://[${provider}]${repositoryPaths.debian} /\n`);
  const wanted = join(root, 'etc/systemd/system/multi-user.target.wants');
  mkdirSync(wanted, { recursive: true });
  symlinkSync('/lib/systemd/system/systemd-networkd.service', join(wanted, 'systemd-networkd.service'));
};

async function plugIn(box: Container, name: string): Promise<void> {
  for (const [network, inside] of [
    ['private', 'priv0'],
    ['public', 'pub0'],
  ] as const) {
    const here = `${name}-${network.slice(0, 3)}`;
    await box.attach(here, inside);
    ip(`link set ${here} master ${network}`);
    await box.must(['ip', 'link', 'set', inside, 'up']);
  }
}

if (inNamespace(t, import.meta.filename)) {
  const folder = ownFolder(t, 'v6edge-nodes-');
  for (const network of ['private', 'public']) {
    ip(`link add ${network} type bridge`);
    ip(`link set ${network} up`);
  }
  ip(`addr add ${provider}/64 dev public nodad`);
  ip('addr add 198.51.100.100/24 dev public');
  const fingerprint = await makeRepositories(folder);
  const repositories = await serveFiles(join(folder, 'www'), provider, 80);
  t.teardown(() => {
    repositories.closeAllConnections();
    repositories.close();
  });
  const deb = await packageFile(folder);

  const edge = await Container.boot(t);
  const nodes: Record<string, Container> = {};
  for (const [name, host] of [
    ['cp1', 11],
    ['w1', 21],
    ['w2', 22],
  ] as const) {
    nodes[name] = await Container.boot(t, { prepare: handedOver(name, host), unified: true });
  }
  const { cp1, w1, w2 } = nodes as Record<'cp1' | 'w1' | 'w2', Container>;

  const v6edge = (...args: string[]) => edge.must(['v6edge', ...args]);
  const members = async (pool: string): Promise<{ name: string; state: string; reason: string }[]> =>
    JSON.parse(await v6edge('pools', pool, '--json')).members;
  const states = async (pool: string) =>
    (await members(pool)).map(({ name, state }) => `${name.split('.')[0]} ${state}`).sort();
  const settles = async (pool: string, expected: readonly string[], timeoutMs = 20_000) => {
    let seen: readonly string[] = [];
    const asExpected = async () => {
      seen = await states(pool);
      return String(seen) === String(expected);
    };
    await waitFor(`${pool} to be ${expected}`, asExpected, { timeoutMs, why: () => `it is ${seen}` });
  };
  const dig = async (name: string, type: string) =>
    (await edge.must(['dig', '+short', '+time=2', `@${edgeAddress}`, name, type]))
      .trim()
      .split('\n')
      .filter(Boolean)
      .sort();
  const command = async (...args: string[]) => {
    const text = await v6edge('node', 'token', 'create', ...args);
    const line = /^\s*(curl .*bash -s.*)$/m.exec(text)?.[1];
    if (line === undefined) throw new Error(`no command in: ${text}`);
    return line;
  };
  const addressOf = async (box: Container) =>
    /inet6 (fd00:6:6:[0-9a-f:]+)\//.exec(
      await box.must(['ip', '-6', 'addr', 'show', 'dev', 'priv0', 'scope', 'global']),
    )![1]!;
  /** As on a machine that was just handed over the kernel takes an address from the advertisement; until then it uses another. */
  const addressed = async (box: Container) => {
    const show = ['ip', '-6', 'addr', 'show', 'dev', 'priv0', 'scope', 'global', '-tentative'];
    await waitFor('an address', async () => (await box.must(show)).includes('fd00:6:6:'));
  };
  /** What a script says on its way to its end is needed most when it fails. */
  const script = async (box: Container, line: string) => {
    const { code, stdout, stderr } = await box.exec(['bash', '-c', line], { timeoutMs: joinMs });
    if (code !== 0) throw new Error(`${line} in ${box.name}: exit ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  /** What it answers; why it does not, where that is so. */
  const ask = async () => {
    const { stdout, stderr } = await exec(['curl', '-sS', '--max-time', '5', 'http://198.51.100.1/']);
    return stdout + stderr;
  };

  await t.test('the edge: the package, one file, started', async () => {
    edge.write('/root/v6edge.deb', await deb.bytes());
    await edge.must(['apt-get', 'install', '-y', '/root/v6edge.deb'], { timeoutMs: 120_000 });
    edge.write('/etc/v6edge/cluster.test.zone', `edge 300 AAAA ${edgeAddress}\n`);
    await edge.must(['tee', '/etc/v6edge/v6edge.yaml'], { input: configuration(fingerprint) });
    await edge.attach('edge-prv', 'prv0');
    await edge.attach('edge-pub', 'pub0');
    for (const [here, network] of [
      ['edge-prv', 'private'],
      ['edge-pub', 'public'],
    ] as const) {
      ip(`link set ${here} master ${network}`);
    }
    for (const line of [
      `addr add ${edgeAddress}/64 dev prv0 nodad`,
      'addr add 198.51.100.1/24 dev pub0',
      'link set prv0 up',
      'link set pub0 up',
    ]) {
      await edge.must(['ip', ...line.split(' ')]);
    }
    // So that its neighbour advertisements say that it is a router: some systemd drop what they learned otherwise.
    await edge.must(['sysctl', '-q', 'net.ipv6.conf.prv0.forwarding=1']);
    await edge.must(['v6edge', 'check']);
    await edge.must(['systemctl', 'start', 'v6edge']);
    await waitFor('readiness', async () => (await edge.exec(['v6edge', 'status'])).stdout.includes(': ready'), {
      timeoutMs: 30_000,
      why: () => edge.console,
    });
  });

  await t.test('a token that is wrong gets a refusal, and nothing runs', async (t) => {
    await plugIn(cp1, 'cp1');
    await addressed(cp1);
    const refused = await cp1.exec([
      'bash',
      '-o',
      'pipefail',
      '-c',
      `curl -fsSg 'http://[${edgeAddress}]:8654/join/${'A'.repeat(32)}' | bash -s`,
    ]);
    t.not(refused.code, 0);
    t.match(refused.stderr, /404|403/);
    t.equal(refused.stdout, '');
  });

  await t.test('the first control plane: one command from a machine as handed over to kubeadm init', async (t) => {
    const line = await command('--role', 'control-plane', '--name', 'cp1');
    const output = await script(cp1, line);
    t.match(output, /cp1\.cluster\.test is a control-plane of v6edge\n/);
    await settles('masters', ['cp1 up']);
    const again = await cp1.exec(['bash', '-o', 'pipefail', '-c', line]);
    t.not(again.code, 0, 'the token is used up');
  });

  await t.test('workers: kubeadm join by name, through the edge', async (t) => {
    for (const [name, box] of [
      ['w1', w1],
      ['w2', w2],
    ] as const) {
      await plugIn(box, name);
      await addressed(box);
      const output = await script(box, await command('--role', 'worker'));
      t.match(output, new RegExp(`${name}\\.cluster\\.test is a worker of v6edge\\n`));
    }
    await settles('workers', ['w1 up', 'w2 up']);
    t.match(await v6edge('node', 'list'), /cp1[\s\S]*w1[\s\S]*w2/);
  });

  await t.test(
    'address, DNS server and search domain by advertisement; the public interface keeps its route and loses its DNS',
    async (t) => {
      t.match(await w1.must(['resolvectl', 'dns', 'priv0']), new RegExp(`: ${edgeAddress}\\n`));
      t.match(await w1.must(['resolvectl', 'domain', 'priv0']), /: cluster\.test\n/);
      t.match(await w1.must(['resolvectl', 'dns', 'pub0']), /pub0\): *\n$/);
      t.match(await w1.must(['ip', '-6', 'route', 'show', 'default']), /^default via 2001:db8:1::1 dev pub0 [^\n]*\n$/);
      t.match(await w1.must(['getent', 'ahosts', 'cp1']), new RegExp(await addressOf(cp1)));
    },
  );

  await t.test('names, memberships and reverse names', async (t) => {
    for (const [name, box] of Object.entries(nodes)) {
      const address = await addressOf(box);
      t.strictSame(await dig(`${name}.cluster.test`, 'AAAA'), [address]);
      t.equal((await edge.must(['dig', '+short', `@${edgeAddress}`, '-x', address])).trim(), `${name}.cluster.test.`);
    }
    t.strictSame(await dig('_http._tcp.cluster.test', 'SRV'), [
      '0 100 80 w1.cluster.test.',
      '0 100 80 w2.cluster.test.',
    ]);
  });

  await t.test('traffic: both workers, and each knows the client', async (t) => {
    const seen = new Set<string>();
    for (let i = 0; i < 10; i++) seen.add(await ask());
    t.strictSame([...seen].sort(), ['w1: you are 198.51.100.100\n', 'w2: you are 198.51.100.100\n']);
  });

  await t.test('join.sh again: nothing to do, and nothing done', async (t) => {
    const bundle = '/var/lib/v6edge-node/bundle';
    const files = ['--env', `${bundle}/edge.env`, '--join', `${bundle}/join.env`];
    const output = await w1.must(['bash', `${bundle}/node-bootstrap/join.sh`, ...files], { timeoutMs: joinMs });
    t.match(output, /nothing to do/);
    t.notMatch(output, /changed: /);
  });

  await t.test('a worker that is shut down leaves the pool at once, its name stays; no request fails', async (t) => {
    const answers: Promise<string>[] = [];
    let stop = false;
    const load = (async () => {
      while (!stop) {
        answers.push(ask());
        await answers.at(-1);
      }
    })();
    try {
      await w1.powerOff();
      await settles('workers', ['w2 up'], 2000);
    } finally {
      stop = true;
      await load;
    }
    const all = await Promise.all(answers);
    t.ok(all.length > 0);
    t.strictSame(
      all.filter((each) => !/^w[12]: you are 198\.51\.100\.100\n$/.test(each)),
      [],
    );
    t.equal((await dig('w1.cluster.test', 'AAAA')).length, 1);
  });

  await t.test('one that loses its power leaves it by its check, and its name by its lease', async (t) => {
    const from = performance.now();
    await w2.powerCut();
    await settles('workers', ['w2 down'], 10_000);
    t.equal((await dig('w2.cluster.test', 'AAAA')).length, 1, 'the name is still there');
    await waitFor('the name to go', async () => (await dig('w2.cluster.test', 'AAAA')).length === 0, {
      timeoutMs: leaseMs + 60_000,
      everyMs: 1000,
    });
    t.ok(performance.now() - from > leaseMs / 2, 'not before its lease');
    t.strictSame(await dig('_http._tcp.cluster.test', 'SRV'), []);
    t.strictSame(await members('workers'), []);
  });

  await t.test('v6edge node remove: name, reverse name and key are gone', async (t) => {
    const address = await addressOf(cp1);
    await v6edge('node', 'remove', 'cp1');
    t.strictSame(await dig('cp1.cluster.test', 'AAAA'), []);
    t.equal((await edge.must(['dig', '+short', `@${edgeAddress}`, '-x', address])).trim(), '');
    const announce = await cp1.exec([
      '/usr/local/lib/v6edge-node/announce.sh',
      '--refresh',
      '--join',
      '/etc/v6edge-node/join.env',
    ]);
    t.not(announce.code, 0);
    t.match(announce.stderr, /BADKEY|NOTAUTH|REFUSED/);
  });
}
