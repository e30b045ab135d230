/**
 * Sends router solicitations that RFC 4861 §6.1.1 tells a router to discard, ROUNDS times, to all routers of a device.
 *
 *   bad-solicitations.ts DEVICE ROUNDS
 *
 * DEVICE is a name or, where /sys is another namespace's, an index.
 */
import { parseAddress } from '../../../src/core/address.ts';
import { AF_INET6, IPPROTO_ICMPV6, IPPROTO_IPV6, SOCK_RAW } from '../../../src/linux/constants.ts';
import { closeFd, libcCall, orErrno, setSocketInt } from '../../../src/linux/libc.ts';
import { encodeSockaddr } from '../../../src/linux/sockaddr.ts';

const IPV6_MULTICAST_HOPS = 18;
const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
const sendtoCall = libcCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number) => number
>('int64 sendto(int fd, void *bytes, size_t length, int flags, void *to, uint toLength)');

/** Packets with a hop limit each; the kernel fills in the checksum. */
const cases: readonly { readonly what: string; readonly hopLimit: number; readonly hex: string }[] = [
  { what: 'came through a router: hop limit 64', hopLimit: 64, hex: '85 00 0000 00000000 01 01 020000060621' },
  { what: 'code 1', hopLimit: 255, hex: '85 01 0000 00000000' },
  { what: 'four bytes', hopLimit: 255, hex: '85 00 0000' },
  { what: 'an option of length zero', hopLimit: 255, hex: '85 00 0000 00000000 01 00 020000060621' },
  { what: 'an option longer than the packet', hopLimit: 255, hex: '85 00 0000 00000000 01 ff 020000060621' },
  { what: 'half an option', hopLimit: 255, hex: '85 00 0000 00000000 01' },
];

const [device, rounds] = process.argv.slice(2);
const to = encodeSockaddr(parseAddress(`ff02::2%${device}`), 0);
const fd = orErrno(socketCall(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
if (fd < 0) throw new Error(`socket: ${fd}`);
let sent = 0;
for (let round = 0; round < Number(rounds); round++) {
  for (const { hopLimit, hex } of cases) {
    setSocketInt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hopLimit);
    const packet = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    if (sendtoCall(fd, packet, packet.length, 0, to, to.length) === packet.length) sent++;
  }
}
closeFd(fd);
console.log(sent);
