/** BIND 9 and Unbound as upstreams by HTTPS (RFC 8484). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { freePort } from '../../free-port.ts';
import { pems, start, upstream } from './https-upstream.ts';

interface Peer {
  readonly program: string;
  readonly ready: RegExp;
  args(dir: string, port: number): string[];
}

const zone = '@ 60 IN SOA ns host 1 3600 600 86400 60\n@ 60 IN NS ns\nns 60 IN AAAA ::1\na 60 IN AAAA 2001:db8::1\n';
const peers: Peer[] = [
  {
    program: 'named',
    ready: / running$/m,
    args: (dir, port) => {
      writeFileSync(join(dir, 'peer.db'), zone);
      const conf = `tls here { cert-file "${dir}/cert.pem"; key-file "${dir}/key.pem"; };
options { directory "${dir}"; pid-file none; session-keyfile none; lock-file none; recursion no;
  managed-keys-directory "${dir}"; listen-on port ${port} tls here http default { 127.0.0.1; }; listen-on-v6 { none; };
  dnssec-validation no; };
controls { };
zone "peer.test" { type primary; file "peer.db"; };`;
      writeFileSync(join(dir, 'named.conf'), conf);
      return ['-g', '-n', '1', '-c', join(dir, 'named.conf')];
    },
  },
  {
    program: 'unbound',
    ready: /start of service/,
    args: (dir, port) => {
      const conf = `server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  interface: 127.0.0.1@${port}
  https-port: ${port}
  tls-service-key: "${dir}/key.pem"
  tls-service-pem: "${dir}/cert.pem"
  local-zone: "peer.test." static
  local-data: "a.peer.test. 60 IN AAAA 2001:db8::1"
`;
      writeFileSync(join(dir, 'unbound.conf'), conf);
      return ['-d', '-c', join(dir, 'unbound.conf')];
    },
  },
];

for (const { program, ready, args } of peers) {
  t.test(`${program} answers`, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'v6edge-doh-'));
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    writeFileSync(join(dir, 'cert.pem'), pems.certificate);
    writeFileSync(join(dir, 'key.pem'), pems.key);
    const port = await freePort('127.0.0.1');
    const child = spawn(program, args(dir, port), { stdio: ['ignore', 'ignore', 'pipe'] });
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject).on('exit', (code) => reject(new Error(`${program} ended with ${code}:\n${log}`)));
      child.stderr.on('data', (data) => {
        log += data;
        if (ready.test(log)) resolve();
      });
    });
    const bench = await start(t, [upstream(port)]);
    t.match(await bench.ask('a.peer.test'), { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] });
    t.match(await bench.ask('b.peer.test'), { rcode: RCODE.NXDOMAIN });
    const many = await Promise.all(Array.from({ length: 200 }, (_, i) => bench.ask(`n${i}.peer.test`)));
    t.ok(
      many.every(({ rcode }) => rcode === RCODE.NXDOMAIN),
      'many at once',
    );
    t.match(bench.engine.upstreams(), [{ state: 'up', failures: 0 }]);
  });
}
