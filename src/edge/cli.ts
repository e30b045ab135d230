/**
 * The command line. Each command's work is imported when it is asked for, so that `--help` and `version` are quick.
 * Exit codes: 0 done, 1 the daemon said no or cannot be reached, 2 bad usage or configuration.
 */
import yargs, { type Argv } from 'yargs';
import { dnsCommands } from './cli/commands/dns.ts';
import { doctorCommands } from './cli/commands/doctor.ts';
import { hostCommands } from './cli/commands/host.ts';
import { nodeCommands } from './cli/commands/node.ts';
import { proxyCommands } from './cli/commands/proxy.ts';
import { raCommands } from './cli/commands/ra.ts';
import { shadowCommands } from './cli/commands/shadow.ts';
import { type CliContext, UsageError } from './cli/commands/shared.ts';

export type { CliContext } from './cli/commands/shared.ts';

/** Stands in what is said of a command line that has no command, or half of one. */
const sayWhat = 'say what to do';

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
    return await explain(error, argv, context);
  }
}

function commands(parser: Argv, context: CliContext, exit: (code: number) => void): Argv {
  parser
    .scriptName('v6edge')
    .usage('$0 COMMAND\n\nTCP proxy, DNS server and router advertisements for the edge of an IPv6-only cluster.');
  hostCommands(parser, context, exit);
  proxyCommands(parser, context);
  dnsCommands(parser, context);
  raCommands(parser, context);
  nodeCommands(parser, context);
  doctorCommands(parser, context, exit);
  shadowCommands(parser, context, exit);
  return parser
    .completion('completion', 'print what bash (or zsh, when $SHELL says so) needs to complete commands')
    .demandCommand(1, sayWhat)
    .recommendCommands()
    .strictCommands()
    .strict()
    .check(checkNumbers)
    .help()
    .alias('help', 'h')
    .version(false)
    .wrap(context.isTerminal ? Math.min(110, process.stdout.columns ?? 80) : 100)
    .epilogue('Exit codes: 0 done, 1 the daemon said no or cannot be reached, 2 bad usage or configuration.')
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      throw error ?? new UsageError(plainly(message));
    });
}

/** yargs makes NaN of what is no number. @throws {UsageError} */
function checkNumbers(args: Record<string, unknown>): true {
  const wrong = Object.keys(args).find((key) => Number.isNaN(args[key]));
  if (wrong === undefined) return true;
  throw new UsageError(`--${wrong.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: a number is wanted`);
}

/** What yargs says of wrong usage, in our words. */
function plainly(message: string): string {
  return message
    .replace(/^Did you mean (.*)\?$/, 'there is no such command; did you mean $1?')
    .replace(/^Unknown commands?: /, 'no such command: ')
    .replace(/^Unknown arguments?: /, 'no such option: ')
    .replace(/^Not enough non-option arguments: got (\d+), need at least (\d+)$/, '$1 of $2 arguments given')
    .replace(/^Missing required argument: /, 'missing: ')
    .replace(/^Implications failed:\s+(\S+) -> (\S+).*$/s, '--$1 is for --$2')
    .replace(/^Arguments (\S+) and (\S+) are mutually exclusive$/, 'give --$1 or --$2, not both');
}

async function explain(error: unknown, argv: readonly string[], context: CliContext): Promise<number> {
  const { ApiError } = await import('./cli/client.ts');
  const { V6edgeError, ValueError, errorCode, errorMessage } = await import('../core/errors.ts');
  const told = error instanceof V6edgeError && /^V6_(IMPORT|INIT|STORE|SHADOW)_/.test(errorCode(error) ?? '');
  if (error instanceof ApiError || told) {
    context.stderr(`v6edge: ${errorMessage(error)}\n`);
    return 1;
  }
  if (error instanceof UsageError && error.message.includes(sayWhat)) {
    // Who says no command is shown what there is.
    const help = await commands(yargs([...argv]), context, () => undefined).getHelp();
    context.stderr(`${help}\n\nv6edge: ${error.message}\n`);
    return 2;
  }
  if (error instanceof UsageError) {
    const [command = ''] = argv;
    const known = /^[a-z]+$/.test(command) && !/no such command/.test(error.message);
    context.stderr(`v6edge: ${error.message}\nSee: v6edge ${known ? `${command} ` : ''}--help\n`);
    return 2;
  }
  if (error instanceof ValueError) {
    context.stderr(`v6edge: ${error.message}\n`);
    return 2;
  }
  context.stderr(`v6edge: ${error instanceof Error ? error.stack : errorMessage(error)}\n`);
  return 1;
}
