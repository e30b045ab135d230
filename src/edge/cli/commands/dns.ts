/** Commands of zones and records, and a query to any server. */
import type { Argv } from 'yargs';
import type { RecordReport, ZoneReport } from '../../admin/source.ts';
import { apiOptions, type CliContext, configOption, show, target, UsageError } from './shared.ts';

/** Adds them to the command line. */
export function dnsCommands(parser: Argv, context: CliContext): Argv {
  return parser
    .command(
      'zones',
      'zones we are authoritative for',
      (y) => apiOptions(y),
      (args) =>
        show<ZoneReport[]>(args, context, '/v1/zones', (z, paint, { showZones }) => showZones(z, context.now(), paint)),
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
      'notify <zone>',
      'tell the secondaries of a zone what serial it has',
      (y) => apiOptions(y.positional('zone', { type: 'string', demandOption: true })),
      (args) =>
        show<{ zone: string; notified: string[] }>(
          args,
          context,
          `/v1/zones/${encodeURIComponent(args.zone)}/notify`,
          (answer) => `${answer.zone}: telling ${answer.notified.join(', ')}\n`,
          { method: 'POST' },
        ),
    )
    .command(
      'flush [name]',
      'forget cached answers: all, or those of a name and of the names below it',
      (y) => apiOptions(y.positional('name', { type: 'string' })),
      (args) =>
        show<{ flushed: string }>(args, context, '/v1/dns/cache/flush', (answer) => `forgotten: ${answer.flushed}\n`, {
          method: 'POST',
          body: args.name === undefined ? {} : { name: args.name },
        }),
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
            showRecords(r, context.now(), paint),
          );
          return;
        }
        if (filter.size > 0 || args.json)
          throw new UsageError('records: --export writes the whole zone as a zone file');
        const { exportZone } = await import('../store.ts');
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
        const { changeRecord, readRecordOrder } = await import('../record.ts');
        const order = readRecordOrder(args.action, args.fields);
        const report = await changeRecord(await target(args), args.zone, args.name, order);
        context.stdout(
          args.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${report.zone}: serial ${report.serial}\n`,
        );
      },
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
    );
}

async function query(name: string, type: string, server: string, context: CliContext): Promise<void> {
  const { queryServer, showAnswer } = await import('../query.ts');
  const { readInetEndpoint } = await import('../../config/fields.ts');
  const { paintFor } = await import('../table.ts');
  const answer = await queryServer(readInetEndpoint(server, 53), name, type);
  context.stdout(showAnswer(answer, paintFor(context.isTerminal, context.env)));
}
