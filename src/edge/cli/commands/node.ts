/** Commands about nodes that join: tokens, the nodes there are, and what kubeadm needs. */
import type { Argv } from 'yargs';
import type { MaterialReport, NodeReport, TokenReport } from '../../admin/node-reports.ts';
import type { StatusReport } from '../../admin/source.ts';
import type { NewToken } from '../../join/join.ts';
import type { Paint } from '../table.ts';
import { type ApiArguments, apiOptions, type CliContext, show, target, UsageError } from './shared.ts';

/** Adds them to the command line. */
export function nodeCommands(parser: Argv, context: CliContext): Argv {
  return parser.command('node', 'nodes of the cluster: tokens to join with, who joined, who goes', (y) =>
    y
      .command(
        'list',
        'nodes that joined: addresses, pools, last update',
        (y) => apiOptions(y),
        async (args) => {
          const { showNodes } = await import('../show-nodes.ts');
          await showList<NodeReport>(args, context, '/v1/nodes', (nodes, paint) =>
            showNodes(nodes, context.now(), paint),
          );
        },
      )
      .command(
        'remove <name>',
        'withdraw a node’s records, so that pools drain it, and its key',
        (y) => apiOptions(y.positional('name', { type: 'string', demandOption: true, describe: 'without the zone' })),
        (args) =>
          show<{ node: string; removed: boolean }>(
            args,
            context,
            `/v1/nodes/${encodeURIComponent(args.name)}`,
            ({ node, removed }) =>
              removed
                ? `${node}: its records and its key are gone; kubectl delete node ${node} takes it out of the cluster\n`
                : `${node}: there is no such node; nothing was changed (v6edge node list)\n`,
            { method: 'DELETE' },
          ),
      )
      .command('token', 'tokens that nodes join with, each good for one', (y) => tokenCommands(y, context))
      .command('material', 'what kubeadm join needs; the first control-plane node gives it by itself', (y) =>
        materialCommands(y, context),
      )
      .demandCommand(1, 'node: say what to do, as in: v6edge node list'),
  );
}

function tokenCommands(parser: Argv, context: CliContext) {
  return parser
    .command(
      'create',
      'make a token and print the one command that a node joins with',
      (y) =>
        apiOptions(
          y
            .option('role', { choices: ['worker', 'control-plane'] as const, demandOption: true })
            .option('ttl', { type: 'string', describe: 'how long it lasts, as 1h; else as join.ttl says' })
            .option('name', {
              type: 'string',
              describe: 'the only node it is good for; it may replace one that is there',
            }),
        ),
      (args) => createToken(args, args.role, args.ttl, args.name, context),
    )
    .command(
      'list',
      'tokens that wait for a node, and for a day those that are used or expired',
      (y) => apiOptions(y),
      async (args) => {
        const { showTokens } = await import('../show-nodes.ts');
        await showList<TokenReport>(args, context, '/v1/join/tokens', (tokens, paint) =>
          showTokens(tokens, context.now(), paint),
        );
      },
    )
    .command(
      'revoke <id>',
      'make a token good for nothing; a node that joined with it stays',
      (y) => apiOptions(y.positional('id', { type: 'string', demandOption: true, describe: 'as the list has it' })),
      (args) =>
        show<{ id: string }>(
          args,
          context,
          `/v1/join/tokens/${encodeURIComponent(args.id)}`,
          ({ id }) => `${id}: revoked\n`,
          { method: 'DELETE' },
        ),
    )
    .demandCommand(1, 'node token: say what to do, as in: v6edge node token create --role worker');
}

function materialCommands(parser: Argv, context: CliContext) {
  return parser
    .command(
      'set <file>',
      'give it by hand: lines of NAME=value, BOOTSTRAP_TOKEN, CA_CERT_HASHES, CERTIFICATE_KEY; - = standard input',
      (y) => apiOptions(y.positional('file', { type: 'string', demandOption: true })),
      async (args) => {
        const { callApi, parseAnswer } = await import('../client.ts');
        const to = await target(args);
        const { body } = await callApi(to, '/v1/join/material', {
          method: 'PUT',
          body: { text: readText(args.file, await fs()) },
        });
        await printMaterial(parseAnswer<MaterialReport>(to, body), args, context);
      },
    )
    .command(
      'show',
      'who gave it, and until when it is good; no secret of it',
      (y) => apiOptions(y),
      async (args) => {
        const { getJson } = await import('../client.ts');
        await printMaterial(await getJson<MaterialReport>(await target(args), '/v1/join/material'), args, context);
      },
    )
    .demandCommand(1, 'node material: say what to do, as in: v6edge node material show');
}

/** As `show`, but where nodes cannot join at all, that is said instead of an empty list. */
async function showList<T>(
  args: ApiArguments,
  context: CliContext,
  path: string,
  format: (list: readonly T[], paint: Paint) => string,
): Promise<void> {
  const { getJson } = await import('../client.ts');
  const to = await target(args);
  const list = await getJson<T[]>(to, path);
  const { paintFor } = await import('../table.ts');
  if (args.json) context.stdout(`${JSON.stringify(list, undefined, 2)}\n`);
  else if (list.length > 0 || (await getJson<StatusReport>(to, '/v1/status')).joinConfigured !== false) {
    context.stdout(format(list, paintFor(context.isTerminal, context.env)));
  } else context.stdout((await import('../show-nodes.ts')).notConfigured);
}

async function createToken(
  args: ApiArguments,
  role: string,
  ttl: string | undefined,
  name: string | undefined,
  context: CliContext,
): Promise<void> {
  const body = { role, ...(ttl !== undefined && { ttl }), ...(name !== undefined && { name }) };
  const { showNewToken } = await import('../show-nodes.ts');
  await show<NewToken>(args, context, '/v1/join/tokens', (token, paint) => showNewToken(token, context.now(), paint), {
    method: 'POST',
    body,
  });
}

async function printMaterial(material: MaterialReport, args: ApiArguments, context: CliContext): Promise<void> {
  const { showMaterial } = await import('../show-nodes.ts');
  context.stdout(args.json ? `${JSON.stringify(material, undefined, 2)}\n` : showMaterial(material, context.now()));
}

function fs() {
  return import('node:fs');
}

/** @throws {UsageError} */
function readText(file: string, { readFileSync }: typeof import('node:fs')): string {
  try {
    // yargs makes an empty text of a lone hyphen.
    return readFileSync(file === '-' || file === '' ? 0 : file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
