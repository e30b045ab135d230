/** When a secondary zone asks whom, and when it expires: on a clock that only moves when told to. */
import t from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import type { Random } from '../../../src/core/random.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { type Contact, SecondaryZone } from '../../../src/dns/secondary/secondary-zone.ts';
import type { PrimaryAnswer, PrimaryRequest } from '../../../src/dns/secondary/transfer-client.ts';
import { encodeSoa, soaSerial } from '../../../src/dns/soa.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { CLASS, TYPE } from '../../../src/dns/wire/types.ts';
import { Zone } from '../../../src/dns/zone.ts';

const apex = nameFromText('test');
const [one, two] = [parseInetEndpoint('[fd00::1]:53'), parseInetEndpoint('[fd00::2]:53')];
const timers = { refreshSeconds: 3600, retrySeconds: 600, expireSeconds: 86_400, minimumSeconds: 60 };

function zoneAt(serial: number, more = {}): Zone {
  const rdata = [encodeSoa({ mname: 'm.test', rname: 'r.test', ...timers, ...more }, serial)];
  return new Zone({ name: apex, rrsets: [{ owner: apex, rrset: { type: TYPE.SOA, ttl: 60, rdata } }] });
}

/** Without jitter. */
const random: Random = Object.assign(new SeededRandom(1), { fraction: () => 0 });

/** A secondary zone, and primaries that answer when they are told to. */
class Stage {
  readonly clock = new FakeClock();
  readonly log = new MemoryLogger();
  readonly contacts: Contact[] = [];
  readonly asked: { request: PrimaryRequest; answer: (answer: PrimaryAnswer) => void; fail: (why: string) => void }[] =
    [];
  readonly served: (Zone | undefined)[] = [];
  readonly confirmed: number[] = [];
  readonly taken: number[] = [];
  readonly expires: number[] = [];
  /** What a transfer makes; undefined: the differences do not fit. */
  takes: (Zone | undefined)[] = [];
  readonly zone: SecondaryZone;

  constructor(zone?: Zone, refreshedAt?: number, foreign = false) {
    const { clock, log } = this;
    this.zone = new SecondaryZone(
      {
        clock,
        random,
        log,
        ask: (request) =>
          new Promise((answer, reject) => {
            const fail = (why: string) => reject(new Error(why));
            this.asked.push({ request, answer, fail });
            request.signal.addEventListener('abort', () => fail('stopped'));
          }),
        host: {
          take: async (_, at) => {
            this.taken.push(at);
            return this.takes.shift();
          },
          confirm: async (at) => void this.confirmed.push(at),
          expires: (at) => void this.expires.push(at),
          serve: async (data) => void this.served.push(data),
          onContact: (contact) => void this.contacts.push(contact),
        },
      },
      { primaries: [one, two], key: undefined },
      { name: apex, zone, refreshedAt: zone === undefined ? undefined : (refreshedAt ?? clock.wall()), foreign },
    );
  }

  /** Whom it asks now: it must be this primary. Returns the serial it says it has. */
  async reply(primary: typeof one, what: Partial<PrimaryAnswer> | string): Promise<number | undefined> {
    await settle();
    const asked = this.asked.shift();
    if (asked?.request.primary !== primary) throw new Error('it asks somebody else, or nobody');
    if (typeof what === 'string') asked.fail(what);
    else asked.answer({ octets: 1, ...what } as PrimaryAnswer);
    await settle();
    const { soa } = asked.request;
    return soa === undefined ? undefined : soaSerial(soa);
  }

