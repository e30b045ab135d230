/**
 * tap's reporter of `npm test`: a line for each test file, what failed in those that do, and in the end what tap counted,
 * as `N passed, N failed`. Gets tap's raw TAP stream.
 */
import { Writable } from 'node:stream';

/** What tap's closing comment says: `# { total: 11, pass: 10, fail: 1 }`. */
export function parseTotals(line: string): Readonly<Record<string, number>> | undefined {
  const match = /^# \{ (total: .*) \}$/.exec(line);
  if (match === null) return undefined;
  return Object.fromEntries(
    match[1]!.split(', ').map((pair) => {
      const [name, count] = pair.split(': ');
      return [name!, Number(count)];
    }),
  );
}

/** Lines of a failing file that tell nothing: assertions that passed, plans, times. */
const passed = /^\s*(ok \d+ .*|\d+\.\.\d+.*|# time=.*)?$/;

/** Turns TAP lines into report lines. */
export class ReportLines {
  #file: string[] = [];
  #totals: Readonly<Record<string, number>> | undefined;
  #filesFailed = 0;
  #bailed = false;

  /** What to print for the next line of TAP. */
  line(line: string): string[] {
    if (line.startsWith('Bail out!')) {
      this.#bailed = true;
      return [...this.#take(), line];
    }
    const end = /^(not )?ok \d+ - (\S+)(.*)$/.exec(line);
    if (end !== null) {
      const [, failed, name, rest] = end;
      const asserts = this.#file.filter((one) => /^\s+(not )?ok \d+/.test(one) && !one.includes('# time=')).length;
      const time = /# time=([\d.]+)ms/.exec(rest!)?.[1];
      const skip = /# (SKIP.*|TODO.*)/.exec(rest!)?.[1] ?? '';
      const seconds = time === undefined ? '' : `${(Number(time) / 1000).toFixed(1)} s`;
      const summary = `${failed ? 'FAIL' : 'ok  '}  ${name!.padEnd(44)} ${String(asserts).padStart(5)}  ${seconds.padStart(7)}  ${skip}`;
      const output = this.#take();
      if (failed) this.#filesFailed++;
      return failed ? [...output.filter((one) => !passed.test(one)), summary.trimEnd()] : [summary.trimEnd()];
    }
    this.#totals = parseTotals(line) ?? this.#totals;
    if (!/^(TAP version|1\.\.|# (No coverage|time=|\{|Subtest))/.test(line)) this.#file.push(line);
    return [];
  }

  /** The closing lines. */
  end(): string[] {
    const { pass = 0, fail = 0, skip = 0, todo = 0 } = this.#totals ?? {};
    const left = [skip > 0 ? `${skip} skipped` : '', todo > 0 ? `${todo} to do` : ''].filter(Boolean);
    // A file that fails without a failed assertion (a crash, a timeout) counts as well.
    const failed = Math.max(fail, this.#filesFailed, this.#bailed || this.#totals === undefined ? 1 : 0);
    return [...this.#take(), ...(left.length > 0 ? [left.join(', ')] : []), `${pass} passed, ${failed} failed`];
  }

  #take(): string[] {
    const lines = this.#file;
    this.#file = [];
    return lines;
  }
}

/** The class tap makes one of. */
export default class Report extends Writable {
  readonly #lines = new ReportLines();
  #partial = '';

  constructor() {
    super({ decodeStrings: false });
  }

  override pipe<T extends NodeJS.WritableStream>(target: T): T {
    return target;
  }

  override _write(chunk: string | Uint8Array, _encoding: string, done: () => void): void {
    const lines = (this.#partial + (typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString())).split('\n');
    this.#partial = lines.pop()!;
    this.#print(lines.flatMap((line) => this.#lines.line(line)));
    done();
  }

  override _final(done: () => void): void {
    this.#print([...(this.#partial === '' ? [] : this.#lines.line(this.#partial)), '', ...this.#lines.end()]);
    done();
  }

  #print(lines: string[]): void {
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  }
}
