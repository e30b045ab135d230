/** IPv4 addresses inside IPv6 ones (RFC 6052 §2.2), and which may be there. */
import { type Cidr, cidrContains, parseCidr } from '../../core/address.ts';

/** Prefix lengths that embed an IPv4 address. */
export const NAT64_LENGTHS = [32, 40, 48, 56, 64, 96] as const;

/** Bits 64 to 71, the octet "u", are zero and are skipped. */
const U_OCTET = 8;

const wellKnown = parseCidr('64:ff9b::/96');
/** What is no unicast address of the whole Internet (RFC 6890): not to be in the well-known prefix (RFC 6052 §3.1). */
const notGlobal = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map(parseCidr);

/** The addresses of ipv4only.arpa (RFC 7050 §8.2). */
export const IPV4ONLY = [Uint8Array.of(192, 0, 0, 170), Uint8Array.of(192, 0, 0, 171)] as const;

/** Where in an IPv6 address the four octets are. */
function octetsOf(length: number): readonly number[] {
  const octets: number[] = [];
  for (let at = length >> 3; octets.length < 4; at++) if (at !== U_OCTET) octets.push(at);
  return octets;
}

/** The IPv6 address of an IPv4 one. */
export function embedIpv4(prefix: Cidr, ipv4: Uint8Array): Uint8Array {
  const out = Uint8Array.from(prefix.base.bytes);
  for (const [i, at] of octetsOf(prefix.length).entries()) out[at] = ipv4[i]!;
  return out;
}

/** The IPv4 address in an IPv6 one; undefined when it is not of this prefix, or has the octet "u" set. */
export function extractIpv4(prefix: Cidr, ipv6: Uint8Array): Uint8Array | undefined {
  if (!cidrContains(prefix, ipv6) || (prefix.length < 96 && ipv6[U_OCTET] !== 0)) return undefined;
  return Uint8Array.from(octetsOf(prefix.length), (at) => ipv6[at]!);
}

/** Whether an IPv4 address may be in this prefix. */
export function mayEmbed(prefix: Cidr, ipv4: Uint8Array): boolean {
  if (prefix.length !== wellKnown.length || !cidrContains(wellKnown, prefix.base.bytes)) return true;
  // RFC 7050 §8.2: its two are in 192.0.0.0/24 and there for this.
  if (IPV4ONLY.some((known) => known.every((octet, i) => octet === ipv4[i]))) return true;
  return !notGlobal.some((range) => cidrContains(range, ipv4));
}

/**
 * The prefixes that the IPv6 addresses of ipv4only.arpa show (RFC 7050 §3): those that give both of its IPv4 addresses, with
 * nothing but zeros beside them.
 */
export function prefixesOf(addresses: readonly Uint8Array[]): Cidr[] {
  const found: Cidr[] = [];
  const has = (wanted: Uint8Array) => addresses.some((address) => address.every((octet, i) => octet === wanted[i]));
  for (const address of addresses) {
    for (const length of NAT64_LENGTHS) {
      const bytes = address.map((octet, i) => (i < length >> 3 ? octet : 0));
      const prefix: Cidr = { base: { family: 6, bytes }, length };
      if (found.some((known) => known.length === length && cidrContains(known, bytes))) continue;
      if (IPV4ONLY.every((known) => has(embedIpv4(prefix, known)))) found.push(prefix);
    }
  }
  return found;
}
