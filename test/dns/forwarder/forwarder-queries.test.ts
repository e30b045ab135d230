import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { COUNT } from '../../../src/dns/counters.ts';
import { parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { FLAG, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { aaaa, askedName, Bench, FakeUpstream, frame, query, readFrames, reply, type Seen, txt } from '../peers.ts';
import { good, nsOf, silent } from './upstream-replies.ts';

const edns = { udpSize: 1232 };

t.test('truncated: again by TCP, whole to a client that can take it', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message, transport }) =>
    transport === 'udp'
      ? reply(message, { flags: FLAG.QR | FLAG.TC | FLAG.RA })
      : reply(message, { answers: [txt(askedName(message), 900)] }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const whole = await bench.ask('a.test', { type: TYPE.TXT, edns });
  t.equal(whole.answers[0]!.rdata.length, 904);
  t.equal(whole.flags & FLAG.TC, 0);
  const small = await bench.ask('a.test', { type: TYPE.TXT });
  t.equal(small.flags & FLAG.TC, FLAG.TC, '512 octets without EDNS');
  t.strictSame(
    upstream.seen.map(({ transport }) => transport),
    ['udp', 'tcp'],
    'cached, and never the truncated one',
  );
});

t.test('an upstream without EDNS gets plain queries', async (t) => {
  const upstream = await FakeUpstream.start(t, (seen) =>
    seen.message.edns === undefined
      ? good(seen)
      : reply(seen.message, { rcode: RCODE.FORMERR }).subarray(0, 12).fill(0, 4),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.match(await bench.ask('a.test', { edns }), { rcode: RCODE.NOERROR, edns: { udpSize: 1232 } });
  await bench.ask('b.test');
  t.strictSame(
    upstream.seen.map(({ message }) => message.edns !== undefined),
    [true, false, false],
  );
});

t.test("what is sent: RD, AD, our own OPT; never CD of our own, nor the client's options", async (t) => {
  const upstream = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  await bench.ask('A.test', { edns: { udpSize: 4096 } });
  const { message } = upstream.seen[0]!;
  t.equal(message.flags, FLAG.RD | FLAG.AD);
  t.match(message.edns, { udpSize: 1232, do: false, version: 0, options: [{ code: 10 }] });
});

t.test('identical questions in flight are one, each client gets its own', async (t) => {
  let release = () => {};
  const held: Seen[] = [];
  const upstream = await FakeUpstream.start(t, (seen) => {
    held.push(seen);
    release();
    return undefined;
  });
  const arrived = new Promise<void>((resolve) => {
    release = resolve;
  });
  const bench = await Bench.start(t, { upstreams: [upstream.config], forward: { timeoutMs: 3000 } });
  const asked = [1, 2, 3].map((id) => bench.exchange(query(id === 2 ? 'A.TEST' : 'a.test', { id })));
  await arrived;
  while (bench.counters.get(COUNT.UDP) < 3) await new Promise((resolve) => setImmediate(resolve));
  upstream.behaviour = good;
  // The next try is answered.
  const answers = (await Promise.all(asked)).map((bytes) => parseMessage(bytes));
  t.strictSame(answers.map(({ id }) => id).sort(), [1, 2, 3]);
  t.ok(answers.every(({ rcode }) => rcode === RCODE.NOERROR));
  t.equal(held.length, 1);
});

t.test('ports and ids differ from query to query', async (t) => {
  const upstream = await FakeUpstream.start(t, good);
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  for (let i = 0; i < 200; i++) await bench.ask(`n${i}.test`);
  const ports = new Set(upstream.seen.map(({ port }) => port));
  const ids = new Set(upstream.seen.map(({ message }) => message.id));
  t.ok(ports.size >= 8, `${ports.size} ports`);
  t.ok(ids.size > 190, `${ids.size} ids`);
});

t.test('an upstream by TCP alone: one connection, more when there is much to ask', async (t) => {
  const upstream = await FakeUpstream.start(t, good);
  const config = { ...upstream.config, transport: 'tcp' as const };
  const bench = await Bench.start(t, { upstreams: [config], forward: { timeoutMs: 5000 } });
  for (const name of ['a.test', 'b.test']) t.match(await bench.ask(name), { rcode: RCODE.NOERROR, answers: [{}] });
  t.match(bench.engine.upstreams(), [{ name: `tcp://127.0.0.1:${config.endpoint.port}`, transport: 'tcp' }]);
  t.equal(new Set(upstream.seen.map(({ port }) => port)).size, 1);
  upstream.behaviour = silent;
  for (let i = 0; i < 200; i++) bench.send(query(`n${i}.test`));
  while (upstream.seen.length < 202) await new Promise((resolve) => setImmediate(resolve));
  t.ok(
    upstream.seen.every(({ transport }) => transport === 'tcp'),
    'never by UDP',
  );
  t.equal(new Set(upstream.seen.map(({ port }) => port)).size, 4, 'for 200 at once four connections');
});

t.test('what nobody asked for is left out of an answer (RFC 5452 §6)', async (t) => {
  const other = aaaa('bank.example', 66);
  const ns = nsOf('example', 'evil.test');
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, {
      answers: [aaaa(askedName(message), 1), other],
      authority: [ns],
      additional: [aaaa('evil.test', 6)],
    }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  for (const round of ['asked', 'cached']) {
    const answer = await bench.ask('a.test');
    t.match(answer, { answers: [{ name: nameFromText('a.test') }], authority: [], additional: [] }, round);
    t.equal(answer.answers.length, 1);
  }
  t.equal(bench.counters.get(COUNT.UPSTREAM_STRAY), 1);
  upstream.behaviour = ({ message }) => reply(message, { answers: [other] });
  t.equal((await bench.ask('b.test')).rcode, RCODE.SERVFAIL, 'nothing but strays is no answer');
});

t.test('by TLS, with the name in the certificate checked', async (t) => {
  const dir = t.testdir();
  const [key, cert] = [`${dir}/key.pem`, `${dir}/cert.pem`];
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=dns.example', '-addext', 'subjectAltName=DNS:dns.example'];
  execFileSync('openssl', ['req', ...options, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const before = tls.getCACertificates();
  tls.setDefaultCACertificates([...before, readFileSync(cert, 'utf8')]);
  t.teardown(() => tls.setDefaultCACertificates(before));
  const names2: string[] = [];
  let connections = 0;
  const server = tls.createServer(
    { key: readFileSync(key), cert: readFileSync(cert), ALPNProtocols: ['dot'] },
    (socket) => {
      connections++;
      names2.push(String(socket.alpnProtocol));
      socket.on('error', () => {});
      readFrames(socket, (bytes) => {
        const out = frame(good({ message: parseMessage(bytes), bytes, transport: 'tcp', port: 0 }));
        // Split in the middle of its length.
        socket.write(out.subarray(0, 1));
        socket.write(out.subarray(1));
      });
    },
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const upstream = (serverName: string): UpstreamConfig => ({
    transport: 'tls',
    endpoint: { kind: 'inet', address: parseAddress('127.0.0.1'), port },
    serverName,
  });
  const bench = await Bench.start(t, { upstreams: [upstream('dns.example')], forward: { timeoutMs: 3000 } });
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR });
  t.match(await bench.ask('b.test'), { rcode: RCODE.NOERROR });
  t.equal(connections, 1, 'one connection for both');
  t.strictSame(names2, ['dot']);
  t.match(bench.engine.upstreams(), [{ name: `tls://127.0.0.1:${port}#dns.example`, transport: 'tls' }]);
  const wrong = await Bench.start(t, { upstreams: [upstream('other.example')], forward: { timeoutMs: 1000 } });
  t.equal((await wrong.ask('a.test')).rcode, RCODE.SERVFAIL, 'another name is not believed');
  t.match(
    wrong.engine.upstreams(),
    [{ state: 'down', reason: /does not match certificate's altnames/ }],
    'and it is said',
  );
  bench.engine.close();
  wrong.engine.close();
  server.close();
  await once(server, 'close');
});
