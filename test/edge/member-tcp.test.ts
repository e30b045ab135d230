/** How connections to members fare (TCP_INFO), on a way that loses segments: in API and metrics, against the kernel's own count. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { mustExec, waitFor } from '../lab/process.ts';
import { inNamespace } from '../linux/netns.ts';
import { DaemonHome } from './daemon-process.ts';

interface Tcp {
  readonly samples: number;
  readonly segments: number;
  readonly retransmits: number;
  readonly lost: number;
}

const [clean, lossy, gone] = ['clean', 'lossy', 'gone'];
/** Of a listener and of the pool's only member, in this order. */
const ports: Readonly<Record<string, readonly [number, number]>> = {
  clean: [20_001, 20_011],
  lossy: [20_002, 20_012],
  gone: [20_003, 20_013],
};
/** Segments with data that the way to `lossy` loses, the first ones; that to `gone` loses all. */
const losses = 2;
/**
 * They are dropped as they arrive: of a drop on the way out the sender would know. A segment without data is 20 + 20 bytes and the
 * options of TCP, which are 40 at most. `limit` matches its burst, and the next a day later.
 */
const rules = `table ip loss {
  counter lossy { }
  chain arriving {
    type filter hook input priority filter
    tcp dport ${ports.lossy![1]} meta length > 80 limit rate 1/day burst ${losses} packets counter name lossy drop
    tcp dport ${ports.gone![1]} meta length > 80 drop
  }
}
`;

/** Segments that this namespace has sent again, of all its connections. */
function sentAgain(): number {
  const [names, values] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values![names!.indexOf('RetransSegs')]);
}

async function echoServer(t: Test, port: number): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).pipe(socket);
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/** Beyond what a segment without data could have. */
const request = Buffer.alloc(200, 'x');

async function tests(): Promise<void> {
  const home = new DaemonHome(t);
  const names = Object.keys(ports);
  const member = (name: string) => `{ name: m1, address: 127.0.0.1, port: ${ports[name]![1]} }`;
  home.configure(`proxy:
  listeners:
${names.map((name) => `    - { name: ${name}, bind: ["127.0.0.1:${ports[name]![0]}"], pool: ${name} }`).join('\n')}
  pools:
${names.map((name) => `    ${name}: { check: { type: none }, members: [${member(name)}] }`).join('\n')}`);
  for (const name of names) await echoServer(t, ports[name]![1]);
  await home.start();
  await mustExec(['nft', '-f', '-'], { input: rules });

  const fared = async (name: string): Promise<Tcp> =>
    (await home.json<{ members: { tcp: Tcp }[] }>(`/v1/pools/${name}`)).members[0]!.tcp;
  /** Once its one session is over. */
  const sampled = (name: string) =>
    waitFor(`the session of ${name} to be looked at`, async () => (await fared(name)).samples === 1);
  const echoed = async (t: Test, name: string): Promise<void> => {
    const client = connect(ports[name]![0], '127.0.0.1');
    client.end(request);
    let bytes = 0;
    for await (const chunk of client) bytes += (chunk as Buffer).length;
    t.equal(bytes, request.length, 'every byte came back');
    await sampled(name);
  };

  t.test('nothing is lost', async (t) => {
    await echoed(t, clean!);
    t.match(await fared(clean!), { retransmits: 0, lost: 0 });
    t.equal(sentAgain(), 0);
  });

  t.test('the first segments with data are lost, and sent again', async (t) => {
    await echoed(t, lossy!);
    const dropped = await mustExec(['nft', 'list', 'counter', 'ip', 'loss', 'lossy']);
    t.match(dropped, new RegExp(`packets ${losses} `));
    const tcp = await fared(lossy!);
    t.ok(tcp.retransmits >= losses, JSON.stringify(tcp));
    t.equal(tcp.retransmits, sentAgain(), 'as the kernel counted');
    t.equal(tcp.lost, 0, 'all had come by the end');
    t.ok(tcp.segments > tcp.retransmits);
  });

  t.test('a session that is ended while segments are lost', async (t) => {
    const before = sentAgain();
    const client = connect(ports.gone![0], '127.0.0.1').on('error', () => undefined);
    client.write(request);
    // The first may be a probe of the tail (RFC 8985), which takes nothing for lost; the second comes of a timeout.
    await waitFor('segments sent again', () => sentAgain() >= before + 2);
    const [session] = await home.json<{ id: string }[]>('/v1/sessions?pool=gone');
    t.equal((await home.api('DELETE', `/v1/sessions/${session!.id}`)).status, 200);
    await sampled(gone!);
    const tcp = await fared(gone!);
    t.equal(tcp.retransmits, sentAgain() - before);
    t.ok(tcp.lost >= 1, JSON.stringify(tcp));
    client.destroy();
  });

  t.test('the same in the metrics', async (t) => {
    const metrics = await home.metrics();
    for (const name of names) {
      const tcp = await fared(name);
      for (const each of ['samples', 'segments', 'retransmits', 'lost'] as const) {
        const metric = `v6edge_proxy_member_tcp_${each}_total{pool="${name}",member="m1"}`;
        t.equal(metrics.get(metric), tcp[each], metric);
      }
    }
  });
}

if (inNamespace(t, import.meta.filename)) await tests();
