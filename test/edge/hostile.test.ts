/** Hostile clients against the whole daemon: it lives, answers, counts each kind, and keeps nothing of them. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { type LabProcess, waitFor } from '../lab/process.ts';
import { DaemonHome, descriptors, freePort, residentMiB } from './daemon-process.ts';
import { DnsClient } from './dns-client.ts';

const seed = 20_261_123;
const connections = 150;

/** n1.cluster.test. AAAA, RD, EDNS. */
const query = Buffer.from(
  '1234 0100 0001 0000 0000 0001 02 6e31 07 636c7573746572 04 74657374 00 001c 0001 00 0029 04d0 00000000 0000'.replaceAll(
    ' ',
    '',
  ),
  'hex',
);

type Noise = (random: SeededRandom) => Buffer;

const noises: readonly [kind: string, make: Noise, counter: RegExp][] = [
  ['random bytes', (random) => random.fill(Buffer.alloc(12 + random.below(600))), /^v6edge_dns_malformed_total/],
  ['less than a header', (random) => query.subarray(0, random.below(12)), /malformed_total\{reason="short"/],
  ['cut after the header', (random) => query.subarray(0, 12 + random.below(17)), /^v6edge_dns_malformed_total/],
  ['responses', () => withWord(2, 0x8180), /malformed_total\{reason="response"/],
  [
    'counts that lie',
    (random) => withWord(4 + 2 * random.below(4), 1000 + random.below(60_000)),
    /^v6edge_dns_malformed_total/,
  ],
  ['a name that points at itself', () => withWord(12, 0xc00c), /malformed_total\{reason="name"/],
  ['longer than any query', (random) => random.fill(Buffer.alloc(9000)), /malformed_total\{reason="too_long"/],
  ['unknown opcodes', (random) => withWord(2, (6 + random.below(10)) << 11), /responses_total\{rcode="NOTIMP"/],
  ['updates without a signature', () => withWord(2, 5 << 11), /responses_total\{rcode="(FORMERR|REFUSED|NOTAUTH)"/],
];

/** The query with one 16-bit word changed. */
function withWord(at: number, value: number): Buffer {
  const message = Buffer.from(query);
  message.writeUInt16BE(value, at);
  return message;
}

/** What TCP clients do once they are connected. */
const manners: readonly ((send: (bytes: Buffer) => void, end: () => void, reset: () => void, noise: Buffer) => void)[] =
  [
    () => undefined,
    (_send, _end, reset) => reset(),
    (send, end, _reset, noise) => {
      send(noise);
      end();
    },
    (send, _end, reset, noise) => {
      send(Buffer.concat([Buffer.of(0xff, 0xff), noise]));
      reset();
    },
    (send, _end, _reset, noise) => send(Buffer.concat([Buffer.of(noise.length >> 8, noise.length & 255), noise])),
    (_send, end) => end(),
  ];

/** Connects many times, each time with other manners; resolves when all are closed, by the daemon or after `holdMs` by us. */
async function crowd(random: SeededRandom, port: number, holdMs: number): Promise<void> {
  const all = Array.from({ length: connections }, (_, i) => {
    const noise = noises[random.below(noises.length)]![1](random);
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.on('connect', () => {
      manners[i % manners.length]!(
        (bytes) => socket.write(bytes),
        () => socket.end(),
        () => socket.resetAndDestroy(),
        noise,
      );
      setTimeout(() => socket.destroy(), holdMs);
    });
    // Not `once` of node:events, which rejects on the errors that are meant to come.
    return new Promise((resolve) => socket.once('close', resolve));
  });
  await Promise.all(all);
}

interface Target {
  readonly home: DaemonHome;
  readonly daemon: LabProcess;
  readonly dns: number;
  readonly proxy: number;
  readonly dead: number;
}

async function start(t: Test): Promise<Target> {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const [dns, proxy, dead] = [await freePort(), await freePort(), await freePort()];
  const nobody = await freePort();
  const home = new DaemonHome(t);
  const member = (name: string, at: number) =>
    `${name}: { retries: 1, check: { type: none }, members: [{ name: m, address: 127.0.0.1, port: ${at} }] }`;
  home.configure(
    [
      'proxy:',
      '  listeners:',
      `    - { name: echo, bind: ["127.0.0.1:${proxy}"], pool: p, log: false }`,
      `    - { name: dead, bind: ["127.0.0.1:${dead}"], pool: none, log: false }`,
      `  pools: { ${member('p', port)}, ${member('none', nobody)} }`,
      'dns:',
      `  listen: ["127.0.0.1:${dns}"]`,
      '  allow: ["127.0.0.0/8"]',
      '  rateLimit: { responsesPerSecond: 0 }',
      '  zones: [{ name: cluster.test, ns: [edge.cluster.test] }]',
    ].join('\n'),
  );
  return { home, daemon: await home.start(), dns, proxy, dead };
}

/** How much all counters that match have grown. */
function growth(before: Map<string, number>, after: Map<string, number>, pattern: RegExp): number {
  let sum = 0;
  for (const [name, value] of after) if (pattern.test(name)) sum += value - (before.get(name) ?? 0);
  return sum;
}

t.test(`hostile input, seed ${seed}`, async (t) => {
  const random = new SeededRandom(seed);
  const { home, daemon, dns, proxy, dead } = await start(t);
  const client = new DnsClient(dns);
  t.teardown(() => client.close());
  const socket = createSocket('udp4').on('message', () => undefined);
  t.teardown(() => socket.close());
  const send = (bytes: Buffer) => new Promise((resolve) => socket.send(bytes, dns, '127.0.0.1', resolve));

  /** The daemon is there and right, whatever was sent to it. */
  const serves = async (t: Test): Promise<void> => {
    t.equal(daemon.result, undefined, daemon.output);
    t.equal((await client.query('cluster.test', TYPE.SOA))?.answers.length, 1, 'answers');
    const one = connect(proxy, '127.0.0.1');
    one.write('ping');
    t.equal(String((await once(one, 'data'))[0]), 'ping', 'relays');
    one.destroy();
    t.ok(await home.isReady());
    t.equal((await home.metrics()).get('v6edge_thread_restarts_total'), 0);
  };
  await serves(t);

  for (const [kind, make, counter] of noises) {
    await t.test(`datagrams: ${kind}`, async (t) => {
      const before = await home.metrics();
      for (let i = 0; i < 200; i++) await send(make(random));
      await waitFor(`${counter.source} growing`, async () => growth(before, await home.metrics(), counter) > 0);
      const queries = /^v6edge_dns_queries_total\{transport="udp"/;
      await waitFor('most of 200 received', async () => growth(before, await home.metrics(), queries) > 150);
      await serves(t);
    });
  }

  const idle = { descriptors: descriptors(daemon.pid), memory: residentMiB(daemon.pid) };
  const crowds: [name: string, port: number, counter: RegExp][] = [
    ['DNS over TCP', dns, /^v6edge_dns_tcp_accepted_total/],
    ['the proxy', proxy, /^v6edge_proxy_silent_clients_total\{listener="echo"/],
    [
      'a proxy listener without a living member',
      dead,
      /sessions_ended_total\{listener="dead",cause="(connect_failed|client_aborted)"/,
    ],
  ];
  for (const [name, port, counter] of crowds) {
    await t.test(`connections that are silent, half done, reset or garbage: ${name}`, async (t) => {
      const before = await home.metrics();
      for (let round = 0; round < 3; round++) await crowd(random, port, 200);
      await waitFor(`${counter.source} growing`, async () => growth(before, await home.metrics(), counter) > 0);
      await serves(t);
    });
  }

  await waitFor('descriptors as before', () => descriptors(daemon.pid) <= idle.descriptors, {
    why: () => `${descriptors(daemon.pid)}, before ${idle.descriptors}`,
  });
  const metrics = await home.metrics();
  t.equal(metrics.get('v6edge_proxy_sessions'), 0);
  t.equal(metrics.get('v6edge_dns_tcp_connections'), 0);
  const grown = residentMiB(daemon.pid) - idle.memory;
  t.ok(grown < 40, `memory grew by ${grown.toFixed(1)} MiB, heap that is collected later included`);
  daemon.kill('SIGTERM');
  t.equal((await daemon.exited).code, 0);
});
