import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { type EdgeEvent, EventStream } from '../../src/edge/events.ts';
import { Stories } from '../../src/edge/stories.ts';
import { inWords } from '../../src/edge/story-text.ts';

function setUp() {
  const clock = new FakeClock();
  const stream = new EventStream(clock);
  const seen: string[] = [];
  const texts: string[] = [];
  stream.read(({ cause, event }) => {
    seen.push(`${event.kind}${cause === undefined ? '' : ` ${cause}`}`);
    if (event.kind === 'story') texts.push(event.text);
  });
  const sessions = new Map<string, number>();
  const log = new MemoryLogger();
  const stories = new Stories({
    clock,
    log,
    stream,
    sessionsOf: (pool, member) => sessions.get(`${pool}/${member}`) ?? 0,
    advertisements: () => '',
  });
  const publish = (serial: number) => {
    const rdata = rdataFromText(TYPE.SOA, `ns.test admin.test ${serial} 1 1 1 1`);
    const rrset = { type: TYPE.SOA, ttl: 1, rdata: [rdata] };
    const changes = [{ owner: nameFromText('test'), type: TYPE.SOA, rrset }];
    return stories.published({ kind: 'delta', delta: { name: nameFromText('test'), changes } } as never);
  };
  const updated = (serial: number): EdgeEvent => ({
    kind: 'zone-updated',
    zone: 'test',
    serial,
    by: 'k',
    client: undefined,
    changed: ['w.test AAAA'],
  });
  const change = (added: string[], gone: string[]) => ({ pool: 'p', name: 'w.test', added, gone });
  return { clock, log, stories, seen, texts, sessions, publish, updated, change };
}

t.test('discovery before the zone’s own event, as when data threads are slow', (t) => {
  const { stories, seen, publish, updated, change } = setUp();
  const cause = publish(7);
  t.equal(cause, 'test/7');
  stories.discovered(change(['a'], []), cause, () =>
    stories.memberEvent({ kind: 'member', pool: 'p', member: 'a', from: 'unknown', to: 'up', reason: '', at: 0 }),
  );
  stories.zoneEvent(updated(7));
  t.strictSame(seen, ['discovery test/7', 'member test/7', 'zone-updated test/7', 'story test/7']);
  t.end();
});

t.test('updates that went to discovery as one are told of with the last one’s serial, over the wrap as well', (t) => {
  const { stories, seen, publish, updated } = setUp();
  publish(0xfffffffe);
  publish(2);
  stories.zoneEvent(updated(0xffffffff));
  stories.zoneEvent(updated(2));
  t.strictSame(seen, ['zone-updated test/2', 'zone-updated test/2']);
  t.end();
});

t.test('a change that the pool does not take leaves no story', (t) => {
  const { stories, seen, clock, publish, updated, change } = setUp();
  const cause = publish(1);
  stories.zoneEvent(updated(1));
  t.throws(
    () =>
      stories.discovered(change(['a'], []), cause, () => {
        throw new Error('no room');
      }),
    /no room/,
  );
  clock.advance(10_000);
  t.strictSame(seen, ['zone-updated test/1']);
  t.end();
});

t.test('many stories that never end are bounded, and each is told of', (t) => {
  const { stories, seen, clock, publish, updated, change, sessions, log } = setUp();
  sessions.set('p/a', 2);
  for (let serial = 1; serial <= 100; serial++) {
    const cause = publish(serial);
    stories.zoneEvent(updated(serial));
    stories.discovered(change([], ['a']), cause, () => undefined);
  }
  t.equal(seen.filter((each) => each.startsWith('story')).length, 36);
  clock.advance(5_000);
  t.equal(seen.filter((each) => each.startsWith('story')).length, 100);
  t.match(log.lines.at(-1), { fields: { cause: 'test/100', settled: false, sessions: { drained: 0, left: 2 } } });
  stories.stop();
  t.end();
});

t.test('what follows from no update has no cause', (t) => {
  const { stories, seen, change } = setUp();
  stories.discovered(change(['a'], []), undefined, () => undefined);
  stories.discovered(change([], []), 'test/1', () => undefined);
  stories.memberEvent({ kind: 'member-removed', pool: 'p', member: 'z', at: 0 });
  t.strictSame(seen, ['discovery', 'member-removed']);
  t.end();
});

t.test('in words', (t) => {
  const story = {
    zone: 'z.test',
    serial: 7,
    by: 'key',
    client: '[::1]:5',
    changed: ['a.z.test AAAA', 'b.z.test AAAA', 'c.z.test AAAA', 'd.z.test AAAA', 'e.z.test AAAA'],
    pools: [{ pool: 'p', name: 'a.z.test', added: ['x'], gone: ['y', 'z'] }],
    sessions: { drained: 13, left: 1 },
    advertisements: 'changed',
    settled: false,
    tookMs: 5000,
  } as const;
  t.equal(
    inWords(story),
    'key from [::1]:5 changed a.z.test AAAA, b.z.test AAAA, c.z.test AAAA and 2 more (z.test serial 7) → pool p: +x −y, z → 13 sessions drained, 1 session left after 5s → advertisements changed',
  );
  t.match(inWords({ ...story, more: 4711 }), /a\.z\.test AAAA, b\.z\.test AAAA, c\.z\.test AAAA and 4713 more/);
  t.match(
    inWords({ ...story, sessions: { drained: 1, left: 0 }, settled: true, tookMs: 40 }),
    /1 session drained in 40ms/,
  );
  t.match(
    inWords({ ...story, changed: [], by: 'ixfr', sessions: { drained: 0, left: 0 } }),
    /^ixfr from .* changed z\.test .*not settled yet/,
  );
  t.end();
});
