/** Every limit of the `ra` section: the values at it are taken, those beyond are an error that names the key. */
import t from 'tap';
import { parseConfig } from '../../../src/edge/config/load.ts';
import { formatProblem } from '../../../src/edge/config/problem-text.ts';
import { settings } from '../../../src/edge/config/reference.ts';

/** What the rest of the entry has to be for a value to make sense. */
interface Limit {
  /** As in the reference, without `ra[].`. */
  readonly key: string;
  /** An entry's settings in YAML's flow style, `X` where the value goes. */
  readonly entry: string;
  readonly good: readonly string[];
  readonly bad: readonly string[];
}

const lifetimes = { good: ['0s', '600s', '4294967294s', 'infinity'], bad: ['-1s', '1ms', '4294967295s', 'never'] };

const limits: readonly Limit[] = [
  { key: 'interval.min', entry: 'interval: { min: X, max: 1000s }', good: ['3s', '750s'], bad: ['2999ms', '751s'] },
  {
    key: 'interval.min',
    entry: 'interval: { min: X, max: 65535s }',
    good: ['49151250ms'],
    bad: ['49151251ms'],
  },
  { key: 'interval.max', entry: 'interval: { max: X }', good: ['4s', '65535s'], bad: ['3999ms', '65536s', '0s'] },
  { key: 'maxDelay', entry: 'maxDelay: X', good: ['0s', '500ms'], bad: ['501ms', '-1ms'] },
  {
    key: 'defaultLifetime',
    entry: 'defaultLifetime: X',
    good: ['0s', '600s', '65535s'],
    bad: ['1s', '599s', '65536s', '1500ms', 'infinity'],
  },
  { key: 'preference', entry: 'defaultLifetime: 1h, preference: X', good: ['low', 'high'], bad: ['highest', '1'] },
  { key: 'hopLimit', entry: 'hopLimit: X', good: ['0', '255'], bad: ['-1', '256', '1.5', '64s'] },
  { key: 'reachableTime', entry: 'reachableTime: X', good: ['0s', '1ms', '1h'], bad: ['3600001ms', '-1ms'] },
  { key: 'retransTimer', entry: 'retransTimer: X', good: ['0s', '4294967295ms'], bad: ['4294967296ms'] },
  { key: 'mtu', entry: 'mtu: X', good: ['0', '1280', '65535'], bad: ['1', '1279', '65536', '1500.5', '"1500"'] },
  {
    key: 'prefixes[].prefix',
    entry: 'prefixes: [{ prefix: X }]',
    good: ['"fd00::/64"', '"::/64"'],
    bad: ['"fd00::/63"', '"fd00::/129"', '"fe80::/64"', '"ff00::/64"', '"::/0"', '"10.0.0.0/8"', '"fd00::1/64"'],
  },
  {
    key: 'prefixes[].prefix',
    entry: 'prefixes: [{ autonomous: false, prefix: X }]',
    good: ['"8000::/1"', '"fd00::/128"'],
    bad: ['"::/0"'],
  },
  { key: 'prefixes[].valid', entry: 'prefixes: [{ prefix: "fd00::/64", preferred: 0s, valid: X }]', ...lifetimes },
  {
    key: 'prefixes[].preferred',
    entry: 'prefixes: [{ prefix: "fd00::/64", valid: infinity, preferred: X }]',
    ...lifetimes,
  },
  {
    key: 'prefixes[].preferred',
    entry: 'prefixes: [{ prefix: "fd00::/64", valid: 1h, preferred: X }]',
    good: ['1h'],
    bad: ['3601s', 'infinity'],
  },
  {
    key: 'prefixes[].validUntil',
    entry: 'prefixes: [{ prefix: "fd00::/64", validUntil: X }]',
    good: ['2027-01-31T12:00:00Z'],
    bad: ['tomorrow', '2027-13-01T00:00:00Z'],
  },
  {
    key: 'prefixes[].preferredUntil',
    entry: 'prefixes: [{ prefix: "fd00::/64", preferredUntil: X }]',
    good: ['2027-01-31T12:00:00Z'],
    bad: ['12:00'],
  },
  {
    key: 'routes[].prefix',
    entry: 'routes: [{ prefix: X }]',
    good: ['"2000::/3"', '"fd00::1/128"'],
    bad: ['"::/0"', '"fd00::/129"'],
  },
  { key: 'routes[].lifetime', entry: 'routes: [{ prefix: "fd00::/8", lifetime: X }]', ...lifetimes },
  {
    key: 'routes[].until',
    entry: 'routes: [{ prefix: "fd00::/8", until: X }]',
    good: ['2027-01-31T12:00:00Z'],
    bad: ['1'],
  },
  {
    key: 'routes[].preference',
    entry: 'routes: [{ prefix: "fd00::/8", preference: X }]',
    good: ['low'],
    bad: ['none'],
  },
  { key: 'rdnss.lifetime', entry: 'rdnss: { lifetime: X }', ...lifetimes, bad: [...lifetimes.bad, '599s'] },
  {
    key: 'rdnss.servers',
    entry: 'rdnss: { servers: X }',
    good: [servers(1), servers(127)],
    bad: [servers(128), '["::ffff:1.2.3.4.5"]'],
  },
  {
    key: 'dnssl.lifetime',
    entry: 'dnssl: { domains: [a.test], lifetime: X }',
    ...lifetimes,
    bad: [...lifetimes.bad, '599s'],
  },
  {
    key: 'dnssl.domains',
    entry: 'dnssl: { domains: X }',
    good: [`[${'a'.repeat(63)}.test]`],
    bad: [
      '[]',
      `[${'a'.repeat(64)}.test]`,
      '["a b.test"]',
      `[${Array.from({ length: 120 }, (_, i) => `a-long-name-${i}.test`).join()}]`,
    ],
  },
  {
    key: 'pref64.prefix',
    entry: 'pref64: { prefix: X }',
    good: [32, 40, 48, 56, 64, 96].map((length) => `"2001:db8::/${length}"`),
    bad: ['"2001:db8::/33"', '"2001:db8::/95"', '"2001:db8::/128"', '"::/0"'],
  },
  {
    key: 'pref64.lifetime',
    entry: 'pref64: { prefix: "64:ff9b::/96", lifetime: X }',
    good: ['0s', '600s', '65528s'],
    bad: ['65529s', 'infinity', '599s'],
  },
  {
    key: 'captivePortal',
    entry: 'captivePortal: X',
    // 1280 octets less IPv6's header, ours, the link-layer address, and the option's own two.
    good: ['""', `"https://a.test/${'p'.repeat(1280 - 40 - 16 - 8 - 2 - 15)}"`],
    bad: [`"https://a.test/${'p'.repeat(1215 - 15)}"`, '"a b"', '"https://a.test/ä"', '1'],
  },
  { key: 'clients', entry: 'clients: X', good: ['["fe80::1"]'], bad: ['["fd00::1"]', '["1.2.3.4"]'] },
  { key: 'deny', entry: 'deny: X', good: ['["fe80::1"]', '["fd00::1"]'], bad: ['["x"]'] },
  { key: 'source', entry: 'source: X', good: ['"fe80::1"'], bad: ['"fd00::1"', '"fe80::1%eth1"'] },
];

