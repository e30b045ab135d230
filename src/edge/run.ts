/** `v6edge run`. */
import { loadConfig } from './config/load.ts';
import { runDaemon } from './daemon.ts';

/** Runs the daemon with a configuration file; resolves to the exit code. */
export async function run(config: string): Promise<number> {
  return await runDaemon(() => loadConfig(config), { configPath: config });
}
