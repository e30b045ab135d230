/**
 * The command line. Each command's work is imported when it is asked for, so that `--help` and `version` are quick.
 * Exit codes: 0 done, 1 the daemon said no or cannot be reached, 2 bad usage or configuration.
 */
import yargs, { type Argv } from 'yargs';
import type { TsigAlgorithm } from '../dns/config.ts';
import type {
  MemberReport,
  PoolReport,
  RaReport,
  RecordReport,
  SessionReport,
  StatusReport,
  ZoneReport,
} from './admin/source.ts';
import type { ApiTarget } from './cli/client.ts';
import type { Paint } from './cli/table.ts';
import { defaultConfig } from './run-line.ts';

/** Where the packaged daemon listens. */
const defaultApi = 'unix:/run/v6edge/admin.sock';
const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512', 'hmac-sha224', 'hmac-sha1'] as const;

/** Where a command writes, and what it knows of its surroundings. */
export interface CliContext {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly isTerminal: boolean;
  readonly env: NodeJS.ProcessEnv;
}

/** Wrong usage: exit code 2, and a pointer to the help. */
class UsageError extends Error {}

interface ApiArguments {
  readonly api: string;
  readonly tokenFile: string | undefined;
  readonly json: boolean;
}

/** Runs one command line; resolves to the exit code. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  let code = 0;
  const parser = commands(yargs([...argv]), context, (value) => {
    code = value;
  });
  try {
    await parser.parseAsync();
    return code;
  } catch (error) {
    return await explain(error, context);
  }
}

function commands(parser: Argv, context: CliContext, exit: (code: number) => void): Argv {
  return parser
    .scriptName('v6edge')
    .usage('$0 COMMAND\n\nTCP proxy, DNS server and router advertisements for the edge of an IPv6-only cluster.')
    .command(
      'run',
      'run the daemon',
      (y) => configOption(y),
      async ({ config }) => exit(await run(config)),
    )
    .command(
      'check',
      'check a configuration and say everything that is wrong with it',
      (y) => configOption(y),
      async ({ config }) => exit(await check(config, context)),
    )
    .command(
      'init',
      'write a first configuration for this host, with a fresh key and token; what it could not know is marked',
      (y) =>
        configOption(y)
          .option('private', {
            type: 'string',
            describe: 'the interface towards the nodes; found by itself if it has no default route',
          })
          .option('zone', { type: 'string', describe: 'the nodes’ zone' })
          .option('upstream', {
            type: 'array',
            string: true,
            default: [] as string[],
            describe: 'resolvers to forward to, with DNS64',
          })
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'move a configuration that is there to FILE.old',
          })
          .option('print', { type: 'boolean', default: false, describe: 'print it and write nothing' }),
      async ({ config, private: privateInterface, zone, upstream, force, print }) => {
        const { initialize } = await import('./cli/init.ts');
        context.stdout(initialize({ config, privateInterface, zone, upstreams: upstream, force, print }));
      },
    )
    .command(
      'import',
      'make a configuration of those of HAProxy, radvd and BIND; what cannot be taken over stands in it as comments',
      (y) =>
        y
          .option('haproxy', { type: 'string', describe: 'haproxy.cfg' })
          .option('radvd', { type: 'string', describe: 'radvd.conf' })
          .option('named', {
            type: 'string',
            describe: 'named.conf; its zone files and journals come along with --out',
          })
          .option('out', {
            type: 'string',
            describe: 'folder for v6edge.yaml and zones/; without it the file is printed',
          }),
      async ({ haproxy, radvd, named, out }) => {
        if (haproxy === undefined && radvd === undefined && named === undefined) {
          throw new UsageError('import: give --haproxy, --radvd or --named');
        }
        const { importConfigs } = await import('./cli/import.ts');
        const { text, remarks } = importConfigs({ haproxy, radvd, named, out });
        context.stdout(text);
        context.stderr(remarks);
      },
    )
    .command(
      'status',
      'what the daemon does',
      (y) => apiOptions(y),
      (args) => show<StatusReport>(args, context, '/v1/status', (s, paint, { showStatus }) => showStatus(s, paint)),
    )
    .command(
      'pools [pool]',
      'members of the proxy’s pools, with state, sessions and why',
      (y) => apiOptions(y.positional('pool', { type: 'string', describe: 'this pool alone' })),
      (args) =>
        args.pool === undefined
          ? show<PoolReport[]>(args, context, '/v1/pools', (p, paint, { showPools }) => showPools(p, paint))
          : show<PoolReport>(args, context, `/v1/pools/${encodeURIComponent(args.pool)}`, (p, paint, { showPools }) =>
              showPools([p], paint),
            ),
    )
    .command(
      'member <pool> <name>',
      'give a pool’s member an order: ready, drain or maint, or a weight',
      (y) =>
        apiOptions(
          y
            .positional('pool', { type: 'string', demandOption: true })
            .positional('name', { type: 'string', demandOption: true })
            .option('state', { choices: ['ready', 'drain', 'maint'] as const })
            .option('weight', { type: 'number', describe: '0 to 256' }),
        ),
      async (args) => {
        const { state, weight } = args;
        if (state === undefined && weight === undefined) throw new UsageError('member: give --state or --weight');
        const path = `/v1/pools/${encodeURIComponent(args.pool)}/members/${encodeURIComponent(args.name)}`;
        const body = { ...(state && { state }), ...(weight !== undefined && { weight }) };
        await show<MemberReport>(
          args,
          context,
          path,
          (m) => `${args.pool}/${m.name}: ${m.admin}, ${m.state}, weight ${m.weight}\n`,
          { method: 'PATCH', body },
        );
      },
    )
    .command(
      'zones',
      'zones we are authoritative for',
      (y) => apiOptions(y),
      (args) =>
        show<ZoneReport[]>(args, context, '/v1/zones', (z, paint, { showZones }) => showZones(z, Date.now(), paint)),
    )
    .command(
      'refresh <zone>',
      'ask the primaries of a secondary zone now',
      (y) =>
        apiOptions(
          y
            .positional('zone', { type: 'string', demandOption: true })
            .option('whole', { type: 'boolean', default: false, describe: 'take all of it over, whatever its serial' }),
        ),
      (args) =>
        show<{ zone: string }>(
          args,
          context,
          `/v1/zones/${encodeURIComponent(args.zone)}/refresh`,
          (answer) => `${answer.zone}: its primaries are being asked; v6edge zones shows what came of it\n`,
          { method: 'POST', body: { whole: args.whole } },
        ),
    )
    .command(
      'records <zone>',
      'records of a zone',
      (y) =>
        apiOptions(
          configOption(y)
            .positional('zone', { type: 'string', demandOption: true })
            .option('name', { type: 'string', describe: 'of this owner alone' })
            .option('type', { type: 'string', describe: 'of this type alone' })
            .option('export', {
              type: 'boolean',
              default: false,
              describe: 'as a zone file; from the store that --config names when the daemon does not run',
            }),
        ),
      async (args) => {
        const filter = new URLSearchParams();
        if (args.name !== undefined) filter.set('name', args.name);
        if (args.type !== undefined) filter.set('type', args.type);
        const path = `/v1/zones/${encodeURIComponent(args.zone)}/records${filter.size > 0 ? `?${filter}` : ''}`;
        if (!args.export) {
          await show<RecordReport[]>(args, context, path, (r, paint, { showRecords }) =>
            showRecords(r, Date.now(), paint),
          );
          return;
        }
        if (filter.size > 0 || args.json)
          throw new UsageError('records: --export writes the whole zone as a zone file');
        const { exportZone } = await import('./cli/store.ts');
        context.stdout(await exportZone(await target(args), path, args, context));
      },
    )
    .command(
      'record <zone> <action> <name> [fields..]',
      'add a record to a zone, or delete some: … add NAME [TTL] TYPE RDATA, … delete NAME [TYPE [RDATA]]',
      (y) =>
        apiOptions(
          y
            .positional('zone', { type: 'string', demandOption: true })
            .positional('action', { choices: ['add', 'delete'] as const, demandOption: true })
            .positional('name', { type: 'string', demandOption: true, describe: 'in full' })
            .positional('fields', { type: 'string', array: true, default: [] }),
        ),
      async (args) => {
        const { changeRecord, readRecordOrder } = await import('./cli/record.ts');
        const order = readRecordOrder(args.action, args.fields);
        const report = await changeRecord(await target(args), args.zone, args.name, order);
        context.stdout(
          args.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${report.zone}: serial ${report.serial}\n`,
        );
      },
    )
    .command(
      'sessions',
      'live sessions of the proxy, the oldest first; or ends one',
      (y) =>
        apiOptions(
          y
            .option('end', { type: 'string', describe: 'ends the session of this id, which is that of the log' })
            .option('pool', { type: 'string', describe: 'of this pool alone' })
            .option('member', { type: 'string', describe: 'of members of this name alone' })
            .option('limit', { type: 'number', default: 100, describe: 'at most so many' }),
        ),
      (args) => {
        if (args.end !== undefined) {
          const path = `/v1/sessions/${encodeURIComponent(args.end)}`;
          return show<{ id: string }>(args, context, path, ({ id }) => `${id}: ended\n`, { method: 'DELETE' });
        }
        const filter = new URLSearchParams({ limit: String(args.limit) });
        if (args.pool !== undefined) filter.set('pool', args.pool);
        if (args.member !== undefined) filter.set('member', args.member);
        return show<SessionReport[]>(args, context, `/v1/sessions?${filter}`, (s, paint, { showSessions }) =>
          showSessions(s, paint),
        );
      },
    )
    .command(
      'ra',
      'router advertisements by interface: what is sent, and what other routers say',
      (y) =>
        apiOptions(y).command(
          'watch',
          'print the advertisements of other hosts as they come in, as our configuration would say them (needs root)',
          (y) =>
            y
              .option('interface', { type: 'string', alias: 'i', describe: 'on this interface alone' })
              .option('count', { type: 'number', alias: 'n', describe: 'end after as many' }),
          (args) => watchRa(args, context),
        ),
      (args) => show<RaReport[]>(args, context, '/v1/ra', (r, paint, { showRa }) => showRa(r, Date.now(), paint)),
    )
    .command(
      'reload',
      'make the daemon read its configuration again',
      (y) => apiOptions(y),
      (args) =>
        show<{ changed: string[]; overridden: string[] }>(
          args,
          context,
          '/v1/reload',
          ({ changed, overridden }) => {
            const lines = [...changed, ...overridden.map((each) => `no longer in effect: ${each}`)];
            return [changed.length === 0 ? 'reloaded; the configuration is as it was' : 'reloaded', ...lines, ''].join(
              '\n',
            );
          },
          { method: 'POST' },
        ),
    )
    .command(
      'query <name> [type]',
      'ask a DNS server, ours unless told otherwise',
      (y) =>
        y
          .positional('name', { type: 'string', demandOption: true })
          .positional('type', { type: 'string', default: 'AAAA' })
          .option('server', { type: 'string', default: '[::1]:53', describe: 'address, with or without port' }),
      ({ name, type, server }) => query(name, type, server, context),
    )
    .command('key', 'TSIG keys', (y) =>
      y
        .command(
          'new <name>',
          'make a key and print it as a key file, for `nsupdate -k` and for dns.keys',
          (y) =>
            y
              .positional('name', { type: 'string', demandOption: true, describe: 'the key’s name' })
              .option('algorithm', { choices: algorithms, default: 'hmac-sha256' as const }),
          ({ name, algorithm }) => newKey(name, algorithm, context),
        )
        .demandCommand(1, 'key: say what to do, as in: v6edge key new NAME'),
    )
    .command('store', 'the zone store in state.dir, whether the daemon runs or not', (y) =>
      y
        .command(
          'check',
          'read every zone whole and say what is there; exit 1 if something does not read',
          (y) => storeOptions(y),
          ({ config, json }) => checkStore(config, json, context),
        )
        .command(
          'backup <file>',
          'copy the store, as it is at this moment, to a file; to restore, put it at STATE-DIR/zones/data.mdb',
          (y) => storeOptions(y.positional('file', { type: 'string', demandOption: true, describe: 'not there yet' })),
          ({ file, config, json }) => backupStore(file, config, json, context),
        )
        .demandCommand(1, 'store: say what to do, as in: v6edge store check'),
    )
    .command(
      'version',
      'print the version',
      (y) => y,
      async () => {
        const { version } = await import('./version.ts');
        context.stdout(`v6edge ${version()} (Node.js ${process.versions.node})\n`);
      },
    )
    .completion('completion', 'print what bash (or zsh, when $SHELL says so) needs to complete commands')
    .demandCommand(1, 'say what to do')
    .strict()
    .help()
    .alias('help', 'h')
    .version(false)
    .wrap(context.isTerminal ? Math.min(110, process.stdout.columns ?? 80) : 100)
    .epilogue('Exit codes: 0 done, 1 the daemon said no or cannot be reached, 2 bad usage or configuration.')
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
}

function configOption<T>(parser: Argv<T>) {
  return parser.option('config', {
    type: 'string',
    default: defaultConfig,
    alias: 'c',
    describe: 'configuration file',
  });
}

function storeOptions<T>(parser: Argv<T>) {
  return configOption(parser).option('json', { type: 'boolean', default: false, describe: 'print a list of zones' });
}

function apiOptions<T>(parser: Argv<T>) {
  return parser
    .option('api', { type: 'string', default: defaultApi, describe: 'admin API: unix:PATH or http://HOST:PORT' })
    .option('token-file', { type: 'string', describe: 'file with the bearer token, for TCP' })
    .option('json', { type: 'boolean', default: false, describe: 'print what the API answers' });
}

async function run(config: string): Promise<number> {
  const program = await import('./run.ts');
  return await program.run(config);
}

async function check(config: string, context: CliContext): Promise<number> {
  const { loadConfig } = await import('./config/load.ts');
  const result = loadConfig(config);
  if ('errors' in result) {
    const { formatProblem } = await import('./config/problems.ts');
    context.stderr(result.errors.map((each) => `${formatProblem(each)}\n`).join(''));
    return 2;
  }
  context.stdout(`${config}: good\n`);
  return 0;
}

/** Asks the API and prints the answer: as it is for `--json`, else as `format` has it. */
async function show<T>(
  args: ApiArguments,
  context: CliContext,
  path: string,
  format: (answer: T, paint: Paint, show: typeof import('./cli/show.ts')) => string,
  request: { method?: 'PATCH' | 'POST' | 'DELETE'; body?: unknown } = {},
): Promise<void> {
  const { getJson } = await import('./cli/client.ts');
  const answer = await getJson<T>(await target(args), path, request);
  if (args.json) {
    context.stdout(`${JSON.stringify(answer, undefined, 2)}\n`);
    return;
  }
  const { paintFor } = await import('./cli/table.ts');
  context.stdout(format(answer, paintFor(context.isTerminal, context.env), await import('./cli/show.ts')));
}

