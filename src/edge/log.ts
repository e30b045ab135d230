/**
 * The log: JSON lines (or, when asked, lines for people) on standard output, one instance a thread.
 *
 * Lines gather in memory and leave in the background, so that a slow reader of the log never holds traffic up; beyond a
 * bound they are dropped and counted. Writes of several threads stay apart because the kernel takes each whole: up to
 * PIPE_BUF bytes into a pipe (pipe(7)), one socket buffer into the journal's stream socket.
 */
import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { LogFields, Logger } from '../core/logger.ts';
import type { LogConfig } from './config/types.ts';

/** PIPE_BUF on Linux. */
const pipeWriteBytes = 4096;
const otherWriteBytes = 16_384;
/** Gathered before a write; less waits for `flushAfterMs`. */
const gatherBytes = 2048;
const flushAfterMs = 100;
/** How long the end of a thread waits for a reader of the log. */
const drainMs = 500;
/** Lines kept for a reader that does not read. */
const maxBufferedBytes = 1024 * 1024;

/** Fields whose value is never written. (pino's `redact` would do it at any depth, for 6 µs a line.) */
const hiders = Object.fromEntries(['secret', 'token', 'authorization'].map((name) => [name, () => '[hidden]']));

/** What the journal takes for the level of a line, as a prefix that it removes (sd-daemon(3)); pino's numbers to syslog's. */
const journalPrefix: Readonly<Record<number, string>> = { 20: '<7>', 30: '<6>', 40: '<4>', 50: '<3>', 60: '<2>' };

/** A thread's log and what its owner must do with it. */
export interface LogSink {
  readonly log: Logger;
  /** Lines dropped because nobody read. */
  readonly dropped: () => number;
  /** Writes what is gathered, at once; for the end of a thread, after which lines would be lost. */
  readonly flush: () => void;
  /**
   * Resolves when every line is with the kernel, also one that a background write has in hand, or after a moment if
   * nobody reads. An exit right after `flush` alone may cancel that write.
   */
  readonly drain: () => Promise<void>;
}

export interface LogOptions {
  /** Standard output unless given; tests write to a file. */
  readonly fd?: number;
  /** Fields of every line, such as the thread's name. */
  readonly fields?: LogFields;
}

/** Opens the log of this thread. It flushes itself when the thread exits. */
export async function openLog(config: LogConfig, options: LogOptions = {}): Promise<LogSink> {
  const fd = options.fd ?? 1;
  let dropped = 0;
  const settings: pino.LoggerOptions = {
    level: config.level,
    base: options.fields ?? null,
    timestamp: timestamps(),
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.errWithCause, ...hiders },
  };
  if (config.format === 'pretty') {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({
      destination: fd,
      sync: true,
      colorize: isatty(fd),
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'pid,hostname',
      singleLine: true,
    });
    return { log: new PinoLogger(pino(settings, stream)), dropped: () => 0, flush: () => {}, drain: async () => {} };
  }
  const destination = pino.destination({
    fd,
    sync: false,
    minLength: gatherBytes,
    maxWrite: fstatSync(fd).isFIFO() ? pipeWriteBytes : otherWriteBytes,
    maxLength: maxBufferedBytes,
  });
  // A timer only while something waits: one that runs all the time would wake an idle thread ten times a second.
  let waits = false;
  const journal = isJournal(fd);
  const stream = {
    // pino says in `lastLevel` what the line to be written is.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    write(line: string) {
      destination.write(journal ? `${journalPrefix[this.lastLevel] ?? ''}${line}` : line);
      if (waits) return;
      waits = true;
      setTimeout(() => {
        waits = false;
        destination.flush();
      }, flushAfterMs).unref();
    },
  };
  destination.on('drop', () => {
    dropped++;
  });
  // A reader that went away (EPIPE) is no reason to stop serving.
  destination.on('error', () => {
    dropped++;
  });
  const flush = () => {
    try {
      destination.flushSync();
    } catch {
      dropped++;
    }
  };
  const drain = async () => {
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, drainMs);
      destination.flush(() => {
        clearTimeout(late);
        resolve();
      });
    });
    flush();
  };
  process.once('exit', flush);
  return { log: new PinoLogger(pino(settings, stream)), dropped: () => dropped, flush, drain };
}

/** Whether a descriptor is the stream that systemd made to the journal (systemd.exec(5), JOURNAL_STREAM: device:inode). */
function isJournal(fd: number): boolean {
  const { dev, ino } = fstatSync(fd);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

/** ISO time as pino wants it; the part above the second is made once a second. */
function timestamps(): () => string {
  let second = -1;
  let prefix = '';
  return () => {
    const now = Date.now();
    const current = Math.floor(now / 1000);
    if (current !== second) {
      second = current;
      prefix = `,"time":"${new Date(now).toISOString().slice(0, 20)}`;
    }
    return `${prefix}${String(now % 1000).padStart(3, '0')}Z"`;
  };
}

class PinoLogger implements Logger {
  readonly debugEnabled: boolean;
  readonly #pino: pino.Logger;

  constructor(instance: pino.Logger) {
    this.#pino = instance;
    this.debugEnabled = instance.isLevelEnabled('debug');
  }

  debug(fields: LogFields, message: string): void {
    if (this.debugEnabled) this.#pino.debug(fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#pino.info(fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#pino.warn(fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#pino.error(fields, message);
  }
  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(fields));
  }
}
