import t from 'tap';
import { parseDnsperf } from '../../bench/dns/queries.ts';
import { markdown, median, Results } from '../../bench/table.ts';

t.test('median', (t) => {
  t.equal(median([3]), 3);
  t.equal(median([9, 1, 5]), 5, 'odd: the middle one');
  t.equal(median([1, 10, 2, 4]), 3, 'even: between the middle two');
  t.end();
});

t.test('ratios are ours over theirs, of the medians', (t) => {
  const results = new Results();
  for (const value of [2, 4, 3]) results.add('new connection', 'CPU', 'µs', 'v6edge', value);
  for (const value of [6, 6, 9]) results.add('new connection', 'CPU', 'µs', 'haproxy', value);
  const [row] = results.rows();
  t.equal(row?.ratios.haproxy, 0.5);
  t.equal(row?.spread, 0.5, 'the worst run of any peer');
  t.match(markdown(results.rows()), /\| new connection \| CPU, µs\s+\|\s+3\.00 \|\s+6\.00 \|\s+0\.50 × \|\s+±50 % \|/);
  t.end();
});

t.test('a peer that needed nothing has no ratio', (t) => {
  const results = new Results();
  results.add('at rest', 'CPU', '%', 'v6edge', 0.05);
  results.add('at rest', 'CPU', '%', 'radvd', 0);
  const [row] = results.rows();
  t.strictSame(row?.ratios, {});
  t.equal(row?.spread, 0);
  t.end();
});

t.test('dnsperf output is read', (t) => {
  const output =
    '  Queries sent:         1000\n  Queries completed:    998 (99.80%)\n  Queries lost:         2 (0.20%)\n  Queries per second:   107127.123456\n';
  t.strictSame(parseDnsperf(output), { completed: 998, lost: 2, rate: 107127.123456 });
  t.ok(Number.isNaN(parseDnsperf('garbage').completed), 'no figure is made up');
  t.end();
});
