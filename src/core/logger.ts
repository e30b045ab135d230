/** Fields of a log line, by name. */
export type LogFields = Record<string, unknown>;

/** What modules log through; `src/edge/log.ts` implements it with pino, one child a module. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger whose lines carry `fields` too. */
  child(fields: LogFields): Logger;
  /** Whether `debug` lines go anywhere, for callers that would compute much to write one. */
  readonly debugEnabled: boolean;
}

/** Drops everything. */
export const nullLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => nullLogger,
  debugEnabled: false,
};

/** One line that a `MemoryLogger` kept. */
export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  fields: LogFields;
}

/** Keeps lines in memory, for tests that assert what an operator is told. */
export class MemoryLogger implements Logger {
  readonly lines: LogLine[];
  readonly debugEnabled = true;
  readonly #fields: LogFields;

  constructor(lines: LogLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  debug(fields: LogFields, message: string): void {
    this.#push('debug', fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#push('info', fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#push('warn', fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#push('error', fields, message);
  }
  child(fields: LogFields): Logger {
    return new MemoryLogger(this.lines, { ...this.#fields, ...fields });
  }

  #push(level: LogLine['level'], fields: LogFields, message: string): void {
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } });
  }
}
