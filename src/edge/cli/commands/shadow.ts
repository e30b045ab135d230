/** The shadow's command. */
import type { Argv } from 'yargs';
import { type CliContext, UsageError } from './shared.ts';

/** Adds it to the command line. */
export function shadowCommands(parser: Argv, context: CliContext, exit: (code: number) => void): Argv {
  return parser.command(
    'shadow',
    'run a configuration on other ports beside HAProxy, BIND and radvd, ask both the same, and say what differs; exit 1 if something does',
    (y) =>
      y
        .option('haproxy', { type: 'string', describe: 'haproxy.cfg of the one that runs' })
        .option('named', { type: 'string', describe: 'named.conf of the one that runs' })
        .option('radvd', {
          type: 'string',
          describe: 'radvd.conf of the one that runs (root: its advertisements are asked for)',
        })
        .option('config', {
          type: 'string',
          alias: 'c',
          describe: 'instead of these: a configuration that was imported',
        })
        .option('queries', {
          type: 'string',
          describe:
            'questions: NAME TYPE a line, a query log of BIND’s or ours, or a capture (pcap, pcapng); without it every name of the zones',
        })
        .option('rate', { type: 'number', default: 50, describe: 'questions or connections a second, to each side' })
        .option('limit', { type: 'number', default: 10_000, describe: 'questions at most' })
        .option('tries', { type: 'number', default: 8, describe: 'connections to each listener' })
        .option('json', { type: 'boolean', default: false, describe: 'print the report as JSON' }),
    async (args) => {
      const { config, haproxy, named, radvd, rate, limit, tries } = args;
      if ((config === undefined) === (haproxy === undefined && named === undefined && radvd === undefined)) {
        throw new UsageError('shadow: give --haproxy, --named and --radvd, or --config');
      }
      for (const [name, value] of Object.entries({ rate, limit, tries })) {
        if (!(value >= 1 && value <= 100_000)) throw new UsageError(`shadow: --${name} is 1 to 100000`);
      }
      const { shadow, showShadow } = await import('../shadow.ts');
      const report = await shadow(args);
      const { paintFor } = await import('../table.ts');
      const paint = paintFor(context.isTerminal, context.env);
      context.stdout(args.json ? `${JSON.stringify(report, undefined, 2)}\n` : showShadow(report, paint));
      exit(report.equal ? 0 : 1);
    },
  );
}
