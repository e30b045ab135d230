/** `v6edge run`. */
import { loadConfigApart } from './config-apart.ts';
import { runDaemon } from './daemon.ts';

/**
 * Runs the daemon with a configuration file; resolves to the exit code.
 * @param loading what is in the file, where it is being read already
 */
export async function run(config: string, loading = loadConfigApart(config)): Promise<number> {
  // In top, ss and systemctl status; Node.js would have it called MainThread.
  process.title = 'v6edge';
  return await runDaemon(loading, { configPath: config, load: () => loadConfigApart(config) });
}
