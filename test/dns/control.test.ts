import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { DnsConfig, TsigKey } from '../../src/dns/config.ts';
import { formatKeyFile } from '../../src/dns/keyfile.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { CLASS, RCODE, rcodeToText, TYPE } from '../../src/dns/wire/types.ts';
import {
  type ControlServer,
  reverseZoneName,
  startControlServer,
  testConfig,
  testKey,
  updateRule,
  zoneConfig,
} from './control-server.ts';
import { axfrLines, rr, UdpClient, updateMessage } from './dns-client.ts';

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-control-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function start(t: Test, config: DnsConfig = testConfig(), dir = newDir(t)): Promise<ControlServer> {
  const server = await startControlServer(dir, config);
  t.teardown(() => server.close());
  return server;
}

/** Runs a program to its end, whatever its exit code. */
async function run(program: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    output += data;
  });
  child.stdin.end(input);
  await once(child, 'close');
  return output;
}

function keyFile(t: Test, key: TsigKey = testKey): string {
  const path = join(newDir(t), 'test.key');
  writeFileSync(path, formatKeyFile(key), { mode: 0o600 });
  return path;
}

const dig = (server: ControlServer, ...args: string[]) =>
  run('dig', ['@::1', '-p', String(server.port), '+time=3', '+tries=1', ...args]);

/** Sends updates by UDP, signed; the rcode in words. */
async function send(server: ControlServer, zone: string, updates: ResourceRecord[], key = testKey): Promise<string> {
  const client = new UdpClient(server.port);
  const message = signRequest(encodeMessage(updateMessage(7, zone, [], updates)), key, systemClock);
  const reply = await client.send(message);
  client.close();
  return reply === undefined ? 'silence' : rcodeToText(parseMessage(reply).rcode);
}

const aaaa = (name: string, address: string) => rr(name, CLASS.IN, TYPE.AAAA, 60, rdataFromText(TYPE.AAAA, address));
const txt = (name: string, text: string) => rr(name, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, text));

t.test('nsupdate by TCP and by UDP; PTR records follow', async (t) => {
  const server = await start(t);
  const key = keyFile(t);
  for (const [transport, n] of [
    ['-v', 1],
    ['-d', 2],
  ] as const) {
    const script = `server ::1 ${server.port}\nzone cluster.test\nupdate add n${n}.cluster.test 60 AAAA fd00:6:6::${n}\nsend\n`;
    const said = await run('nsupdate', ['-k', key, transport], script);
    t.notMatch(said, /failed|REFUSED|NOTAUTH|timed out/, transport);
    t.match(await dig(server, '+short', `n${n}.cluster.test`, 'AAAA', '-k', key), `fd00:6:6::${n}`);
    t.match(await dig(server, '+short', '-x', `fd00:6:6::${n}`, '-k', key), `n${n}.cluster.test.`);
  }
  const { serial } = server.control.zone('cluster.test')!;
  await run('nsupdate', ['-k', key], `server ::1 ${server.port}\nupdate delete n1.cluster.test\nsend\n`);
  t.equal(server.control.zone('cluster.test')!.serial, serial + 1);
  const reverse = await axfrLines(server.port, reverseZoneName, testKey);
  t.equal(reverse.filter((line) => line.includes(' PTR ')).length, 1, 'the other PTR record stays');
});

