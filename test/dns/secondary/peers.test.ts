/** BIND 9, Knot and NSD as primaries and as secondaries of ours: AXFR, IXFR and NOTIFY, all signed; updates by way of us. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseCidr, parseInetEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { CounterStripe } from '../../../src/core/counters.ts';
import { cryptoRandom } from '../../../src/core/random.ts';
import { controlCounters, inboundCounter, notifyCounter, transferCounter } from '../../../src/dns/control-counters.ts';
import { formatKeyFile } from '../../../src/dns/keyfile.ts';
import { primaryAsker } from '../../../src/dns/secondary/transfer-client.ts';
import { signRequest } from '../../../src/dns/tsig.ts';
import { encodeMessage, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { freePort } from '../../free-port.ts';
import { type ControlServer, startControlServer, testConfig, testKey, zoneConfig } from '../control-server.ts';
import { axfrLines, lineSerial, rr, UdpClient, updateMessage } from '../dns-client.ts';
import { type Peer, type PeerKind, peerKinds, startPeer } from './peer-servers.ts';

const zone = 'cluster.test';
const loopback = parseCidr('::1/128');

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-peers-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Names, types and numbers in all sizes: more than one message of a transfer. */
function zoneFile(serial: number, more = ''): string {
  const lines = [
    '$ORIGIN cluster.test.',
    '$TTL 300',
    `@ IN SOA edge hostmaster ${serial} 3600 600 86400 60`,
    '@ IN NS edge',
    'edge IN AAAA fd00:6:6::1',
    'MiXeD IN TXT "case" "kept"',
    '*.wild IN CNAME edge',
    'down IN DNAME elsewhere.test.',
    '_http._tcp IN SRV 0 0 80 edge',
    'odd IN TYPE65280 \\# 3 010203',
    'svc IN HTTPS 1 . alpn=h2 ipv6hint=fd00:6:6::1',
  ];
  for (let i = 0; i < 1000; i++)
    lines.push(`h${i} IN TXT "${'x'.repeat(i % 200)}"`, `h${i} 60 IN AAAA fd00:6:6::${i.toString(16)}`);
  return `${lines.join('\n')}\n${more}`;
}

async function start(t: Test, zones: Parameters<typeof testConfig>[0], port: number) {
  const counters = CounterStripe.alone(controlCounters.length, 0);
  const server = await startControlServer(newDir(t), testConfig(zones), undefined, { port, counters });
  t.teardown(() => server.close());
  return { server, counters };
}

async function peerOf(t: Test, kind: PeerKind, us: number, file?: string): Promise<Peer> {
  const peer = await startPeer(kind, { zone, key: testKey, us, ...(file === undefined ? {} : { file }) });
  t.teardown(() => peer.stop());
  return peer;
}

/** A signed update that adds a TXT record, by UDP. */
async function add(port: number, name: string): Promise<void> {
  const client = new UdpClient(port);
  const record = rr(`${name}.${zone}`, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, `"${name}"`));
  const message = encodeMessage(updateMessage(1, zone, [], [record]));
  const reply = await client.send(signRequest(message, testKey, systemClock));
  client.close();
  if (reply === undefined || parseMessage(reply).rcode !== RCODE.NOERROR) throw new Error('the update was refused');
}

