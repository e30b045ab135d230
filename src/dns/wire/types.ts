/** Numbers of the DNS protocol (IANA "Domain Name System (DNS) Parameters") and their mnemonics. */
import { ValueError } from '../../core/errors.ts';

/** RR types and query types; those from 128 to 255 are meta types and question types (RFC 6895 §3.1). */
export const TYPE = {
  A: 1,
  NS: 2,
  MD: 3,
  MF: 4,
  CNAME: 5,
  SOA: 6,
  MB: 7,
  MG: 8,
  MR: 9,
  NULL: 10,
  WKS: 11,
  PTR: 12,
  HINFO: 13,
  MINFO: 14,
  MX: 15,
  TXT: 16,
  RP: 17,
  AFSDB: 18,
  X25: 19,
  ISDN: 20,
  RT: 21,
  NSAP: 22,
  'NSAP-PTR': 23,
  SIG: 24,
  KEY: 25,
  PX: 26,
  GPOS: 27,
  AAAA: 28,
  LOC: 29,
  NXT: 30,
  EID: 31,
  NIMLOC: 32,
  SRV: 33,
  ATMA: 34,
  NAPTR: 35,
  KX: 36,
  CERT: 37,
  A6: 38,
  DNAME: 39,
  SINK: 40,
  OPT: 41,
  APL: 42,
  DS: 43,
  SSHFP: 44,
  IPSECKEY: 45,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  DHCID: 49,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  SMIMEA: 53,
  HIP: 55,
  NINFO: 56,
  RKEY: 57,
  TALINK: 58,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  DSYNC: 66,
  SPF: 99,
  NID: 104,
  L32: 105,
  L64: 106,
  LP: 107,
  EUI48: 108,
  EUI64: 109,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
  URI: 256,
  CAA: 257,
  AVC: 258,
  DOA: 259,
  AMTRELAY: 260,
  RESINFO: 261,
  WALLET: 262,
  TA: 32768,
  DLV: 32769,
} as const;

/** Classes (RFC 6895 §3.2); NONE and ANY have their meaning in UPDATE (RFC 2136 §1.3). */
export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;

/** Opcodes (RFC 6895 §2.2). */
export const OPCODE = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5, DSO: 6 } as const;

/** An opcode's mnemonic, or its number. */
export function opcodeToText(opcode: number): string {
  return Object.entries(OPCODE).find(([, number]) => number === opcode)?.[0] ?? String(opcode);
}

/** Response codes (RFC 6895 §2.3); from 16 on they need OPT or TSIG to carry them. 16 is BADVERS in OPT, BADSIG in TSIG. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  DSOTYPENI: 11,
  BADVERS: 16,
  BADSIG: 16,
  BADKEY: 17,
  BADTIME: 18,
  BADMODE: 19,
  BADNAME: 20,
  BADALG: 21,
  BADTRUNC: 22,
  BADCOOKIE: 23,
} as const;

/** Bits of the header's second word (RFC 1035 §4.1.1, RFC 6895 §2), opcode and rcode apart. */
export const FLAG = {
  QR: 0x8000,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  Z: 0x0040,
  AD: 0x0020,
  CD: 0x0010,
} as const;

/** The bits of the header's second word that are flags. */
export const FLAG_MASK = 0x87f0;

/** Sections of a message, in wire order. UPDATE calls them zone, prerequisite, update and additional (RFC 2136 §2). */
export const SECTION = { QUESTION: 0, ANSWER: 1, AUTHORITY: 2, ADDITIONAL: 3 } as const;

const typeNames = invert(TYPE);
const classNames = invert(CLASS);
const rcodeNames = invert(RCODE);
const typeNumbers = new Map<string, number>(Object.entries(TYPE));

/**
 * The number of a type mnemonic, any case, or of `TYPE65280` (RFC 3597 §5).
 * @throws {ValueError}
 */
export function typeFromText(text: string): number {
  const upper = text.toUpperCase();
  const known = typeNumbers.get(upper);
  if (known !== undefined) return known;
  const number = /^TYPE(\d{1,5})$/.exec(upper)?.[1];
  if (number === undefined || Number(number) > 65535) throw new ValueError(`"${text}" is no DNS record type`);
  return Number(number);
}

/** A type's mnemonic, or `TYPEnnn` (RFC 3597 §5). */
export function typeToText(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

/**
 * The number of a class mnemonic, any case, or of `CLASSnnn` (RFC 3597 §5).
 * @throws {ValueError}
 */
export function classFromText(text: string): number {
  const upper = text.toUpperCase();
  for (const [number, name] of classNames) if (name === upper) return number;
  const number = /^CLASS(\d{1,5})$/.exec(upper)?.[1];
  if (number === undefined || Number(number) > 65535) throw new ValueError(`"${text}" is no DNS class`);
  return Number(number);
}

/** A class's mnemonic, or `CLASSnnn`. */
export function classToText(number: number): string {
  return classNames.get(number) ?? `CLASS${number}`;
}

/** A response code's mnemonic, or `RCODEnnn`; 16 reads BADVERS (a TSIG's 16 is BADSIG, which its codec must say). */
export function rcodeToText(rcode: number): string {
  return rcodeNames.get(rcode) ?? `RCODE${rcode}`;
}

/** Whether records of this type can stand in a zone: not a question type, not a meta type (RFC 6895 §3.1). */
export function isDataType(type: number): boolean {
  return type !== 0 && type !== TYPE.OPT && (type < 128 || type > 255) && type !== 65535;
}

function invert(numbers: Readonly<Record<string, number>>): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(numbers)) if (!names.has(number)) names.set(number, name);
  return names;
}
