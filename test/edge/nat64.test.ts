import t from 'tap';
import type { DnsConfig } from '../../src/dns/config.ts';
import { dns64Notes, nat64Prefixes } from '../../src/edge/nat64.ts';
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

t.test('what readiness says of it', (t) => {
  const dns = (mode: string, forward: object | undefined = {}) =>
    ({ forward, dns64: { mode } }) as unknown as DnsConfig;
  const cases: [dns: DnsConfig | undefined, reports: ThreadReport[], notes: RegExp | undefined][] = [
    [undefined, [report('yes')], undefined],
    [dns('off'), [report('yes')], undefined],
    [{ dns64: { mode: 'upstream' } } as unknown as DnsConfig, [], undefined],
    [dns('upstream'), [], /not known whether/],
    [dns('upstream'), [report('unknown'), report('unanswered')], /not known whether/],
    [dns('upstream'), [report('unknown'), report('yes', '64:ff9b::/96')], /upstreams synthesize with 64:ff9b::\/96$/],
    [dns('upstream'), [report('yes', '64:ff9b::/96'), report('no')], /do not synthesize/],
    [dns('synthesize'), [report('unanswered')], /no prefix is known/],
    [dns('synthesize'), [report('yes', 'fd00::/96'), report('yes', 'fd00::/96')], /we synthesize with fd00::\/96$/],
  ];
  for (const [config, reports, expected] of cases) {
    const notes = dns64Notes(config, reports);
    if (expected === undefined) t.strictSame(notes, []);
    else t.match(notes, [expected]);
    t.equal(notes.length, expected === undefined ? 0 : 1);
  }
  t.end();
});
