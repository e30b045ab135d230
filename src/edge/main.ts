/** Where the process starts: hands the command line over and leaves with its exit code. */
import { runCli } from './cli.ts';

/** Whatever still holds the process then (a library's socket, a thread) does not hold it longer. */
const lingerMs = 2_000;

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  isTerminal: process.stdout.isTTY === true,
  env: process.env,
});
setTimeout(() => process.exit(), lingerMs).unref();
