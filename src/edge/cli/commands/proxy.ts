/** Commands of the daemon as a whole and of its proxy. */
import type { Argv } from 'yargs';
import { formatAddress, type InetEndpoint, parseInetEndpoint } from '../../../core/address.ts';
import { errorMessage } from '../../../core/errors.ts';
import { maxWeight } from '../../../proxy/control/member-config.ts';
import type { AdminState } from '../../../proxy/control.ts';
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
      'give a pool’s member an order (ready, drain or maint), a weight, or its notice; or add one',
      (y) =>
        apiOptions(
          y
            .positional('pool', { type: 'string', demandOption: true })
            .positional('name', { type: 'string', demandOption: true })
            .option('state', { choices: ['ready', 'drain', 'maint'] as const, describe: 'the order' })
            .option('weight', { type: 'number', describe: '0 to 256' })
            .option('add', { type: 'string', describe: 'adds it, at this address:port' })
            .option('backup', { type: 'boolean', describe: 'with --add: used when no other is up' })
            .option('max-connections', { type: 'number', describe: 'with --add: sessions at once' })
            .option('remove', { type: 'boolean', describe: 'removes it once its sessions have ended' })
            .option('force', { type: 'boolean', describe: 'with --remove: ends its sessions' })
            .conflicts('add', ['state', 'remove'])
            .conflicts('remove', ['state', 'weight'])
            .implies({ backup: 'add', 'max-connections': 'add', force: 'remove' }),
        ),
      (args) => orderMember(args, context),
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

interface MemberArguments extends ApiArguments {
  readonly pool: string;
  readonly name: string;
  readonly state: AdminState | undefined;
  readonly weight: number | undefined;
  readonly add: string | undefined;
  readonly backup: boolean | undefined;
  readonly maxConnections: number | undefined;
  readonly remove: boolean | undefined;
  readonly force: boolean | undefined;
}

async function orderMember(args: MemberArguments, context: CliContext): Promise<void> {
  const { pool, name, state, weight } = args;
  const members = `/v1/pools/${encodeURIComponent(pool)}/members`;
  const path = `${members}/${encodeURIComponent(name)}`;
  if (weight !== undefined && !(Number.isInteger(weight) && weight >= 0 && weight <= maxWeight)) {
    throw new UsageError(`--weight ${weight}: whole numbers from 0 to ${maxWeight} are allowed`);
  }
  const stateText = (m: MemberReport) =>
    m.state === 'down' && m.health === 'unknown' ? 'is down until its first check' : `is ${m.state}`;
  const words = (m: MemberReport) => `${pool}/${m.name}: ordered ${m.admin}, ${stateText(m)}, weight ${m.weight}\n`;
  if (args.add !== undefined) {
    await show(args, context, members, words, { method: 'POST', body: newMember(args, args.add) });
    return;
  }
  if (args.remove === true) {
    await show<{ removed: boolean }>(
      args,
      context,
      args.force === true ? `${path}?force=true` : path,
      ({ removed }) =>
        `${pool}/${name}: ${removed ? 'removed' : 'drains, and is removed when its sessions have ended'}\n`,
      { method: 'DELETE' },
    );
    return;
  }
  if (state === undefined && weight === undefined) {
    throw new UsageError('member: give --state, --weight, --add ADDRESS:PORT or --remove');
  }
  const body = { ...(state && { state }), ...(weight !== undefined && { weight }) };
  await show(args, context, path, words, { method: 'PATCH', body });
}

function newMember({ name, weight, backup, maxConnections }: MemberArguments, add: string): Record<string, unknown> {
  let endpoint: InetEndpoint;
  try {
    endpoint = parseInetEndpoint(add);
  } catch (error) {
    throw new UsageError(`--add: ${errorMessage(error)}`);
  }
  return {
    name,
    address: formatAddress(endpoint.address),
    port: endpoint.port,
    ...(weight !== undefined && { weight }),
    ...(backup !== undefined && { backup }),
    ...(maxConnections !== undefined && { maxConnections }),
  };
}

async function status(args: ApiArguments, context: CliContext): Promise<void> {
  if (args.json) return await show<StatusReport>(args, context, '/v1/status', () => '');
  const { readOverview, showOverview } = await import('../status.ts');
  const { paintFor } = await import('../table.ts');
  const overview = await readOverview(await target(args));
  context.stdout(showOverview(overview, context.now(), paintFor(context.isTerminal, context.env)));
}
