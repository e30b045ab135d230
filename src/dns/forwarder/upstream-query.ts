/** Queries as upstreams get them. */
import type { Random } from '../../core/random.ts';
import { KEY_CD, KEY_DO } from '../cache.ts';
import { COOKIE_OPTION } from '../cookies.ts';
import { HEADER_LENGTH, OPT_LENGTH } from '../query-view.ts';
import { writeUint16 } from '../wire/bytes.ts';
import { MAX_UDP_SIZE } from '../wire/query.ts';
import { FLAG, TYPE } from '../wire/types.ts';

const PADDING_OPTION = 12;
/** RFC 8467 §4.1: an encrypted query is as long as the next multiple. */
const PADDING_BLOCK = 128;

/** What goes into the OPT record of a query. */
export interface QueryOptions {
  /** Data of the COOKIE option. */
  readonly cookie: Uint8Array | undefined;
  /** Whether its length is hidden (RFC 7830): it goes by TLS or HTTPS. */
  readonly padded: boolean;
}

/**
 * The query: RD, the client's CD, AD to learn whether the answer is authentic (RFC 6840 §5.7), our own OPT with its DO.
 * @param options undefined = without OPT
 */
export function encodeQuery(question: Uint8Array, key: number, options: QueryOptions | undefined): Uint8Array {
  const opt = HEADER_LENGTH + question.length;
  const cookie = options?.cookie === undefined ? 0 : 4 + options.cookie.length;
  const plain = opt + (options === undefined ? 0 : OPT_LENGTH + cookie);
  const padding = (PADDING_BLOCK - ((plain + 4) % PADDING_BLOCK)) % PADDING_BLOCK;
  const query = new Uint8Array(plain + (options?.padded === true ? 4 + padding : 0));
  query[2] = FLAG.RD >> 8;
  query[3] = FLAG.AD | ((key & KEY_CD) !== 0 ? FLAG.CD : 0);
  query[5] = 1;
  query.set(question, HEADER_LENGTH);
  if (options === undefined) return query;
  query[11] = 1;
  writeUint16(query, opt + 1, TYPE.OPT);
  writeUint16(query, opt + 3, MAX_UDP_SIZE);
  query[opt + 7] = (key & KEY_DO) !== 0 ? 0x80 : 0;
  const first = opt + OPT_LENGTH;
  writeUint16(query, opt + 9, query.length - first);
  if (options.cookie !== undefined) {
    writeUint16(query, first, COOKIE_OPTION);
    writeUint16(query, first + 2, options.cookie.length);
    query.set(options.cookie, first + 4);
  }
  if (options.padded) {
    writeUint16(query, first + cookie, PADDING_OPTION);
    writeUint16(query, first + cookie + 2, padding);
  }
  return query;
}

/**
 * The question with the case of its letters drawn at random: a forger has to guess it, where the upstream repeats it as it
 * came (draft-vixie-dnsext-dns0x20).
 */
export function mixCase(question: Uint8Array, random: Random): Uint8Array {
  const mixed = Uint8Array.from(question);
  let bits = 0;
  let left = 0;
  for (let i = 0; i < mixed.length - 4; i++) {
    const lower = mixed[i]! | 0x20;
    if (lower < 0x61 || lower > 0x7a) continue;
    if (left === 0) {
      bits = random.below(2 ** 30);
      left = 30;
    }
    mixed[i] = (bits & 1) === 0 ? lower : lower & ~0x20;
    bits >>= 1;
    left--;
  }
  return mixed;
}
