import t from 'tap';
import { formatAddress } from '../../src/core/address.ts';
import { SeededRandom } from '../../src/core/random.ts';
import {
  encodeDumpRequest,
  parseInterfaceAddress,
  parseLink,
  parseNeighbour,
  parseNetlinkMessages,
  RTM_GETADDR,
  RTM_GETLINK,
} from '../../src/linux/rtnetlink.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex');

//            family type index    flags    change   IFLA_IFNAME eth1             IFLA_MTU 1500      IFLA_ADDRESS
const link =
  '00 00 0100 07000000 41000000 00000000 0900 0300 6574683100 000000 0800 0400 dc050000 0a00 0100 020000000001 0000';
//            v6 /64 flags scope index  IFA_ADDRESS                                IFA_FLAGS
const addr = '0a 40 80 fd 07000000 1400 0100 fe800000000000000000000000000001 0800 0800 c0000000';

//            v6 pad    index    state fl ty NDA_DST                                     NDA_LLADDR
const neigh = '0a 000000 07000000 0400 00 01 1400 0100 fd000006000600000000000000000021 0a00 0200 020000000021 0000';

t.test('a neighbour, field by field', (t) => {
  const { address, ...rest } = parseNeighbour(bytes(neigh))!;
  t.equal(formatAddress(address), 'fd00:6:6::21');
  t.match(rest, { index: 7, state: 'stale', mac: bytes('020000000021') });
  const state = (hex: string) => parseNeighbour(bytes(neigh.replace('0400 00', `${hex} 00`)))!.state;
  t.strictSame(['0100', '0200', '2000', '8000', '0000'].map(state), [
    'incomplete',
    'reachable',
    'failed',
    'permanent',
    'none',
  ]);
  t.end();
});

t.test('bad input is undefined or ends early, at every length', (t) => {
  for (const [name, parse, hex] of [
    ['link', parseLink, link],
    ['address', parseInterfaceAddress, addr],
    ['neighbour', parseNeighbour, neigh],
  ] as const) {
    const whole = bytes(hex);
    for (let length = 0; length < whole.length; length++) parse(whole.subarray(0, length));
    t.equal(parse(whole.subarray(0, name === 'neighbour' ? 11 : 15)), undefined, name);
  }
  t.equal(parseLink(bytes(link.replace('00 00', '07 00'))), undefined, 'AF_BRIDGE is about a port, not about the link');
  t.equal(parseInterfaceAddress(bytes(addr.replace('0a 40', '1c 40'))), undefined, 'another family');
  t.equal(parseInterfaceAddress(bytes(addr.replace('0a 40', '02 40'))), undefined, '16 octets are no IPv4 address');
  t.strictSame(parseNetlinkMessages(bytes('0f000000 1000 0000 00000000 00000000')), [], 'shorter than its header');
  t.strictSame(parseNetlinkMessages(bytes('20000000 1000 0000 00000000 00000000')), [], 'longer than the datagram');
  const random = new SeededRandom(11);
  for (let i = 0; i < 5_000; i++) {
    const noise = Buffer.from(random.fill(new Uint8Array(random.below(80))));
    parseNetlinkMessages(noise);
    parseLink(noise);
    parseInterfaceAddress(noise);
    parseNeighbour(noise);
  }
  t.end();
});

t.test('golden messages', (t) => {
  t.match(parseLink(bytes(link)), { index: 7, name: 'eth1', up: true, mtu: 1500, mac: bytes('020000000001') });
  t.match(parseLink(bytes(link.replace('41000000', '01000000'))), { up: false }, 'no carrier');
  const { index, address } = parseInterfaceAddress(bytes(addr))!;
  t.equal(index, 7);
  t.equal(formatAddress(address.address), 'fe80::1');
  t.match(address, { prefixLength: 64, scope: 'link', tentative: true, deprecated: false, dadFailed: false });
  const peerToPeer = '02 20 80 00 07000000 0800 0100 c0000202 0800 0200 c0000201';
  t.equal(formatAddress(parseInterfaceAddress(bytes(peerToPeer))!.address.address), '192.0.2.1', 'IFA_LOCAL is ours');
  t.end();
});

t.test('several messages in a datagram, padded between', (t) => {
  const two = bytes('11000000 1000 0200 05000000 09000000 aa 000000 10000000 0300 0000 05000000 09000000');
  t.match(parseNetlinkMessages(two), [
    { type: 16, flags: 2, sequence: 5, port: 9, body: bytes('aa') },
    { type: 3, sequence: 5, body: bytes('') },
  ]);
  t.equal(encodeDumpRequest(RTM_GETLINK, 5).toString('hex'), `20000000120001030500000000000000${'00'.repeat(16)}`);
  t.equal(encodeDumpRequest(RTM_GETADDR, 6).toString('hex'), `18000000160001030600000000000000${'00'.repeat(8)}`);
  t.end();
});
