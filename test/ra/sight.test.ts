import t from 'tap';
import { formatAddress, parseAddress } from '../../src/core/address.ts';
import type { InterfaceAddress } from '../../src/linux/netlink.ts';
import { lookAt, stateReasons } from '../../src/ra/sight.ts';
import { address, FakeNetwork, prefix, raConfig } from './support.ts';

t.test('what there is, and what follows', (t) => {
  const announcing = raConfig({ prefixes: [prefix('::/64')] });
  const cases: {
    name: string;
    addresses: InterfaceAddress[];
    up?: boolean;
    config?: ReturnType<typeof raConfig>;
    current?: string;
    state: string;
    source?: string;
  }[] = [
    { name: 'down', addresses: [address('fe80::1')], up: false, state: 'down' },
    { name: 'no address', addresses: [], state: 'no-link-local' },
    { name: 'IPv4 alone', addresses: [address('192.0.2.1/24', { scope: 'global' })], state: 'no-link-local' },
    { name: 'tentative', addresses: [address('fe80::1', { tentative: true })], state: 'no-link-local' },
    {
      name: 'duplicate',
      addresses: [address('fe80::1', { tentative: true, dadFailed: true })],
      state: 'duplicate-address',
    },
    { name: 'ready', addresses: [address('fe80::1')], state: 'advertising', source: 'fe80::1' },
    {
      name: 'the one in use stays',
      addresses: [address('fe80::1'), address('fe80::2')],
      current: 'fe80::2',
      state: 'advertising',
      source: 'fe80::2',
    },
    {
      name: 'the one in use is gone',
      addresses: [address('fe80::1')],
      current: 'fe80::2',
      state: 'advertising',
      source: 'fe80::1',
    },
    {
      name: 'the configured source',
      addresses: [address('fe80::1'), address('fe80::2')],
      config: raConfig({ source: parseAddress('fe80::2') }),
      current: 'fe80::1',
      state: 'advertising',
      source: 'fe80::2',
    },
    {
      name: 'the configured source is not there',
      addresses: [address('fe80::1'), address('fe80::2', { tentative: true })],
      config: raConfig({ source: parseAddress('fe80::2') }),
      current: 'fe80::1',
      state: 'no-source',
    },
    {
      name: 'an address to announce is in DAD',
      addresses: [address('fe80::1'), address('fd00::1', { tentative: true })],
      config: announcing,
      state: 'tentative-address',
    },
    {
      name: 'but not once it runs',
      addresses: [address('fe80::1'), address('fd00::1', { tentative: true })],
      config: announcing,
      current: 'fe80::1',
      state: 'advertising',
      source: 'fe80::1',
    },
    {
      name: 'a duplicate is not waited for',
      addresses: [address('fe80::1'), address('fd00::1', { tentative: true, dadFailed: true })],
      config: announcing,
      state: 'advertising',
    },
    {
      name: 'nobody announces it',
      addresses: [address('fe80::1'), address('fd00::1', { tentative: true })],
      state: 'advertising',
    },
  ];
  for (const { name, addresses, up = true, config = raConfig(), current, state, source } of cases) {
    const network = new FakeNetwork();
    network.setLink({ index: 7, up });
    network.setAddresses(7, ...addresses);
    const sight = lookAt(network, config, current === undefined ? undefined : parseAddress(current));
    t.equal(sight.state, state, name);
    if (source !== undefined && sight.state === 'advertising') t.equal(formatAddress(sight.source), source, name);
  }
  t.equal(lookAt(new FakeNetwork(), raConfig(), undefined).state, 'missing');
  for (const [state, reason] of Object.entries(stateReasons)) t.equal(reason === '', state === 'advertising');
  t.end();
});
