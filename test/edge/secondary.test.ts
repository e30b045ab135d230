/** Two whole daemons, one the secondary of the other: what clients, the admin API and a restart see of it. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, keyName, keySecret } from './daemon-process.ts';
import { aaaa, DnsClient } from './dns-client.ts';

const zone = 'cluster.test';
const names = 30_000;
const keys = `keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }`;
/** Invalid Data (RFC 8914 §4.25). */
const invalidData = 24;

interface Zone {
  readonly serial: number;
  readonly records: number;
  readonly role: string;
  readonly secondary?: { readonly state: string; readonly primary?: string; readonly lastError?: string };
}

t.test('a secondary: nothing, all, changes, a restart, and updates by way of it', async (t) => {
  const [primaryPort, port] = [await freePort(), await freePort()];
  const primary = new DaemonHome(t);
  const file = join(primary.folder, 'zone');
  writeFileSync(file, `@ NS edge\nedge AAAA fd00::1\n$GENERATE 1-${names} h$ AAAA fd00::$\{0,0,x}\n`);
  primary.configure(`dns:
  listen: ["127.0.0.1:${primaryPort}"]
  ${keys}
  zones:
    - name: ${zone}
      file: ${file}
      update: [{ key: ${keyName}, match: zonesub }]
      transfer: { key: ${keyName}, notify: ["127.0.0.1:${port}"] }`);
  const secondary = new DaemonHome(t);
  secondary.configure(`dns:
  listen: ["127.0.0.1:${port}"]
  ${keys}
  zones:
    - name: ${zone}
      primaries: ["127.0.0.1:${primaryPort}"]
      key: ${keyName}
      allowUpdateForwarding: ["127.0.0.1"]
      transfer: { key: ${keyName} }
    - name: small.test
      ns: [ns.small.test]
      transfer: { allow: ["127.0.0.1"] }`);
  const client = new DnsClient(port);
  t.teardown(() => client.close());
  const lookUp = (name: string) => client.query(`${name}.${zone}`, TYPE.AAAA);
  const shown = () => secondary.json<Zone>(`/v1/zones/${zone}`);

  const first = secondary.spawn();
  const refused = () => secondary.api('GET', '/readyz').catch(() => undefined);
  await waitFor('the admin API', async () => /ECONNREFUSED/.test((await refused())?.body ?? ''), { timeoutMs: 20_000 });
  t.match((await refused())?.body, /secondary zone cluster\.test has not come from its primaries yet/);
  const dig = (...args: string[]) =>
    execFileSync('dig', ['@127.0.0.1', '-p', String(port), '+time=3', '+tries=1', ...args], {
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
  t.match(dig(`h1.${zone}`, 'AAAA'), new RegExp(`status: SERVFAIL[^]*EDE: ${invalidData} `), 'nothing to answer from');
  t.match(await shown(), { role: 'secondary', records: 0, secondary: { state: 'missing' } });

  await primary.start();
  t.equal((await secondary.api('POST', `/v1/zones/${zone}/refresh`)).status, 202);
  await waitFor('the zone', () => secondary.isReady(), { timeoutMs: 20_000, everyMs: 20 });
  t.equal((await lookUp('h1'))?.answers.length, 1, 'by a data thread');
  t.equal((await lookUp('none'))?.rcode, RCODE.NXDOMAIN);
  const before = await shown();
  t.match(before, { records: names + 3, secondary: { state: 'loaded', primary: `127.0.0.1:${primaryPort}` } });

  const all = dig('-y', `hmac-sha256:${keyName}:${keySecret}`, '+noall', '+answer', '+onesoa', zone, 'AXFR');
  t.equal(all.match(/^h\d+\.cluster\.test\.\t/gm)?.length, names, 'through control and data threads, signed');
  t.notMatch(all, /verify|Transfer failed/i);

  const direct = new DnsClient(primaryPort);
  t.teardown(() => direct.close());
  t.equal(await direct.add(zone, [aaaa(`new.${zone}`, 'fd00::5')]), RCODE.NOERROR);
  await waitFor('NOTIFY and IXFR', async () => (await lookUp('new'))?.answers.length === 1, { everyMs: 20 });
  t.equal((await shown()).serial, before.serial + 1);
  t.equal(await client.add(zone, [aaaa(`by.${zone}`, 'fd00::6')], 4000), RCODE.NOERROR, 'an update by way of it');
  await waitFor('what was forwarded', async () => (await lookUp('by'))?.answers.length === 1, { everyMs: 20 });
  const small = dig('+noall', '+answer', '+comments', 'small.test', 'AXFR');
  t.match(small, /SOA(.|\n)*\tNS\t(.|\n)*SOA/, 'by a data thread alone');
  const metrics = await secondary.metrics();
  t.equal(metrics.get('v6edge_dns_answers_total{source="transfer"}'), 1);
  t.equal(metrics.get('v6edge_dns_transfers_total{kind="axfr"}'), 2, 'this one, and the one that was signed');
  t.equal(metrics.get(`v6edge_dns_secondary_up{zone="${zone}"}`), 1);
  t.ok((metrics.get(`v6edge_dns_secondary_expires_seconds{zone="${zone}"}`) ?? 0) > 1_000_000);
  t.equal(metrics.get('v6edge_dns_primary_queries_total{result="ixfr"}'), 2);
  t.equal(metrics.get('v6edge_dns_updates_forwarded_total{result="answered"}'), 1);

  first.kill('SIGKILL');
  await first.exited;
  await primary.stopAll();
  await secondary.start();
  t.equal((await lookUp('by'))?.answers.length, 1, 'after a crash, without its primary');
  await waitFor('the failed contact', async () => (await shown()).secondary?.lastError !== undefined);
  t.match(await shown(), { records: names + 5, secondary: { state: 'loaded', lastError: /ECONNREFUSED/ } });
});
