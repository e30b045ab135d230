/** Leases: the table by itself with a fake clock, then through the whole control part with a store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { cryptoRandom } from '../../src/core/random.ts';
import type { DnsConfig } from '../../src/dns/config.ts';
import { DnsControl, type ZoneEvent } from '../../src/dns/control.ts';
import { type ExpiredSet, LeaseTable } from '../../src/dns/leases.ts';
import type { ZoneView } from '../../src/dns/overlay.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText, nameKey, nameToText } from '../../src/dns/wire/name.ts';
import { rdataFromText, rdataToText } from '../../src/dns/wire/rdata.ts';
import { CLASS, rcodeToText, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { encodeUpdateLease, parseUpdateLease, type UpdateLease } from '../../src/dns/wire/update-lease.ts';
import { reverseZoneName, testConfig, testKey, updateRule, zoneConfig } from './control-server.ts';
import { rr, updateMessage } from './dns-client.ts';

const zone = nameKey(nameFromText('z.test'));
const txt = (name: string, text: string) => rr(name, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, `"${text}"`));
const aaaa = (name: string, address: string) => rr(name, CLASS.IN, TYPE.AAAA, 60, rdataFromText(TYPE.AAAA, address));
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function setup(expire?: (sets: readonly ExpiredSet[]) => Promise<void>) {
  const clock = new FakeClock();
  const gone: string[] = [];
  const there = new Map<string, Uint8Array[]>();
  const view: ZoneView = {
    rrsets: () => [],
    rrset(owner, type) {
      const rdata = there.get(`${owner}${type}`);
      return rdata === undefined ? undefined : { owner: nameFromText('x'), rrset: { type, ttl: 60, rdata } };
    },
  };
  const table = new LeaseTable({
    clock,
    async expire(key, sets) {
      t.equal(key, zone);
      for (const { owner, type, rdata } of sets) {
        for (const one of rdata) gone.push(`${nameToText(owner)} ${typeToText(type)} ${rdataToText(type, one)}`);
      }
      await expire?.(sets);
      // What the commit would do.
      const changes = sets.map(({ owner, type, rdata }) => {
        const left = there.get(`${nameKey(owner)}${type}`)!.filter((one) => !rdata.includes(one));
        there.set(`${nameKey(owner)}${type}`, left);
        return { owner, type, rrset: { type, ttl: 60, rdata: left }, before: undefined };
      });
      table.follow(zone, view, changes);
    },
  });
  const put = (record: ResourceRecord, seconds: number) => {
    const key = `${nameKey(record.name)}${record.type}`;
    const rdata = there.get(key) ?? [];
    if (!rdata.some((one) => Buffer.compare(one, record.rdata) === 0)) rdata.push(record.rdata);
    there.set(key, rdata);
    return table.follow(zone, view, [], [{ record, seconds }]);
  };
  return { clock, gone, table, put };
}

t.test('a record goes when its time is over, not before; a refresh puts it off', async (t) => {
  const { clock, gone, table, put } = setup();
  put(txt('a.z.test', 'x'), 60);
  clock.advance(40_000);
  put(txt('a.z.test', 'x'), 60);
  put(txt('b.z.test', 'y'), 30);
  clock.advance(29_999);
  await turn();
  t.same(gone, []);
  clock.advance(1);
  await turn();
  t.same(gone, ['b.z.test TXT "y"']);
  clock.advance(29_999);
  await turn();
  t.equal(gone.length, 1);
  clock.advance(1);
  await turn();
  t.same(gone, ['b.z.test TXT "y"', 'a.z.test TXT "x"']);
  t.equal(table.size, 0);
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('each record of an RRset has its own time', async (t) => {
  const { clock, gone, table, put } = setup();
  put(aaaa('a.z.test', 'fd00::1'), 60);
  clock.advance(30_000);
  const [set] = put(aaaa('a.z.test', 'fd00::2'), 60);
  t.equal(set!.leases.length, 2, 'the store gets both');
  clock.advance(30_000);
  await turn();
  t.same(gone, ['a.z.test AAAA fd00::1']);
  t.equal(table.leases(zone, nameKey(nameFromText('A.z.test')), TYPE.AAAA).length, 1);
  clock.advance(30_000);
  await turn();
  t.same(gone, ['a.z.test AAAA fd00::1', 'a.z.test AAAA fd00::2']);
});

t.test('who puts a record without a lease makes it stay', async (t) => {
  const { clock, gone, table, put } = setup();
  t.same(put(txt('a.z.test', 'x'), 0), [], 'nothing to store');
  put(txt('a.z.test', 'x'), 60);
  t.same(put(txt('a.z.test', 'x'), 0)[0]!.leases, [], 'the store forgets it');
  clock.advance(61_000);
  await turn();
  t.same(gone, []);
  t.equal(table.size, 0);
});

t.test('many at once go in batches', async (t) => {
  let calls = 0;
  const { clock, gone, put } = setup(async (sets) => {
    t.ok(sets.length <= 200, `${sets.length} at once`);
    calls++;
  });
  for (let i = 0; i < 500; i++) put(txt(`n${i}.z.test`, 'x'), 60);
  clock.advance(60_000);
  for (let i = 0; i < 10; i++) {
    await turn();
    clock.advance(0);
  }
  t.equal(gone.length, 500);
  t.equal(calls, 3);
});

t.test('what cannot be stored is tried again later', async (t) => {
  const faults = [new Error('disk full')];
  const { clock, gone, table, put } = setup(async () => {
    const fault = faults.pop();
    if (fault === undefined) return;
    // What the control part does then.
    table.load(zone, stored, clock.wall());
    throw fault;
  });
  const stored = put(txt('a.z.test', 'x'), 60);
  clock.advance(60_000);
  await turn();
  t.equal(gone.length, 1);
  t.ok(clock.next! >= 9000, 'not at once');
  clock.advance(10_000);
  await turn();
  t.equal(gone.length, 2);
  t.equal(table.size, 0);
});

t.test('names that come and go leave nothing behind', (t) => {
  const { clock, table, put } = setup();
  for (let i = 0; i < 20_000; i++) {
    const record = txt(`n${i}.z.test`, 'x');
    put(record, 86_400);
    put(record, 0);
  }
  t.equal(table.size, 0);
  t.ok(table.queued <= 1001, `${table.queued} are queued`);
  t.ok(clock.pending <= 1);
  t.end();
});

t.test('a start: time in which nobody could refresh does not count', (t) => {
  const lease = (ago: number, seconds: number, wall: number) => ({
    owner: nameFromText('a.z.test'),
    type: TYPE.TXT,
    leases: [{ rdata: rdataFromText(TYPE.TXT, '"x"'), seconds, expiresAt: wall - ago * 1000 + seconds * 1000 }],
  });
  const rows: [name: string, ago: number, seconds: number, aliveAgo: number, left: number][] = [
    ['stopped just now', 100, 3600, 0, 3500],
    ['stopped for 50 s', 100, 3600, 50, 3550],
    ['killed: it lived when the last lease was granted', 100, 3600, 1e9, 3600],
    ['stopped for a day', 86_500, 3600, 86_400, 3500],
    ['the clock was set back', -100, 3600, -50, 3700],
  ];
  for (const [name, ago, seconds, aliveAgo, left] of rows) {
    const { clock, table } = setup();
    const wall = clock.wall();
    const longer = table.load(zone, [lease(ago, seconds, wall)], wall - aliveAgo * 1000);
    t.equal(table.leases(zone, nameKey(nameFromText('a.z.test')), TYPE.TXT)[0]!.expiresAt, wall + left * 1000, name);
    t.equal(longer.length, aliveAgo > 0 ? 1 : 0, 'the store is told of longer ones');
    t.equal(clock.next, left * 1000);
  }
  t.end();
});

/** A control part in a folder, with a clock of ours. */
async function startControl(t: Test, dir: string, clock: FakeClock, config: DnsConfig) {
  const events: ZoneEvent[] = [];
  const log = new MemoryLogger();
  const context = {
    clock,
    random: cryptoRandom,
    log,
    stateDir: dir,
    publish() {},
    emit: (e: ZoneEvent) => void events.push(e),
  };
  const control = new DnsControl(context);
  await control.start(config);
  t.teardown(() => control.stop());
  const endpoint = parseInetEndpoint('[::1]:5353');
  const send = async (updates: ResourceRecord[], lease?: UpdateLease, name = 'cluster.test') => {
    const message = updateMessage(7, name, [], updates);
    const options = lease === undefined ? [] : [encodeUpdateLease(lease)];
    const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options };
    const signed = signRequest(encodeMessage({ ...message, edns }), testKey, clock);
    const [reply] = await control.handle({ message: signed, client: endpoint, local: endpoint, transport: 'udp' });
    const parsed = parseMessage(reply!);
    return { rcode: rcodeToText(parsed.rcode), lease: parseUpdateLease(parsed.edns!.options) };
  };
  const names = (zone = 'cluster.test', type: number = TYPE.AAAA) =>
    control.records(zone, { type }).map(({ owner }) => nameToText(owner));
  /** Waits for an expiry to be on disk. */
  const changed = async (count: number) => {
    for (const end = Date.now() + 5000; events.length < count && Date.now() < end; ) await turn();
    t.equal(events.length, count, `${count} events`);
  };
  return { control, events, log, send, names, changed };
}

