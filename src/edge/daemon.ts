/**
 * `v6edge run`: from a configuration to an exit code.
 *
 *   SIGTERM, SIGINT   ends in order, with final router advertisements; a second one ends at once
 *   SIGUSR2           ends in order without them: another daemon follows at once (a restart)
 *   SIGHUP            reads the configuration again
 */
import { errorCode, errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { raiseFileLimit } from '../linux/limits.ts';
import { Notifier } from '../linux/notify.ts';
import { startAdmin } from './admin/server.ts';
import { settingsNotInEffect } from './config/not-in-effect.ts';
import { formatProblem } from './config/problems.ts';
import type { EdgeConfig, LoadResult } from './config/types.ts';
import { Edge } from './edge.ts';
import { openLog } from './log.ts';
import { EdgeSource } from './source.ts';

/** Descriptors that are not sessions': listeners, store, admin API, upstream sockets, pipes of relays. */
const otherDescriptors = 1_024;

export interface DaemonOptions {
  readonly configPath: string;
}

/**
 * Runs until a signal ends it.
 * @returns 0 after an orderly stop, 1 when it could not start, 2 when the configuration is bad
 */
export async function runDaemon(load: () => LoadResult, options: DaemonOptions): Promise<number> {
  const loaded = load();
  if ('errors' in loaded) {
    for (const problem of loaded.errors) process.stderr.write(`${formatProblem(problem)}\n`);
    return 2;
  }
  const config = withinFileLimit(loaded.config);
  const { log, flush } = await openLog(config.config.log);
  for (const warning of config.warnings) log.warn({}, warning);
  for (const setting of settingsNotInEffect(config.config))
    log.warn({ setting }, 'accepted, but not in effect in this version');
  try {
    return await new Daemon(config.config, log, load, options).run();
  } catch (error) {
    log.error({ err: error, code: errorCode(error) }, `could not start: ${errorMessage(error)}`);
    return 1;
  } finally {
    flush();
  }
}

class Daemon {
  readonly #log: Logger;
  readonly #load: () => LoadResult;
  readonly #options: DaemonOptions;
  readonly #edge: Edge;
  readonly #source: EdgeSource;
  readonly #notifier = new Notifier();

  constructor(config: EdgeConfig, log: Logger, load: () => LoadResult, options: DaemonOptions) {
    this.#log = log;
    this.#load = load;
    this.#options = options;
    this.#edge = new Edge(config, log);
    this.#source = new EdgeSource(this.#edge, { configFile: options.configPath, reload: () => this.#reload() });
  }

  async run(): Promise<number> {
    const ended = this.#signals();
    await this.#edge.start();
    const { config } = this.#edge;
    const admin = await startAdmin(config.admin, this.#source, this.#log.child({ module: 'admin' }));
    this.#source.adminListening = admin.listening;
    this.#notifier.ready(
      `serving ${config.proxy.listeners.length} proxy listeners, ${config.dns?.zones.length ?? 0} zones`,
    );
    this.#log.info({ pid: process.pid, config: this.#options.configPath, admin: admin.listening }, 'v6edge is up');
    const watchdog =
      this.#notifier.watchdogMs === undefined
        ? undefined
        : setInterval(() => this.#notifier.watchdog(), this.#notifier.watchdogMs);
    const { final } = await ended;
    clearInterval(watchdog);
    this.#notifier.stopping();
    this.#log.info({ final }, 'stopping');
    await this.#edge.stop({ graceMs: config.proxy.timeouts.hardStopAfterMs, final });
    await admin.close();
    this.#log.info({}, 'stopped');
    return 0;
  }

  /** Resolves with the first signal that ends the daemon; the second ends it on the spot. */
  #signals(): Promise<{ final: boolean }> {
    process.on('SIGHUP', () => void this.#reload());
    return new Promise((resolve) => {
      let asked = false;
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) {
        process.on(signal, () => {
          if (asked) process.exit(1);
          asked = true;
          resolve({ final: signal !== 'SIGUSR2' });
        });
      }
    });
  }

  async #reload(): Promise<{ errors: readonly string[]; overridden: readonly string[] }> {
    this.#notifier.reloading();
    try {
      const loaded = this.#load();
      if ('errors' in loaded) {
        const errors = loaded.errors.map(formatProblem);
        this.#log.error({ errors }, 'the configuration has errors: nothing is changed');
        return { errors, overridden: [] };
      }
      const overridden = await this.#edge.reload(withinFileLimit(loaded.config).config);
      this.#log.info({ overridden }, 'configuration reloaded');
      return { errors: [], overridden };
    } catch (error) {
      this.#log.error({ err: error }, 'reload failed');
      return { errors: [errorMessage(error)], overridden: [] };
    } finally {
      this.#notifier.ready('reloaded');
    }
  }
}

/** Raises the descriptor limit, and lowers `maxConnections` to what it allows: a session holds two, and two more while it splices. */
function withinFileLimit(config: EdgeConfig): { config: EdgeConfig; warnings: string[] } {
  const { soft } = raiseFileLimit();
  const possible = Math.max(1, Math.floor((soft - otherDescriptors) / 2));
  if (config.proxy.maxConnections <= possible) return { config, warnings: [] };
  return {
    config: { ...config, proxy: { ...config.proxy, maxConnections: possible } },
    warnings: [
      `proxy.maxConnections: ${config.proxy.maxConnections} needs more descriptors than the limit of ${soft} allows: ${possible} it is (raise LimitNOFILE)`,
    ],
  };
}
