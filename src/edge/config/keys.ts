/** TSIG keys from the configuration: inline, or from files in BIND's key syntax. */
import { ValueError } from '../../core/errors.ts';
import type { TsigKey } from '../../dns/config.ts';
import { parseKeyFile } from '../../dns/keyfile.ts';
import type { KeySource } from './dns.ts';

/**
 * Makes the key `name` of its source: several if the file has several of this name, which is how a secret is replaced.
 * `read` gives a file's text.
 * @throws {ValueError}
 */
export function loadKeys(name: string, source: KeySource, read: (file: string) => string): TsigKey[] {
  if (source.kind === 'inline') return [{ name, algorithm: source.algorithm, secret: source.secret }];
  const keys = parseKeyFile(read(source.file), source.file);
  const found = keys.filter((key) => key.name === name);
  if (found.length > 0) return found;
  const names = keys.map((key) => `"${key.name}"`).join(', ');
  throw new ValueError(`${source.file} has no key "${name}" (it has: ${names})`);
}
