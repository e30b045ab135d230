import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import type { ZoneChange } from '../../../src/dns/snapshot.ts';
import { nameFromText, nameKey } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { TYPE, typeFromText, typeToText } from '../../../src/dns/wire/types.ts';
import { Discovery } from '../../../src/edge/discovery/discovery.ts';
import { type Answer, LookupError } from '../../../src/edge/discovery/lookup.ts';
import type { DiscoverName, MemberConfig, PoolConfig } from '../../../src/proxy/config.ts';

const unlimited = { maxConnections: 0, slowStartMs: 0 };

function pool(
  name: string,
  discover: DiscoverName | undefined,
  members: PoolConfig['members'] = [],
  each: Pick<MemberConfig, 'maxConnections' | 'slowStartMs'> = unlimited,
): PoolConfig {
  return { name, discover: discover && { ...discover, ...each }, members } as unknown as PoolConfig;
}

/** Names that begin with `own` are in a zone of ours. */
function setUp(known: readonly { name: string; address: string; port: number }[] = []) {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  /** `name type` to rdata texts; absent: the lookup fails. */
  const records = new Map<string, readonly string[]>();
  const ttls = new Map<string, number>();
  const looked: string[] = [];
  const given = new Map<string, string[]>();
  let broken = false;
  const discovery = new Discovery({
    clock,
    log,
    lookup: async (name, type): Promise<Answer> => {
      const key = `${name} ${typeToText(type)}`;
      looked.push(key);
      const texts = records.get(key);
      if (texts === undefined) throw new LookupError(`${key}: nobody answers`);
      const own = name.endsWith('own.test') ? [nameKey(nameFromText(name))] : [];
      const ttlMs = own.length > 0 ? undefined : (ttls.get(key) ?? 60) * 1000;
      return { rdata: texts.map((text) => rdataFromText(type, text)), ttlMs, own };
    },
    known: () => known,
    setDiscovered: (members, { pool: name }) => {
      if (broken) throw new Error('no room');
      given.set(
        name,
        members.map((m) => {
          const limits = m.maxConnections === 0 ? '' : ` at most ${m.maxConnections}, slowly in ${m.slowStartMs} ms`;
          return `${m.name} ${m.address} ${m.port}${m.backup ? ' backup' : ''}${limits}`;
        }),
      );
    },
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const changed = (...names: string[]) => {
    const changes = names.map((each): ZoneChange => {
      const [name, type] = each.split(' ') as [string, string];
      return { owner: nameFromText(name), type: typeFromText(type), rrset: undefined };
    });
    const soa = { owner: nameFromText('own.test'), type: TYPE.SOA, rrset: undefined };
    discovery.zoneChanged({ kind: 'delta', delta: { name: nameFromText('own.test'), changes: [...changes, soa] } });
  };
  return {
    clock,
    log,
    records,
    ttls,
    looked,
    given,
    discovery,
    settle,
    changed,
    break: (on: boolean) => (broken = on),
  };
}

t.test('what is true of each member that a name leads to: a reload changes it without another look', async (t) => {
  const { discovery, records, given, settle } = setUp();
  const discover = { kind: 'aaaa', name: 'w.own.test', port: 80 } as const;
  records.set('w.own.test AAAA', ['fd00::1', 'fd00::2']);
  discovery.apply([pool('web', discover, [], { maxConnections: 50, slowStartMs: 30_000 })]);
  await settle();
  const words = 'at most 50, slowly in 30000 ms';
  t.strictSame(given.get('web'), [`fd00--1 fd00::1 80 ${words}`, `fd00--2 fd00::2 80 ${words}`]);
  records.delete('w.own.test AAAA');
  discovery.apply([pool('web', discover)]);
  t.strictSame(given.get('web'), ['fd00--1 fd00::1 80', 'fd00--2 fd00::2 80']);
  discovery.stop();
});

t.test('members of an earlier process keep their names', async (t) => {
  const { discovery, records, given, settle, log } = setUp([
    // The node's second address is the lower one, and was the second to come.
    { name: 'w1.own.test', address: 'fd00::2', port: 80 },
    { name: 'w1.own.test-2', address: 'fd00::1', port: 80 },
    { name: 'w2.own.test', address: 'fd00::3', port: 80 },
  ]);
  records.set('_http._tcp.own.test SRV', ['0 10 80 w1.own.test.']);
  records.set('w1.own.test AAAA', ['fd00::1', 'fd00::2']);
  discovery.apply([pool('web', { kind: 'srv', name: '_http._tcp.own.test' })]);
  t.equal(discovery.status()[0]!.members, 3, 'they are there until DNS says otherwise');
  await settle();
  t.strictSame(given.get('web'), ['w1.own.test-2 fd00::1 80', 'w1.own.test fd00::2 80']);
  t.match(log.lines, [{ message: 'discovery changes the pool', fields: { added: [], gone: ['w2.own.test'] } }]);
  discovery.stop();
});

t.test('an SRV name of our own zone: followed at once, and only when it matters', async (t) => {
  const { discovery, records, given, looked, settle, changed, clock } = setUp();
  records.set('_http._tcp.own.test SRV', ['0 10 80 w1.own.test.']);
  records.set('w1.own.test AAAA', ['fd00::1']);
  discovery.apply([pool('web', { kind: 'srv', name: '_http._tcp.own.test' }), pool('static', undefined)]);
  await settle();
  t.strictSame([...given], [['web', ['w1.own.test fd00::1 80']]]);
  t.equal(clock.pending, 0, 'there is nothing to poll');

  records.set('_http._tcp.own.test SRV', ['0 10 80 w1.own.test.', '5 1 8080 w2.own.test.']);
  records.set('w2.own.test AAAA', []);
  records.set('w2.own.test A', ['192.0.2.2']);
  changed('_http._tcp.own.test SRV');
  await settle();
  t.strictSame(given.get('web'), ['w1.own.test fd00::1 80', 'w2.own.test 192.0.2.2 8080 backup']);

  const count = looked.length;
  changed('other.own.test AAAA');
  await settle();
  t.equal(looked.length, count, 'other names and the SOA do not matter');
  records.set('w2.own.test AAAA', ['fd00::2']);
  changed('w2.own.test AAAA');
  await settle();
  t.strictSame(given.get('web'), ['w1.own.test fd00::1 80', 'w2.own.test fd00::2 8080 backup'], 'nor IPv4 beside IPv6');

  records.set('_http._tcp.own.test SRV', []);
  changed('*.own.test SRV');
  await settle();
  t.strictSame(given.get('web'), [], 'who vanishes is let go');
  discovery.stop();
});

t.test('changes during a look lead to another one', async (t) => {
  const { discovery, records, given, settle, changed } = setUp();
  records.set('w.own.test AAAA', ['fd00::1']);
  discovery.apply([pool('web', { kind: 'aaaa', name: 'w.own.test', port: 80 })]);
  records.set('w.own.test AAAA', ['fd00::2', 'fd00::3']);
  changed('w.own.test AAAA');
  await settle();
  t.strictSame(given.get('web'), ['fd00--2 fd00::2 80', 'fd00--3 fd00::3 80']);
});

t.test('by forwarding: again when the TTL is over, within limits', async (t) => {
  const { discovery, records, ttls, given, looked, settle, clock } = setUp();
  records.set('w.test A', ['192.0.2.1']);
  discovery.apply([pool('web', { kind: 'a', name: 'w.test', port: 80 })]);
  await settle();
  t.equal(clock.next, 60_000);
  ttls.set('w.test A', 0);
  clock.advance(60_000);
  await settle();
  t.strictSame([looked.length, clock.next], [2, 1_000]);
  ttls.set('w.test A', 86_400);
  records.set('w.test A', ['192.0.2.2']);
  clock.advance(1_000);
  await settle();
  t.strictSame(given.get('web'), ['192.0.2.2 192.0.2.2 80']);
  t.equal(clock.next, 300_000);
  discovery.stop();
  t.equal(clock.pending, 0);
});

t.test('a failing resolver changes nothing', async (t) => {
  const { discovery, records, given, settle, clock, log } = setUp();
  records.set('s.test SRV', ['0 1 80 w1.test.', '0 1 80 w2.test.']);
  records.set('w1.test AAAA', ['fd00::1']);
  records.set('w2.test AAAA', ['fd00::2']);
  const all = ['w1.test fd00::1 80', 'w2.test fd00::2 80'];
  discovery.apply([pool('web', { kind: 'srv', name: 's.test' })]);
  await settle();
  t.strictSame(given.get('web'), all);
  t.match(discovery.status(), [{ pool: 'web', name: 's.test', members: 2, error: undefined, lastGood: clock.wall() }]);

  const service = records.get('s.test SRV')!;
  records.delete('s.test SRV');
  for (const next of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    clock.advance(clock.next!);
    await settle();
    t.equal(clock.next, next);
  }
  t.strictSame(given.get('web'), all);
  t.match(discovery.status(), [{ members: 2, error: 's.test SRV: nobody answers' }]);
  t.equal(log.lines.filter(({ level }) => level === 'warn').length, 1, 'said once');

  records.set('s.test SRV', service);
  records.delete('w2.test AAAA');
  clock.advance(30_000);
  await settle();
  t.strictSame(given.get('web'), all, 'a target that cannot be looked up keeps its address');
  records.set('w2.test AAAA', ['fd00::22']);
  clock.advance(clock.next!);
  await settle();
  t.strictSame(given.get('web'), ['w1.test fd00::1 80', 'w2.test fd00::22 80']);
  t.match(discovery.status(), [{ error: undefined }]);
  discovery.stop();
});

t.test('members that the proxy cannot take: told, and tried again', async (t) => {
  const { discovery, records, given, settle, clock, log, break: breakIt } = setUp();
  records.set('w.own.test AAAA', ['fd00::1']);
  breakIt(true);
  const discover = { kind: 'aaaa', name: 'w.own.test', port: 80 } as const;
  discovery.apply([pool('web', discover)]);
  await settle();
  t.match(log.lines.at(-1), { level: 'warn', fields: { reason: 'no room' } });
  breakIt(false);
  clock.advance(1_000);
  await settle();
  t.strictSame(given.get('web'), ['fd00--1 fd00::1 80']);

  breakIt(true);
  const next = [pool('web', discover), pool('api', { ...discover, port: 6443 })];
  t.doesNotThrow(() => discovery.apply(next), 'a reload goes on, to the last pool');
  t.match(discovery.status(), [{ pool: 'web', error: 'no room' }, { pool: 'api' }]);
  breakIt(false);
  clock.advance(2_000);
  await settle();
  t.strictSame([...given.keys()], ['web', 'api']);
  t.match(discovery.status(), [{ error: undefined }, { error: undefined }]);
  discovery.stop();
});

t.test('a reload keeps what was found, and lets go of pools that follow no name', async (t) => {
  const { discovery, records, given, settle } = setUp();
  records.set('w.own.test AAAA', ['fd00::1']);
  const discover = { kind: 'aaaa', name: 'w.own.test', port: 80 } as const;
  discovery.apply([pool('web', discover)]);
  await settle();
  given.clear();
  records.delete('w.own.test AAAA');
  discovery.apply([pool('web', discover)]);
  t.strictSame(given.get('web'), ['fd00--1 fd00::1 80'], 'before any answer');
  await settle();
  discovery.apply([pool('web', undefined)]);
  t.strictSame(discovery.status(), []);
  discovery.stop();
});