  /** Milliseconds until it asks of its own. */
  get next(): number | undefined {
    const { nextRefresh } = this.zone.status;
    return nextRefresh === undefined ? undefined : nextRefresh - this.clock.wall();
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

const current = (serial: number) => ({ kind: 'current', serial }) as const;
const axfr = (serial: number) => ({ kind: 'axfr', serial, rrsets: [], passedOver: 0 }) as const;
const ixfr = (serial: number) => ({ kind: 'ixfr', serial, steps: [] }) as const;

t.test('refresh, retry and expire as the SOA says', async (t) => {
  const stage = new Stage(zoneAt(5));
  t.equal(stage.zone.served?.serial, 5);
  stage.zone.start();
  t.equal(await stage.reply(one, current(5)), 5, 'asked at the start');
  t.equal(stage.next, 3_600_000, 'refresh');
  await stage.advance(3_600_000);
  await stage.reply(one, 'no route');
  await stage.reply(two, 'no route either');
  t.equal(stage.next, 600_000, 'retry');
  t.match(stage.zone.status, { state: 'loaded', lastError: '[fd00::2]:53: no route either' });
  await stage.advance(600_000);
  await stage.reply(one, 'no route');
  await stage.reply(two, current(5));
  t.equal(stage.next, 3_600_000);
  t.match(stage.zone.status, { state: 'loaded', lastError: undefined, primary: '[fd00::2]:53' });
  t.strictSame(
    stage.contacts.map(({ kind }) => kind),
    ['current', 'failed', 'failed', 'failed', 'current'],
  );

  for (let waited = 0; waited < 86_400_000; ) {
    t.same(stage.served, [], 'not before its time');
    const wait = Math.min(stage.next!, 86_400_000 - waited);
    waited += wait;
    await stage.advance(wait);
    if (waited === 86_400_000) break;
    await stage.reply(one, 'down');
    await stage.reply(two, 'down');
  }
  t.strictSame(stage.served, [undefined], 'expired');
  t.match(stage.zone.status, { state: 'expired', expires: undefined });
  t.equal(stage.zone.served, undefined);
  while (stage.asked.length > 0) await stage.reply(stage.asked[0]!.request.primary as typeof one, 'down');
  await stage.advance(stage.next!);
  t.equal(await stage.reply(one, current(5)), 5, 'what it has is not forgotten');
  t.equal(stage.served.at(-1)?.serial, 5, 'and good again once somebody says so');
  t.match(stage.zone.status, { state: 'loaded' });
});

t.test('EXPIRE (RFC 7314 §4): a primary that is a secondary itself has less time left', async (t) => {
  const rows: [name: string, age: number, expire: number | undefined, left: number, next: number][] = [
    ['it does not say', 1000, undefined, 86_400, 3600],
    ['it has it from nobody', 1000, 86_400, 86_400, 3600],
    ['more than the SOA has', 1000, 4_000_000_000, 86_400, 3600],
    ['less', 80_000, 50_000, 50_000, 3600],
    ['less than we have had', 1000, 50_000, 85_400, 3600],
    ['little: it is asked again in time', 86_000, 2000, 2000, 1000],
    ['as good as nothing', 86_390, 10, 10, 5],
    ['the clock was set back meanwhile', -100_000, 50_000, 86_400, 3600],
  ];
  for (const [name, age, expire, left, next] of rows) {
    const clock = new FakeClock();
    const stage = new Stage(zoneAt(5), clock.wall() - age * 1000);
    stage.zone.start();
    await stage.reply(one, { ...current(5), expire });
    t.equal(stage.zone.secondsLeft, left, `${name}: expires in ${left} s`);
    t.equal(stage.next, next * 1000, `${name}: asked again in ${next} s`);
    t.equal(stage.zone.status.lastRefresh, stage.clock.wall(), 'it was heard now');
    t.equal(stage.expires.at(-1), stage.clock.wall() + left * 1000, 'and answers say so');
    t.strictSame(stage.confirmed, [stage.clock.wall() - (86_400 - left) * 1000], 'on disk as well');
    stage.zone.stop();
  }
  const long = new Stage(zoneAt(5, { expireSeconds: 2 ** 31 }));
  long.zone.start();
  await long.reply(one, { ...current(5), expire: 2 ** 30 });
  t.strictSame(long.confirmed, [long.clock.wall()], 'beyond our bound: good from now on, not from some day to come');
  long.zone.stop();

  const none = new Stage(zoneAt(5));
  none.zone.start();
  await none.reply(one, { ...current(5), expire: 0 });
  t.match(none.zone.status.lastError, /its zone has expired/);
  await none.reply(two, { ...axfr(6), rrsets: [{ owner: apex, rrset: zoneAt(6).soa.set.rrset }], expire: 0 });
  t.strictSame(
    [none.taken, none.confirmed, none.next],
    [[], [], 600_000],
    'nothing is left there: as if none answered',
  );
  none.zone.stop();
  for (const expireSeconds of [0, 10]) {
    const stage = new Stage(zoneAt(5, { expireSeconds }));
    stage.zone.start();
    await stage.reply(one, { ...current(5), expire: expireSeconds });
    t.equal(stage.zone.secondsLeft, 4200, "the primary's own: bounded as without the option");
    stage.zone.stop();
  }

  for (const kind of ['axfr', 'ixfr'] as const) {
    const stage = new Stage(zoneAt(5));
    stage.zone.start();
    stage.takes = [zoneAt(6)];
    const soa = { owner: apex, rrset: zoneAt(6).soa.set.rrset };
    const record = { name: apex, type: TYPE.SOA, class: CLASS.IN, ttl: 60, rdata: soa.rrset.rdata[0]! };
    const step = { oldSoa: record, deleted: [], newSoa: record, added: [] };
    await stage.reply(one, {
      ...(kind === 'axfr' ? { ...axfr(6), rrsets: [soa] } : { ...ixfr(6), steps: [step] }),
      expire: 7000,
    });
    t.equal(stage.zone.secondsLeft, 7000, kind);
    t.strictSame(stage.taken, [stage.clock.wall() - (86_400 - 7000) * 1000]);
    await stage.advance(3500_000);
    await stage.reply(one, { ...current(6), expire: 86_400 });
    t.equal(stage.zone.secondsLeft, 86_400, 'the primary has had word');
    stage.zone.stop();
  }
});

t.test('without a zone: soon, then more seldom', async (t) => {
  const stage = new Stage();
  t.match(stage.zone.status, { state: 'missing' });
  stage.zone.start();
  const waits: number[] = [];
  for (let i = 0; i < 11; i++) {
    await stage.reply(one, 'down');
    await stage.reply(two, 'down');
    waits.push(stage.next! / 1000);
    await stage.advance(stage.next!);
  }
  t.strictSame(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  stage.takes = [zoneAt(7)];
  t.equal(await stage.reply(one, axfr(7)), undefined);
  t.match(stage.zone.status, { state: 'loaded' });
  t.equal(stage.served.at(-1)?.serial, 7);
  t.equal(stage.next, 3_600_000);
});

t.test('timers that a primary must not set', async (t) => {
  const stage = new Stage(zoneAt(5, { refreshSeconds: 0, retrySeconds: 0, expireSeconds: 0 }));
  stage.zone.start();
  await stage.reply(one, current(5));
  t.equal(stage.next, 2000);
  t.equal(stage.zone.status.expires! - stage.clock.wall(), 3000, 'not before a refresh and a retry');
  const long = new Stage(zoneAt(5, { refreshSeconds: 2 ** 31, retrySeconds: 2 ** 31, expireSeconds: 2 ** 31 }));
  long.zone.start();
  await long.reply(one, current(5));
  t.equal(long.next, 2_419_200_000);
  t.equal(long.zone.status.expires! - long.clock.wall(), 14_515_200_000);
  long.zone.stop();
});

t.test('what a restart finds', (t) => {
  const { clock } = new Stage();
  const rows: [name: string, ageMs: number, state: string][] = [
    ['fresh', 0, 'loaded'],
    ['old', 86_399_000, 'loaded'],
    ['too old', 86_400_000, 'expired'],
    ['from the future: the clock was set back', -1e9, 'loaded'],
  ];
  for (const [name, age, state] of rows) {
    const stage = new Stage(zoneAt(5), clock.wall() - age);
    t.equal(stage.zone.status.state, state, name);
    t.equal(stage.zone.served === undefined, state === 'expired', name);
  }
  t.end();
});

t.test('NOTIFY: who sent it is asked first, once a second at most; nothing for what is known', async (t) => {
  const stage = new Stage(zoneAt(5));
  stage.zone.start();
  await stage.reply(one, current(5));
  await stage.advance(1000);
  stage.zone.notified(two, 5);
  stage.zone.notified(two, 4);
  await settle();
  t.equal(stage.asked.length, 0, 'known');
  stage.zone.notified({ ...two, port: 4711 }, 6);
  stage.takes = [zoneAt(6)];
  await stage.reply(two, ixfr(6));
  t.match(stage.contacts.at(-1), { kind: 'ixfr', from: 5, serial: 6 });

  stage.zone.notified(one, undefined);
  await settle();
  t.equal(stage.asked.length, 0, 'not at once again');
  t.equal(stage.next, 1000);
  await stage.advance(999);
  t.equal(stage.asked.length, 0);
  await stage.advance(1);
  stage.zone.notified(two, 7);
  stage.zone.notified(two, 8);
  await stage.reply(one, current(6));
  t.equal(stage.next, 1000, 'many while one is under way: one more');
  await stage.advance(1000);
  await stage.reply(two, current(6));
  t.equal(stage.next, 3_600_000);

  await stage.advance(1000);
  stage.zone.notified(one, 9);
  await settle();
  stage.zone.notified(one, 9);
  await stage.reply(one, 'down');
  await stage.reply(two, 'down');
  t.equal(stage.asked.length, 0, 'not over and over while they fail');
  t.equal(stage.next, 600_000);
});

t.test('a primary that is behind is no primary; the next is asked', async (t) => {
  const stage = new Stage(zoneAt(5));
  stage.zone.start();
  await stage.reply(one, { kind: 'older', serial: 3 });
  t.match(stage.zone.status.lastError, /has serial 3, we have 5/);
  await stage.reply(two, current(5));
  t.equal(stage.zone.status.lastError, undefined);
});

t.test('differences that do not fit: all of it, from the same primary', async (t) => {
  const stage = new Stage(zoneAt(5));
  stage.zone.start();
  stage.takes = [undefined, zoneAt(6)];
  t.equal(await stage.reply(one, ixfr(6)), 5);
  t.equal(await stage.reply(one, axfr(6)), undefined);
  t.equal(stage.served.at(-1)?.serial, 6);
  t.match(stage.contacts, [{ kind: 'axfr', serial: 6 }]);
});

t.test('data from elsewhere: all of it, whatever the serial', async (t) => {
  const stage = new Stage(zoneAt(9), undefined, true);
  stage.zone.start();
  stage.takes = [zoneAt(5)];
  t.equal(await stage.reply(one, axfr(5)), undefined);
  t.equal(stage.served.at(-1)?.serial, 5);
  stage.zone.refresh({ whole: true });
  stage.takes = [zoneAt(5)];
  t.equal(await stage.reply(one, axfr(5)), undefined, 'by order');
  stage.zone.refresh();
  t.equal(await stage.reply(one, current(5)), 5);
});

t.test('other primaries; a stop', async (t) => {
  const stage = new Stage(zoneAt(5));
  stage.zone.start();
  await stage.reply(one, current(5));
  stage.zone.apply({ primaries: [two], key: undefined });
  await stage.reply(two, current(5));
  stage.zone.refresh();
  await settle();
  stage.zone.stop();
  await settle();
  t.match(stage.asked[0]?.request.signal, { aborted: true });
  t.equal(stage.clock.pending, 0, 'no timer is left');
  t.equal(stage.contacts.length, 2, 'a stop is no failure');
});

t.test('all zones are not asked for at the same moment', async (t) => {
  const waits = new Set<number>();
  for (const fraction of [0, 0.5, 0.999]) {
    const stage = new Stage(zoneAt(5));
    Object.assign(random, { fraction: () => fraction });
    stage.zone.start();
    await stage.reply(one, current(5));
    waits.add(Math.round(stage.next! / 1000));
  }
  Object.assign(random, { fraction: () => 0 });
  t.strictSame([...waits], [3600, 3150, 2701]);
});
