import { ValueError } from '../../../core/errors.ts';
import { readUint32 } from '../bytes.ts';
import { TYPE } from '../types.ts';
import { algorithm, base64, type Field, fixed, name, type RRType, rrType, seconds, uint } from './field.ts';

/** Seconds since 1970, which text has as YYYYMMDDHHmmSS in UTC or as a number (RFC 4034 §3.2). */
function time(label: string): Field {
  return fixed(
    4,
    label,
    (text, out) => {
      const word = text.token(label).text;
      const value = timeFromText(word);
      if (!(value < 2 ** 32)) throw new ValueError(`${label} is a time as YYYYMMDDHHmmSS, not "${word}"`);
      out.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
    },
    (rdata, offset) => new Date(readUint32(rdata, offset) * 1000).toISOString().slice(0, 19).replace(/\D/g, ''),
  );
}

/** NaN for what is no time. */
function timeFromText(word: string): number {
  if (/^\d{1,10}$/.test(word)) return Number(word);
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(word);
  if (parts === null) return Number.NaN;
  const [, year, month, day, hour, minute, second] = parts;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const date = new Date(iso);
  // JavaScript takes 30 February for 2 March.
  return Number.isNaN(date.getTime()) || date.toISOString() !== iso ? Number.NaN : date.getTime() / 1000;
}

/** RRSIG: the signature of an RRset (RFC 4034 §3.1). */
export const rrsig: RRType = {
  type: TYPE.RRSIG,
  fields: [
    rrType('the type covered'),
    algorithm(),
    uint(1, 'the number of labels'),
    seconds('the original TTL'),
    time('the expiration'),
    time('the inception'),
    uint(2, 'the key tag'),
    name("the signer's name"),
    base64('the signature'),
  ],
  canonicalNames: true,
};
