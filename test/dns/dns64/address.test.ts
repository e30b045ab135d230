import t from 'tap';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../src/core/address.ts';
import {
  embedIpv4,
  extractIpv4,
  IPV4ONLY,
  mayEmbed,
  NAT64_LENGTHS,
  prefixesOf,
} from '../../../src/dns/dns64/address.ts';

const v4 = (text: string) => parseAddress(text).bytes;
const v6 = (text: string) => parseAddress(text).bytes;
const text = (bytes: Uint8Array) => formatAddress({ family: bytes.length === 4 ? 4 : 6, bytes });

t.test('RFC 6052 §2.4: its own table', async (t) => {
  const cases = [
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100:0'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::c000:221'],
  ] as const;
  t.strictSame(
    cases.map(([prefix]) => parseCidr(prefix).length),
    [...NAT64_LENGTHS],
  );
  for (const [prefix, expected] of cases) {
    const made = embedIpv4(parseCidr(prefix), v4('192.0.2.33'));
    t.strictSame(made, v6(expected), prefix);
    t.equal(text(extractIpv4(parseCidr(prefix), made)!), '192.0.2.33');
    t.equal(extractIpv4(parseCidr(prefix), v6('2001:db9::1')), undefined, 'not of the prefix');
  }
  const u = v6('2001:db8:122:344:1c0:2:2100:0');
  t.equal(extractIpv4(parseCidr('2001:db8:122:344::/64'), u), undefined, 'bits 64 to 71 must be zero');
});

t.test('the well-known prefix has global addresses alone (RFC 6052 §3.1)', async (t) => {
  const known = parseCidr('64:ff9b::/96');
  for (const no of ['10.1.2.3', '127.0.0.1', '192.168.0.1', '172.31.255.255', '100.64.0.1', '192.0.0.1', '224.0.0.1']) {
    t.notOk(mayEmbed(known, v4(no)), no);
    t.ok(mayEmbed(parseCidr('2001:db8::/96'), v4(no)), `${no} in a prefix of one's own`);
  }
  for (const yes of ['1.1.1.1', '172.32.0.1', '192.0.0.170', '192.0.0.171', '9.255.255.255']) {
    t.ok(mayEmbed(known, v4(yes)), yes);
  }
});

t.test('prefixes told by ipv4only.arpa (RFC 7050 §3)', async (t) => {
  for (const prefix of ['2001:db8::/32', '2001:db8:100::/40', '2001:db8:122::/48', '2001:db8:122:300::/56']) {
    const addresses = IPV4ONLY.map((known) => embedIpv4(parseCidr(prefix), known));
    t.strictSame(prefixesOf(addresses).map(formatCidr), [prefix]);
  }
  const two = ['64:ff9b::/96', 'fd00:64::/64'].flatMap((p) => IPV4ONLY.map((known) => embedIpv4(parseCidr(p), known)));
  t.strictSame(prefixesOf(two).map(formatCidr), ['64:ff9b::/96', 'fd00:64::/64']);
  const bad = {
    nothing: [],
    'one of the two': [v6('64:ff9b::192.0.0.170')],
    'other addresses': [v6('64:ff9b::1.2.3.4'), v6('64:ff9b::1.2.3.5')],
    'a suffix that is not zero': [v6('2001:db8:c000:aa::1'), v6('2001:db8:c000:ab::1')],
  };
  for (const [name, addresses] of Object.entries(bad)) t.strictSame(prefixesOf(addresses), [], name);
});
