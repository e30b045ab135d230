/**
 * `v6edge run`: from a configuration to an exit code.
 *
 *   SIGTERM, SIGINT   ends in order, with final router advertisements; a second one ends at once
 *   SIGUSR2           ends in order without them: another daemon follows at once (a restart)
 *   SIGHUP            reads the configuration again
 *
 * A signal that comes during the start waits for its end. A fault of our own in the control thread ends the process
 * as it is, for the service manager to start another: nothing that was acknowledged is lost, and what state it is in is unknown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatEndpoint } from '../core/address.ts';
import { errorCode, errorMessage, V6edgeError } from '../core/errors.ts';
import type { LogFields, Logger } from '../core/logger.ts';
import { keepHeapsShort, keepLargeApart } from '../linux/allocator.ts';
import { raiseFileLimit } from '../linux/limits.ts';
import { ListenFds } from '../linux/listenfds.ts';
import { Notifier } from '../linux/notify.ts';
import { startAdmin } from './admin/server.ts';
import type { ReloadReport } from './admin/source.ts';
import { changesOf } from './config/changes.ts';
import { formatProblem } from './config/problem-text.ts';
import type { EdgeConfig, Loaded, LoadResult } from './config/types.ts';
import { Edge } from './edge.ts';
import { possibleSessions } from './file-limit.ts';
import { openLog } from './log.ts';
import { formatPort, takenPorts, wantedPorts } from './ports.ts';
import { processSettling, settleInTime } from './settle.ts';
import { Sockets } from './sockets.ts';
import { EdgeSource } from './source.ts';
import { version } from './version.ts';

/** Ctrl-C reaches the whole process group, and npm or timeout(1) pass it on once more: that is one signal still. */
const sameSignalMs = 500;
/** So long a start waits for ports that another process has, when a service manager would start us again at once. */
const portWaitMs = 5_000;
const portLookMs = 250;

export interface DaemonOptions {
  readonly configPath: string;
  /** Reads it again. */
  readonly load: () => Promise<LoadResult>;
}

/**
 * Runs until a signal ends it.
 * @returns 0 after an orderly stop, 1 when it could not start, 2 when the configuration is bad
 */
export async function runDaemon(loading: Promise<LoadResult>, options: DaemonOptions): Promise<number> {
  const signals = new Signals();
  keepLargeApart();
  keepHeapsShort();
  const loaded = await loading;
  if ('errors' in loaded) {
    for (const problem of loaded.errors) process.stderr.write(`${formatProblem(problem)}\n`);
    return 2;
  }
  const { log, drain } = await openLog(loaded.config.log);
  process.on('uncaughtException', (error, origin) => {
    log.error({ err: error, origin }, 'a fault of v6edge: it ends');
    void drain().then(() => process.exit(1));
  });
  try {
    const daemon = new Daemon(effective(loaded.config, log), log, options);
    return await daemon.run(signals, loaded.zoneFiles);
  } catch (error) {
    log.error(failureFields(error), `could not start: ${errorMessage(error)}`);
    return 1;
  } finally {
    await drain();
  }
}

/** The signals that matter, caught from the first moment on: SIGHUP would end the process otherwise. */
class Signals {
  /** The first that ends the daemon; the second ends it on the spot. */
  readonly end: Promise<{ final: boolean }>;
  onReload: () => void = () => {
    this.#reloadAsked = true;
  };
  #reloadAsked = false;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<{ final: boolean }>();
    this.end = promise;
    let askedAt: number | undefined;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) {
      process.on(signal, () => {
        askedAt ??= performance.now();
        if (performance.now() - askedAt > sameSignalMs) process.exit(1);
        resolve({ final: signal !== 'SIGUSR2' });
      });
    }
    process.on('SIGHUP', () => this.onReload());
  }

  /** Whether a reload was asked for before anyone could do it. */
  get reloadAsked(): boolean {
    return this.#reloadAsked;
  }
}

class Daemon {
  readonly #log: Logger;
  readonly #options: DaemonOptions;
  readonly #edge: Edge;
  readonly #source: EdgeSource;
  readonly #notifier = new Notifier();
  readonly #sockets: Sockets;
  /** Reloads come one after the other. */
  #lastReload: Promise<unknown> = Promise.resolve();

  constructor(config: EdgeConfig, log: Logger, options: DaemonOptions) {
    this.#log = log;
    this.#options = options;
    this.#sockets = new Sockets(ListenFds.take(), this.#notifier, log);
    this.#edge = new Edge(this.#sockets.applyTo(config), log, this.#sockets);
    this.#source = new EdgeSource(this.#edge, { configFile: options.configPath, reload: () => this.#reload() });
  }

