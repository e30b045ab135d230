/** The shadow beside a real HAProxy and a real BIND 9. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { importConfigs } from '../../../src/edge/cli/import.ts';
import type { ShadowReport } from '../../../src/edge/shadow/report.ts';
import { startBind } from '../../dns/bind.ts';
import { query } from '../../dns/peers.ts';
import { freePort } from '../../free-port.ts';
import { exec, waitFor } from '../../lab/process.ts';
import { ipv6, pcap, udp } from './packets.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');
const zone = `$TTL 300
@ IN SOA ns admin 7 3600 900 604800 60
@ IN NS ns
ns IN AAAA fd00::53
m1 IN AAAA fd00::11
m1 IN TXT "a text"
m2 60 IN AAAA fd00::12
www IN CNAME m1
*.wild IN AAAA fd00::99
_kube-api._tcp IN SRV 0 5 6443 m1
`;

/** An HTTP server that says who it is, and from where it was asked. */
async function backend(t: Test, name: string): Promise<number> {
  const server = createServer((request, response) => response.end(`${name} ${request.socket.remoteAddress}\n`));
  const port = await freePort('::1');
  await new Promise<void>((resolve) => server.listen(port, '::1', resolve));
  t.teardown(() => server.close());
  return port;
}

async function haproxy(t: Test, folder: string, members: readonly number[], down: number): Promise<string> {
  const [port, dead] = [await freePort('::1'), await freePort('::1')];
  const servers = members.map((each, i) => ` server b${i} [::1]:${each} check inter 200ms`);
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `defaults
 mode tcp
 timeout connect 1s
 timeout client 5s
 timeout server 5s
frontend web
 bind [::1]:${port}
 default_backend web
backend web
 balance roundrobin
${servers.join('\n')}
frontend dead
 bind [::1]:${dead}
 default_backend dead
backend dead
 server none [::1]:${down} check inter 200ms
`,
  );
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'haproxy', '-db', '-f', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  await waitFor('HAProxy to know that nobody is there', () => /dead.*no server available/.test(said), {
    why: () => said,
  });
  return file;
}

t.test('the import is the same as what runs; what was changed since is told', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-shadow-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const before = readdirSync(tmpdir()).filter((name) => /^v6edge-shadow-[^t]/.test(name)).length;
  const bind = await startBind([], [{ name: 'old.test', file: zone, statements: '' }]);
  t.teardown(() => bind.stop());
  const members = [await backend(t, 'one'), await backend(t, 'two')];
  const file = await haproxy(t, folder, members, await freePort('::1'));
  const shadow = async (...words: string[]) => {
    const { code, stdout, stderr } = await exec([program, 'shadow', '--rate', '200', ...words], {
      env: { NODE_OPTIONS: '' },
      timeoutMs: 60_000,
    });
    return { code, stdout, stderr };
  };

  const same = await shadow('--haproxy', file, '--named', join(bind.dir, 'named.conf'));
  t.equal(same.code, 0, `${same.stdout}${same.stderr}`);
  t.match(same.stdout, /^\d\d questions and 16 connections: the same\n/);

  // As an operator who went on changing both.
  const out = join(folder, 'out');
  importConfigs({ haproxy: file, named: join(bind.dir, 'named.conf'), radvd: undefined, out });
  const zoneFile = join(out, 'zones/old.test.zone');
  writeFileSync(zoneFile, readFileSync(zoneFile, 'utf8').replace('fd00::12', 'fd00::13'));
  const config = join(out, 'v6edge.yaml');
  writeFileSync(config, readFileSync(config, 'utf8').replace(String(members[1]), String(await backend(t, 'three'))));
  const queries = join(folder, 'queries');
  writeFileSync(
    queries,
    'client @0x1 ::1#5 (m2.old.test): query: m2.old.test IN AAAA +E(0)K (::1)\nm1.old.test. TXT\nrubbish\n',
  );
  const other = await shadow('--config', config, '--queries', queries, '--json');
  t.equal(other.code, 1, other.stderr);
  const report = JSON.parse(other.stdout) as ShadowReport;
  t.equal(report.questions, 2);
  t.match(
    report.differences.filter(({ accepted }) => accepted === undefined),
    [
      {
        of: 'dns',
        what: 'm2.old.test AAAA',
        part: 'answer',
        old: 'm2.old.test AAAA fd00::12',
        ours: 'm2.old.test AAAA fd00::13',
      },
      {
        of: 'proxy',
        what: /^web \[::1\]:\d+$/,
        part: 'reply',
        old: /one ::1.*\| .*two ::1/,
        ours: /one ::1.*\| .*three ::1/,
      },
    ],
  );
  const capture = join(folder, 'capture');
  writeFileSync(capture, pcap(false, [ipv6(17, udp(query('m2.old.test')))]));
  const captured = JSON.parse(
    (await shadow('--config', config, '--queries', capture, '--json')).stdout,
  ) as ShadowReport;
  t.match(captured, { questions: 1, differences: [{ what: 'm2.old.test AAAA', part: 'answer' }] }, 'from a capture');
  const words = await shadow('--config', config, '--queries', queries);
  t.match(
    words.stdout,
    /2 differences\n\ndns m2\.old\.test AAAA: answer\n {2}old {5}m2\.old\.test AAAA fd00::12\n {2}v6edge {2}m2\.old/,
  );
  t.equal(readdirSync(tmpdir()).filter((name) => /^v6edge-shadow-[^t]/.test(name)).length, before, 'nothing is left');

  const wrong = await shadow();
  t.equal(wrong.code, 2);
  t.match(wrong.stderr, /give --haproxy, --named and --radvd, or --config/);
  const missing = await shadow('--config', '/none.yaml');
  t.equal(missing.code, 1);
  t.match(missing.stderr, /^v6edge: \/none\.yaml/);
});