function servers(count: number): string {
  return `[${Array.from({ length: count }, (_, i) => `"fd00::${(i + 1).toString(16)}"`).join()}]`;
}

function problems({ entry }: Limit, value: string): string[] {
  const result = parseConfig(`ra: [{ interface: eth1, ${entry.replace('X', value)} }]`, 'limits.yaml');
  return 'errors' in result ? result.errors.map(formatProblem) : [];
}

t.test('at the limit, and beyond', (t) => {
  for (const limit of limits) {
    for (const value of limit.good) t.strictSame(problems(limit, value), [], `${limit.key}: ${value.slice(0, 40)}`);
    for (const value of limit.bad) {
      const found = problems(limit, value);
      const name = `ra[0].${limit.key.replaceAll('[]', '[0]')}`;
      t.ok(
        found.length > 0 && found.every((text) => text.includes(`${name}:`) || text.includes(`${name}[`)),
        `${limit.key}: ${value.slice(0, 40)}: ${found.join('; ')}`,
      );
    }
  }
  t.end();
});

t.test('no setting with limits is left out', (t) => {
  const covered = new Set(limits.map(({ key }) => `ra[].${key}`));
  const limited = settings().filter(({ path, kind, allowed }) => {
    return (
      path.startsWith('ra[].') &&
      kind !== 'true or false' &&
      kind !== 'mapping' &&
      kind !== 'list of mapping' &&
      (allowed !== undefined || !kind.includes('interface name'))
    );
  });
  t.ok(limited.length > 20);
  t.strictSame(
    limited.map(({ path }) => path).filter((path) => !covered.has(path) && path !== 'ra[].prefixes[].ignore'),
    [],
  );
  t.end();
});