  async run(signals: Signals, zoneFiles: Loaded['zoneFiles']): Promise<number> {
    const { admin: adminConfig } = this.#edge.config;
    // First, so that it can say what the start waits for, and so that a daemon that runs already is found before anything is touched.
    const admin = await startAdmin(adminConfig, this.#source, this.#log.child({ module: 'admin' })).catch(
      async (error: unknown) => {
        await this.#edge.stop({ graceMs: 0, final: false, handOver: false });
        throw error;
      },
    );
    try {
      this.#source.adminListening = admin.listening;
      await this.#portsFree(signals);
      await this.#edge.start(zoneFiles);
      // The promise of the configuration is there to the end, and they with it.
      zoneFiles.clear();
      this.#source.start();
      this.#notifier.ready(this.#served());
      const fields = { version: version(), pid: process.pid, config: this.#options.configPath, admin: admin.listening };
      this.#log.info({ ...fields, threads: this.#edge.threadCount }, `v6edge is up: ${this.#served()}`);
      settleInTime(this.#edge.clock, processSettling);
      signals.onReload = () => void this.#reload();
      if (signals.reloadAsked) signals.onReload();
      const watchdog = this.#feedWatchdog();
      const { final } = await signals.end;
      clearInterval(watchdog);
      await this.#stop(final);
    } finally {
      this.#source.close();
      await admin.close();
      this.#notifier.close();
    }
    this.#log.info({}, 'stopped');
    return 0;
  }

  /**
   * Waits until nobody else has our ports: haproxy or named that is being stopped. Without an end to that, the start says so and
   * fails; but not several times a second, which is what a service manager makes of a start that fails at once.
   */
  async #portsFree(signals: Signals): Promise<void> {
    if (!this.#notifier.enabled) return;
    const wanted = wantedPorts(this.#edge.config);
    const ended = signals.end.then(() => true);
    let told = false;
    for (const until = performance.now() + portWaitMs; performance.now() < until; ) {
      const [taken] = takenPorts(wanted, this.#sockets.ports);
      if (taken === undefined) return;
      const text = `waits for ${formatPort(taken.port)}: ${taken.reason}`;
      this.#notifier.status(text);
      if (!told) this.#log.warn({}, text);
      told = true;
      if (await Promise.race([ended, sleep(portLookMs, false)])) return;
    }
  }

  async #stop(final: boolean): Promise<void> {
    this.#notifier.stopping();
    await this.#lastReload;
    const graceMs = this.#edge.config.proxy.timeouts.hardStopAfterMs;
    this.#log.info({ final, graceMs }, 'stopping');
    await this.#edge.stop({ graceMs, final, handOver: !final });
  }

  /** A data thread that hangs keeps its share of the traffic; only another process helps. */
  #feedWatchdog(): NodeJS.Timeout | undefined {
    const { watchdogMs } = this.#notifier;
    if (watchdogMs === undefined) return undefined;
    return setInterval(() => {
      if (this.#edge.threads.list().every(({ state }) => state !== 'silent')) this.#notifier.watchdog();
    }, watchdogMs);
  }

  /** What is served, in one line. */
  #served(): string {
    const { proxy, dns, ra } = this.#edge.config;
    const parts = [
      ...proxy.listeners.map(({ name, bind }) => `proxy ${name} on ${bind.map(formatEndpoint).join(', ')}`),
      ...(dns === undefined
        ? []
        : [`DNS on ${dns.listen.map(formatEndpoint).join(', ')} with ${dns.zones.length} zones`]),
      ...(ra.length === 0 ? [] : [`advertisements on ${ra.map((one) => one.interface).join(', ')}`]),
    ];
    return parts.length === 0 ? 'nothing but the admin API is configured' : parts.join('; ');
  }

  #reload(): Promise<ReloadReport> {
    const reload = this.#lastReload.then(async () => {
      const report = await this.#reloadNow();
      this.#edge.events.emit({ kind: 'reload', ...report });
      return report;
    });
    this.#lastReload = reload;
    return reload;
  }

  /** Never rejects. */
  async #reloadNow(): Promise<ReloadReport> {
    const { state } = this.#edge;
    if (state !== 'serving') return { errors: [`v6edge is ${state}`], overridden: [], changed: [] };
    this.#notifier.reloading();
    try {
      const loaded = await this.#options.load();
      if ('errors' in loaded) {
        const errors = loaded.errors.map(formatProblem);
        this.#log.error({ errors }, 'the configuration has errors: nothing is changed');
        return { errors, overridden: [], changed: [] };
      }
      const config = this.#sockets.applyTo(effective(loaded.config, this.#log));
      const changed = changesOf(this.#edge.config, config);
      const overridden = await this.#edge.reload(config, loaded.zoneFiles);
      this.#log.info({ changed, overridden }, `configuration reloaded: ${this.#served()}`);
      return { errors: [], overridden, changed };
    } catch (error) {
      this.#log.error(failureFields(error), `reload failed: ${errorMessage(error)}`);
      return { errors: [errorMessage(error)], overridden: [], changed: [] };
    } finally {
      this.#notifier.ready(this.#served());
    }
  }
}

/** An error of ours says what the operator has to know; where in the code an unexpected one came from helps whoever mends it. */
function failureFields(error: unknown): LogFields {
  const code = errorCode(error);
  return error instanceof V6edgeError && code !== 'V6_ASSERT' ? { code } : { code, err: error };
}

/** The configuration as it will hold on this machine; what is other than written is logged. */
function effective(config: EdgeConfig, log: Logger): EdgeConfig {
  const { soft } = raiseFileLimit();
  const possible = possibleSessions(soft);
  const { maxConnections } = config.proxy;
  if (maxConnections <= possible) return config;
  log.warn(
    { maxConnections, possible, descriptors: soft },
    'proxy.maxConnections is more than the limit of descriptors allows and lowered to that (raise LimitNOFILE)',
  );
  return { ...config, proxy: { ...config.proxy, maxConnections: possible } };
}
