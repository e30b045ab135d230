/**
 * Archives in the ustar format (POSIX.1-2017, pax, "ustar Interchange Format"): regular files and folders alone. The same
 * entries give the same bytes, whoever makes the archive, where and when.
 */
import { ValueError } from '../../core/errors.ts';

const blockSize = 512;
/** The name field; the prefix field, which would take longer paths, is not used. */
const maxPathOctets = 100;
/** Eleven octal digits. */
const maxFileOctets = 8 ** 11 - 1;

/** A file or folder of an archive. */
export interface TarEntry {
  /** Relative, with `/` between parts; a folder's ends in one. */
  readonly path: string;
  readonly mode: number;
  /** Empty for a folder. */
  readonly data: Uint8Array;
}

/**
 * Encodes an archive, its entries in the order given.
 * @throws {ValueError} for a path that the format does not hold, or that leads out of the folder
 */
export function encodeTar(entries: readonly TarEntry[]): Uint8Array {
  const blocks = entries.flatMap((entry) => [encodeHeader(entry), entry.data, padding(entry.data.length)]);
  // "The last physical block … at the end of an archive two blocks of zeros".
  return Buffer.concat([...blocks, new Uint8Array(2 * blockSize)]);
}

/** Field by field: name, mode, uid, gid, size, mtime, chksum, typeflag, linkname, magic, version; the rest stays zero. */
function encodeHeader({ path, mode, data }: TarEntry): Uint8Array {
  checkPath(path);
  if (data.length > maxFileOctets) throw new ValueError(`${path} is too large for a ustar archive`);
  const header = Buffer.alloc(blockSize);
  header.write(path, 0);
  writeOctal(header, mode, 100, 8);
  writeOctal(header, 0, 108, 8);
  writeOctal(header, 0, 116, 8);
  writeOctal(header, data.length, 124, 12);
  writeOctal(header, 0, 136, 12);
  // The sum is taken with spaces in its own place.
  header.fill(' ', 148, 156);
  header.write(path.endsWith('/') ? '5' : '0', 156);
  header.write('ustar\0', 257, 'latin1');
  header.write('00', 263);
  header.write('root', 265);
  header.write('root', 297);
  const sum = header.reduce((total, octet) => total + octet, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Octal digits with zeros in front, and a NUL. */
function writeOctal(header: Buffer, value: number, at: number, length: number): void {
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
}

function checkPath(path: string): void {
  const parts = path.replace(/\/$/, '').split('/');
  const strange = parts.some((part) => part === '' || part === '.' || part === '..' || !/^[\w.-]+$/.test(part));
  if (strange || path.length > maxPathOctets) throw new ValueError(`"${path}" cannot stand in an archive`);
}

/** Up to the next whole block. */
function padding(length: number): Uint8Array {
  return new Uint8Array((blockSize - (length % blockSize)) % blockSize);
}
