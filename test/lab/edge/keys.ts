/** TSIG keys of the lab, as files that BIND's tools, named and v6edge all read. */
import { randomBytes } from 'node:crypto';
import type { Lab } from '../lab.ts';

export interface Key {
  readonly name: string;
  readonly algorithm: string;
  readonly secret: string;
  readonly path: string;
}

export interface Keys {
  /** May update the zones. */
  readonly node: Key;
  /** Known to the server, with no right to anything. */
  readonly stranger: Key;
  /** Called like `node`, but with another secret. */
  readonly forged: Key;
  /** Unknown to the server. */
  readonly unknown: Key;
  /** May update the zones; one for each algorithm of RFC 8945 §6 that is not of MD5. */
  readonly byAlgorithm: readonly Key[];
}

const algorithms = ['sha1', 'sha224', 'sha384', 'sha512'] as const;

/** Keys that the server knows and that may update. */
export function updaters(keys: Keys): readonly Key[] {
  return [keys.node, ...keys.byAlgorithm];
}

export function makeKeys(lab: Lab): Keys {
  const make = (file: string, name: string, algorithm = 'hmac-sha256'): Key => {
    const secret = randomBytes(32).toString('base64');
    const text = `key "${name}" {\n\talgorithm ${algorithm};\n\tsecret "${secret}";\n};\n`;
    return { name, algorithm, secret, path: lab.file(`keys/${file}.key`, text, 0o640) };
  };
  return {
    node: make('node', 'node-key'),
    stranger: make('stranger', 'stranger-key'),
    forged: make('forged', 'node-key'),
    unknown: make('unknown', 'nobody-key'),
    byAlgorithm: algorithms.map((hash) => make(hash, `${hash}-key`, `hmac-${hash}`)),
  };
}
