import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { type EdgeEvent, EventStream } from '../../src/edge/events.ts';

const reload: EdgeEvent = { kind: 'reload', errors: [], overridden: [], changed: [] };

t.test('readers get what happens, in order, until they end', (t) => {
  const clock = new FakeClock();
  const stream = new EventStream(clock);
  const seen: number[] = [];
  const end = stream.read(({ id }) => seen.push(id));
  const first = clock.wall() + 1;
  stream.emit(reload);
  stream.emit(reload);
  t.strictSame(seen, [first, first + 1]);
  t.equal(stream.readers, 1);
  end();
  end();
  stream.emit(reload);
  t.equal(seen.length, 2);
  t.equal(stream.readers, 0);
  t.end();
});

t.test('the newest are kept, no more', (t) => {
  const stream = new EventStream(new FakeClock());
  t.strictSame(stream.since(), []);
  for (let i = 0; i < 1000; i++) stream.emit(reload);
  const all = stream.since();
  t.equal(all.length, 256);
  t.strictSame(
    stream.since(all.at(-3)!.id).map(({ id }) => id),
    all.slice(-2).map(({ id }) => id),
  );
  t.strictSame(stream.since(all.at(-1)!.id), []);
  t.end();
});

t.test('a reader that ends while it is told', (t) => {
  const stream = new EventStream(new FakeClock());
  let told = 0;
  const end = stream.read(() => {
    told++;
    end();
  });
  stream.read(() => told++);
  stream.emit(reload);
  stream.emit(reload);
  t.equal(told, 3);
  t.end();
});