async function target(args: ApiArguments): Promise<ApiTarget> {
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

async function newKey(name: string, algorithm: TsigAlgorithm, context: CliContext): Promise<void> {
  const { formatKeyFile, generateKey } = await import('../dns/keyfile.ts');
  const { cryptoRandom } = await import('../core/random.ts');
  context.stdout(formatKeyFile(generateKey(name, algorithm, cryptoRandom)));
}

async function checkStore(config: string, json: boolean, context: CliContext): Promise<void> {
  const { checkStore, showStored, stateDirOf } = await import('./cli/store.ts');
  showStored(await checkStore(stateDirOf(config)), json, context);
}

async function backupStore(file: string, config: string, json: boolean, context: CliContext): Promise<void> {
  const { backupStore, showStored, stateDirOf } = await import('./cli/store.ts');
  showStored(await backupStore(stateDirOf(config), file), json, context);
}

async function watchRa(
  { interface: name, json, count }: { interface: string | undefined; json: boolean; count: number | undefined },
  context: CliContext,
): Promise<void> {
  if (count !== undefined && !(count >= 1)) throw new UsageError('ra watch: --count is 1 or more');
  const { watchAdvertisements } = await import('./cli/ra-watch.ts');
  const { errorCode } = await import('../core/errors.ts');
  const { ApiError } = await import('./cli/client.ts');
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await watchAdvertisements({ interface: name, json, count }, context.stdout, interrupted.signal);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') throw error;
    throw new ApiError('EPERM', 'ra watch: no permission; it needs root, or the capability CAP_NET_RAW');
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function query(name: string, type: string, server: string, context: CliContext): Promise<void> {
  const { queryServer, showAnswer } = await import('./cli/query.ts');
  const { readInetEndpoint } = await import('./config/fields.ts');
  const { paintFor } = await import('./cli/table.ts');
  const answer = await queryServer(readInetEndpoint(server, 53), name, type);
  context.stdout(showAnswer(answer, paintFor(context.isTerminal, context.env)));
}

async function explain(error: unknown, context: CliContext): Promise<number> {
  const { ApiError } = await import('./cli/client.ts');
  const { V6edgeError, ValueError, errorCode, errorMessage } = await import('../core/errors.ts');
  const told = error instanceof V6edgeError && /^V6_(IMPORT|INIT|STORE)_/.test(errorCode(error) ?? '');
  if (error instanceof ApiError || told) {
    context.stderr(`v6edge: ${errorMessage(error)}\n`);
    return 1;
  }
  if (error instanceof UsageError) {
    context.stderr(`v6edge: ${error.message}\nSee: v6edge --help\n`);
    return 2;
  }
  if (error instanceof ValueError) {
    context.stderr(`v6edge: ${error.message}\n`);
    return 2;
  }
  context.stderr(`v6edge: ${error instanceof Error ? error.stack : errorMessage(error)}\n`);
  return 1;
}
