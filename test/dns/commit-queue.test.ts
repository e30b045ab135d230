import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { CommitQueue, type ZoneTransaction } from '../../src/dns/commit-queue.ts';
import { Overlay } from '../../src/dns/overlay.ts';
import type { ZoneDelta } from '../../src/dns/snapshot.ts';
import { encodeSoa } from '../../src/dns/soa.ts';
import type { ZoneCommit } from '../../src/dns/store.ts';
import { finishChanges } from '../../src/dns/update.ts';
import { nameFromText, nameKey, nameToText } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';

const soa = { mname: 'm', rname: 'r', refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };

function newZone(name = 'test'): Zone {
  const owner = nameFromText(name);
  return new Zone({
    name: owner,
    rrsets: [{ owner, rrset: { type: TYPE.SOA, ttl: 60, rdata: [encodeSoa(soa, 1)] } }],
  });
}

/** A disk whose writes end when the test says so. */
class SlowStore {
  readonly commits: (readonly ZoneCommit[])[] = [];
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  commit(commits: readonly ZoneCommit[]): Promise<void> {
    this.commits.push(commits);
    const ending = Promise.withResolvers<void>();
    this.#waiting.push(ending);
    return ending.promise;
  }

  /** Ends the write under way, once there is one. */
  async end(error?: Error): Promise<void> {
    while (this.#waiting.length === 0) await turn();
    const ending = this.#waiting.shift()!;
    if (error === undefined) ending.resolve();
    else ending.reject(error);
    await turn();
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function setup(taken: () => Promise<void> = () => Promise.resolve()) {
  const store = new SlowStore();
  const clock = new FakeClock();
  const outcomes: unknown[] = [];
  const published: ZoneDelta[] = [];
  const announced: number[] = [];
  const queue = new CommitQueue({
    store,
    clock,
    publish: (delta) => void published.push(delta),
    taken,
    announce: (deltas) => void announced.push(deltas),
    onCommit: (error) => outcomes.push(error),
  });
  return { store, clock, outcomes, published, announced, queue };
}

/** A TXT record put at a name, worked out on what the queue shows. */
function put(queue: CommitQueue, zone: Zone, name: string, value = 1): ZoneTransaction {
  const overlay = new Overlay(queue.view(zone));
  overlay.set(nameFromText(name), TYPE.TXT, { type: TYPE.TXT, ttl: 60, rdata: [Uint8Array.of(1, value)] });
  return { zone, changes: finishChanges(zone.key, queue.view(zone), overlay) };
}

const has = (zone: Pick<Zone, 'rrset'>, name: string) =>
  zone.rrset(nameKey(nameFromText(name)), TYPE.TXT) !== undefined;

/** `submit` with what became of it so far. */
function submit(queue: CommitQueue, ...transactions: ZoneTransaction[]): { state: string } {
  const seen = { state: 'waiting' };
  queue.submit(transactions).then(
    () => {
      seen.state = 'done';
    },
    (error: Error) => {
      seen.state = error.message;
    },
  );
  return seen;
}

t.test('answers wait for the disk, queries do not see what is not on it', async (t) => {
  const { store, queue, outcomes, published } = setup();
  const zone = newZone();
  const a = submit(queue, put(queue, zone, 'a.test'));
  t.notOk(has(zone, 'a.test'), 'queries do not see it');
  t.ok(has(queue.view(zone), 'a.test'), 'the next update does');
  while (store.commits.length === 0) await turn();
  await turn();
  t.equal(a.state, 'waiting');
  t.same(published, []);
  await store.end();
  t.equal(a.state, 'done');
  t.ok(has(zone, 'a.test'));
  t.equal(zone.serial, 2);
  t.same(
    published[0]?.changes.map(({ owner }) => nameToText(owner)),
    ['a.test', 'test'],
  );
  t.same(outcomes, [undefined]);
  await queue.idle();
  t.equal(queue.view(zone), zone, 'nothing lies over the zone any more');
});

t.test('what comes while one group is written is the next group, as one write', async (t) => {
  const { store, queue } = setup();
  const zone = newZone();
  const first = submit(queue, put(queue, zone, 'a.test'));
  while (store.commits.length === 0) await turn();
  const rest = ['b.test', 'c.test', 'd.test'].map((name) => submit(queue, put(queue, zone, name)));
  await store.end();
  t.equal(first.state, 'done');
  t.same(
    rest.map(({ state }) => state),
    ['waiting', 'waiting', 'waiting'],
  );
  t.equal(zone.serial, 2);
  await store.end();
  await queue.idle();
  t.same(
    rest.map(({ state }) => state),
    ['done', 'done', 'done'],
  );
  t.equal(store.commits.length, 2);
  t.equal(zone.serial, 5, 'each of them stepped the serial');
  const [second] = store.commits[1]!;
  t.equal(second!.changes.length, 4, 'three records and one SOA, from the first group to the last update');
  const soaChange = second!.changes.find(({ type }) => type === TYPE.SOA)!;
  t.equal(soaChange.before?.rrset.rdata[0]?.[9], 2, 'its SOA before is what the first group left');
});

t.test('who changes nothing waits for what makes it no change', async (t) => {
  const { store, queue } = setup();
  const zone = newZone();
  t.equal(queue.settled(), undefined, 'all is on disk');
  const seen: string[] = [];
  const watch = (name: string) =>
    void queue.settled()!.then(
      () => seen.push(name),
      (error: Error) => seen.push(`${name} ${error.message}`),
    );
  submit(queue, put(queue, zone, 'a.test'));
  watch('before the write');
  while (store.commits.length === 0) await turn();
  watch('during it');
  submit(queue, put(queue, zone, 'b.test'));
  watch('during it, with a group behind');
  t.same(seen, []);
  await store.end();
  t.same(seen, ['before the write', 'during it']);
  await store.end(new Error('no space'));
  await queue.idle();
  await turn();
  t.same(seen, ['before the write', 'during it', 'during it, with a group behind no space']);
  t.equal(queue.settled(), undefined);
});

t.test('leases are written beside records, or alone', async (t) => {
  const { store, queue, published } = setup();
  const zone = newZone();
  const lease = (seconds: number) => ({
    owner: nameFromText('a.test'),
    type: TYPE.TXT,
    leases: [{ rdata: Uint8Array.of(1, 1), seconds, expiresAt: seconds * 1000 }],
  });
  const both = submit(queue, { ...put(queue, zone, 'a.test'), leases: [lease(1)] });
  await store.end();
  t.equal(both.state, 'done');
  t.same(store.commits[0]![0]!.leases, [lease(1)]);
  const alone = submit(queue, { zone, changes: [], leases: [lease(2)] });
  const again = submit(queue, { zone, changes: [], leases: [lease(3)] });
  await store.end();
  await queue.idle();
  t.same([alone.state, again.state], ['done', 'done']);
  t.same(store.commits[1]![0]!.changes, []);
  t.same(store.commits[1]![0]!.leases, [lease(2), lease(3)]);
  t.equal(published.length, 1, 'data threads know nothing of leases');
  t.equal(zone.serial, 2);
});

t.test('one transaction over two zones is one write', async (t) => {
  const { store, queue } = setup();
  const [forward, reverse] = [newZone('test'), newZone('arpa')];
  const both = submit(queue, put(queue, forward, 'a.test'), put(queue, reverse, 'a.arpa'));
  await store.end();
  await queue.idle();
  t.equal(both.state, 'done');
  t.same(
    store.commits.map((commits) => commits.map(({ zone }) => zone)),
    [[forward.key, reverse.key]],
  );
});

t.test('there and back in one group: nothing to write but the serial', async (t) => {
  const { store, queue } = setup();
  const zone = newZone();
  submit(queue, put(queue, zone, 'a.test'));
  const overlay = new Overlay(queue.view(zone));
  overlay.set(nameFromText('a.test'), TYPE.TXT, undefined);
  submit(queue, { zone, changes: finishChanges(zone.key, queue.view(zone), overlay) });
  await store.end();
  await queue.idle();
  t.same(
    store.commits[0]![0]!.changes.map(({ type }) => type),
    [TYPE.SOA],
  );
  t.equal(zone.serial, 3);
});

t.test('a write that fails takes with it what was worked out on top of it, and no more', async (t) => {
  const { store, queue, outcomes, published } = setup();
  const [zone, other] = [newZone(), newZone('other')];
  const first = submit(queue, put(queue, zone, 'a.test'));
  while (store.commits.length === 0) await turn();
  const second = submit(queue, put(queue, zone, 'b.test'), put(queue, other, 'b.other'));
  const broken = new Error('no space left on device');
  await store.end(broken);
  await queue.idle();
  t.equal(first.state, broken.message);
  t.equal(second.state, broken.message);
  t.equal(store.commits.length, 1, 'the second group is not tried');
  t.equal(zone.serial, 1);
  t.equal(other.serial, 1);
  t.notOk(has(queue.view(zone), 'a.test'));
  t.notOk(has(queue.view(other), 'b.other'));
  t.same(published, []);
  t.same(outcomes, [broken]);
  const again = submit(queue, put(queue, zone, 'c.test'));
  await store.end();
  await queue.idle();
  t.equal(again.state, 'done', 'the next one finds a queue that works');
  t.equal(zone.serial, 2);
});

t.test('what is on disk is announced, told of, and then published; what is large is published first', async (t) => {
  const { store, queue, published, announced } = setup();
  const zones = [newZone(), newZone('other')];
  const told: string[] = [];
  const tell = (who: string) => () => told.push(`${who}: ${announced.at(-1)} announced, ${published.length} published`);
  const transactions = zones.map((zone, i) => put(queue, zone, `a.${['test', 'other'][i]}`));
  const first = queue.submit(transactions, 'told', tell('first'));
  const second = queue.submit([put(queue, zones[0]!, 'b.test')], 'told', tell('second'));
  await store.end();
  await Promise.all([first, second]);
  t.strictSame(told, ['first: 2 announced, 0 published', 'second: 2 announced, 0 published']);
  t.equal(published.length, 2);
  t.strictSame(announced.splice(0), [2, 0]);

  const [zone] = zones;
  const overlay = new Overlay(queue.view(zone!));
  const text = { type: TYPE.TXT, ttl: 60, rdata: [Uint8Array.of(1, 1)] };
  for (let i = 0; i < 100; i++) overlay.set(nameFromText(`n${i}.test`), TYPE.TXT, text);
  const changes = finishChanges(zone!.key, queue.view(zone!), overlay);
  const large = queue.submit([{ zone: zone!, changes }], 'told', tell('large'));
  await store.end();
  await large;
  t.equal(told.length, 2, 'who sends it is told in the end');
  t.strictSame(announced, []);
  t.equal(published.length, 3);
});

t.test('a write that fails is neither announced nor told of', async (t) => {
  const { store, queue, announced } = setup();
  const failed = queue.submit([put(queue, newZone(), 'a.test')], 'told', () => t.fail('told'));
  await Promise.all([t.rejects(failed, /no space/), store.end(new Error('no space left on device'))]);
  t.strictSame(announced, []);
});

t.test('answers wait for the data threads, but not for long', async (t) => {
  const taken = Promise.withResolvers<void>();
  const { store, queue, clock } = setup(() => taken.promise);
  const zone = newZone();
  const slow = submit(queue, put(queue, zone, 'a.test'));
  await store.end();
  await queue.idle();
  t.equal(slow.state, 'waiting');
  clock.advance(249);
  await turn();
  t.equal(slow.state, 'waiting');
  clock.advance(1);
  await turn();
  t.equal(slow.state, 'done', 'a data thread that hangs holds up nobody');
  const next = submit(queue, put(queue, zone, 'b.test'));
  await store.end();
  t.equal(next.state, 'waiting');
  taken.resolve();
  await turn();
  t.equal(next.state, 'done');
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('a data thread that cannot take it in does not undo what is on disk', async (t) => {
  const { store, queue } = setup(() => Promise.reject(new Error('gone')));
  const zone = newZone();
  const state = submit(queue, put(queue, zone, 'a.test'));
  await store.end();
  await queue.idle();
  t.equal(state.state, 'done');
  t.ok(has(zone, 'a.test'));
});
