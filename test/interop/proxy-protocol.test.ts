/** Our PROXY headers before other programs' eyes: HAProxy as the receiver, tshark's dissector, nginx. */
import t from 'tap';
import { unconfined } from '../lab/peers/peers.ts';
import { client4, client6, edgePublic4, edgePublic6, ports } from '../lab/plan.ts';
import { waitFor } from '../lab/process.ts';
import { Capture, interopStage } from './stage.ts';

if (process.getuid?.() !== 0) t.plan(0, 'network namespaces need root');
else {
  const { lab } = await interopStage();
  t.teardown(() => lab.close());
  const client = lab.node('client');

  // What it saw is its answer. It closes connections whose header is missing or wrong.
  const receiver = (port: number) => `
frontend judge${port}
  bind :::${port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
`;
  const config = `global
  log stderr format raw local0
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
${receiver(ports.judgeV1)}${receiver(ports.judgeV2)}`;
  const capture = await Capture.start(
    lab,
    lab.node('worker1'),
    'prv0',
    `tcp port ${ports.judgeV1} or tcp port ${ports.judgeV2}`,
  );
  const path = lab.file('worker1/haproxy.cfg', config);
  const haproxy = lab.node('worker1').spawn([unconfined(lab, 'haproxy'), '-db', '-f', path]);

  /** Asks until the edge has found the receiver up; `%{local_port}` is curl's own. */
  const ask = (host: string, port: number) =>
    waitFor(
      'HAProxy behind the edge',
      async () => {
        const argv = ['curl', '-sSg', '-m5', '-w', ' %{local_port}', `http://${host}:${port}/`];
        const result = await client.exec(argv);
        return result.code === 0 && result.stdout.split(' ');
      },
      { timeoutMs: 15_000, why: () => haproxy.output },
    );

  for (const [version, port] of [
    ['v1', ports.judgeV1],
    ['v2', ports.judgeV2],
  ] as const) {
    for (const [family, host, source, destination] of [
      ['IPv4', edgePublic4, client4, edgePublic4],
      ['IPv6', `[${edgePublic6}]`, client6, edgePublic6],
    ] as const) {
      t.test(`HAProxy takes a ${version} header of an ${family} client`, async (t) => {
        const [src, srcPort, dst, dstPort, localPort] = await ask(host, port);
        t.equal(src, source);
        t.equal(dst, destination);
        t.equal(Number(dstPort), port);
        t.equal(srcPort, localPort, "the client's own port");
      });
    }
  }

  t.test('tshark dissects every header, and HAProxy complained of none', async (t) => {
    await capture.stop();
    const as = ['-o', 'tcp.try_heuristic_first:TRUE'];
    // Health checks send "PROXY UNKNOWN\r\n": §2.1 of the specification allows the short form, tshark 4.0 wants addresses.
    const shortUnknown = Buffer.from('PROXY UNKNOWN\r\n')
      .toString('hex')
      .replaceAll(/..(?!$)/g, '$&:');
    t.strictSame(await capture.complaints(`proxy && !(tcp.payload == ${shortUnknown})`, as), []);
    const v1 = await capture.fields('proxy.v1.magic', ['proxy.src.ipv4', 'proxy.src.ipv6'], as);
    const v2 = await capture.fields('proxy.v2.cmd == 1', ['proxy.src.ipv4', 'proxy.src.ipv6'], as);
    for (const rows of [v1, v2]) {
      const sources = new Set(rows.flat().filter(Boolean));
      t.ok(sources.has(client4) && sources.has(client6), [...sources].join(' '));
      for (const source of sources) t.notMatch(source, /^::ffff:/, 'no IPv4-mapped address');
    }
    t.equal(haproxy.result, undefined, 'HAProxy runs');
    t.notMatch(haproxy.stderr, /PROXYC|Received something which does not look like a PROXY/i);
  });
}