t.test('what is refused, and with what', async (t) => {
  const config = testConfig();
  const other: TsigKey = { ...testKey, name: 'other' };
  const server = await start(t, { ...config, keys: [testKey, other] });
  const wrong: TsigKey = { ...testKey, secret: new Uint8Array(32) };
  const one = [txt('a.cluster.test', 'x')];
  t.equal(await send(server, 'cluster.test', one, other), 'REFUSED', 'a key that no rule names');
  t.equal(await send(server, 'cluster.test', one, wrong), 'NOTAUTH', 'a wrong secret');
  t.equal(await send(server, 'cluster.test', one, { ...testKey, name: 'nobody' }), 'NOTAUTH', 'an unknown key');
  t.equal(await send(server, 'elsewhere.test', one), 'NOTAUTH', 'a zone that is not ours');
  t.equal(await send(server, 'cluster.test', [txt('a.elsewhere.test', 'x')]), 'NOTZONE');
  const client = new UdpClient(server.port);
  t.teardown(() => client.close());
  const plain = encodeMessage(updateMessage(9, 'cluster.test', [], one));
  t.equal(parseMessage((await client.send(plain))!).rcode, RCODE.REFUSED, 'unsigned');
  const chaos = Uint8Array.from(plain);
  chaos[12 + nameFromText('cluster.test').length + 3] = CLASS.CH;
  t.equal(parseMessage((await client.send(signRequest(chaos, testKey, systemClock)))!).rcode, RCODE.NOTAUTH);
  const cut = Uint8Array.from(plain.subarray(0, plain.length - 3));
  t.equal(parseMessage((await client.send(cut))!).rcode, RCODE.FORMERR);
  const status = Uint8Array.from(plain);
  status[2] = 2 << 3;
  t.equal(parseMessage((await client.send(status))!).rcode, RCODE.NOTIMP, 'opcode STATUS');
  const notify = Uint8Array.from(plain);
  notify[2] = 4 << 3;
  t.equal(parseMessage((await client.send(notify))!).rcode, RCODE.REFUSED, 'NOTIFY to a primary');
  const reply = Uint8Array.from(plain);
  reply[2]! |= 0x80;
  t.equal(await client.send(reply, 1, 200), undefined, 'a reply gets no reply');
  t.equal(server.control.records('cluster.test').length, 2, 'nothing changed the zone');
});