/** Waits until a server has the zone with a serial; returns its records. */
async function linesAt(port: number, serial: number, peer?: Peer, key = testKey): Promise<string[]> {
  for (let last = ''; ; ) {
    try {
      const lines = await axfrLines(port, zone, key);
      if (lineSerial(lines) === serial) return lines;
    } catch (error) {
      // It has no zone yet.
      if (String(error) !== last && peer !== undefined && /fatal/i.test(peer.log())) throw error;
      last = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a server says to EXPIRE when we ask as a secondary does. */
async function expireAt(port: number): Promise<number | undefined> {
  const primary = parseInetEndpoint(`[::1]:${port}`);
  const { signal } = new AbortController();
  const ask = primaryAsker({ clock: systemClock, random: cryptoRandom });
  return (await ask({ primary, zone: nameFromText(zone), key: testKey, soa: undefined, signal })).expire;
}

t.test('a key with truncated MACs: BIND 9 as our secondary, and as our primary', async (t) => {
  const key = { ...testKey, macLength: 16 };
  const us = await freePort('::1');
  const file = join(newDir(t), 'zone');
  writeFileSync(file, zoneFile(5));
  const { server } = await start(t, { keys: [key], zones: [zoneConfig(zone, { ns: [], file })] }, us);
  const options = { zone, key, us } as const;
  const copy = await startPeer('bind', options);
  t.teardown(() => copy.stop());
  const lines = await linesAt(us, server.control.zone(zone)!.serial, undefined, key);
  t.same(await linesAt(copy.port, server.control.zone(zone)!.serial, copy, key), lines, 'it has the zone of us');
  const secondary = {
    primaries: [parseInetEndpoint(`[::1]:${copy.port}`)],
    key: key.name,
    allowNotify: [],
    allowUpdateForwarding: [],
  };
  const back = await freePort('::1');
  const config = { keys: [key], zones: [zoneConfig(zone, { ns: [], update: [], secondary })] };
  const { server: again } = await start(t, config, back);
  while (again.control.zone(zone)!.secondary!.state !== 'loaded') {
    t.equal(again.control.zone(zone)!.secondary!.lastError, undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.same(await linesAt(back, again.control.zone(zone)!.serial, undefined, key), lines, 'and we have it of it');
});

for (const kind of peerKinds) {
  t.test(`${kind} is our secondary`, async (t) => {
    const us = await freePort('::1');
    const file = join(newDir(t), 'zone');
    writeFileSync(file, zoneFile(5));
    const first = zoneConfig(zone, { ns: [], file });
    const { server, counters } = await start(t, { zones: [first] }, us);
    const peer = await peerOf(t, kind, us);
    const ours = () => axfrLines(us, zone, testKey);
    const serial = () => server.control.zone(zone)!.serial;
    t.same(await linesAt(peer.port, serial(), peer), await ours(), 'AXFR');
    const notify = [parseInetEndpoint(`[::1]:${peer.port}`)];
    await server.control.apply(testConfig({ zones: [{ ...first, transfer: { ...first.transfer, notify } }] }));
    for (const name of ['one', 'two']) {
      await add(us, name);
      t.same(await linesAt(peer.port, serial(), peer), await ours(), `NOTIFY and IXFR: ${name}`);
    }
    t.ok(counters.get(transferCounter('ixfr')) >= 1, 'by differences');
    if (kind === 'nsd') return;
    const left = await expireAt(peer.port);
    t.ok(left !== undefined && left > 86_000 && left <= 86_400, `expires there in ${left} s (RFC 7314)`);
  });

  t.test(`${kind} is our primary`, async (t) => {
    const us = await freePort('::1');
    const peer = await peerOf(t, kind, us, zoneFile(5));
    const secondary = {
      primaries: [parseInetEndpoint(`[::1]:${peer.port}`)],
      key: testKey.name,
      allowNotify: [],
      allowUpdateForwarding: [loopback],
    };
    const { server, counters } = await start(t, { zones: [zoneConfig(zone, { ns: [], update: [], secondary })] }, us);
    const same = async (server: ControlServer, what: string) => {
      const { serial } = server.control.zone(zone)!;
      t.same(await axfrLines(us, zone, testKey), await linesAt(peer.port, serial, peer), what);
    };
    while (server.control.zone(zone)!.secondary!.state !== 'loaded') await new Promise((r) => setTimeout(r, 20));
    await same(server, 'AXFR');
    const changed = server.event({ type: 'zone-transferred' });
    if (kind === 'nsd') peer.replace(zoneFile(6, 'one IN TXT "one"\n'));
    else await add(peer.port, 'one');
    t.match(await changed, { method: 'ixfr', from: 5, serial: 6 }, 'NOTIFY, and differences');
    await same(server, 'IXFR');
    t.ok(counters.get(notifyCounter('accepted')) >= 1);
    t.equal(counters.get(inboundCounter('axfr')), 1);
    if (kind !== 'nsd') t.equal(await expireAt(peer.port), 86_400, 'EXPIRE (RFC 7314)');
    if (kind === 'nsd') return;

    const key = join(newDir(t), 'key');
    writeFileSync(key, formatKeyFile(testKey), { mode: 0o600 });
    const forwarded = server.event({ type: 'zone-transferred' });
    const nsupdate = spawn('nsupdate', ['-k', key], { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    nsupdate.stderr.on('data', (data) => {
      said += data;
    });
    nsupdate.stdin.end(`server ::1 ${us}\nzone ${zone}\nupdate add two.${zone} 60 TXT "by way of us"\nsend\n`);
    const [code] = await once(nsupdate, 'close');
    t.equal(code, 0, `nsupdate by way of us: ${said}`);
    await forwarded;
    await same(server, 'what was forwarded came back');
    t.match(await axfrLines(us, zone, testKey), /two\.cluster\.test/);
  });
}
