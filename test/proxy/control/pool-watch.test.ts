/** Whether a pool serves at all: told once when it no longer does, and once when it does again. */
import t from 'tap';
import type { PoolEvent } from '../../../src/proxy/control.ts';
import { config, member, pool, setUp } from './stage.ts';

function watched(busy = false) {
  const told: string[] = [];
  const poolChanged = ({ pool, state, reason }: PoolEvent) => void told.push(`${pool} ${state}: ${reason}`);
  const use = setUp({ poolChanged, memberSlots: { capacity: 100, busy: () => busy } });
  return { ...use, told: () => told.splice(0) };
}

t.test('the last member goes down, and one comes back', (t) => {
  const { control, clock, healthy, told, log } = watched();
  control.start(config([pool('web', [member('a'), member('b', { address: 'fd00::2' })])]));
  clock.advance(100);
  t.strictSame(told(), [], 'a start is no news');
  healthy.set('fd00::1', false);
  clock.advance(10_000);
  t.strictSame(told(), [], 'there is another');
  healthy.set('fd00::2', false);
  clock.advance(60_000);
  t.strictSame(told(), ['web empty: a down: connection refused; b down: connection refused'], 'once');
  t.equal(log.lines.filter(({ level }) => level === 'error').length, 1);
  healthy.set('fd00::2', true);
  clock.advance(10_000);
  t.strictSame(told(), ['web serving: b up: connected']);
  control.stop();
  t.end();
});

t.test("by the operator's word: weight 0, maintenance, removal", (t) => {
  const { control, clock, told } = watched();
  control.start(config([pool('web', [member('a'), member('b', { address: 'fd00::2' })])]));
  clock.advance(100);
  control.setMember('web', 'a', { weight: 0 });
  control.setMember('web', 'b', { state: 'maint' });
  t.strictSame(told(), ['web empty: a has weight 0; b maint: set to maint by the operator']);
  control.setMember('web', 'b', { state: 'ready' });
  t.strictSame(told(), [], 'its first check is still to come');
  clock.advance(100);
  t.strictSame(told(), ['web serving: b up: connected']);
  control.removeMember('web', 'b');
  control.removeMember('web', 'a');
  t.strictSame(told(), ['web empty: a has weight 0']);
  control.addMember('web', member('c'));
  clock.advance(100);
  t.strictSame(told(), ['web serving: c up: connected']);
  control.stop();
  t.end();
});

t.test('a start: who is down from the beginning is told, who has no members yet is not', (t) => {
  const { control, clock, healthy, told } = watched();
  healthy.set('fd00::1', false);
  const many = Array.from({ length: 8 }, (_, i) => member(`m${i}`, { port: 1000 + i }));
  control.start(config([pool('web', many), pool('later', [])]));
  t.strictSame(told(), []);
  clock.advance(1000);
  t.match(told(), [/^web empty: m0 down: connection refused; .*; m4 down: connection refused; and 3 more$/]);
  control.apply(config([pool('later', [])]));
  control.apply(config([pool('later', []), pool('web', [])]));
  t.strictSame(told(), [], 'a pool that was taken out is forgotten');
  control.stop();
  t.end();
});
