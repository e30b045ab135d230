import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { adviceFor } from '../../src/ra/advice.ts';
import { prefix, raConfig } from './support.ts';

const link = { index: 7, name: 'eth1', up: true, mtu: 1450, mac: Uint8Array.of(2, 0, 0, 0, 0, 1) };
const rdnss = (server: string) => ({ servers: [parseAddress(server)], lifetimeSeconds: 60, whileHealthy: false });
const nothing = raConfig({ prefixes: [], rdnss: undefined, dnssl: undefined });

t.test('what is hardly meant', (t) => {
  const cases: [name: string, config: ReturnType<typeof raConfig>, advice: RegExp | undefined][] = [
    ['the usual', raConfig(), undefined],
    ['the link’s own MTU', raConfig({ mtu: 1450 }), undefined],
    ['more than the link carries', raConfig({ mtu: 1500 }), /mtu 1500 is more .* 1450/],
    ['a link-local DNS server', raConfig({ rdnss: rdnss('fe80::1') }), /fe80::1 is link-local/],
    ['our own DNS server', raConfig({ rdnss: { ...rdnss('fd00::1'), servers: [] } }), undefined],
    ['a portal', raConfig({ captivePortal: 'https://a.test/', defaultLifetimeSeconds: 0 }), /default routers alone/],
    ['of a default router', raConfig({ captivePortal: 'https://a.test/', defaultLifetimeSeconds: 1800 }), undefined],
    ['nothing at all', nothing, /neither addresses nor DNS servers/],
    ['nothing but a default router', { ...nothing, defaultLifetimeSeconds: 1800 }, undefined],
    ['nothing but M', { ...nothing, managed: true }, undefined],
    ['nothing but an MTU', { ...nothing, mtu: 1400 }, undefined],
    ['a NAT64 on-link', raConfig({ prefixes: [prefix('64:ff9b::/96', { autonomous: false })] }), /NAT64/],
  ];
  for (const [name, config, advice] of cases) {
    const found = adviceFor(config, link);
    t.equal(found.length, advice === undefined ? 0 : 1, name);
    if (advice !== undefined) t.match(found[0], advice);
  }
  t.end();
});
