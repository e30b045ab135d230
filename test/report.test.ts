import t from 'tap';
import { parseTotals, ReportLines } from './report.ts';

const report = (tap: string): string[] => {
  const lines = new ReportLines();
  return [...tap.split('\n').flatMap((line) => lines.line(line)), ...lines.end()];
};

t.test('a failing file is printed without what passed, and its failures are counted', (t) => {
  const lines = report(`TAP version 14
1..2
# Subtest: test/a.test.ts
    # Subtest: part
        not ok 1 - should be equal
        ok 2 - should match
        1..2
    not ok 1 - part # time=3ms
    1..1
not ok 1 - test/a.test.ts # time=1500ms
# Subtest: test/b.test.ts
    ok 1 - fine
    1..1
ok 2 - test/b.test.ts # time=20ms
# { total: 3, pass: 2, fail: 1 }`);
  t.match(lines[0], /# Subtest: part/);
  t.match(lines[1], /not ok 1 - should be equal/);
  t.notOk(lines.some((line) => line.includes('should match')));
  t.match(
    lines.find((line) => line.startsWith('FAIL')),
    /^FAIL {2}test\/a\.test\.ts +2 +1\.5 s$/,
  );
  t.match(
    lines.find((line) => line.startsWith('ok')),
    /^ok {4}test\/b\.test\.ts +1 +0\.0 s$/,
  );
  t.equal(lines.at(-1), '2 passed, 1 failed');
  t.end();
});

t.test('never says that nothing failed when something did', (t) => {
  t.equal(report('').at(-1), '0 passed, 1 failed', 'no output at all');
  t.equal(report('Bail out! too bad\n# { total: 1, pass: 1 }').at(-1), '1 passed, 1 failed', 'bailed out');
  t.equal(
    report('not ok 1 - test/a.test.ts # time=1ms\n# { total: 4, pass: 4 }').at(-1),
    '4 passed, 1 failed',
    'a file that crashed after its assertions',
  );
  t.end();
});

t.test('what was left out is said', (t) => {
  const lines = report('ok 1 - test/a.test.ts # time=1ms\n# { total: 4, pass: 2, skip: 1, todo: 1 }');
  t.strictSame(lines.slice(-2), ['1 skipped, 1 to do', '2 passed, 0 failed']);
  t.strictSame(parseTotals('# { total: 4, pass: 2, skip: 2 }'), { total: 4, pass: 2, skip: 2 });
  t.equal(parseTotals('# time=3ms'), undefined);
  t.end();
});
