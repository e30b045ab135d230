/** Commands of the host itself: to run, check and set up the daemon; keys and the store. */
import type { Argv } from 'yargs';
import type { TsigAlgorithm } from '../../../dns/config.ts';
import { type CliContext, configOption, UsageError } from './shared.ts';

const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512', 'hmac-sha224', 'hmac-sha1'] as const;

/** Adds them to the command line. */
export function hostCommands(parser: Argv, context: CliContext, exit: (code: number) => void): Argv {
  return parser
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
        const { initialize } = await import('../init.ts');
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
        const { importConfigs } = await import('../import.ts');
        const { text, remarks } = importConfigs({ haproxy, radvd, named, out });
        context.stdout(text);
        context.stderr(remarks);
      },
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
        const { version } = await import('../../version.ts');
        context.stdout(`v6edge ${version()} (Node.js ${process.versions.node})\n`);
      },
    );
}

function storeOptions<T>(parser: Argv<T>) {
  return configOption(parser).option('json', { type: 'boolean', default: false, describe: 'print a list of zones' });
}

async function run(config: string): Promise<number> {
  const program = await import('../../run.ts');
  return await program.run(config);
}

async function check(config: string, context: CliContext): Promise<number> {
  const { loadConfig } = await import('../../config/load.ts');
  const result = loadConfig(config);
  if ('errors' in result) {
    const { formatProblem } = await import('../../config/problem-text.ts');
    context.stderr(result.errors.map((each) => `${formatProblem(each)}\n`).join(''));
    return 2;
  }
  context.stdout(`${config}: good\n`);
  return 0;
}

async function newKey(name: string, algorithm: TsigAlgorithm, context: CliContext): Promise<void> {
  const { formatKeyFile, generateKey } = await import('../../../dns/keyfile.ts');
  const { cryptoRandom } = await import('../../../core/random.ts');
  context.stdout(formatKeyFile(generateKey(name, algorithm, cryptoRandom)));
}

async function checkStore(config: string, json: boolean, context: CliContext): Promise<void> {
  const { checkStore, showStored, stateDirOf } = await import('../store.ts');
  showStored(await checkStore(stateDirOf(config)), json, context);
}

async function backupStore(file: string, config: string, json: boolean, context: CliContext): Promise<void> {
  const { backupStore, showStored, stateDirOf } = await import('../store.ts');
  showStored(await backupStore(stateDirOf(config), file), json, context);
}
