/** Commands of the daemon as a whole and of its proxy. */
import type { Argv } from 'yargs';
import type { MemberReport, PoolReport, SessionReport, SourceReport, StatusReport } from '../../admin/source.ts';
import { type ApiArguments, apiOptions, type CliContext, show, target, UsageError } from './shared.ts';

/** Adds them to the command line. */
export function proxyCommands(parser: Argv, context: CliContext): Argv {
  return parser
    .command(
      'status',
      'whether all is well, and what the three roles do, on one screen',
      (y) => apiOptions(y),
      (args) => status(args, context),
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
      'sources',
      'clients that listeners with limits count, those refused most first',
      (y) =>
        apiOptions(
          y
            .option('listener', { type: 'string', describe: 'of this listener alone' })
            .option('refused', { type: 'boolean', default: false, describe: 'those alone that were refused' })
            .option('offset', { type: 'number', default: 0, describe: 'leave out so many' })
            .option('limit', { type: 'number', default: 100, describe: 'at most so many' }),
        ),
      (args) => {
        const filter = new URLSearchParams({ limit: String(args.limit), offset: String(args.offset) });
        if (args.listener !== undefined) filter.set('listener', args.listener);
        if (args.refused) filter.set('refused', 'true');
        return show<SourceReport[]>(args, context, `/v1/sources?${filter}`, (s, paint, { showSources }) =>
          showSources(s, paint),
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
    );
}

async function status(args: ApiArguments, context: CliContext): Promise<void> {
  if (args.json) return await show<StatusReport>(args, context, '/v1/status', () => '');
  const { readOverview, showOverview } = await import('../status.ts');
  const { paintFor } = await import('../table.ts');
  const overview = await readOverview(await target(args));
  context.stdout(showOverview(overview, context.now(), paintFor(context.isTerminal, context.env)));
}
