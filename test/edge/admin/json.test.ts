import t from 'tap';
import { parseAddress, parseCidr, parseEndpoint } from '../../../src/core/address.ts';
import { toJson } from '../../../src/edge/admin/json.ts';

t.test('our values as people write them', (t) => {
  const cases: [value: unknown, json: string][] = [
    [parseAddress('fe80::1%eth0'), '"fe80::1%eth0"'],
    [parseCidr('fd00::/64'), '"fd00::/64"'],
    [parseEndpoint('[::1]:53'), '"[::1]:53"'],
    [parseEndpoint('unix:/run/x'), '"unix:/run/x"'],
    [Number.POSITIVE_INFINITY, '"infinity"'],
    [new Uint8Array([1, 255]), '"01ff"'],
    [5n, '"5"'],
    [new Map([['a', new Set([1])]]), '{"a":[1]}'],
    [{ kind: 'member', path: 1, nothing: null }, '{"kind":"member","path":1,"nothing":null}'],
    [{ base: 'x', length: 3 }, '{"base":"x","length":3}'],
  ];
  for (const [value, json] of cases) t.equal(toJson(value), json);
  t.end();
});
