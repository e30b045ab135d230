import t from 'tap';
import { grantLeases } from '../../src/dns/lease-grant.ts';
import type { Grant } from '../../src/dns/policy.ts';
import { CLASS, TYPE } from '../../src/dns/wire/types.ts';
import type { UpdateLease } from '../../src/dns/wire/update-lease.ts';
import { rr } from './dns-client.ts';

const data = Uint8Array.of(1);
const add = (type: number = TYPE.TXT) => rr('a.test', CLASS.IN, type, 60, data);
const remove = rr('a.test', CLASS.NONE, TYPE.TXT, 0, data);
const grant = (leaseSeconds: number | undefined): Grant => ({ text: '', maxOfType: 0, maxRecords: 0, leaseSeconds });
const day = 86_400;

t.test('how long records last', (t) => {
  const rows: [
    name: string,
    zone: number,
    rules: (number | undefined)[],
    asked: UpdateLease | undefined,
    seconds: number[],
    granted: UpdateLease | undefined,
  ][] = [
    ['nothing configured, nothing asked', 0, [undefined], undefined, [0], undefined],
    ['the zone says', 3600, [undefined], undefined, [3600], undefined],
    ['the rule says otherwise', 3600, [60, 0, undefined], undefined, [60, 0, 3600], undefined],
    [
      'less than the zone allows',
      3600,
      [undefined],
      { lease: 600, keyLease: undefined },
      [600],
      { lease: 600, keyLease: undefined },
    ],
    [
      'more than the zone allows',
      3600,
      [undefined],
      { lease: 7200, keyLease: undefined },
      [3600],
      { lease: 3600, keyLease: undefined },
    ],
    ['too short', 3600, [undefined], { lease: 1, keyLease: undefined }, [30], { lease: 30, keyLease: undefined }],
    [
      'asked where nothing is configured',
      0,
      [undefined],
      { lease: 600, keyLease: undefined },
      [600],
      { lease: 600, keyLease: undefined },
    ],
    [
      'far too long',
      0,
      [0],
      { lease: 2 ** 32 - 1, keyLease: undefined },
      [30 * day],
      { lease: 30 * day, keyLease: undefined },
    ],
    [
      'the shortest of several rules counts',
      3600,
      [600, 900],
      { lease: 7200, keyLease: undefined },
      [600, 600],
      { lease: 600, keyLease: undefined },
    ],
    ['nothing added', 3600, [], { lease: 7200, keyLease: 9000 }, [], { lease: 3600, keyLease: 9000 }],
  ];
  for (const [name, zone, rules, asked, seconds, granted] of rows) {
    const records = [remove, ...rules.map(() => add())];
    const result = grantLeases(records, [grant(1), ...rules.map(grant)], zone, asked);
    t.strictSame(
      result.records.map((one) => one.seconds),
      seconds,
      name,
    );
    t.strictSame(result.granted, granted, name);
  }
  t.end();
});

t.test('KEY records have a lease of their own, if the client asks for one', (t) => {
  const records = [add(), add(TYPE.KEY)];
  const grants = [grant(undefined), grant(undefined)];
  const long = grantLeases(records, grants, 3600, { lease: 3600, keyLease: 14 * day });
  t.strictSame(
    long.records.map(({ seconds }) => seconds),
    [3600, 14 * day],
  );
  t.strictSame(long.granted, { lease: 3600, keyLease: 14 * day });
  const short = grantLeases(records, grants, 3600, { lease: 600, keyLease: undefined });
  t.strictSame(
    short.records.map(({ seconds }) => seconds),
    [600, 600],
  );
  t.end();
});
