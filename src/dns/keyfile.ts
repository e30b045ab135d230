/** TSIG key files in BIND's syntax: what `tsig-keygen` prints and `nsupdate -k` reads. */
import { ValueError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { TsigAlgorithm, TsigKey } from './config.ts';
import { TSIG_ALGORITHMS } from './tsig.ts';
import { nameFromText, nameToText } from './wire/name.ts';

interface Token {
  readonly text: string;
  readonly quoted: boolean;
  readonly line: number;
}

/**
 * Reads the `key` statements of a file, in order.
 * @param path for messages
 * @throws {ValueError} naming path and line
 */
export function parseKeyFile(text: string, path: string): TsigKey[] {
  const fail = (line: number, message: string): never => {
    throw new ValueError(`${path}:${line}: ${message}`);
  };
  const tokens = tokenize(text, fail);
  const keys: TsigKey[] = [];
  let at = 0;
  const next = (wanted: string): Token => {
    const token = tokens[at++];
    return token ?? fail(tokens.at(-1)?.line ?? 1, `the file ends where ${wanted} is wanted`);
  };
  const expect = (mark: string): void => {
    const token = next(`"${mark}"`);
    if (token.quoted || token.text !== mark) fail(token.line, `"${mark}" is wanted, not "${token.text}"`);
  };
  while (at < tokens.length) {
    expect('key');
    const name = next('a key name');
    expect('{');
    const fields = new Map<string, Token>();
    for (let field = next('"}"'); field.text !== '}' || field.quoted; field = next('"}"')) {
      if (field.text !== 'algorithm' && field.text !== 'secret') {
        fail(field.line, `a key has "algorithm" and "secret", not "${field.text}"`);
      }
      if (fields.has(field.text)) fail(field.line, `"${field.text}" stands twice`);
      fields.set(field.text, next(`the ${field.text}`));
      expect(';');
    }
    expect(';');
    const algorithm = fields.get('algorithm') ?? fail(name.line, `key "${name.text}" has no algorithm`);
    const secret = fields.get('secret') ?? fail(name.line, `key "${name.text}" has no secret`);
    try {
      keys.push(makeKey(name.text, algorithm.text, secret.text));
    } catch (error) {
      if (error instanceof ValueError) fail(name.line, error.message);
      throw error;
    }
  }
  if (keys.length === 0) fail(1, 'there is no key in this file');
  return keys;
}

/**
 * A key from its parts as text; a secret never stands in an error's message.
 * @throws {ValueError}
 */
export function makeKey(name: string, algorithm: string, secret: string): TsigKey {
  const canonicalName = nameToText(nameFromText(name)).toLowerCase();
  return { name: canonicalName, ...parseAlgorithm(name, algorithm), secret: parseSecret(name, secret) };
}

/** Writes a key the way `tsig-keygen` does. */
export function formatKeyFile(key: TsigKey): string {
  const secret = Buffer.from(key.secret).toString('base64');
  const bits = key.macLength === undefined ? '' : `-${8 * key.macLength}`;
  return `key "${key.name}" {\n\talgorithm ${key.algorithm}${bits};\n\tsecret "${secret}";\n};\n`;
}

/**
 * A new key with a random secret as long as its digest (RFC 8945 §10 asks for no less).
 * @throws {ValueError} if the name is none
 */
export function generateKey(name: string, algorithm: TsigAlgorithm, random: Random): TsigKey {
  const secret = random.fill(new Uint8Array(TSIG_ALGORITHMS[algorithm].length));
  return { name: nameToText(nameFromText(name)).toLowerCase(), algorithm, secret };
}

/** `hmac-sha256`, or with MACs of so many bits `hmac-sha256-128`, as BIND writes it. */
function parseAlgorithm(key: string, text: string): Pick<TsigKey, 'algorithm' | 'macLength'> {
  const [, short, bits] =
    /^(hmac-[a-z0-9]+)(?:\.sig-alg\.reg\.int\.?)?(?:-(\d{1,3}))?\.?$/.exec(text.toLowerCase()) ?? [];
  for (const algorithm of Object.keys(TSIG_ALGORITHMS) as TsigAlgorithm[]) {
    if (algorithm !== short) continue;
    return bits === undefined ? { algorithm } : { algorithm, macLength: parseBits(key, algorithm, Number(bits)) };
  }
  const known = Object.keys(TSIG_ALGORITHMS).join(', ');
  throw new ValueError(`key "${key}": algorithm "${text}" is not one of ${known}`);
}

/** RFC 8945 §5.2.2.1: no fewer than 80 bits, and than half of the digest. */
function parseBits(key: string, algorithm: TsigAlgorithm, bits: number): number {
  const most = 8 * TSIG_ALGORITHMS[algorithm].length;
  const least = Math.max(80, most / 2);
  if (bits % 8 === 0 && bits >= least && bits <= most) return bits / 8;
  throw new ValueError(
    `key "${key}": ${algorithm} can be cut to ${least} to ${most} bits, in whole octets, not ${bits}`,
  );
}

function parseSecret(key: string, text: string): Uint8Array {
  const compact = text.replace(/\s+/g, '');
  if (compact === '' || compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
    throw new ValueError(`key "${key}": the secret is not base64`);
  }
  return Uint8Array.from(Buffer.from(compact, 'base64'));
}

function tokenize(text: string, fail: (line: number, message: string) => never): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  // Comments, quoted strings, marks, words: what named.conf's lexer knows; anything else matches the last alternative.
  const lexer = /(\/\/|#)[^\n]*|\/\*[\s\S]*?\*\/|"([^"\n]*)"|[{};]|[^\s{};"#/]+(?:\/(?![/*])[^\s{};"#/]*)*|\s+|[\s\S]/g;
  for (const match of text.matchAll(lexer)) {
    const [whole, , quoted] = match;
    if (quoted !== undefined) tokens.push({ text: quoted, quoted: true, line });
    else if (whole === '"') fail(line, 'a quotation mark is not closed');
    else if (whole === '/') fail(line, 'a comment is not closed, or "/" stands alone');
    else if (!/^(\s|\/\/|#|\/\*)/.test(whole)) tokens.push({ text: whole, quoted: false, line });
    line += whole.split('\n').length - 1;
  }
  return tokens;
}