const leased = (seconds: number) =>
  testConfig({
    zones: [
      zoneConfig('cluster.test', {
        reverse: true,
        leaseSeconds: seconds,
        update: [
          updateRule('node-key', 'name', 'keep.cluster.test', ['AAAA'], { leaseSeconds: 0 }),
          updateRule('node-key', 'zonesub', undefined, ['ANY']),
        ],
      }),
      zoneConfig(reverseZoneName),
    ],
  });

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-leases-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

t.test('a node that is gone: its name, its PTR record, the serials, the event', async (t) => {
  const clock = new FakeClock();
  const { control, events, send, names, changed } = await startControl(t, newDir(t), clock, leased(60));
  await send([aaaa('n1.cluster.test', 'fd00:6:6::1'), txt('n1.cluster.test', 'x')]);
  await send([aaaa('n2.cluster.test', 'fd00:6:6::2')]);
  await send([aaaa('keep.cluster.test', 'fd00:6:6::3')]);
  t.equal(names(reverseZoneName, TYPE.PTR).length, 3);
  const serial = control.zone('cluster.test')!.serial;
  const reverseSerial = control.zone(reverseZoneName)!.serial;
  const before = events.length;
  clock.advance(40_000);
  t.same(await send([aaaa('n2.cluster.test', 'fd00:6:6::2')]), { rcode: 'NOERROR', lease: undefined });
  t.equal(control.zone('cluster.test')!.serial, serial, 'a refresh is no change');
  t.equal(events.length, before);
  clock.advance(20_000);
  await changed(before + 2);
  t.same(names(), ['n2.cluster.test', 'keep.cluster.test']);
  t.same(names('cluster.test', TYPE.TXT), []);
  t.equal(names(reverseZoneName, TYPE.PTR).length, 2);
  t.equal(control.zone('cluster.test')!.serial, serial + 1);
  t.equal(control.zone(reverseZoneName)!.serial, reverseSerial + 1);
  t.match(events.slice(before), [
    { zone: 'cluster.test', by: 'lease', serial: serial + 1, changed: ['n1.cluster.test AAAA', 'n1.cluster.test TXT'] },
    { zone: reverseZoneName, by: 'lease' },
  ]);
  await control.edits.setRRset('cluster.test', nameFromText('n2.cluster.test'), TYPE.AAAA, 60, [
    rdataFromText(TYPE.AAAA, 'fd00:6:6::2'),
  ]);
  clock.advance(86_400_000);
  await turn();
  t.same(names(), ['n2.cluster.test', 'keep.cluster.test'], 'what the administrator puts stays');
  t.equal(control.leases('cluster.test', nameFromText('n2.cluster.test'), TYPE.AAAA).length, 0);
});

