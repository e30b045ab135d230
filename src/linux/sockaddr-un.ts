/**
 * sockaddr_un (unix(7)) to and from paths; an abstract address is written with `@` for its leading NUL, as systemd does.
 *
 *   sockaddr_un   u16 family (host order) · 108 path, ended by NUL; an abstract one by the length passed beside it
 */
import { ValueError } from '../core/errors.ts';
import { AF_UNIX } from './constants.ts';

const familyBytes = 2;
const pathBytes = 108;
export const SOCKADDR_UN_BYTES = familyBytes + pathBytes;

/**
 * Encodes `/path` or `@abstract`; the length of the result is the length to pass to the kernel.
 * @throws {ValueError}
 */
export function encodeSockaddrUn(path: string): Buffer {
  const name = Buffer.from(path, 'utf8');
  const abstract = path.startsWith('@');
  // The NUL that ends a path counts; an abstract name has none.
  const bytes = Buffer.alloc(familyBytes + name.length + (abstract ? 0 : 1));
  if ((!abstract && !path.startsWith('/')) || name.length < 2 || name.includes(0) || bytes.length > SOCKADDR_UN_BYTES) {
    throw new ValueError(`"${path}" is no UNIX socket address: /path or @name, at most ${pathBytes} bytes`);
  }
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, familyBytes);
  if (abstract) bytes[familyBytes] = 0;
  return bytes;
}

/** Decodes an address of `length` bytes; an empty string for a socket without one, undefined for another family. */
export function decodeSockaddrUn(bytes: Buffer, length: number): string | undefined {
  if (bytes.readUInt16LE(0) !== AF_UNIX) return undefined;
  const name = bytes.subarray(familyBytes, Math.min(length, SOCKADDR_UN_BYTES));
  if (name.length === 0) return '';
  if (name[0] === 0) return `@${name.toString('utf8', 1)}`;
  const end = name.indexOf(0);
  return name.toString('utf8', 0, end < 0 ? name.length : end);
}
