import t from 'tap';
import { formatAge, formatBytes, formatTable, paintFor } from '../../../src/edge/cli/table.ts';

t.test('colour on terminals alone, and not where NO_COLOR is set', (t) => {
  t.equal(paintFor(false, {})('red', 'x'), 'x');
  t.equal(paintFor(true, { NO_COLOR: '1' })('red', 'x'), 'x');
  t.equal(paintFor(true, {})('red', 'x'), '\x1b[31mx\x1b[39m');
  t.end();
});

t.test('columns align whatever the colours', (t) => {
  const columns = [{ title: 'A' }, { title: 'N', right: true }, { title: 'Z' }];
  const rows = (paint: ReturnType<typeof paintFor>) => [
    [paint('red', 'long one'), '1', 'end'],
    ['s', '1000', ''],
  ];
  const plain = formatTable(columns, rows(paintFor(false, {})), paintFor(false, {}));
  t.equal(plain, 'A            N  Z\nlong one     1  end\ns         1000\n');
  const coloured = formatTable(columns, rows(paintFor(true, {})), paintFor(true, {}));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is to be taken out
  t.equal(coloured.replaceAll(/\x1b\[\d+m/g, ''), plain);
  t.equal(formatTable([{ title: 'A' }], [], paintFor(false, {})), 'A\n');
  t.end();
});

t.test('ages and sizes', (t) => {
  for (const [ms, text] of [
    [0, '0s'],
    [999, '0s'],
    [59_000, '59s'],
    [61_000, '1m 1s'],
    [3_600_000, '1h'],
    [90_061_000, '1d 1h'],
    [86_400_000 * 400, '400d'],
    [-5, '0s'],
  ] as const) {
    t.equal(formatAge(ms), text);
  }
  for (const [bytes, text] of [
    [0, '0 B'],
    [999, '999 B'],
    [1500, '1.5 kB'],
    [2.5e9, '2.5 GB'],
    [5e15, '5000.0 TB'],
  ] as const) {
    t.equal(formatBytes(bytes), text);
  }
  t.end();
});
