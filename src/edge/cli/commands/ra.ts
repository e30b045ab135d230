/** Commands of router advertisements. */
import type { Argv } from 'yargs';
import type { RaReport } from '../../admin/source.ts';
import { apiOptions, type CliContext, show, UsageError } from './shared.ts';

/** Adds them to the command line. */
export function raCommands(parser: Argv, context: CliContext): Argv {
  return parser.command(
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
    (args) => show<RaReport[]>(args, context, '/v1/ra', (r, paint, { showRa }) => showRa(r, context.now(), paint)),
  );
}

async function watchRa(
  { interface: name, json, count }: { interface: string | undefined; json: boolean; count: number | undefined },
  context: CliContext,
): Promise<void> {
  if (count !== undefined && !(count >= 1)) throw new UsageError('ra watch: --count is 1 or more');
  const { watchAdvertisements } = await import('../ra-watch.ts');
  const { errorCode } = await import('../../../core/errors.ts');
  const { ApiError } = await import('../client.ts');
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
