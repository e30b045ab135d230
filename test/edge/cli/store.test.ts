/** The zone store from the command line: while a daemon has it open, after it has ended, and when it is damaged. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/core/clock.ts';
import { nullLogger } from '../../../src/core/logger.ts';
import { cryptoRandom } from '../../../src/core/random.ts';
import { DnsControl } from '../../../src/dns/control.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { TYPE } from '../../../src/dns/wire/types.ts';
import { readZoneFile } from '../../../src/dns/zonefile.ts';
import { runCli } from '../../../src/edge/cli.ts';
import { testConfig } from '../../dns/control-server.ts';

async function cli(...argv: string[]) {
  const result = { code: 0, out: '', err: '' };
  const context = {
    stdout(text: string) {
      result.out += text;
    },
    stderr(text: string) {
      result.err += text;
    },
    isTerminal: false,
    now: Date.now,
    env: {},
  };
  result.code = await runCli(argv, context);
  return result;
}

/** A state directory, a configuration that names it, and a control part that has it open. */
async function setup(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-cli-store-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const config = join(dir, 'v6edge.yaml');
  writeFileSync(config, `state: { dir: ${dir}/state }\ndns:\n  listen: ["[::1]:53"]\n`);
  const context = {
    clock: systemClock,
    random: cryptoRandom,
    log: nullLogger,
    stateDir: join(dir, 'state'),
    publish() {},
    emit() {},
  };
  const control = new DnsControl(context);
  await control.start(testConfig());
  t.teardown(() => control.stop());
  const put = (name: string) =>
    control.edits.setRRset('cluster.test', nameFromText(name), TYPE.TXT, 60, [rdataFromText(TYPE.TXT, '"x"')]);
  await put('n1.cluster.test');
  const api = `unix:${dir}/admin.sock`;
  const data = join(dir, 'state/zones/data.mdb');
  return { dir, config, control, put, api, data };
}

t.test('a large zone, which the store packs, is exported whole', async (t) => {
  const { config, control, put, api } = await setup(t);
  const names = Array.from({ length: 2_500 }, (_, i) => `large${i}.cluster.test`);
  await Promise.all(names.map(put));
  await control.stop();
  const { code, out } = await cli('records', 'cluster.test', '--export', '--api', api, '--config', config);
  t.equal(code, 0);
  t.equal(out.match(/^large\d+\./gm)?.length, names.length);
});

const owners = (text: string) => readZoneFile(text, { zone: nameFromText('cluster.test'), ttlSeconds: 60 }).length;

t.test('records --export without a daemon', async (t) => {
  const { dir, config, control, api, data } = await setup(t);
  const running = await cli('records', 'cluster.test', '--export', '--api', api, '--config', config);
  t.equal(running.code, 0, 'also while somebody has the store open');
  await control.stop();
  const before = readFileSync(data);
  const stopped = await cli('records', 'Cluster.test.', '--export', '--api', api, '--config', config);
  t.strictSame(stopped, running);
  t.match(
    stopped.err,
    new RegExp(`there is no ${dir}/admin.sock.*\\nThese are the records as the store in ${dir}/state has them`),
  );
  t.equal(owners(stopped.out), 3);
  t.match(await cli('records', 'other.test', '--export', '--api', api, '--config', config), {
    code: 2,
    err: /has no zone "other.test" \(it has: .*cluster.test/,
  });
  t.match(await cli('records', 'cluster.test', '--export', '--api', api, '--config', join(dir, 'none')), {
    code: 1,
    err: /there is no .*admin.sock: is v6edge running\?/,
  });
  t.ok(readFileSync(data).equals(before), 'the store is as it was');
});

t.test('check', async (t) => {
  const { config, control, data } = await setup(t);
  const good = await cli('store', 'check', '--config', config);
  t.equal(good.code, 0);
  t.match(good.out, /^ZONE +SERIAL +RRSETS +CHANGES KEPT\n/);
  t.match(good.out, /\ncluster\.test +\d+ +3 +1\n/);
  t.match(JSON.parse((await cli('store', 'check', '--config', config, '--json')).out), [
    { rrsets: 2 },
    { name: 'cluster.test', rrsets: 3 },
  ]);
  await control.stop();
  truncateSync(data, 8192);
  const bad = await cli('store', 'check', '--config', config);
  t.match(bad, { code: 1, out: '', err: /^v6edge: the zone store .* (is damaged|does not read)/ });
  t.equal(readFileSync(data).length, 8192, 'not written to');
});

t.test('backup and restore', async (t) => {
  const { dir, config, control, put, data } = await setup(t);
  const file = join(dir, 'backup.mdb');
  const made = await cli('store', 'backup', file, '--config', config);
  t.match(made, { code: 0, out: /\ncluster\.test +\d+ +3 +1\n/ });
  t.match(await cli('store', 'backup', file, '--config', config), { code: 2, err: /is there already/ });
  t.match(await cli('store', 'backup', join(dir, 'no/file'), '--config', config), { code: 2, err: /no directory/ });
  await put('n2.cluster.test');
  await control.stop();
  rmSync(join(dir, 'state/zones'), { recursive: true });
  mkdirSync(join(dir, 'state/zones'));
  copyFileSync(file, data);
  chmodSync(data, 0o640);
  const again = new DnsControl({
    clock: systemClock,
    random: cryptoRandom,
    log: nullLogger,
    stateDir: join(dir, 'state'),
    publish() {},
    emit() {},
  });
  await again.start(testConfig());
  t.equal(again.records('cluster.test', { type: TYPE.TXT }).length, 1, 'what was there at the moment of the backup');
  await again.stop();
  t.strictSame(
    readdirSync(dir).filter((name) => name.startsWith('.')),
    [],
    'nothing is left beside it',
  );
});

t.test('no store', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-cli-store-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const config = join(dir, 'v6edge.yaml');
  writeFileSync(config, `state: { dir: ${dir}/state }\ndns:\n  listen: ["[::1]:53"]\n`);
  t.match(await cli('store', 'check', '--config', config), { code: 1, err: /there is no zone store .*\/state\/zones/ });
  t.notOk(existsSync(join(dir, 'state')), 'none is made');
  writeFileSync(config, 'workers: 0\n');
  t.match(await cli('store', 'check', '--config', config), { code: 2, err: /cannot be told:\n.*yaml:1:10: workers/ });
  t.match(await cli('store'), { code: 2, err: /store: say what to do/ });
});