t.test('signed queries: our zones are answered, other names refused', async (t) => {
  const server = await start(t);
  const key = keyFile(t);
  t.match(await dig(server, 'cluster.test', 'SOA', '-k', key), /status: NOERROR[\s\S]*flags: qr aa[\s\S]*hostmaster/);
  t.match(await dig(server, 'x.cluster.test', 'A', '-k', key), /status: NXDOMAIN/);
  const newer = await dig(server, 'cluster.test', 'SOA', '-k', key, '+edns=1', '+noednsnegotiation');
  t.match(newer, /status: BADVERS[\s\S]*EDNS: version: 0/, 'a later version of EDNS (RFC 6891 §6.1.3)');
  const elsewhere = await dig(server, 'elsewhere.test', 'A', '-k', key);
  t.match(elsewhere, /status: REFUSED/);
  t.notMatch(elsewhere, /Couldn't verify|BADSIG/i);
});

t.test('records set and deleted by the admin API', async (t) => {
  const server = await start(t);
  const { control, published } = server;
  const { serial } = control.zone('cluster.test')!;
  const owner = nameFromText('API.cluster.test');
  published.length = 0;
  const data = ['fd00:6:6::a', 'fd00:6:6::b'].map((text) => rdataFromText(TYPE.AAAA, text));
  t.equal(await control.edits.setRRset('cluster.test', owner, TYPE.AAAA, 30, data), serial + 1);
  t.same(
    published.map((publication) => publication.kind),
    ['delta', 'delta'],
    'both zones go to the data threads',
  );
  t.equal(control.records(reverseZoneName, { type: TYPE.PTR }).length, 2);
  t.equal(await control.edits.setRRset('cluster.test', owner, TYPE.AAAA, 30, data), serial + 1, 'again: no change');
  t.equal(await control.edits.setRRset('cluster.test', owner, TYPE.AAAA, 30, data.slice(1)), serial + 2);
  t.same(
    control
      .records('cluster.test', { name: nameFromText('api.cluster.test') })
      .map(({ owner, rrset }) => [nameToText(owner), rrset.rdata.length]),
    [['API.cluster.test', 1]],
  );
  t.equal(control.records(reverseZoneName, { type: TYPE.PTR }).length, 1);
  await control.edits.setRRset('cluster.test', owner, TYPE.TXT, 30, [rdataFromText(TYPE.TXT, 'x')]);
  t.equal(await control.edits.deleteRRset('cluster.test', owner, TYPE.AAAA), serial + 4);
  t.equal(control.records('cluster.test', { name: owner }).length, 1);
  t.equal(await control.edits.deleteRRset('cluster.test', owner), serial + 5);
  t.same(control.records('cluster.test', { name: owner }), []);
  t.equal(control.records(reverseZoneName, { type: TYPE.PTR }).length, 0);

  const bad: [name: string, attempt: () => Promise<number>, message: RegExp][] = [
    [
      'no such zone',
      () => control.edits.setRRset('other.test', owner, TYPE.TXT, 1, data),
      /there is no zone "other.test"/,
    ],
    [
      'outside the zone',
      () => control.edits.setRRset('cluster.test', nameFromText('a.test'), TYPE.TXT, 1, data),
      /not in the/,
    ],
    ['no records', () => control.edits.setRRset('cluster.test', owner, TYPE.TXT, 1, []), /a record at least/],
    ['bad data', () => control.edits.setRRset('cluster.test', owner, TYPE.A, 1, data), /not valid for A/],
    [
      'a query type',
      () => control.edits.setRRset('cluster.test', owner, TYPE.ANY, 1, data),
      /no record has the type ANY/,
    ],
    [
      'a CNAME beside the SOA',
      () => control.edits.setRRset('cluster.test', nameFromText('cluster.test'), TYPE.CNAME, 1, [owner]),
      /must stand alone/,
    ],
    [
      'the SOA deleted',
      () => control.edits.deleteRRset('cluster.test', nameFromText('cluster.test'), TYPE.SOA),
      /SOA and NS/,
    ],
  ];
  for (const [name, attempt, message] of bad) await t.rejects(attempt(), { code: 'V6_VALUE', message }, name);
  t.equal(control.zone('cluster.test')!.serial, serial + 5);
});

t.test('AXFR and IXFR by dig, also after a restart', async (t) => {
  const dir = newDir(t);
  const key = keyFile(t);
  const first = await startControlServer(dir, testConfig());
  const from = first.control.zone('cluster.test')!.serial;
  t.equal(await send(first, 'cluster.test', [txt('a.cluster.test', 'one')]), 'NOERROR');
  t.equal(await send(first, 'cluster.test', [txt('b.cluster.test', 'two')]), 'NOERROR');
  await first.close();
  const server = await start(t, testConfig(), dir);
  t.equal(server.control.zone('cluster.test')!.serial, from + 2);
  const short = (...args: string[]) => dig(server, '-k', key, '+noall', '+answer', ...args);
  const lines = async (...args: string[]) =>
    (await short(...args))
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith(';') && !line.includes('TSIG'))
      .map((line) => line.replace(/.*SOA\t\S+ \S+ (\d+).*/, 'SOA $1').replace(/\s+/g, ' '));
  t.same(await lines('+tcp', 'cluster.test', `IXFR=${from}`), [
    `SOA ${from + 2}`,
    `SOA ${from}`,
    `SOA ${from + 1}`,
    'a.cluster.test. 60 IN TXT "one"',
    `SOA ${from + 1}`,
    `SOA ${from + 2}`,
    'b.cluster.test. 60 IN TXT "two"',
    `SOA ${from + 2}`,
  ]);
  t.same(await lines('+tcp', 'cluster.test', `IXFR=${from + 2}`), [`SOA ${from + 2}`], 'up to date');
  const whole = await lines('cluster.test', 'AXFR');
  t.equal(whole.length, 5);
  t.same(await lines('+tcp', 'cluster.test', `IXFR=${from - 5}`), whole, 'a serial we never had: the zone');
  t.same(await lines('+tcp', 'cluster.test', 'IXFR=0'), whole, 'serial 0: the zone');
  t.equal((await lines('+notcp', 'cluster.test', `IXFR=${from}`)).length, 8, 'by UDP what fits');
  t.match(await dig(server, 'cluster.test', 'AXFR'), /Transfer failed/, 'unsigned');
  t.match(await dig(server, '-k', key, 'elsewhere.test', 'AXFR'), /Transfer failed/);
  t.notMatch(await dig(server, '-k', key, 'cluster.test', 'AXFR'), /verify|BADSIG/i, 'dig verifies our signature');
});

