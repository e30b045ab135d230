/** The Debian package: built twice to the same bytes, complete, and at work when unpacked, on nothing but what is in it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { TYPE } from '../../src/dns/wire/types.ts';
import { DaemonHome, freePort } from '../edge/daemon-process.ts';
import { DnsClient } from '../edge/dns-client.ts';
import { describe, exec } from '../lab/process.ts';

const root = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
/** xz at its fastest packs worse than a published package is packed: the limit is the stricter for it. */
const quick = ['--level', '0'];
const maxMegabytes = 45;
const folder = mkdtempSync(join(tmpdir(), 'v6edge-deb-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const deb = join(folder, 'one', `v6edge_${version}_${architecture}.deb`);
const unpacked = join(folder, 'unpacked');

async function must(argv: readonly string[], timeoutMs = 60_000): Promise<string> {
  const result = await exec(argv, { timeoutMs, env: { NODE_OPTIONS: '' } });
  if (result.code !== 0) throw new Error(describe(result));
  return result.stdout;
}

t.test('two builds are equal, byte for byte, and small enough', { timeout: 400_000 }, async (t) => {
  const program = [process.execPath, join(root, 'scripts/package.ts'), ...quick];
  const build = (name: string) => must([...program, '--out', join(folder, name)], 350_000);
  await Promise.all([build('one'), build('two')]);
  const digest = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name, `v6edge_${version}_${architecture}.deb`)))
      .digest('hex');
  t.equal(digest('one'), digest('two'));
  t.ok(statSync(deb).size < maxMegabytes * 1e6, `${statSync(deb).size} bytes`);
});

t.test('it says what it is, and what it needs is in every Debian and Ubuntu', async (t) => {
  const fields = await must(['dpkg-deb', '-f', deb]);
  t.match(fields, new RegExp(`^Package: v6edge\nVersion: ${version}\nArchitecture: ${architecture}\n`));
  t.match(fields, /\nDepends: libc6 \(>= [^)]*\), libstdc\+\+6 \(>= [^)]*\), libgcc-s1\n/);
  t.match(await must(['dpkg-deb', '-I', deb, 'conffiles']), /^\/etc\/v6edge\/v6edge\.yaml\n$/);
});