t.test('clients that ask for a lease (RFC 9664)', async (t) => {
  const clock = new FakeClock();
  const { control, events, send, names, changed } = await startControl(t, newDir(t), clock, leased(0));
  const asked = await send([aaaa('n1.cluster.test', 'fd00:6:6::1')], { lease: 120, keyLease: undefined });
  t.same(asked, { rcode: 'NOERROR', lease: { lease: 120, keyLease: undefined } });
  t.same(await send([aaaa('n2.cluster.test', 'fd00:6:6::2')]), { rcode: 'NOERROR', lease: undefined });
  t.equal(control.leases('cluster.test', nameFromText('n1.cluster.test'), TYPE.AAAA)[0]!.seconds, 120);
  t.same(await send([aaaa('n3.cluster.test', 'fd00:6:6::3')], { lease: 5, keyLease: 999_999_999 }), {
    rcode: 'NOERROR',
    lease: { lease: 30, keyLease: 30 * 86_400 },
  });
  const refused = await send([txt('n1.other.test', 'x')], { lease: 120, keyLease: undefined });
  t.same(refused, { rcode: 'NOTZONE', lease: undefined }, 'no lease of what is refused');
  const before = events.length;
  clock.advance(30_000);
  await changed(before + 2);
  clock.advance(90_000);
  await changed(before + 4);
  t.same(names(), ['n2.cluster.test']);
});

