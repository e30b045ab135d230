/** The reply to an update is worked out while the disk writes: it leaves when the write is over, and says how that went. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { ControlMessages } from '../../src/dns/control-messages.ts';
import { ControlQueries } from '../../src/dns/control-queries.ts';
import { Keys } from '../../src/dns/dynamic-keys.ts';
import type { Served } from '../../src/dns/served-zone.ts';
import { ZoneStore } from '../../src/dns/store.ts';
import { signRequest, verifyReply } from '../../src/dns/tsig.ts';
import { durableFiles, type WalFiles } from '../../src/dns/wal-files.ts';
import { encodeMessage, parseMessage } from '../../src/dns/wire/message.ts';
import { nameKey } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { locateTsig } from '../../src/dns/wire/tsig.ts';
import { CLASS, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { type Zone, ZoneTable } from '../../src/dns/zone.ts';
import { startZone } from '../../src/dns/zone-seed.ts';
import { ZoneWriter } from '../../src/dns/zone-writer.ts';
import { testKey, zoneConfig } from './control-server.ts';
import { rr, updateMessage } from './dns-client.ts';

/** What a write to the log waits for; the files are real ones. */
let disk: () => Promise<void> = () => Promise.resolve();
const files: WalFiles = {
  async open(path, octets) {
    const file = await durableFiles.open(path, octets);
    return { write: (bytes, position) => disk().then(() => file.write(bytes, position)), close: () => file.close() };
  },
};

/** The way of a message through the control thread, with a store whose log is on that disk. */
async function start(t: Test): Promise<{ messages: ControlMessages; zone: Zone; order: string[] }> {
  const order: string[] = [];
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-update-reply-'));
  const store = await ZoneStore.open(dir, { files });
  const context = {
    clock: systemClock,
    random: new SeededRandom(1),
    log: nullLogger,
    stateDir: dir,
    publish: () => void order.push('publish'),
    announce: (count: number) => void order.push(`announce ${count}`),
    emit: () => void order.push('event'),
  };
  const writer = new ZoneWriter({ ...context, changed: () => undefined, gate: () => undefined }, store);
  t.teardown(async () => {
    disk = () => Promise.resolve();
    await writer.stop();
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const keys = new Keys();
  keys.configure([testKey]);
  const config = zoneConfig('cluster.test');
  const { zone, seed, ...content } = startZone(config, undefined, () => undefined, 1);
  await store.commit([{ zone: zone.key, ...content, seed }]);
  const one: Served = { config, zone, policy: keys.policyOf(config), transferKey: undefined, lastUpdate: undefined };
  const served = new Map([[zone.key, one]]);
  await writer.apply({ served, zones: new ZoneTable([zone]) }, new Map(), []);
  const messages = new ControlMessages(context, {
    keys,
    queries: new ControlQueries(context),
    secondaries: () => ({ forwardUpdate: () => Promise.resolve(undefined) }) as never,
    served: () => served,
    writer: () => writer,
    gate: () => undefined,
  });
  return { messages, zone, order };
}

const client = parseInetEndpoint('[::1]:5353');
const text = (n: number) => rr(`n${n}.cluster.test`, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, '"x"'));

/** One update, whether its reply is there yet, and what it says; its signature is looked at. */
function update(t: Test, messages: ControlMessages, n: number) {
  const updates = [text(n)];
  const request = signRequest(encodeMessage(updateMessage(n, 'cluster.test', [], updates)), testKey, systemClock);
  let answered = false;
  const rcode = messages
    .answer({ message: request, client, local: client, transport: 'udp' })
    .then(([reply, ...more]) => {
      answered = true;
      t.same(more, [], 'one reply');
      t.ok(verifyReply(reply!, testKey, locateTsig(request)!.record.mac), `reply ${n} is signed`);
      const parsed = parseMessage(reply!);
      t.match(parsed, { id: n, questions: [{ type: TYPE.SOA }] });
      return parsed.rcode;
    });
  return { rcode, answered: () => answered };
}

/** One update that comes with a way back of its own, and the replies that are left to be sent in the end. */
function updateByWay(t: Test, messages: ControlMessages, n: number, order: string[]) {
  const request = signRequest(encodeMessage(updateMessage(n, 'cluster.test', [], [text(n)])), testKey, systemClock);
  const way = { loan: { fd: -1, place: 0, word: 0 }, path: { name: new Uint8Array(0), control: new Uint8Array(0) } };
  const send = ([reply, ...more]: readonly Uint8Array[]) => {
    t.same(more, [], 'one reply');
    t.ok(verifyReply(reply!, testKey, locateTsig(request)!.record.mac), `reply ${n} is signed`);
    order.push(`reply ${parseMessage(reply!).id}`);
    return Promise.resolve(true);
  };
  return { replies: messages.answer({ message: request, client, local: client, transport: 'udp', way }, send) };
}

/** A disk whose writes wait for `end`. */
function holdDisk(): { begun: Promise<void>; end: (error?: Error) => void } {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  disk = () => {
    begun.resolve();
    return end.promise;
  };
  return { begun: begun.promise, end: (error) => (error === undefined ? end.resolve() : end.reject(error)) };
}

/** More than a reply needs that waits for nothing. */
async function someTurns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

t.test('a slow disk: the reply waits for it, and so do those that share the next write', async (t) => {
  const { messages, zone } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR, 'the log is there from here on');
  const { begun, end } = holdDisk();
  const first = update(t, messages, 2);
  await begun;
  const others = [update(t, messages, 3), update(t, messages, 4)];
  await someTurns();
  t.notOk(first.answered() || others.some((one) => one.answered()), 'nothing is acknowledged');
  t.same(zone.rrsets(nameKey(text(2).name)), [], 'nor to be seen');
  end();
  t.equal(await first.rcode, RCODE.NOERROR);
  for (const { rcode } of others) t.equal(await rcode, RCODE.NOERROR);
});

