import { ValueError } from '../../../core/errors.ts';
import { readUint32, writeUint32 } from '../bytes.ts';
import type { RdataReader } from '../master-text.ts';
import { TYPE } from '../types.ts';
import { fixed, type RRType } from './field.ts';

const LENGTH = 16;
/** Latitude and longitude in thousandths of an arc second stand above or below this. */
const EQUATOR = 2 ** 31;
const DEGREE = 3_600_000;
/** Altitude in centimetres is above 100,000 m below the reference spheroid. */
const ALTITUDE_BASE = 10_000_000;
/** What text leaves out (RFC 1876 §3): size 1 m, horizontal precision 10,000 m, vertical 10 m, in centimetres. */
const DEFAULT_PRECISIONS = [100, 1_000_000, 1000] as const;

function parse(text: RdataReader, out: number[]): void {
  const rdata = new Uint8Array(LENGTH);
  writeUint32(rdata, 4, EQUATOR + angle(text, 90, 'NS', 'the latitude'));
  writeUint32(rdata, 8, EQUATOR + angle(text, 180, 'EW', 'the longitude'));
  const altitude = metres(text, 'the altitude') + ALTITUDE_BASE;
  if (altitude < 0 || altitude >= 2 ** 32) throw new ValueError('the altitude is from -100000 to 42849672.95 m');
  writeUint32(rdata, 12, altitude);
  for (const [i, standard] of DEFAULT_PRECISIONS.entries()) {
    rdata[1 + i] = toPrecision(text.more ? metres(text, 'a size or precision') : standard);
  }
  out.push(...rdata);
}

/** Degrees, minutes if given, seconds if given, and the hemisphere. */
function angle(text: RdataReader, most: number, hemispheres: string, label: string): number {
  let value = text.integer(most, label) * DEGREE;
  let word = text.token(label).text;
  if (/^\d+$/.test(word) && Number(word) < 60) {
    value += Number(word) * 60_000;
    word = text.token(label).text;
    if (/^\d+(\.\d{1,3})?$/.test(word) && Number(word) < 60) {
      value += Math.round(Number(word) * 1000);
      word = text.token(label).text;
    }
  }
  const hemisphere = word.length === 1 ? hemispheres.indexOf(word.toUpperCase()) : -1;
  if (hemisphere < 0) throw new ValueError(`${label} ends with ${hemispheres.split('').join(' or ')}, not "${word}"`);
  if (value > most * DEGREE) throw new ValueError(`${label} is more than ${most} degrees`);
  return hemisphere === 0 ? value : -value;
}

/** Metres with two digits after the point, as centimetres. */
function metres(text: RdataReader, label: string): number {
  const word = text.token(label).text;
  if (!/^-?\d{1,8}(\.\d{1,2})?m?$/i.test(word)) throw new ValueError(`${label} is a length in metres, not "${word}"`);
  return Math.round(Number.parseFloat(word) * 100);
}

/** One digit and a power of ten, in centimetres (RFC 1876 §2). */
function toPrecision(centimetres: number): number {
  if (centimetres < 0 || centimetres > 9e9) throw new ValueError('a size or precision is from 0 to 90000000 m');
  let exponent = 0;
  let value = centimetres;
  while (value > 9) {
    value = Math.floor(value / 10);
    exponent++;
  }
  return (value << 4) | exponent;
}

function format(rdata: Uint8Array, offset: number): string {
  const precisions = [1, 2, 3].map((at) => {
    const octet = rdata[offset + at]!;
    return `${plainMetres((octet >> 4) * 10 ** (octet & 15))}m`;
  });
  return [
    formatAngle(readUint32(rdata, offset + 4) - EQUATOR, 'NS'),
    formatAngle(readUint32(rdata, offset + 8) - EQUATOR, 'EW'),
    `${((readUint32(rdata, offset + 12) - ALTITUDE_BASE) / 100).toFixed(2)}m`,
    ...precisions,
  ].join(' ');
}

function formatAngle(value: number, hemispheres: string): string {
  const size = Math.abs(value);
  const minutes = Math.floor((size % DEGREE) / 60_000);
  return `${Math.floor(size / DEGREE)} ${minutes} ${((size % 60_000) / 1000).toFixed(3)} ${hemispheres[value < 0 ? 1 : 0]}`;
}

function plainMetres(centimetres: number): string {
  return centimetres % 100 === 0 ? String(centimetres / 100) : (centimetres / 100).toFixed(2);
}

/** LOC: where something is (RFC 1876 §2). */
export const loc: RRType = {
  type: TYPE.LOC,
  fields: [fixed(LENGTH, 'the location', parse, format)],
  check(rdata) {
    if (rdata[0] !== 0) return 'its version is not 0';
    for (const octet of rdata.subarray(1, 4)) {
      if (octet >> 4 > 9 || (octet & 15) > 9) return 'a size or precision is out of range';
    }
    if (Math.abs(readUint32(rdata, 4) - EQUATOR) > 90 * DEGREE) return 'the latitude is out of range';
    if (Math.abs(readUint32(rdata, 8) - EQUATOR) > 180 * DEGREE) return 'the longitude is out of range';
    return undefined;
  },
};
