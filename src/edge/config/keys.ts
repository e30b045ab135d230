/** TSIG keys from the configuration: inline, or from files in BIND's key syntax. */
import { ValueError } from '../../core/errors.ts';
import type { TsigKey } from '../../dns/config.ts';
import { type KeySource, tsigAlgorithms } from './dns.ts';

/** A statement of a key file: `key "name" { algorithm hmac-sha256; secret "base64"; };`. */
const keyStatement = /^\s*key\s+(?:"([^"]+)"|([^\s{"]+))\s*\{([^{}]*)\}\s*;\s*/;

/**
 * Makes the key `name` of its source. `read` gives a file's text.
 * @throws {ValueError}
 */
export function loadKey(name: string, source: KeySource, read: (file: string) => string): TsigKey {
  if (source.kind === 'inline') return { name, algorithm: source.algorithm, secret: source.secret };
  const keys = parseKeyFile(read(source.file));
  const found = keys.find((key) => key.name === name);
  if (found !== undefined) return found;
  const names = keys.map((key) => `"${key.name}"`).join(', ');
  throw new ValueError(`${source.file} has no key "${name}" (it has: ${names || 'none'})`);
}

/**
 * Reads a key file, as `tsig-keygen` writes and `nsupdate -k` reads it. Errors never show what may be a secret.
 * @throws {ValueError}
 */
export function parseKeyFile(text: string): TsigKey[] {
  let rest = text.replace(/\/\*[\s\S]*?\*\/|(?:#|\/\/).*$/gm, '');
  const keys: TsigKey[] = [];
  while (rest.trim() !== '') {
    const match = keyStatement.exec(rest);
    if (match === null) throw new ValueError('is no key file: key "name" { algorithm …; secret "…"; }; is wanted');
    keys.push(readKey((match[1] ?? match[2])!.toLowerCase().replace(/\.$/, ''), match[3]!));
    rest = rest.slice(match[0].length);
  }
  if (keys.length === 0) throw new ValueError('holds no key');
  return keys;
}

function readKey(name: string, body: string): TsigKey {
  const word = /(?:^|;)\s*algorithm\s+"?([A-Za-z0-9.-]+?)"?\s*(?=;)/.exec(body)?.[1]?.toLowerCase();
  // The long names are those on the wire (RFC 8945 §6).
  const short = word?.replace(/\.$/, '').replace(/\.sig-alg\.reg\.int$/, '');
  const algorithm = tsigAlgorithms.find((each) => each === short);
  if (algorithm === undefined) {
    throw new ValueError(
      `key "${name}": ${word === undefined ? 'no algorithm' : `unknown algorithm ${word}`} (allowed: ${tsigAlgorithms.join(', ')})`,
    );
  }
  const base64 = /(?:^|;)\s*secret\s+(?:"([^"]*)"|([^\s;"]+))\s*(?=;)/.exec(body);
  const secret = (base64?.[1] ?? base64?.[2])?.replace(/\s+/g, '');
  if (secret === undefined || secret === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(secret) || secret.length % 4 !== 0) {
    throw new ValueError(`key "${name}": the secret is missing or no base64`);
  }
  return { name, algorithm, secret: new Uint8Array(Buffer.from(secret, 'base64')) };
}