t.test('a disk that fails late: SERVFAIL, though NOERROR was worked out', async (t) => {
  const { messages } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
  const { begun, end } = holdDisk();
  const first = update(t, messages, 2);
  await begun;
  const second = update(t, messages, 3);
  await someTurns();
  end(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }));
  t.equal(await first.rcode, RCODE.SERVFAIL);
  t.equal(await second.rcode, RCODE.SERVFAIL, 'it was worked out on top of the first');
  disk = () => Promise.resolve();
  t.equal(await update(t, messages, 4).rcode, RCODE.NOERROR, 'there is room again');
});

t.test('a disk that fails at once', async (t) => {
  const { messages } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
  disk = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
  t.equal(await update(t, messages, 2).rcode, RCODE.SERVFAIL);
  t.equal(await update(t, messages, 3).rcode, RCODE.SERVFAIL, 'the log takes nothing any more');
});

t.test('what changes nothing is answered at once', async (t) => {
  const { messages } = await start(t);
  for (const _ of [1, 2]) t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
});

t.test('by a way of its own it leaves once, when it is on disk, before it is told of', async (t) => {
  const { messages, order } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
  const { begun, end } = holdDisk();
  order.length = 0;
  const several = [2, 3].map((n) => updateByWay(t, messages, n, order));
  await begun;
  await someTurns();
  t.strictSame(order, [], 'nothing while the disk writes');
  end();
  for (const { replies } of several) t.strictSame(await replies, [], 'none is left to be sent');
  t.strictSame(order, ['announce 1', 'reply 2', 'reply 3', 'publish', 'announce 0', 'event', 'event']);
});

t.test('by a way of its own, when the disk fails, SERVFAIL is left to be sent', async (t) => {
  const { messages, order } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
  disk = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
  order.length = 0;
  const [reply] = await updateByWay(t, messages, 2, order).replies;
  t.equal(parseMessage(reply!).rcode, RCODE.SERVFAIL);
  t.strictSame(order, []);
});

t.test('by a way of its own, what is refused or changes nothing is left to be sent', async (t) => {
  const { messages, order } = await start(t);
  t.equal(await update(t, messages, 1).rcode, RCODE.NOERROR);
  order.length = 0;
  const [same] = await updateByWay(t, messages, 1, order).replies;
  t.equal(parseMessage(same!).rcode, RCODE.NOERROR);
  t.strictSame(order, []);
});
