/** The `init` verb: a first configuration for this host, with a fresh key and token beside it. */
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { errorCode, V6edgeError } from '../../core/errors.ts';
import { cryptoRandom } from '../../core/random.ts';
import { formatKeyFile, generateKey } from '../../dns/keyfile.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem-text.ts';
import { draftFor, type Wishes } from '../init/draft.ts';
import { type Host, readHost } from '../init/host.ts';
import { doubtsOf, renderConfig, renderZone } from '../init/render.ts';

const keyName = 'node-key';
const tokenBytes = 32;

/** Something stands in the way; the message says what to do. */
export class InitError extends V6edgeError {}

export interface InitOptions extends Wishes {
  readonly config: string;
  readonly force: boolean;
  /** Print the configuration, write nothing. */
  readonly print: boolean;
}

/**
 * Writes configuration, key and token; returns what to say.
 * @throws {InitError} a configuration that does something is there already, or a file cannot be written
 * @throws {ValueError} the host has no such interface
 */
export function initialize(options: InitOptions, host: Host = readHost()): string {
  const draft = draftFor(host, options, cryptoRandom);
  const config = resolve(options.config);
  const folder = dirname(config);
  const files = {
    keyFile: join(folder, `keys/${keyName}.key`),
    tokenFile: join(folder, 'admin.token'),
    zoneFile: join(folder, `${draft.zone.value}.zone`),
  };
  const text = renderConfig(draft, files);
  if (options.print) return text;
  if (existsSync(config) && !options.force && !doesNothing(config)) {
    throw new InitError(
      'V6_INIT_EXISTS',
      `${config} is there already; --force moves it to ${config}.old, --print writes nothing`,
    );
  }
  const said: string[] = [];
  try {
    mkdirSync(join(folder, 'keys'), { recursive: true });
    said.push(writeSecret(files.keyFile, formatKeyFile(generateKey(keyName, 'hmac-sha256', cryptoRandom))));
    const token = Buffer.from(cryptoRandom.fill(new Uint8Array(tokenBytes))).toString('base64url');
    said.push(writeSecret(files.tokenFile, `${token}\n`));
    writeOwn(files.zoneFile, renderZone(draft));
    said.push(`wrote ${files.zoneFile}`);
    if (existsSync(config)) {
      renameSync(config, `${config}.old`);
      said.push(`moved the configuration that was there to ${config}.old`);
    }
    writeOwn(config, text);
    said.push(`wrote ${config}`);
  } catch (error) {
    throw new InitError('V6_INIT_WRITE', `cannot write below ${folder} (${errorCode(error)}): run it as root`, {
      cause: error,
    });
  }
  return `${[...said, ...nextSteps(config, doubtsOf(draft))].join('\n')}\n`;
}

function nextSteps(config: string, doubts: readonly string[]): string[] {
  const loaded = loadConfig(config);
  const problems = 'errors' in loaded ? loaded.errors.map(formatProblem) : [];
  const look = [...doubts, ...problems];
  const then = ['', 'Then: v6edge check && systemctl restart v6edge && v6edge status'];
  if (look.length === 0) return ['', 'Nothing had to be guessed.', ...then];
  return ['', 'Look at these lines, each marked in the file:', ...look.map((each) => `  - ${each}`), ...then];
}

/** A key or token that is there stays: nodes and scripts hold it. */
function writeSecret(file: string, content: string): string {
  if (existsSync(file)) return `kept ${file}`;
  writeOwn(file, content);
  return `wrote ${file}`;
}

/** For root and the daemon alone: a configuration may come to hold secrets. */
function writeOwn(file: string, content: string): void {
  writeFileSync(file, content, { mode: 0o640 });
  const group = groupOf('v6edge');
  // Without the package there is no such group, and the daemon runs as whoever made the file.
  if (group !== undefined && process.getuid?.() === 0) chownSync(file, 0, group);
}

/** group(5). */
function groupOf(name: string): number | undefined {
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((each) => each.startsWith(`${name}:`));
    return line === undefined ? undefined : Number(line.split(':')[2]);
  } catch {
    return undefined;
  }
}

/** As the package installs it: no listener, no DNS, no interface. */
function doesNothing(config: string): boolean {
  if (statSync(config).size === 0) return true;
  const value = parseDocument(readFileSync(config, 'utf8')).toJS() as Record<string, unknown> | null;
  return value === null || Object.entries(value).every(([key, each]) => key === 'admin' || isEmpty(each));
}

function isEmpty(value: unknown): boolean {
  return value === null || (Array.isArray(value) && value.length === 0);
}
