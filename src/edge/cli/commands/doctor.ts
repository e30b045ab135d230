/** The doctor's command. */
import type { Argv } from 'yargs';
import { apiOptions, type CliContext, configOption, target } from './shared.ts';

/** Adds it to the command line. */
export function doctorCommands(parser: Argv, context: CliContext, exit: (code: number) => void): Argv {
  return parser.command(
    'doctor [node]',
    'say in words what is wrong with a node, or with the edge, and what mends it; exit 1 if something is',
    (y) =>
      configOption(apiOptions(y)).positional('node', {
        type: 'string',
        describe:
          'a node: its name, an address of it, or its MAC; without it the edge itself, and a line for each node',
      }),
    async (args) => {
      const { doctor } = await import('../doctor.ts');
      const { paintFor } = await import('../table.ts');
      const paint = paintFor(context.isTerminal, context.env);
      const { text, code } = await doctor(await target(args), args, context.now(), paint);
      context.stdout(text);
      exit(code);
    },
  );
}
