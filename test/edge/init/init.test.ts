/** `v6edge init` in a network namespace of its own, as on a fresh edge: what it writes is good, and serves. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { exec, LabProcess, waitFor } from '../../lab/process.ts';
import { inNamespace, ip } from '../../linux/netns.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');

if (inNamespace(t, import.meta.filename)) {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-init-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const config = join(folder, 'v6edge.yaml');
  const run = (...args: string[]) => exec([program, ...args], { env: { NODE_OPTIONS: '' } });

  for (const line of [
    'link add eth0 type veth peer name peer0',
    'link add eth1 type veth peer name peer1',
    'addr add 198.51.100.1/24 dev eth0',
    'addr add 2001:db8:1::1/64 dev eth0 nodad',
    'addr add fd00:6:6::1/64 dev eth1 nodad',
    'link set peer0 up',
    'link set peer1 up',
    'link set eth0 up',
    'link set eth1 up',
    'route add default via 198.51.100.254',
    '-6 route add default via 2001:db8:1::fe dev eth0',
  ]) {
    ip(line);
  }

  t.test('what it says, and what is there then', async (t) => {
    const printed = await run('init', '--print', '--config', config);
    t.equal(printed.code, 0);
    t.match(printed.stdout, /interface: eth1/);
    t.throws(() => statSync(config), { code: 'ENOENT' }, 'nothing is written');

    writeFileSync(config, 'admin: { listen: ["unix:/x"] }\nra: [] # as installed\n');
    const first = await run('init', '--config', config, '--upstream', '2001:db8::53');
    t.equal(first.code, 0, first.stderr);
    t.match(first.stdout, /Look at these lines, each marked in the file:\n {2}- dns\.zones: cluster\.internal/);
    t.match(first.stdout, new RegExp(`wrote ${config}\n`));
    t.equal(statSync(join(folder, 'keys/node-key.key')).mode & 0o777, 0o640);
    t.equal(statSync(join(folder, 'admin.token')).mode & 0o777, 0o640);
    t.equal(statSync(join(folder, 'v6edge.yaml')).mode & 0o777, 0o640);
    t.match(readFileSync(`${config}.old`, 'utf8'), /as installed/);
    t.match((await run('check', '--config', config)).stdout, /good/);

    const key = readFileSync(join(folder, 'keys/node-key.key'), 'utf8');
    const again = await run('init', '--config', config);
    t.match(again, { code: 1, stderr: /is there already; --force moves it/ });
    t.equal((await run('init', '--config', config, '--force', '--private', 'eth9')).code, 2);
    const forced = await run('init', '--config', config, '--force', '--zone', 'n.test', '--upstream', '2001:db8::53');
    t.match(forced.stdout, /Nothing had to be guessed/);
    t.equal(readFileSync(join(folder, 'keys/node-key.key'), 'utf8'), key, 'nodes keep their key');
  });

  t.test('it serves: proxy, zone, advertisements, machines that join', async (t) => {
    const text = readFileSync(config, 'utf8');
    const socket = join(folder, 'admin.sock');
    writeFileSync(
      config,
      `state: { dir: ${folder}/state }\n${text.replace('admin:\n', `admin:\n  listen: ["unix:${socket}"]\n`)}`,
    );
    const daemon = new LabProcess('v6edge', ['setpriv', '--pdeathsig', 'KILL', program, 'run', '--config', config], {
      env: { NODE_OPTIONS: '' },
    });
    t.teardown(async () => {
      daemon.kill('SIGKILL');
      await daemon.exited;
    });
    const api = (path: string) => exec(['curl', '-s', '--unix-socket', socket, `http://localhost${path}`], {});
    await waitFor(
      'readyz',
      async () => daemon.result !== undefined || (await api('/readyz')).stdout.includes('"ready"'),
      {
        timeoutMs: 20_000,
        why: () => daemon.output,
      },
    );
    t.match(JSON.parse((await api('/v1/ra')).stdout), [{ interface: 'eth1', state: 'advertising' }]);
    const dig = await exec(['dig', '+short', '@fd00:6:6::1', 'edge.n.test', 'AAAA'], {});
    t.equal(dig.stdout.trim(), 'fd00:6:6::1');
    const reverse = await exec(['dig', '+short', '@fd00:6:6::1', '-x', 'fd00:6:6::1'], {});
    t.equal(reverse.stdout.trim(), 'edge.n.test.');
    const made = await run('node', 'token', 'create', '--role', 'worker', '--api', `unix:${socket}`);
    t.equal(made.code, 0, made.stderr);
    const url = /'(http:\/\/\[fd00:6:6::1\]:8654\/join\/[^']+)'/.exec(made.stdout)?.[1];
    const script = await exec(['curl', '-fsSg', String(url)], {});
    t.equal(script.code, 0, 'the command that it prints finds its script');
    t.match(script.stdout, /^#!/);
  });
}
