/** JSON of our own values: addresses, prefixes and endpoints as text, bytes as hex, Infinity as a word. */
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import {
  type Address,
  type Cidr,
  type Endpoint,
  formatAddress,
  formatCidr,
  formatEndpoint,
} from '../../core/address.ts';

/** Writes a value as JSON. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, plainValue);
}

/** Items of a list that are made and written before others get their turn. */
const itemsPerTurn = 500;

/** A JSON list that is made while it is read: a long one keeps nobody waiting. */
export function jsonList(items: Iterable<unknown>): Readable {
  return Readable.from(pieces(items), { objectMode: false });
}

async function* pieces(items: Iterable<unknown>): AsyncGenerator<string> {
  let text = '[';
  let count = 0;
  for (const item of items) {
    text += `${count === 0 ? '' : ','}${toJson(item)}`;
    if (++count % itemsPerTurn !== 0) continue;
    yield text;
    text = '';
    await setImmediate();
  }
  yield `${text}]`;
}

function plainValue(_key: string, value: unknown): unknown {
  if (value === Number.POSITIVE_INFINITY) return 'infinity';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  if (isAddress(value)) return formatAddress(value);
  if (isCidr(value)) return formatCidr(value);
  if (isEndpoint(value)) return formatEndpoint(value);
  return value;
}

function isAddress(value: object): value is Address {
  return 'family' in value && 'bytes' in value && value.bytes instanceof Uint8Array;
}

function isCidr(value: object): value is Cidr {
  return (
    'base' in value &&
    'length' in value &&
    typeof value.base === 'object' &&
    value.base !== null &&
    isAddress(value.base)
  );
}

function isEndpoint(value: object): value is Endpoint {
  if (!('kind' in value)) return false;
  return (value.kind === 'unix' && 'path' in value) || (value.kind === 'inet' && 'address' in value && 'port' in value);
}
