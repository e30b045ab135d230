/**
 * The log: JSON lines (or, when asked, lines for people) on standard output, one instance a thread. Most lines are plain fields,
 * which `JSON.stringify` writes in a third of the time that pino takes; pino writes those that need more.
 */
import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { LogFields, Logger } from '../core/logger.ts';
import type { LogConfig } from './config/types.ts';
import { LogWriter } from './log-writer.ts';
import { peopleLines } from './people-log.ts';

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
  const settings: pino.LoggerOptions = {
    level: config.level,
    base: options.fields ?? null,
    timestamp: timestamps(),
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.errWithCause, ...hiders },
  };
  const terminal = isatty(fd);
  // no-color.org
  const colours = terminal && (process.env.NO_COLOR ?? '') === '';
  const forPeople = config.format === 'pretty' || (config.format === 'auto' && terminal);
  const people = forPeople ? await peopleLines(colours) : undefined;
  const writer = new LogWriter(fd);
  const journal = people === undefined && isJournal(fd);
  const stream = {
    // pino says in `lastLevel` and `lastMsg` what the line to be written is.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    lastMsg: '',
    write(line: string) {
      if (people !== undefined) writer.write(people(line, this.lastMsg));
      else writer.write(journal ? `${journalPrefix[this.lastLevel] ?? ''}${line}` : line);
    },
  };
  const flush = () => writer.flush();
  process.once('exit', flush);
  const plain: PlainLines = {
    begin: `${journal ? journalPrefix[30] : ''}{"level":"info"`,
    timestamp: settings.timestamp as () => string,
    write: (line) => writer.write(line),
  };
  return {
    log: new PinoLogger(pino(settings, stream), people === undefined ? plain : undefined, inner(options.fields ?? {})),
    dropped: () => writer.dropped,
    flush,
    drain: () => writer.drain(),
  };
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

/** How lines of level info whose fields are plain are written without pino, as pino writes them. */
interface PlainLines {
  readonly begin: string;
  readonly timestamp: () => string;
  write(line: string): void;
}

/** Fields as they stand within a line. */
function inner(fields: LogFields): string {
  const text = JSON.stringify(fields);
  return text === '{}' ? '' : `,${text.slice(1, -1)}`;
}

class PinoLogger implements Logger {
  readonly debugEnabled: boolean;
  readonly #pino: pino.Logger;
  readonly #plain: PlainLines | undefined;
  readonly #bindings: string;

  constructor(instance: pino.Logger, plain?: PlainLines, bindings = '') {
    this.debugEnabled = instance.isLevelEnabled('debug');
    this.#pino = instance;
    this.#plain = instance.isLevelEnabled('info') ? plain : undefined;
    this.#bindings = bindings;
  }

  debug(fields: LogFields, message: string): void {
    if (this.debugEnabled) this.#pino.debug(fields, message);
  }
  info(fields: LogFields, message: string): void {
    if (this.#plain === undefined || !isPlain(fields) || !this.#writePlain(this.#plain, fields, message)) {
      this.#pino.info(fields, message);
    }
  }
  warn(fields: LogFields, message: string): void {
    this.#pino.warn(fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#pino.error(fields, message);
  }
  child(fields: LogFields): Logger {
    const plain = isPlain(fields) ? this.#plain : undefined;
    const bindings = plain === undefined ? '' : this.#bindings + inner(fields);
    return new PinoLogger(this.#pino.child(fields), plain, bindings);
  }

  /** False when JSON has no form for the fields. */
  #writePlain({ begin, timestamp, write }: PlainLines, fields: LogFields, message: string): boolean {
    let text: string;
    try {
      text = inner(fields);
    } catch {
      return false;
    }
    write(`${begin}${timestamp()}${this.#bindings}${text},"msg":${JSON.stringify(message)}}\n`);
    return true;
  }
}

/** Whether none of the fields is one that pino writes in a way of its own. */
function isPlain(fields: LogFields): boolean {
  return (
    fields.err === undefined &&
    fields.secret === undefined &&
    fields.token === undefined &&
    fields.authorization === undefined
  );
}