t.test('it has everything, owned by root, writable by nobody else', async (t) => {
  const lines = (await must(['dpkg-deb', '-c', deb])).trim().split('\n');
  const listing = new Map(lines.map((line) => [line.split(/ \.\//)[1]!, line] as const));
  const wanted: readonly (readonly [path: string, mode: string])[] = [
    ['etc/v6edge/v6edge.yaml', '-rw-r--r--'],
    ['etc/v6edge/keys/', 'drwxr-xr-x'],
    ['usr/bin/v6edge -> ../lib/v6edge/bin/v6edge', 'lrwxrwxrwx'],
    ['usr/lib/v6edge/bin/node', '-rwxr-xr-x'],
    ['usr/lib/v6edge/bin/v6edge', '-rwxr-xr-x'],
    ['usr/lib/v6edge/app/main.js', '-rw-r--r--'],
    ['usr/lib/v6edge/app/worker.js', '-rw-r--r--'],
    ['usr/lib/v6edge/node-bootstrap/join.sh', '-rw-r--r--'],
    ['usr/lib/systemd/system/v6edge.service', '-rw-r--r--'],
    ['usr/lib/systemd/system/v6edge.socket', '-rw-r--r--'],
    ['usr/lib/sysusers.d/v6edge.conf', '-rw-r--r--'],
    ['usr/lib/tmpfiles.d/v6edge.conf', '-rw-r--r--'],
    ['usr/share/man/man1/v6edge.1.gz', '-rw-r--r--'],
    ['usr/share/man/man5/v6edge.yaml.5.gz', '-rw-r--r--'],
    ['usr/share/bash-completion/completions/v6edge', '-rw-r--r--'],
    ['usr/share/zsh/vendor-completions/_v6edge', '-rw-r--r--'],
    ['usr/share/doc/v6edge/copyright', '-rw-r--r--'],
    ['usr/share/doc/v6edge/changelog.gz', '-rw-r--r--'],
    ['usr/share/doc/v6edge/README.md', '-rw-r--r--'],
    ['usr/share/doc/v6edge/docs/troubleshooting.md', '-rw-r--r--'],
    ['usr/share/doc/v6edge/examples/reference.yaml', '-rw-r--r--'],
    ['usr/share/doc/v6edge/examples/monitoring/v6edge-alerts.yaml', '-rw-r--r--'],
  ];
  for (const [path, mode] of wanted) t.equal(listing.get(path)?.slice(0, 10), mode, path);
  for (const line of lines) {
    t.match(line, / root\/root /);
    t.notMatch(line.slice(0, 10), /^[-d]....w|^[-d].......w/);
  }
});

t.test('its scripts pass shellcheck, its unit systemd', async (t) => {
  const scripts = ['postinst', 'prerm', 'postrm', 'v6edge.sh'].map((name) => join(root, 'packaging', name));
  await must(['shellcheck', ...scripts]);
  mkdirSync(unpacked);
  await must(['dpkg-deb', '-x', deb, unpacked]);
  const unit = '/usr/lib/systemd/system/v6edge.service';
  const verified = await exec(['systemd-analyze', 'verify', '--man=no', `--root=${unpacked}`, unit]);
  // It finds no other unit of a whole system below this root; what it says of ours counts.
  t.notMatch(`${verified.stdout}${verified.stderr}`, /v6edge\.service:\d+:|Unknown (?:key|lvalue|section)/);
});

t.test('manual pages render without a warning and tell all commands and settings', async (t) => {
  const page = (path: string) => join(unpacked, 'usr/share/man', path);
  const render = async (path: string) => {
    const result = await exec(['man', '--warnings', '-E', 'UTF-8', '-l', page(path)], { env: { MANWIDTH: '100' } });
    t.equal(result.stderr, '');
    return result.stdout;
  };
  const commands = await render('man1/v6edge.1.gz');
  const verbs = ['run', 'check', 'status', 'pools', 'records', 'key new', 'ra$', 'ra watch', 'reload', 'completion'];
  for (const verb of verbs) t.match(commands, new RegExp(`^ +v6edge ${verb}`, 'm'));
  t.notMatch(commands, /COMP_WORDS/, 'what completion prints is not of the page');
  const configuration = await render('man5/v6edge.yaml.5.gz');
  for (const key of ['workers', 'proxy.listeners[].name', 'dns.listen', 'ra[].interface'])
    t.ok(configuration.includes(key));
  t.notMatch(configuration, /\]\(/, 'no link of the reference stays as it is');
});

t.test('it lists the licence of all that is in it', async (t) => {
  const text = readFileSync(join(unpacked, 'usr/share/doc/v6edge/copyright'), 'utf8');
  for (const name of [
    /node-linux-\w+ 24\./,
    /koffi \d/,
    /lmdb \d/,
    /fastify \d/,
    /pino \d/,
    /zod \d/,
    /yargs \d/,
    /uplot \d/,
  ]) {
    t.match(text, name);
  }
});

t.test('unpacked, it checks, serves, and stops', { timeout: 60_000 }, async (t) => {
  const program = join(unpacked, 'usr/bin/v6edge');
  t.match(await must([program, 'version']), new RegExp(`^v6edge ${version} \\(Node\\.js 24\\.`));
  t.match(await must([program, 'check', '--config', join(unpacked, 'etc/v6edge/v6edge.yaml')]), /: good\n$/);
  t.match(await must([program, '--get-yargs-completions', 'v6edge', 'me']), /^member$/m);

  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.teardown(() => echo.close());
  const member = (echo.address() as { port: number }).port;
  const [proxyPort, dnsPort] = [await freePort(), await freePort()];
  const home = new DaemonHome(t, program);
  home.configure(
    `proxy:
  listeners: [{ name: echo, bind: ["127.0.0.1:${proxyPort}"], pool: echo }]
  pools: { echo: { members: [{ name: one, address: "127.0.0.1", port: ${member} }] } }
dns:
  listen: ["127.0.0.1:${dnsPort}"]
  allow: ["127.0.0.0/8"]
  zones: [{ name: cluster.test, ns: [edge.cluster.test] }]`,
    1,
  );
  const daemon = await home.start();
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(proxyPort, '127.0.0.1', () => socket.end('through the proxy'));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text)).on('error', reject);
  });
  t.equal(answer, 'through the proxy');
  const dns = new DnsClient(dnsPort);
  t.teardown(() => dns.close());
  const reply = await dns.query('cluster.test', TYPE.SOA);
  t.equal(reply?.answers.length, 1);
  for (const file of ['', 'assets/app.js', 'assets/uplot.js', 'assets/uplot.css', 'openapi.json']) {
    t.equal((await home.api('GET', `/${file}`)).status, 200, `/${file}`);
  }
  daemon.kill('SIGTERM');
  t.equal((await daemon.exited).code, 0);
});
