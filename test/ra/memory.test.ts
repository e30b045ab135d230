import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { StateFile } from '../../src/core/state-file.ts';
import { RaMemory } from '../../src/ra/memory.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';

const server = (text: string): NdOption => ({ kind: 'rdnss', lifetimeSeconds: 60, servers: [parseAddress(text)] });

t.test('a damaged file is told of once and ignored', (t) => {
  const cases: [name: string, text: string][] = [
    ['empty', ''],
    ['no JSON', '{"version": 1, "interfaces": {'],
    ['another version', '{"version": 2, "interfaces": {}}'],
    ['no interfaces', '{"version": 1}'],
    ['no list', '{"version": 1, "interfaces": {"eth1": {"said": 5, "withdrawn": []}}}'],
    ['no option', '{"version": 1, "interfaces": {"eth1": {"said": ["ff"], "withdrawn": []}}}'],
    ['an empty option', '{"version": 1, "interfaces": {"eth1": {"said": [""], "withdrawn": []}}}'],
    ['a list', '[]'],
    ['null', 'null'],
  ];
  for (const [name, text] of cases) {
    const path = join(t.testdir({}), 'ra.json');
    writeFileSync(path, text);
    const log = new MemoryLogger();
    const clock = new FakeClock();
    const memory = new RaMemory({ clock, log, stateFile: new StateFile(path) });
    t.strictSame(memory.of('eth1').told.withdrawn(clock.wall()), [], name);
    memory.of('eth2');
    t.match(log.lines, [{ level: 'warn', message: /cannot be read, and is ignored/ }], name);
    t.equal(log.lines.length, 1);
  }
  t.end();
});

t.test('saved at once, then once a second at most, and at the end', (t) => {
  const path = join(t.testdir({}), 'ra.json');
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const memory = new RaMemory({ clock, log, stateFile: new StateFile(path) });
  const said = (): number => JSON.parse(readFileSync(path, 'utf8')).interfaces.eth1.said.length;
  const one = memory.of('eth1');
  one.told.say([server('fd00::1')], clock.wall());
  memory.changed();
  t.equal(said(), 1);
  one.told.say([server('fd00::1'), server('fd00::2')], clock.wall());
  memory.changed();
  t.equal(said(), 1, 'not yet');
  clock.advance(1_000);
  t.equal(said(), 2);
  one.told.say([server('fd00::1'), server('fd00::2'), server('fd00::3')], clock.wall());
  one.acceptRa = '2';
  memory.changed();
  memory.close();
  t.equal(said(), 3);
  t.equal(clock.pending, 0);
  const next = new RaMemory({ clock, log, stateFile: new StateFile(path) });
  t.equal(next.of('eth1').acceptRa, '2');
  t.equal(next.of('eth2').acceptRa, undefined);
  next.of('eth1').told.say([], clock.wall());
  t.equal(next.of('eth1').told.withdrawn(clock.wall()).length, 3);
  t.strictSame(log.lines, []);
  t.end();
});

t.test('a place that cannot be written is told of once; without a file nothing is written', (t) => {
  const dir = t.testdir({ file: 'no folder' });
  const log = new MemoryLogger();
  const clock = new FakeClock();
  const memory = new RaMemory({ clock, log, stateFile: new StateFile(join(dir, 'file/ra.json')) });
  for (let i = 0; i < 3; i++) {
    memory.of('eth1').acceptRa = String(i);
    memory.changed();
    clock.advance(1_000);
  }
  memory.close();
  t.equal(log.lines.filter((line) => /cannot be saved/.test(line.message)).length, 1);
  const none = new RaMemory({ clock, log });
  none.of('eth1').acceptRa = '1';
  none.changed();
  none.close();
  t.equal(clock.pending, 0);
  t.end();
});
