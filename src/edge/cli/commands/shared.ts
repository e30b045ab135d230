/** What the commands share: options they have in common, and asking the admin API. */
import type { Argv } from 'yargs';
import { defaultConfig } from '../../run-line.ts';
import type { ApiTarget } from '../client.ts';
import type { Paint } from '../table.ts';

/** Where the packaged daemon listens. */
const defaultApi = 'unix:/run/v6edge/admin.sock';

/** Where a command writes, and what it knows of its surroundings. */
export interface CliContext {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly isTerminal: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** The wall clock, in milliseconds: ages are told by it. */
  readonly now: () => number;
}

/** Wrong usage: exit code 2, and a pointer to the help. */
export class UsageError extends Error {}

/** What every command that asks a running daemon takes. */
export interface ApiArguments {
  readonly api: string;
  readonly tokenFile: string | undefined;
  readonly json: boolean;
}

/** `--config`. */
export function configOption<T>(parser: Argv<T>) {
  return parser.option('config', {
    type: 'string',
    default: defaultConfig,
    alias: 'c',
    describe: 'configuration file',
  });
}

/** `--api`, `--token-file` and `--json`. */
export function apiOptions<T>(parser: Argv<T>) {
  return parser
    .option('api', { type: 'string', default: defaultApi, describe: 'admin API: unix:PATH or http://HOST:PORT' })
    .option('token-file', { type: 'string', describe: 'file with the bearer token, for TCP' })
    .option('json', { type: 'boolean', default: false, describe: 'print what the API answers' });
}

/** Asks the API and prints the answer: as it is for `--json`, else as `format` has it. */
export async function show<T>(
  args: ApiArguments,
  context: CliContext,
  path: string,
  format: (answer: T, paint: Paint, show: typeof import('../show.ts')) => string,
  request: { method?: 'PATCH' | 'POST' | 'DELETE'; body?: unknown } = {},
): Promise<void> {
  const { getJson } = await import('../client.ts');
  const answer = await getJson<T>(await target(args), path, request);
  if (args.json) {
    context.stdout(`${JSON.stringify(answer, undefined, 2)}\n`);
    return;
  }
  const { paintFor } = await import('../table.ts');
  context.stdout(format(answer, paintFor(context.isTerminal, context.env), await import('../show.ts')));
}

/**
 * The API that the arguments name.
 * @throws {UsageError} for an address of another form, or a token file that does not read
 */
export async function target(args: ApiArguments): Promise<ApiTarget> {
  const { api, tokenFile } = args;
  if (!/^unix:\//.test(api) && !(/^http:\/\//.test(api) && URL.canParse(api))) {
    throw new UsageError(`--api ${api}: write unix:/path or http://host:port`);
  }
  if (tokenFile === undefined) return { api, token: undefined };
  const { readFileSync } = await import('node:fs');
  try {
    return { api, token: readFileSync(tokenFile, 'utf8').trim() };
  } catch (error) {
    throw new UsageError(`--token-file: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
