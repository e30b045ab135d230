import t from 'tap';
import { daemonConfig, defaultConfig } from '../../src/edge/run-line.ts';

const lines: readonly (readonly [string, string | undefined])[] = [
  ['', undefined],
  ['check', undefined],
  ['run --help', undefined],
  ['run --config', undefined],
  ['run --config --help', undefined],
  ['run --config a b', undefined],
  ['run --config=a', undefined],
  ['run --conf a', undefined],
  ['run file', undefined],
  ['run', defaultConfig],
  ['run --config /a/b.yaml', '/a/b.yaml'],
  ['run -c b.yaml', 'b.yaml'],
];

t.test('lines of the daemon are known without yargs, all others are left to it', (t) => {
  for (const [line, config] of lines) t.equal(daemonConfig(line.split(' ').filter(Boolean)), config, `v6edge ${line}`);
  t.end();
});
