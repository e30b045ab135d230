/**
 * Sends router solicitations and advertisements that RFC 4861 §6.1 and RFC 6980 §5 tell receivers to discard, ROUNDS times, to all
 * routers and all nodes of a device, and says how many that were.
 *
 *   bad-messages.ts DEVICE ROUNDS
 *
 * DEVICE is a name or, where /sys is another namespace's, an index.
 */
import { parseAddress } from '../../../src/core/address.ts';
import { AF_INET6, IPPROTO_ICMPV6, SOCK_RAW } from '../../../src/linux/constants.ts';
import { closeFd, libcCall, orErrno } from '../../../src/linux/libc.ts';
import { encodeSockaddr } from '../../../src/linux/sockaddr.ts';

/** With it the caller writes the IPv6 header, and may send from any address. */
const IPPROTO_RAW = 255;
const FRAGMENT = 44;
const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
const sendtoCall = libcCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number) => number
>('int64 sendto(int fd, void *bytes, size_t length, int flags, void *to, uint toLength)');

interface Bad {
  readonly what: string;
  /** The ICMPv6 message. */
  readonly hex: string;
  readonly hopLimit?: number;
  readonly source?: string;
  /** In one fragment that is all of it (RFC 6946). */
  readonly fragment?: boolean;
}

const solicitation = '85 00 0000 00000000';
const advertisement = '86 00 0000 40000000 00000000 00000000';
const macOption = '01 01 020000060621';

/** One of each kind. */
const cases: readonly Bad[] = [
  ...[solicitation, advertisement].flatMap((message): Bad[] => [
    { what: 'came through a router: hop limit 64', hex: `${message} ${macOption}`, hopLimit: 64 },
    { what: 'in fragments', hex: `${message} ${macOption}`, fragment: true },
    { what: 'four octets', hex: message.slice(0, 10) },
    { what: 'code 1', hex: message.replace(' 00', ' 01') },
    { what: 'an option of length zero', hex: `${message} 01 00 020000060621` },
    { what: 'an option longer than the packet', hex: `${message} 01 ff 020000060621` },
    { what: 'half an option', hex: `${message} 01` },
  ]),
  { what: 'from ::, with a link-layer address', hex: `${solicitation} ${macOption}`, source: '::' },
  { what: 'not from a link-local address', hex: advertisement, source: 'fd00:6:6::bad' },
];

/** IPv6 header, fragment header where wanted, message with its checksum. */
function packetOf({ hex, hopLimit = 255, source = 'fe80::bad', fragment = false }: Bad): { to: string; bytes: Buffer } {
  const message = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const to = message[0] === 133 ? 'ff02::2' : 'ff02::1';
  const addresses = Buffer.concat([parseAddress(source).bytes, parseAddress(to).bytes]);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(message.length, 0);
  pseudo[7] = IPPROTO_ICMPV6;
  message.writeUInt16BE(checksum(Buffer.concat([addresses, pseudo, message])), 2);
  const payload = fragment ? Buffer.concat([Buffer.from([IPPROTO_ICMPV6, 0, 0, 0, 0, 0, 0, 1]), message]) : message;
  const header = Buffer.alloc(8);
  header[0] = 0x60;
  header.writeUInt16BE(payload.length, 4);
  header[6] = fragment ? FRAGMENT : IPPROTO_ICMPV6;
  header[7] = hopLimit;
  return { to, bytes: Buffer.concat([header, addresses, payload]) };
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const [device, rounds] = process.argv.slice(2);
const packets = cases.map((bad) => {
  const { to, bytes } = packetOf(bad);
  return { bytes, to: encodeSockaddr(parseAddress(`${to}%${device}`), 0) };
});
const fd = orErrno(socketCall(AF_INET6, SOCK_RAW, IPPROTO_RAW));
if (fd < 0) throw new Error(`socket: ${fd}`);
let sent = 0;
for (let round = 0; round < Number(rounds); round++) {
  for (const { bytes, to } of packets) {
    if (sendtoCall(fd, bytes, bytes.length, 0, to, to.length) === bytes.length) sent++;
  }
}
closeFd(fd);
console.log(sent);
