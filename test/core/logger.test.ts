import t from 'tap';
import { MemoryLogger, nullLogger } from '../../src/core/logger.ts';

t.test('MemoryLogger keeps lines, those of its children too', (t) => {
  const log = new MemoryLogger();
  const child = log.child({ module: 'dns', zone: 'a' }).child({ zone: 'b' });
  log.debug({ n: 1 }, 'one');
  child.info({ n: 2 }, 'two');
  child.warn({ module: 'own' }, 'three');
  log.error({}, 'four');
  t.strictSame(log.lines, [
    { level: 'debug', message: 'one', fields: { n: 1 } },
    { level: 'info', message: 'two', fields: { module: 'dns', zone: 'b', n: 2 } },
    { level: 'warn', message: 'three', fields: { module: 'own', zone: 'b' } },
    { level: 'error', message: 'four', fields: {} },
  ]);
  t.equal(log.debugEnabled, true);
  t.end();
});

t.test('nullLogger takes everything', (t) => {
  const child = nullLogger.child({ a: 1 });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) t.doesNotThrow(() => child[level]({}, 'x'));
  t.equal(child.debugEnabled, false);
  t.end();
});
