import t from 'tap';
import { nat64Prefixes } from '../../src/edge/nat64.ts';
import type { ThreadReport } from '../../src/edge/protocol.ts';

const report = (upstreams: string, ...prefixes: string[]) =>
  ({ dns64: { mode: 'upstream', prefixes, upstreams } }) as unknown as ThreadReport;

t.test('what is announced of what threads know', (t) => {
  const before = ['64:ff9b::/96'];
  const cases: [name: string, reports: ThreadReport[], prefixes: readonly string[]][] = [
    ['no thread says anything', [], before],
    ['just started', [report('unknown'), report('unknown')], before],
    ['no answers, nothing known', [report('unanswered')], before],
    ['no answers, known from before', [report('unanswered', '2001:db8::/96')], ['2001:db8::/96']],
    ['found by one', [report('unknown'), report('yes', '2001:db8::/96')], ['2001:db8::/96']],
    ['two of them', [report('yes', '64:ff9b::/96', '2001:db8::/32')], ['64:ff9b::/96', '2001:db8::/32']],
    ['upstreams do not synthesize', [report('unknown'), report('no')], []],
    ['switched off', [{ dns64: { mode: 'off', prefixes: [], upstreams: 'unknown' } } as unknown as ThreadReport], []],
  ];
  for (const [name, reports, prefixes] of cases) t.strictSame(nat64Prefixes(reports, before), prefixes, name);
  t.end();
});
