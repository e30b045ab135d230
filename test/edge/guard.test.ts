/** A pool that sends PROXY headers to members that cannot read them, as one with kube-apiserver: what the operator is told. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import t, { type Test } from 'tap';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';

async function tlsMember(t: Test): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-guard-'));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem'];
  execFileSync('openssl', ['req', '-x509', ...key, '-out', 'cert.pem', '-subj', '/CN=api', '-days', '2'], {
    cwd: folder,
    stdio: 'ignore',
  });
  const [keyPem, cert] = ['key.pem', 'cert.pem'].map((file) => readFileSync(join(folder, file)));
  rmSync(folder, { recursive: true });
  const server = createServer({ key: keyPem!, cert: cert! }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  );
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A TLS client's fate. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve(text));
  });
}

t.test('as check result, log line, event and status; by live traffic where nothing is checked', async (t) => {
  const home = new DaemonHome(t);
  const [member, checked, unchecked, right] = [
    await tlsMember(t),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const pool = (more: string) => `{ ${more}, members: [{ name: m1, address: 127.0.0.1, port: ${member} }] }`;
  const front = (name: string, port: number) => `{ name: ${name}, bind: ["127.0.0.1:${port}"], pool: ${name} }`;
  home.configure(
    [
      'proxy:',
      `  listeners: [${front('checked', checked)}, ${front('unchecked', unchecked)}, ${front('right', right)}]`,
      '  pools:',
      `    checked: ${pool('proxyProtocol: v2, check: { type: tcp }')}`,
      `    unchecked: ${pool('proxyProtocol: v2, check: { type: none }')}`,
      `    right: ${pool('check: { type: tcp }')}`,
    ].join('\n'),
  );
  const daemon = await home.start();
  const words = /the PROXY header: it cannot read PROXY protocol .*set proxyProtocol: none$/;
  await waitFor('the check', () => logged(daemon, /member is down/).length > 0);
  t.match(logged(daemon, /member is down/), [{ pool: 'checked', member: 'm1', reason: words, code: 'L6RSP' }]);
  t.match(logged(daemon, /refuses the PROXY header/), [{ pool: 'checked', level: 'warn', reason: words }]);

  t.equal(await ask(right), 'hello', 'without a header it is served');
  t.not(await ask(unchecked), 'hello');
  await waitFor('live traffic to tell', () => logged(daemon, /refuses the PROXY header/).length === 2);
  t.match(logged(daemon, /refuses the PROXY header/)[1], { pool: 'unchecked', member: 'm1', reason: words });
  type Pool = { name: string; up: number; members: { warning?: string }[] };
  const pools = await home.json<Pool[]>('/v1/pools');
  t.match(
    pools.map(({ name, up, members }) => [name, up, members[0]!.warning]),
    [
      ['checked', 0, words],
      ['unchecked', 1, words],
      ['right', 1, undefined],
    ],
  );
});
