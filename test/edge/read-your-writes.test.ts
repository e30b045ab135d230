/**
 * Whoever was told of a change finds it in the next answer, at whatever data thread he asks: eight clients add names, by
 * one socket of theirs after the other, and ask by all the others before, and as soon as they have the reply. Sockets of one client come to
 * different threads (SO_REUSEPORT). Meanwhile the daemon is reloaded with other listeners, and a data thread fails.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/core/clock.ts';
import { makeKey } from '../../src/dns/keyfile.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import {
  encodeMessage,
  type Message,
  type ParsedMessage,
  parseMessage,
  type ResourceRecord,
} from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, OPCODE, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { LabProcess, waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, keyName, keySecret, logged } from './daemon-process.ts';
import { aaaa, DnsClient } from './dns-client.ts';

const zone = 'cluster.test';
const threads = 4;
const clients = 8;
/** Of each client: with four threads, one in 16,000 has all of them at one. */
const sockets = 8;
const key = makeKey(keyName, 'hmac-sha256', keySecret);

/** What clients change and look at, by whatever transport. */
interface Way {
  add(zone: string, records: readonly ResourceRecord[]): Promise<number | undefined>;
  query(name: string, type: number): Promise<ParsedMessage | undefined>;
  close(): void;
}

/** One connection, one message at a time. */
class TcpWay implements Way {
  readonly #socket: Socket;
  #id = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<TcpWay> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new TcpWay(socket);
  }

  async add(zone: string, records: readonly ResourceRecord[]): Promise<number | undefined> {
    return (await this.#ask(zone, TYPE.SOA, OPCODE.UPDATE, records)).rcode;
  }

  query(name: string, type: number) {
    return this.#ask(name, type, OPCODE.QUERY, []);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #ask(name: string, type: number, opcode: number, authority: readonly ResourceRecord[]) {
    const id = ++this.#id;
    const questions = [{ name: nameFromText(name), type, class: CLASS.IN }];
    const message: Message = { id, opcode, flags: 0, rcode: 0, questions, answers: [], authority, additional: [] };
    const plain = encodeMessage(message);
    const bytes = opcode === OPCODE.UPDATE ? signRequest(plain, key, systemClock) : plain;
    this.#socket.write(Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]));
    let got = Buffer.alloc(0);
    while (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) {
      const [more] = (await once(this.#socket, 'data')) as [Buffer];
      got = Buffer.concat([got, more]);
    }
    return parseMessage(got.subarray(2));
  }
}

const configuration = (port: number, more: readonly number[] = []) =>
  [
    'dns:',
    `  listen: [${[port, ...more].map((one) => `"127.0.0.1:${one}"`).join(', ')}]`,
    '  allow: ["127.0.0.0/8"]',
    '  rateLimit: { responsesPerSecond: 0 }',
    `  keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }`,
    `  zones: [{ name: ${zone}, ns: [edge.${zone}], update: [{ key: ${keyName}, match: zonesub }] }]`,
  ].join('\n');

interface Tally {
  acknowledged: number;
  answers: number;
  /** Answers from before the change. */
  readonly stale: string[];
}

/** Looks, adds and looks, again and again: what is not acknowledged or not answered says nothing. */
async function work(client: number, ways: readonly Way[], done: () => boolean, tally: Tally): Promise<void> {
  for (let i = 1; !done(); i++) {
    const name = `c${client}-${i}.${zone}`;
    const by = ways[i % ways.length]!;
    const others = ways.filter((way) => way !== by);
    // That there is no such name is then cached.
    await Promise.all(others.map((way) => way.query(name, TYPE.AAAA)));
    if ((await by.add(zone, [aaaa(name, 'fd00::1')])) !== RCODE.NOERROR) continue;
    tally.acknowledged++;
    for (const [at, reply] of (await Promise.all(others.map((way) => way.query(name, TYPE.AAAA)))).entries()) {
      if (reply === undefined) continue;
      tally.answers++;
      if (reply.answers.length !== 1) tally.stale.push(`${name}, socket ${at}: rcode ${reply.rcode}`);
    }
  }
}

async function start(t: Test, port: number, env: Record<string, string> = {}) {
  const home = new DaemonHome(t);
  home.configure(configuration(port), threads);
  return { home, daemon: await home.start({ env }) };
}

function udpWays(t: Test, port: number): DnsClient[] {
  const ways = Array.from({ length: sockets }, () => new DnsClient(port));
  t.teardown(() => {
    for (const way of ways) way.close();
  });
  return ways;
}

t.test('by UDP and TCP', async (t) => {
  const port = await freePort();
  const { home } = await start(t, port);
  const tally: Tally = { acknowledged: 0, answers: 0, stale: [] };
  const done = () => tally.acknowledged >= 1_500;
  const tcp = await Promise.all(Array.from({ length: clients }, () => TcpWay.open(port)));
  t.teardown(() => {
    for (const way of tcp) way.close();
  });
  await Promise.all(tcp.map((way, client) => work(client, [...udpWays(t, port), way], done, tally)));
  t.strictSame(tally.stale.slice(0, 5), []);
  t.ok(tally.answers >= 8 * 1_500, `${tally.answers} answers to ${tally.acknowledged} changes`);
  const metrics = await home.metrics();
  const handed = metrics.get('v6edge_dns_handoffs_total')!;
  t.ok(handed >= tally.acknowledged);
  t.equal(metrics.get('v6edge_dns_answers_total{source="handoff"}'), handed, 'each reply is counted once');
});

t.test('while listeners come and go', async (t) => {
  const port = await freePort();
  const other = await freePort();
  const { home, daemon } = await start(t, port);
  const tally: Tally = { acknowledged: 0, answers: 0, stale: [] };
  let reloads = 0;
  let ended = false;
  const workers = Array.from({ length: clients }, (_, client) => {
    // Every second socket asks at the listener that comes and goes: without an answer for a while, then again.
    const away = udpWays(t, other);
    const ways: Way[] = udpWays(t, port).map((way, i) => (i % 2 === 0 ? way : brief(away[i]!)));
    return work(client, ways, () => ended, tally);
  });
  for (; reloads < 6; reloads++) {
    home.configure(configuration(port, reloads % 2 === 0 ? [other] : []), threads);
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
    const wanted = tally.acknowledged + 30;
    await waitFor('changes', () => tally.acknowledged >= wanted, { everyMs: 5 });
  }
  ended = true;
  await Promise.all(workers);
  t.strictSame(tally.stale.slice(0, 5), []);
  t.strictSame(logged(daemon, /throws|failed/), []);
});

t.test('while a data thread fails and another takes its place', async (t) => {
  const port = await freePort();
  const { home, daemon } = await start(t, port, {
    NODE_OPTIONS: `--import=${join(import.meta.dirname, 'fault.ts')}`,
  });
  const tally: Tally = { acknowledged: 0, answers: 0, stale: [] };
  let ended = false;
  const workers = Array.from({ length: clients }, (_, client) =>
    work(client, udpWays(t, port).map(brief), () => ended, tally),
  );
  for (let i = 1; i <= 3; i++) {
    const wanted = tally.acknowledged + 30;
    await waitFor('changes', () => tally.acknowledged >= wanted, { everyMs: 5 });
    daemon.kill('SIGWINCH');
    await waitFor('a restart', async () => (await home.metrics()).get('v6edge_thread_restarts_total') === i);
    await waitFor('all threads', () => home.isReady());
  }
  ended = true;
  await Promise.all(workers);
  t.strictSame(tally.stale.slice(0, 5), []);
  t.equal(logged(daemon, /^data thread throws/).length, 3);
});

t.test('a change by the admin API is in the next answers', async (t) => {
  const port = await freePort();
  const { home } = await start(t, port);
  const ways = udpWays(t, port);
  for (let i = 1; i <= 50; i++) {
    const path = `/v1/zones/${zone}/records/api.${zone}/AAAA`;
    const { status } = await home.api('PUT', path, {}, { ttl: 60, data: [`fd00::${i.toString(16)}`] });
    t.equal(status < 300, true, `PUT: ${status}`);
    const replies = await Promise.all(ways.map((way) => way.query(`api.${zone}`, TYPE.AAAA)));
    const found = replies.map((reply) => Buffer.from(reply!.answers[0]!.rdata).readUInt16BE(14));
    t.strictSame(
      found,
      ways.map(() => i),
    );
  }
});

t.test('the reply leaves from the address that was asked', async (t) => {
  const port = await freePort();
  const home = new DaemonHome(t);
  home.configure(configuration(port).replace(`127.0.0.1:${port}`, `0.0.0.0:${port}`), 2);
  await home.start();
  for (const address of ['127.0.0.1', '127.0.0.7']) {
    // nsupdate takes replies from nowhere else.
    const text = [`server ${address} ${port}`, `zone ${zone}`, `update add a.${zone} 60 AAAA fd00::1`, 'send', ''].join(
      '\n',
    );
    const signed = ['-y', `hmac-sha256:${keyName}:${keySecret}`];
    const client = new LabProcess('nsupdate', ['nsupdate', '-t', '2', '-r', '0', ...signed], { input: text });
    t.equal((await client.exited).code, 0, client.output);
  }
});

/** A way that does not wait long for an answer. */
function brief(client: DnsClient): Way {
  return {
    add: (zone, records) => client.add(zone, records, 100),
    query: (name, type) => client.query(name, type, 100),
    close: () => client.close(),
  };
}
