import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { checkKernelSettings, restoreAcceptRa } from '../../src/ra/kernel-settings.ts';
import { raConfig } from './support.ts';

const path = (name: string): string => `net/ipv6/conf/eth1/${name}`;

function kernel(values: Record<string, string>, writable = true) {
  const settings = new Map(Object.entries(values).map(([name, value]) => [path(name), value]));
  const log = new MemoryLogger();
  const sysctl = {
    read: (name: string) => settings.get(name),
    write: (name: string, value: string) => writable && settings.set(name, value) !== undefined,
  };
  return { settings, log, sysctl };
}

t.test('accept_ra: when it is on, and what becomes of it', (t) => {
  const cases: [
    name: string,
    accept: string,
    forwarding: string,
    writable: boolean,
    after: string,
    said: RegExp | undefined,
  ][] = [
    ['off', '0', '0', true, '0', undefined],
    ['on for hosts, on a router', '1', '1', true, '1', undefined],
    ['on for hosts, on a host', '1', '0', true, '0', /it is 0 while we advertise/],
    ['on in any case', '2', '1', true, '0', /it is 0 while we advertise/],
    ['no right to change it', '2', '1', false, '2', /set net\.ipv6\.conf\.eth1\.accept_ra = 0/],
  ];
  for (const [name, accept_ra, forwarding, writable, after, said] of cases) {
    const { settings, log, sysctl } = kernel({ accept_ra, forwarding }, writable);
    const replaced = checkKernelSettings(sysctl, log, raConfig());
    t.equal(settings.get(path('accept_ra')), after, name);
    t.equal(replaced, after === accept_ra ? undefined : accept_ra, name);
    const warnings = log.lines.filter((line) => line.level === 'warn');
    t.equal(warnings.length, said === undefined ? 0 : 1, name);
    if (said !== undefined) t.match(warnings[0]!.message, said);
  }
  const none = kernel({});
  t.equal(checkKernelSettings(none.sysctl, none.log, raConfig()), undefined, 'a kernel without these settings');
  t.end();
});

t.test('forwarding off: a warning where packets are called for, a word where none are', (t) => {
  const routes = [
    { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 60, preference: 'medium' as const, until: undefined },
  ];
  const cases: [name: string, config: ReturnType<typeof raConfig>, level: string][] = [
    ['no router', raConfig(), 'info'],
    ['a default router', raConfig({ defaultLifetimeSeconds: 1800 }), 'warn'],
    ['a route', raConfig({ routes }), 'warn'],
    ['a route taken back', raConfig({ routes: [{ ...routes[0]!, lifetimeSeconds: 0 }] }), 'info'],
  ];
  for (const [name, config, level] of cases) {
    const { log, sysctl } = kernel({ accept_ra: '0', forwarding: '0' });
    checkKernelSettings(sysctl, log, config);
    t.match(log.lines, [{ level, message: /forwarding is off/ }], name);
  }
  t.end();
});

t.test('put back, unless somebody has changed it since', (t) => {
  const ours = kernel({ accept_ra: '0' });
  restoreAcceptRa(ours.sysctl, ours.log, 'eth1', '2');
  t.equal(ours.settings.get(path('accept_ra')), '2');
  const theirs = kernel({ accept_ra: '1' });
  restoreAcceptRa(theirs.sysctl, theirs.log, 'eth1', '2');
  t.equal(theirs.settings.get(path('accept_ra')), '1');
  const gone = kernel({});
  restoreAcceptRa(gone.sysctl, gone.log, 'eth1', '2');
  t.strictSame(gone.log.lines, []);
  t.end();
});
