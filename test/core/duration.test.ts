import fc from 'fast-check';
import t from 'tap';
import { formatDuration, parseDuration, parseSize } from '../../src/core/duration.ts';

t.test('what is no duration', (t) => {
  for (const text of [
    '',
    '5',
    's',
    '-1s',
    '+1s',
    '1 s',
    ' 1s',
    '1s ',
    '1s\n',
    '1S',
    '1w',
    '1e3s',
    '.5s',
    '1.s',
    '1,5s',
    '0x1s',
    '1s-1s',
    'Infinitys',
    '9'.repeat(400) + 's',
  ]) {
    t.throws(() => parseDuration(text), { code: 'V6_VALUE' }, JSON.stringify(text).slice(0, 40));
  }
  t.end();
});

t.test('durations', (t) => {
  const cases: [string, number][] = [
    ['0s', 0],
    ['500ms', 500],
    ['2s', 2000],
    ['1.5s', 1500],
    ['0.1s', 100],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['1h30m', 5_400_000],
    ['1m500ms', 60_500],
    ['1d2h3m4s5ms', 93_784_005],
    ['007s', 7000],
  ];
  for (const [text, ms] of cases) t.equal(parseDuration(text), ms, text);
  t.end();
});

t.test('milliseconds are written in the largest unit that divides them', (t) => {
  const cases: [number, string][] = [
    [0, '0s'],
    [1, '1ms'],
    [1000, '1s'],
    [1001, '1001ms'],
    [90_000, '90s'],
    [60_000, '1m'],
    [86_400_000, '1d'],
    [172_800_000, '2d'],
  ];
  for (const [ms, text] of cases) t.equal(formatDuration(ms), text);
  fc.assert(
    fc.property(fc.nat(2 ** 40), (ms) => parseDuration(formatDuration(ms)) === ms),
    { seed: 1003 },
  );
  t.end();
});

t.test('sizes', (t) => {
  for (const text of ['', 'k', '-1', '1.5k', '1kb', '1 k', '1t', '0x10', '1k\n', '9'.repeat(400)]) {
    t.throws(() => parseSize(text), { code: 'V6_VALUE' }, JSON.stringify(text).slice(0, 40));
  }
  const cases: [string, number][] = [
    ['0', 0],
    ['512', 512],
    ['64k', 65_536],
    ['16M', 16_777_216],
    ['1g', 1_073_741_824],
  ];
  for (const [text, bytes] of cases) t.equal(parseSize(text), bytes, text);
  t.end();
});
