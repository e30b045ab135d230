/** The one-line join with real curl over lines that are cut, real nsupdate with the node's key, a restart. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { NodeReport, TokenReport } from '../../../src/edge/admin/node-reports.ts';
import { describe, exec } from '../../lab/process.ts';
import { startCutProxy } from './cut-proxy.ts';
import { cli, onNode, startJoinStage, update, writeMaterial } from './daemon-stage.ts';

// Daemons start several times, and a node's pauses between tries are real.
t.setTimeout(120_000);

t.test('a script that was cut runs nothing, wherever it was cut', async (t) => {
  const { home, port, token } = await startJoinStage(t);
  const url = await token();
  const script = (await exec(['curl', '-fsSg', url])).stdout;
  t.equal((await exec(['shellcheck', '-'], { input: script })).code, 0, 'shellcheck');
  // A path on which every program writes down that it was called.
  const traps = t.testdir({});
  const called = join(traps, 'called');
  const programs =
    'curl mkdir mktemp tar gzip sha256sum uname cut tr rm mv bash sed find head sleep v6edge_join v6edge_joi';
  for (const program of programs.split(' ')) {
    writeFileSync(join(traps, program), `#!/bin/sh\necho ${program} >>${called}\n`, { mode: 0o755 });
  }
  const ends = [...script.matchAll(/\n/g)].map(({ index }) => index + 1).slice(0, -1);
  const last = Array.from({ length: 60 }, (_, i) => script.length - 60 + i).filter(
    (end) => end < script.trimEnd().length,
  );
  await exec(['/bin/bash', '-s'], { input: script, env: { PATH: traps } });
  t.ok(existsSync(called), 'the whole of it runs');
  rmSync(called);
  const pieces = t.testdir({});
  for (const end of [...ends, ...last]) writeFileSync(join(pieces, String(end)), script.slice(0, end));
  // One after the other in one shell: what a piece calls stands with where it was cut.
  const each =
    'for piece; do /bin/bash -s <"$piece" 2>/dev/null; if [ -e "$CALLED" ]; then echo "$piece"; exit 1; fi; done';
  const cuts = [...ends, ...last].map((end) => join(pieces, String(end)));
  const run = await exec(['/bin/bash', '-c', each, 'each', ...cuts], {
    env: { PATH: traps, CALLED: called },
    timeoutMs: 60_000,
  });
  t.equal(run.code, 0, describe(run));
  t.ok(cuts.length > 100);
  const proxy = await startCutProxy(t, port, [900]);
  const out = join(home.folder, 'out');
  await onNode(out, `curl -fsSg '${url.replace(String(port), String(proxy.port))}' | bash -s`);
  t.equal(readFileSync(join(out, 'left'), 'utf8'), '', 'nothing was made on the node');
  t.match(await home.json<TokenReport[]>('/v1/join/tokens'), [{ state: 'open' }], 'nor was the token touched');
});

t.test('from the command to a node with its own records, over lines that are cut and a restart', async (t) => {
  const { home, port, dnsPort, pool, token } = await startJoinStage(t);
  const url = await token('--ttl', '10m');
  const sum = (await cli(home, 'node', 'token', 'create', '--role', 'worker', '--json')).out;
  const other = JSON.parse(sum) as { id: string; scriptSha256: string; command: string };
  const fetched = await exec(['bash', '-c', `${other.command.replace(/ \| bash -s$/, '')} | sha256sum`]);
  t.equal(fetched.stdout.slice(0, 64), other.scriptSha256, 'the sum is that of what comes');
  t.equal((await cli(home, 'node', 'token', 'revoke', other.id)).code, 0);
  t.equal((await cli(home, 'node', 'token', 'revoke', other.id)).code, 1);

  // The bundle comes in pieces twice: of the head, and of the archive.
  const proxy = await startCutProxy(t, port, [60, 2000]);
  const out = join(home.folder, 'out');
  const script = (await exec(['curl', '-fsSg', url])).stdout.replace(`]:${port}/`, `]:${proxy.port}/`);
  const file = join(home.folder, 'stage-one');
  writeFileSync(file, script);
  const joined = await onNode(out, `bash -s -- --name w1 --verbose <'${file}'`);
  t.equal(joined.code, 0, describe(joined));
  t.equal(proxy.connections, 4, 'cut, cut, whole, done');
  const bundle = '/var/lib/v6edge-node/bundle';
  t.strictSame(readFileSync(join(out, 'arguments'), 'utf8').trim().split('\n'), [
    '--env',
    `${bundle}/edge.env`,
    '--join',
    `${bundle}/join.env`,
    '--verbose',
  ]);
  t.equal(readFileSync(join(out, 'stdin'), 'utf8'), '', 'the rest of the script is no input of its programs');
  t.match(await home.json<TokenReport[]>('/v1/join/tokens'), [{ state: 'used', node: 'w1', source: '::1' }]);
  const again = await onNode(out, `curl -fsSg '${url}' | bash -s`);
  t.match(again.stderr, /404/, 'the token is used');

  const key = join(out, 'node.key');
  const address = 'update add w1.cluster.test 60 AAAA ::1';
  const service = 'update add _http._tcp.cluster.test 60 SRV 0 100 80 w1.cluster.test';
  t.equal(await update(dnsPort, key, address, service), 'NOERROR');
  t.match(await pool(), { members: [{ name: 'w1.cluster.test', address: '::1' }] });
  t.match(await update(dnsPort, key, 'update add w2.cluster.test 60 AAAA ::1'), /REFUSED/);
  t.match(await update(dnsPort, key, 'update add _http._tcp.cluster.test 60 SRV 0 100 80 w2.cluster.test'), /REFUSED/);
  t.match(await update(dnsPort, key, 'update delete cluster.test'), /REFUSED/);
  const [node] = await home.json<NodeReport[]>('/v1/nodes');
  t.match(node, {
    name: 'w1',
    domain: 'w1.cluster.test',
    role: 'worker',
    state: 'up',
    addresses: ['::1'],
    pools: [{ pool: 'web', port: 80 }],
  });
  t.ok(node!.lastUpdate! <= Date.now() && node!.leaseUntil! > Date.now());
  t.match((await cli(home, 'node', 'list')).out, /^NAME +ROLE .*\nw1 +worker +up +::1 +web +\S+/);

  await home.stopAll();
  const daemon = await home.start();
  t.equal(await update(dnsPort, key, address, service), 'NOERROR', 'its key outlives a restart');
  t.equal(statSync(join(home.stateDir, 'join.json')).mode & 0o777, 0o600);
  t.match((await cli(home, 'node', 'material', 'show')).out, /^from api, .*\nbootstrap token: good for 23h/);
  await cli(home, 'node', 'material', 'set', writeMaterial(home));
  t.match((await cli(home, 'node', 'remove', 'w1')).out, /its records and its key are gone/);
  t.match((await cli(home, 'node', 'remove', 'w1')).out, /there is no such node/);
  t.match(await update(dnsPort, key, address), /BADKEY/);
  t.equal((await home.api('GET', '/v1/zones/cluster.test/records/w1.cluster.test')).status, 404);
  t.equal((await home.api('GET', '/v1/zones/cluster.test/records/_http._tcp.cluster.test')).status, 404);
  t.notMatch(daemon.output, /abcdef\.0123|0{64}/, 'what kubeadm needs is not in the log');
  t.notOk(daemon.output.includes(/\/join\/(.*)$/.exec(url)![1]!), 'nor is the token');
});