t.test('a transfer of many signed messages verifies', async (t) => {
  const server = await start(t);
  for (let i = 0; i < 12; i++) {
    const records = Array.from({ length: 500 }, (_, n) => aaaa(`h${i}-${n}.cluster.test`, `fd00:6:6::${i}:${n}`));
    const message = signRequest(encodeMessage(updateMessage(i, 'cluster.test', [], records)), testKey, systemClock);
    const endpoint = parseInetEndpoint('[fd00::2]:9');
    const [reply] = await server.control.handle({ message, client: endpoint, local: endpoint, transport: 'tcp' });
    t.equal(parseMessage(reply!).rcode, RCODE.NOERROR);
  }
  const said = await dig(server, '-k', keyFile(t), '+onesoa', 'cluster.test', 'AXFR');
  t.match(said, /XFR size: \d+ records \(messages [3-9]/);
  t.notMatch(said, /Couldn't verify|failed|WARNING/i);
  t.equal(said.match(/\tAAAA\t/g)?.length, 6000);
});

t.test('reload: zones come and go, policies and keys change', async (t) => {
  const server = await start(t);
  const { control, published } = server;
  t.equal(await send(server, 'cluster.test', [txt('a.cluster.test', 'x')]), 'NOERROR');
  const { serial } = control.zone('cluster.test')!;
  const zones = testConfig().zones;

  published.length = 0;
  await control.apply(testConfig());
  t.same(published, [], 'the same again: nothing to tell');

  await control.apply(testConfig({ zones: [...zones, zoneConfig('new.test')] }));
  t.match(published, [{ kind: 'zone' }]);
  t.equal(await send(server, 'new.test', [txt('a.new.test', 'x')]), 'NOERROR', 'a zone more');
  t.equal(control.zone('cluster.test')!.serial, serial, 'the others are as they were');

  published.length = 0;
  await control.apply(testConfig({ zones: [zoneConfig('cluster.test', { update: [] })] }));
  t.same(
    published.map((publication) => publication.kind),
    ['zone-removed', 'zone-removed'],
  );
  t.equal(await send(server, 'new.test', [txt('a.new.test', 'x')]), 'NOTAUTH', 'a zone less');
  t.equal(await send(server, 'cluster.test', [txt('b.cluster.test', 'x')]), 'REFUSED', 'a policy without rules');

  const next: TsigKey = { ...testKey, secret: new Uint8Array(32).fill(9) };
  await control.apply(testConfig({ keys: [next] }));
  t.equal(await send(server, 'cluster.test', [txt('b.cluster.test', 'x')]), 'NOTAUTH', 'the old secret');
  t.equal(await send(server, 'cluster.test', [txt('b.cluster.test', 'x')], next), 'NOERROR', 'the new one');

  await control.apply(testConfig({ zones: [zoneConfig('new.test')] }));
  const again = control.records('new.test', { name: nameFromText('a.new.test') });
  t.equal(again.length, 1, 'a zone that comes back has its records');
});

t.test(
  'addresses that were there before: PTR records when `reverse` is set, and when the reverse zone comes',
  async (t) => {
    const dir = newDir(t);
    const plain = zoneConfig('cluster.test');
    const both = [zoneConfig('cluster.test', { reverse: true }), zoneConfig(reverseZoneName)];
    const server = await start(t, testConfig({ zones: [plain] }), dir);
    const { control } = server;
    await send(server, 'cluster.test', [aaaa('a.cluster.test', 'fd00:6:6::1'), aaaa('b.cluster.test', 'fd00:7::1')]);
    const ptrs = () =>
      control.records(reverseZoneName, { type: TYPE.PTR }).map(({ rrset }) => nameToText(rrset.rdata[0]!));
    await control.apply(testConfig({ zones: [plain, zoneConfig(reverseZoneName)] }));
    t.same(ptrs(), [], 'not set: none');
    await control.apply(testConfig({ zones: both }));
    t.same(ptrs(), ['a.cluster.test'], 'set; the other address is in no zone of ours');
    const { serial } = control.zone(reverseZoneName)!;
    await control.apply(testConfig({ zones: both, keys: [] }));
    t.equal(control.zone(reverseZoneName)!.serial, serial, 'again: nothing changes');
    await control.apply(testConfig({ zones: [...both, zoneConfig('7.0.0.0.0.0.d.f.ip6.arpa')] }));
    t.equal(control.records('7.0.0.0.0.0.d.f.ip6.arpa', { type: TYPE.PTR }).length, 1, 'a reverse zone more');
  },
);

t.test('a configuration that cannot be used changes nothing', async (t) => {
  const server = await start(t);
  const { control, published } = server;
  published.length = 0;
  const before = control.zones();
  const rule = updateRule('node-key', 'zonesub', undefined, ['NO-TYPE']);
  const bad = testConfig({ keys: [], zones: [zoneConfig('new.test'), zoneConfig('other.test', { update: [rule] })] });
  await t.rejects(control.apply(bad), { code: 'V6_VALUE' });
  const missing = zoneConfig('other.test', { file: '/nonexistent' });
  await t.rejects(control.apply(testConfig({ zones: [missing] })), {
    code: 'V6_VALUE',
    message: /zone other.test: \/non/,
  });
  t.same(control.zones(), before);
  t.same(published, []);
  t.equal(await send(server, 'cluster.test', [txt('a.cluster.test', 'x')]), 'NOERROR', 'keys and policy hold');
});

t.test('updates that arrive while a configuration is taken over are worked out on the new one', async (t) => {
  const server = await start(t);
  const soa = { ...zoneConfig('cluster.test').soa, minimumSeconds: 61 };
  const applied = server.control.apply(testConfig({ zones: [zoneConfig('cluster.test', { soa })] }));
  const sent = send(server, 'cluster.test', [txt('a.cluster.test', 'x')]);
  await applied;
  t.equal(await sent, 'NOERROR');
  const lines = await axfrLines(server.port, 'cluster.test', testKey);
  t.ok(lines.some((line) => line.startsWith('a.cluster.test')));
  t.match(server.control.records('cluster.test', { type: TYPE.SOA })[0]?.rrset.rdata[0]?.at(-1), 61);
});

const root = process.getuid?.() === 0;
t.test('a full disk: SERVFAIL, nothing applied, updates again when there is room', { skip: !root }, async (t) => {
  const dir = newDir(t);
  // Less than a log takes: updates do without.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'v6edge-test', dir]);
  t.teardown(() => execFileSync('umount', ['-l', dir]));
  const server = await startControlServer(dir, testConfig());
  t.equal(await send(server, 'cluster.test', [txt('a.cluster.test', 'x')]), 'NOERROR');
  const before = await axfrLines(server.port, 'cluster.test', testKey);
  const filler = join(dir, 'filler');
  t.throws(() => writeFileSync(filler, Buffer.alloc(2 ** 20)), { code: 'ENOSPC' });
  server.published.length = 0;
  const big = Array.from({ length: 100 }, (_, n) => txt(`t${n}.cluster.test`, 'x'.repeat(200)));
  t.equal(await send(server, 'cluster.test', big), 'SERVFAIL');
  t.same(server.published, [], 'no data thread is told');
  t.same(await axfrLines(server.port, 'cluster.test', testKey), before);
  rmSync(filler);
  t.equal(await send(server, 'cluster.test', [txt('b.cluster.test', 'x')]), 'NOERROR');
  const after = await axfrLines(server.port, 'cluster.test', testKey);
  await server.close();
  const again = await startControlServer(dir, testConfig());
  t.same(await axfrLines(again.port, 'cluster.test', testKey), after, 'what was acknowledged is on disk');
  await again.close();
});

t.test('a full disk: the log takes updates as long as it has room', { skip: !root }, async (t) => {
  const dir = newDir(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'v6edge-test', dir]);
  t.teardown(() => execFileSync('umount', ['-l', dir]));
  const server = await startControlServer(dir, testConfig());
  t.equal(await send(server, 'cluster.test', [txt('a.cluster.test', 'x')]), 'NOERROR');
  const filler = join(dir, 'filler');
  t.throws(() => writeFileSync(filler, Buffer.alloc(24 * 2 ** 20)), { code: 'ENOSPC' });
  const update = (n: number) =>
    send(
      server,
      'cluster.test',
      Array.from({ length: 100 }, (_, i) => txt(`t${n}-${i}.cluster.test`, 'x'.repeat(200))),
    );
  let taken = 0;
  while (taken < 1000 && (await update(taken)) === 'NOERROR') taken++;
  t.ok(taken > 30 && taken < 200, `${taken} updates of some 25,000 octets are in the log`);
  const before = await axfrLines(server.port, 'cluster.test', testKey);
  t.equal(await update(taken), 'SERVFAIL');
  t.same(await axfrLines(server.port, 'cluster.test', testKey), before);
  rmSync(filler);
  t.equal(await update(taken), 'NOERROR');
  const after = await axfrLines(server.port, 'cluster.test', testKey);
  t.equal(after.length, before.length + 100);
  await server.close();
  const again = await startControlServer(dir, testConfig());
  t.same(await axfrLines(again.port, 'cluster.test', testKey), after, 'what was acknowledged is on disk');
  await again.close();
});