t.test('leases outlive the process; a zone keeps its last NS', async (t) => {
  const dir = newDir(t);
  const clock = new FakeClock();
  const first = await startControl(t, dir, clock, leased(600));
  await first.send([aaaa('n1.cluster.test', 'fd00:6:6::1'), aaaa('n1.cluster.test', 'fd00:6:6::11')]);
  const ns = rr('cluster.test', CLASS.IN, TYPE.NS, 60, nameFromText('edge.cluster.test'));
  await first.send([ns]);
  clock.advance(200_000);
  await first.control.stop();
  // Nobody could refresh meanwhile.
  clock.advance(5_000_000);
  const second = await startControl(t, dir, clock, leased(600));
  clock.advance(100_000);
  await second.control.stop();
  clock.advance(5_000_000);
  const third = await startControl(t, dir, clock, leased(600));
  await third.send([aaaa('n2.cluster.test', 'fd00:6:6::2')]);
  const count = third.events.length;
  clock.advance(299_000);
  await turn();
  t.same(third.names(), ['n1.cluster.test', 'n2.cluster.test']);
  clock.advance(1_000);
  await third.changed(count + 2);
  t.same(third.names(), ['n2.cluster.test'], '300 s of 600 were left');
  t.same(third.names('cluster.test', TYPE.NS), ['cluster.test']);
  const entries = third.control.zone('cluster.test')!.serial;
  clock.advance(299_999);
  await turn();
  t.equal(third.control.zone('cluster.test')!.serial, entries);
});

t.test('a reload keeps leases; an option that is none is FORMERR', async (t) => {
  const clock = new FakeClock();
  const { control, events, send, names, changed } = await startControl(t, newDir(t), clock, leased(60));
  await send([aaaa('n1.cluster.test', 'fd00:6:6::1')]);
  const config = leased(3600);
  // A zone that is read from the store anew, and one that is not.
  await control.apply({ ...config, zones: config.zones.map((one) => ({ ...one, ttlSeconds: one.ttlSeconds + 1 })) });
  const count = events.length;
  clock.advance(59_999);
  await turn();
  t.same(names(), ['n1.cluster.test']);
  clock.advance(1);
  await changed(count + 2);
  t.same(names(), []);
  const message = updateMessage(7, 'cluster.test', [], [txt('a.cluster.test', 'x')]);
  const options = [{ code: 2, data: Uint8Array.of(1, 2, 3) }];
  const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options };
  const endpoint = parseInetEndpoint('[::1]:5353');
  const signed = signRequest(encodeMessage({ ...message, edns }), testKey, clock);
  const [reply] = await control.handle({ message: signed, client: endpoint, local: endpoint, transport: 'udp' });
  t.equal(rcodeToText(parseMessage(reply!).rcode), 'FORMERR');
});
