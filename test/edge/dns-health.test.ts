import t from 'tap';
import { backAfterMs, DnsHealth, dnsCanServe, goneAfterMs } from '../../src/edge/dns-health.ts';
import type { ThreadReport } from '../../src/edge/protocol.ts';

/** A report with upstreams in these states and DNS sockets that are open or not. */
function report(states: readonly string[], errors: readonly (string | undefined)[] = [undefined]): ThreadReport {
  return {
    thread: 0,
    binds: [
      ...errors.map((error) => ({ role: 'dns', name: 'dns', endpoint: '[fd00::1]:53', error })),
      { role: 'proxy', name: 'http', endpoint: '[::]:80', error: 'EADDRINUSE' },
    ],
    upstreams: states.map((state) => ({ state })),
    cache: {},
  } as unknown as ThreadReport;
}

t.test('whether a node that asks gets an answer', (t) => {
  const cases: [name: string, reports: ThreadReport[], serves: boolean][] = [
    ['no thread says anything', [], false],
    ['no socket is open', [report(['up'], ['EADDRINUSE', 'EADDRNOTAVAIL'])], false],
    ['one of two is', [report(['up'], ['EADDRINUSE', undefined])], true],
    ['all upstreams are down', [report(['down', 'down'])], false],
    ['all of one thread are', [report(['up']), report(['down'])], false],
    ['one of two is up', [report(['down', 'up']), report(['up', 'down'])], true],
    ['nobody was asked yet', [report(['unknown'])], true],
    ['authority alone', [report([])], true],
  ];
  for (const [name, reports, serves] of cases) t.equal(dnsCanServe(reports), serves, name);
  t.end();
});

t.test('gone after a while, back after a longer one, and a flap moves nobody', (t) => {
  const health = new DnsHealth();
  let now = 0;
  /** Looks each second for `ms`; returns what the verdicts were. */
  const look = (canServe: boolean, ms: number): boolean[] => {
    const verdicts = new Set<boolean>();
    for (const end = now + ms; now < end; now += 1_000) verdicts.add(health.observe(canServe, now));
    return [...verdicts];
  };
  t.strictSame(look(true, 5_000), [true]);
  t.strictSame(look(false, goneAfterMs), [true], 'not before its time');
  t.strictSame(look(false, 1_000), [false]);
  t.strictSame(look(true, backAfterMs), [false]);
  t.strictSame(look(true, 1_000), [true]);
  for (let i = 0; i < 50; i++) {
    t.strictSame(look(false, goneAfterMs - 1_000), [true]);
    t.strictSame(look(true, 1_000), [true]);
  }
  t.strictSame(look(false, goneAfterMs + 1_000), [true, false]);
  for (let i = 0; i < 50; i++) {
    t.strictSame(look(true, backAfterMs - 1_000), [false]);
    t.strictSame(look(false, 1_000), [false]);
  }
  t.end();
});
