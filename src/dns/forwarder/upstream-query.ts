/** Queries as upstreams get them. */
import type { Random } from '../../core/random.ts';
import { KEY_CD, KEY_DO } from '../cache.ts';
import { HEADER_LENGTH, OPT_LENGTH } from '../query-view.ts';
import { MAX_UDP_SIZE } from '../wire/query.ts';
import { FLAG, TYPE } from '../wire/types.ts';

/** The query: RD, the client's CD, AD to learn whether the answer is authentic (RFC 6840 §5.7), our own OPT with its DO. */
export function encodeQuery(question: Uint8Array, key: number, edns: boolean): Uint8Array {
  const query = new Uint8Array(HEADER_LENGTH + question.length + (edns ? OPT_LENGTH : 0));
  query[2] = FLAG.RD >> 8;
  query[3] = FLAG.AD | ((key & KEY_CD) !== 0 ? FLAG.CD : 0);
  query[5] = 1;
  query.set(question, HEADER_LENGTH);
  if (!edns) return query;
  query[11] = 1;
  const opt = HEADER_LENGTH + question.length;
  query[opt + 2] = TYPE.OPT;
  query[opt + 3] = MAX_UDP_SIZE >> 8;
  query[opt + 4] = MAX_UDP_SIZE & 0xff;
  query[opt + 7] = (key & KEY_DO) !== 0 ? 0x80 : 0;
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
