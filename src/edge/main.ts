/** Where the process starts: hands the command line over and leaves with its exit code. */
import { loadConfigApart } from './config-apart.ts';
import { daemonConfig } from './run-line.ts';

/** Whatever still holds the process then (a library's socket, a thread) does not hold it longer. */
const lingerMs = 2_000;

process.exitCode = await main(process.argv.slice(2));
setTimeout(() => process.exit(), lingerMs).unref();

async function main(argv: readonly string[]): Promise<number> {
  const config = daemonConfig(argv);
  if (config !== undefined) {
    // Read while the daemon's own program loads.
    const loading = loadConfigApart(config);
    const { run } = await import('./run.ts');
    return await run(config, loading);
  }
  const { runCli } = await import('./cli.ts');
  return await runCli(argv, {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true,
    now: Date.now,
    env: process.env,
  });
}
