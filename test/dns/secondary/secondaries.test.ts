/** A primary and a secondary of our own: transfers, restarts, expiry, changes of role. */
import t from 'tap';
import { parseCidr } from '../../../src/core/address.ts';
import { type Clock, FakeClock, systemClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import type { DnsConfig, ZoneConfig } from '../../../src/dns/config.ts';
import { inboundCounter, notifyCounter } from '../../../src/dns/control-counters.ts';
import { signRequest } from '../../../src/dns/tsig.ts';
import { readExpire } from '../../../src/dns/wire/expire.ts';
import { encodeMessage, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { CLASS, OPCODE, RCODE, rcodeToText, TYPE } from '../../../src/dns/wire/types.ts';
import { freePort } from '../../free-port.ts';
import { type ControlServer, startControlServer, testConfig, testKey, zoneConfig } from '../control-server.ts';
import { updateMessage } from '../dns-client.ts';
import {
  ask,
  at,
  here,
  loaded,
  newDir,
  nextId,
  secondaryZone,
  startPair,
  strangeKey,
  text,
  turn,
  txt,
  until,
  update,
  zone,
} from './secondary-pair.ts';

t.test('the whole zone first, then differences after NOTIFY, all signed', async (t) => {
  const { primary, secondary, counters } = await startPair(t);
  t.equal(text(secondary), text(primary));
  t.equal(counters.get(inboundCounter('axfr')), 1);
  const { serial } = primary.control.zone(zone)!;
  const event = secondary.event({ type: 'zone-transferred' });
  t.equal((await update(primary, [txt('a', 'one')])).rcode, 'NOERROR');
  t.match(await event, { zone, serial: serial + 1, from: serial, method: 'ixfr', primary: `[::1]:${primary.port}` });
  t.equal(text(secondary), text(primary));
  t.equal(counters.get(notifyCounter('accepted')), 1);
  t.equal((await ask(secondary, `a.${zone}`)).answers.length, 1, 'in answers');
  t.match(
    secondary.published.map(({ kind }) => kind),
    ['zone', 'zone', 'zone-expiry', 'delta', 'zone-expiry'],
    'data threads: nothing, all, what changed, and until when it is good',
  );
  t.match(secondary.published[0], { data: { unavailable: true } });
});

t.test('NOTIFY by order, without a change', async (t) => {
  const { primary, secondary, counters } = await startPair(t);
  t.strictSame(primary.control.notify(zone), [`[::1]:${secondary.port}`]);
  while (counters.get(notifyCounter('accepted')) === 0) await turn();
  t.equal(text(secondary), text(primary));
  t.throws(() => secondary.control.notify(zone), { code: 'V6_VALUE', message: /transfer\.notify is empty/ });
  t.throws(() => primary.control.notify('no.test'), { code: 'V6_VALUE', message: /no\.test/ });
});

t.test('many changes at once come as one transfer, a large zone in many messages', async (t) => {
  const { primary, secondary } = await startPair(t);
  const rounds = 8;
  for (let i = 0; i < rounds; i++) {
    const records = Array.from({ length: 400 }, (_, n) => txt(`h${i}-${n}`, 'x'.repeat(100)));
    t.equal((await update(primary, records)).rcode, 'NOERROR');
  }
  while (secondary.control.zone(zone)!.serial !== primary.control.zone(zone)!.serial) await turn();
  t.equal(text(secondary), text(primary));
  const second = await startControlServer(newDir(t), testConfig({ zones: [secondaryZone(primary.port)] }));
  t.teardown(() => second.close());
  await loaded(second);
  t.equal(text(second), text(primary), 'by AXFR');
});

t.test('behind a large transfer the store is opened anew, as LMDB keeps its pages', async (t) => {
  const { primary, secondary, log } = await startPair(t, {
    primary: { transfer: { allow: [], key: testKey.name, notify: [] } },
  });
  for (let i = 0; i < 16; i++) {
    const records = Array.from({ length: 500 }, (_, n) => txt(`h${i}-${n}`, 'x'.repeat(200)));
    t.equal((await update(primary, records)).rcode, 'NOERROR');
  }
  const otherLog = new MemoryLogger();
  const other = await startControlServer(newDir(t), testConfig({ zones: [secondaryZone(primary.port)] }), otherLog);
  t.teardown(() => other.close());
  await loaded(other);
  const came = secondary.event({ type: 'zone-transferred' });
  secondary.control.refresh(zone, false);
  await came;
  const opened = ({ lines }: MemoryLogger) => lines.filter(({ message }) => /opened anew after/.test(message)).length;
  for (const [what, server, seen] of [
    ['a zone that was small', secondary, log],
    ['a zone that is new', other, otherLog],
  ] as const) {
    t.equal(opened(seen), 1, what);
    t.equal((await ask(server, `h1-1.${zone}`)).answers.length, 1);
    const next = server.event({ type: 'zone-transferred' });
    t.equal((await update(primary, [txt('next', what)])).rcode, 'NOERROR');
    server.control.refresh(zone, false);
    t.match(await next, { method: 'ixfr' }, 'and the store goes on');
    t.equal(text(server), text(primary));
    t.equal(opened(seen), 1, 'not behind a small one');
  }
});

t.test('EXPIRE (RFC 7314): what the primary says, and the secondary after it', async (t) => {
  const { primary, secondary, dir } = await startPair(t);
  const asked = [{ code: 9, data: new Uint8Array(0) }];
  const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options: asked };
  let clock: Clock = systemClock;
  const expireOf = async (server: ControlServer, type: number, name = zone) => {
    const soa = server.control.records(zone, { type: TYPE.SOA })[0]!;
    const message = encodeMessage({
      ...updateMessage(nextId(), zone, [], []),
      opcode: OPCODE.QUERY,
      questions: [{ name: nameFromText(name), type, class: CLASS.IN }],
      authority: [{ name: soa.owner, type: TYPE.SOA, class: CLASS.IN, ttl: 0, rdata: soa.rrset.rdata[0]! }],
      edns,
    });
    const signed = signRequest(message, testKey, clock);
    const [reply] = await server.control.handle({ message: signed, client: here, local: here, transport: 'tcp' });
    const { edns: told, rcode } = parseMessage(reply!);
    return told?.options.some(({ code }) => code === 9) === true ? readExpire(told) : rcodeToText(rcode);
  };
  for (const type of [TYPE.SOA, TYPE.AXFR, TYPE.IXFR]) t.equal(await expireOf(primary, type), 86_400);
  t.equal(await expireOf(primary, TYPE.SOA, `x.${zone}`), 'NXDOMAIN', 'not for a name in it');
  t.equal(await expireOf(primary, TYPE.TXT), 'NOERROR', 'nor for another type');
  await secondary.close();
  await primary.close();
  const later = new FakeClock(Date.now());
  clock = later;
  const config = testConfig({ zones: [secondaryZone(primary.port)] });
  const again = await startControlServer(dir, config, undefined, { clock });
  t.teardown(() => again.close());
  later.advance(86_000_000);
  const left = await expireOf(again, TYPE.SOA);
  t.ok(typeof left === 'number' && left > 380 && left <= 400, `${left} s left`);
  const copy = testConfig({ zones: [secondaryZone(again.port)] });
  const third = await startControlServer(newDir(t), copy, undefined, { clock });
  t.teardown(() => third.close());
  await loaded(third);
  const after = third.control.zone(zone)!.secondary!.expires! - clock.wall();
  t.ok(after > 300_000 && after <= 400_000, `a secondary of the secondary has no more: ${after} ms`);
  const expired = again.event({ type: 'zone-expired' });
  later.advance(401_000);
  await expired;
  t.equal(await expireOf(again, TYPE.SOA), 'SERVFAIL', 'nothing when it is over');
});

t.test('a restart serves what is on disk before the primary is asked; what is too old is not served', async (t) => {
  const pair = await startPair(t);
  const whole = text(pair.secondary);
  await pair.secondary.close();
  await pair.primary.close();
  const config = testConfig({ zones: [secondaryZone(pair.primary.port)] });
  const clock = new FakeClock(Date.now() + 1000);
  const again = await startControlServer(pair.dir, config, undefined, { clock });
  t.equal(text(again), whole);
  t.equal((await ask(again, `no.${zone}`)).rcode, RCODE.NXDOMAIN);
  t.equal(again.control.zone(zone)!.secondary!.state, 'loaded');
  const expired = again.event({ type: 'zone-expired' });
  clock.advance(86_400_000);
  await expired;
  t.equal((await ask(again, `no.${zone}`)).rcode, RCODE.SERVFAIL, 'expired');
  t.match(again.published.at(-1), { kind: 'zone', data: { unavailable: true } });
  t.equal(again.control.zone(zone)!.secondary!.state, 'expired');
  await again.close();
  const late = await startControlServer(pair.dir, config, undefined, { clock: new FakeClock(Date.now() + 90_000_000) });
  t.teardown(() => late.close());
  t.equal((await ask(late, `no.${zone}`)).rcode, RCODE.SERVFAIL, 'expired while we were down');
  t.match(late.published[0], { data: { unavailable: true } }, 'and not served for a moment');
});

t.test('DNS that a reload takes out and brings back does all of it again', async (t) => {
  const { primary, secondary } = await startPair(t, { secondary: { allowUpdateForwarding: [parseCidr('::1/128')] } });
  const [ours, theirs] = [secondary, primary].map(({ config }) => config);
  for (const [{ control }, config] of [
    [secondary, ours!],
    [primary, theirs!],
  ] as const) {
    await control.stop();
    await control.start(config);
  }
  const arrived = secondary.event({ type: 'zone-transferred' });
  t.equal((await update(secondary, [txt('again', 'x')])).rcode, 'NOERROR', 'forwarded');
  await arrived;
  t.equal(text(secondary), text(primary), 'and told by NOTIFY');
});

t.test('reload: primaries change, zones change their role and come back', async (t) => {
  const { primary, secondary } = await startPair(t);
  const apply = (zones: ZoneConfig[], more: Partial<DnsConfig> = {}) =>
    secondary.control.apply(testConfig({ zones, ...more }));
  const config = secondaryZone(primary.port);
  secondary.published.length = 0;
  await apply([config]);
  t.same(secondary.published, [], 'the same again: nothing to tell');

  const dead = await freePort('::1');
  await apply([secondaryZone(dead)]);
  await until(() => secondary.control.zone(zone)!.secondary!.lastError !== undefined);
  t.match(secondary.control.zone(zone)!.secondary, { state: 'loaded', lastError: /cannot connect/ });
  await apply([secondaryZone(dead, { primaries: [at(dead), at(primary.port)] })]);
  await until(() => secondary.control.zone(zone)!.secondary!.lastError === undefined);
  t.equal(secondary.control.zone(zone)!.secondary!.primary, `[::1]:${primary.port}`, 'the second one answers');

  t.equal((await update(primary, [txt('kept', 'x')])).rcode, 'NOERROR');
  await until(() => secondary.control.zone(zone)!.serial === primary.control.zone(zone)!.serial);
  const { serial } = secondary.control.zone(zone)!;
  await apply([zoneConfig(zone, { ns: ['new.test'] })]);
  t.match(secondary.control.zone(zone), { serial: serial + 1, secondary: undefined }, 'promoted');
  t.equal((await update(secondary, [txt('own', 'x')])).rcode, 'NOERROR');
  t.match(text(secondary), /kept\.cluster\.test\..*own\.cluster\.test\./s, 'with all that it had');
  t.match(text(secondary), /NS\tnew\.test\./);

  // Its serial is ahead of the primary's now: what it has is not the primary's all the same.
  await apply([config]);
  t.equal(secondary.control.zone(zone)!.secondary!.state, 'loaded', 'served until the primary has answered');
  await until(() => text(secondary) === text(primary));
  t.equal(secondary.control.zone(zone)!.serial, serial, 'demoted');

  await apply([]);
  t.equal(secondary.control.zone(zone), undefined);
  t.match(secondary.published.at(-1), { kind: 'zone-removed' });
  await apply([config]);
  t.equal(text(secondary), text(primary), 'back from the store at once');
});

t.test('a zone that was our own for long is served when it becomes a secondary', async (t) => {
  const { primary } = await startPair(t);
  const clock = new FakeClock(Date.now());
  const config = secondaryZone(primary.port);
  const server = await startControlServer(newDir(t), testConfig({ zones: [config] }), undefined, { clock });
  t.teardown(() => server.close());
  await loaded(server);
  await server.control.apply(testConfig({ zones: [zoneConfig(zone)] }));
  clock.advance(30 * 86_400_000);
  await server.control.apply(testConfig({ zones: [secondaryZone(await freePort('::1'))] }));
  t.equal(server.control.zone(zone)!.secondary!.state, 'loaded');
  t.equal((await ask(server, `no.${zone}`)).rcode, RCODE.NXDOMAIN);
});

t.test('a primary with another key, or none, gives nothing; a secondary that it lets in gets it', async (t) => {
  const { primary } = await startPair(t);
  const wrong = { ...testKey, secret: new Uint8Array(32) };
  for (const [name, keys, key, error] of [
    ['no key', [testKey], undefined, /it answers REFUSED/],
    ['another secret', [wrong], testKey.name, /BADSIG/],
    ['an unknown key', [strangeKey], strangeKey.name, /BADKEY/],
  ] as const) {
    const config = testConfig({ keys, zones: [secondaryZone(primary.port, { key })] });
    const server = await startControlServer(newDir(t), config);
    await until(() => server.control.zone(zone)!.secondary!.lastError !== undefined);
    t.match(server.control.zone(zone)!.secondary, { state: 'missing', lastError: error }, name);
    t.match(await ask(server, zone), { rcode: RCODE.SERVFAIL });
    t.same(server.control.records(zone), []);
    await server.close();
  }
});
