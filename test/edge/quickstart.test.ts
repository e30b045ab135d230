import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';

const root = join(import.meta.dirname, '../..');

/** In a network namespace of its own, because its ports are fixed. */
t.test('npm start: what it says to try works', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const start = spawn(
    'unshare',
    ['-n', 'sh', '-c', 'ip link set lo up && exec "$0" scripts/quickstart.ts', process.execPath],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    },
  );
  const exited = new Promise<number | null>((resolve) => start.once('exit', resolve));
  t.teardown(() => {
    // Its process group: the daemon must not outlive a test that failed.
    if (start.exitCode === null) process.kill(-start.pid!, 'SIGKILL');
  });
  const lines: string[] = [];
  const hinted = new Promise<void>((resolve) => {
    createInterface(start.stdout).on('line', (line) => {
      lines.push(line);
      if (/Ctrl-C ends it/.test(line)) resolve();
    });
  });
  const outcome = await Promise.race([hinted.then(() => 'ready'), exited.then((code) => `ended with ${code}`)]);
  t.equal(outcome, 'ready', lines.join('\n'));
  const inside = (command: string, ...args: string[]) =>
    execFileSync('nsenter', ['-t', String(start.pid), '-n', command, ...args], {
      encoding: 'utf8',
      cwd: root,
      timeout: 10_000,
    });

  const answers = [1, 2, 3, 4].map(() => inside('curl', '-s', 'http://127.0.0.1:8080/'));
  t.strictSame(
    new Set(answers.map((each) => /backend (\w+): you are 127\.0\.0\.1:/.exec(each)?.[1])),
    new Set(['one', 'two']),
  );
  t.match(inside('curl', '-s', 'http://[::1]:8080/'), /you are \[::1\]:\d+, says the PROXY header/);
  const dig = (...args: string[]) => inside('dig', '+short', '@127.0.0.1', '-p', '5300', ...args).trim();
  t.equal(dig('edge.cluster.test', 'AAAA'), 'fd00:6:6::1');
  inside(
    'sh',
    '-c',
    "printf 'server 127.0.0.1 5300\\nupdate add me.cluster.test 60 AAAA fd00:6:6::99\\nsend\\n' | nsupdate -k examples/keys/node-key.key",
  );
  t.equal(dig('-x', 'fd00:6:6::99'), 'me.cluster.test.');
  const query = (...args: string[]) => inside('bin/v6edge', 'query', ...args, '--server', '127.0.0.1:5300');
  t.match(query('me.cluster.test'), /^NOERROR, answer\n[\s\S]*me\.cluster\.test +60 +AAAA +fd00:6:6::99\n$/);
  t.match(query('none.cluster.test', 'A'), /^NXDOMAIN, no such records; authority\n[\s\S]*SOA/);
  t.match(query('example.com'), /^REFUSED, no records\n$/);
  const cli = (...args: string[]) => inside('bin/v6edge', ...args, '--api', 'http://127.0.0.1:8653');
  t.match(cli('status'), /: ready\n[\s\S]*web on 127\.0\.0\.1:8080, \[::1\]:8080\n/);
  t.match(cli('pools'), /one +127\.0\.0\.1:18081 +up/);
  t.match(cli('records', 'cluster.test'), /me\.cluster\.test +60 +AAAA +fd00:6:6::99/);
  t.match(cli('records', 'cluster.test', '--export'), /^cluster\.test\.\s.*SOA/);
  t.match(inside('curl', '-s', 'http://127.0.0.1:8653/metrics'), /^v6edge_proxy_sessions_total\{listener="web"\} 5$/m);

  start.kill('SIGTERM');
  t.equal(await exited, 0);
});
