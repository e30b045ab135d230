/** `hooks`: who is told of events. */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { z } from 'zod';
import { errorCode, ValueError } from '../../core/errors.ts';
import { eventKinds } from '../events.ts';
import type { HookConfig } from '../hooks/hooks.ts';
import { choice, list, milliseconds, parsed, section, text } from './fields.ts';
import type { Located, Report } from './types.ts';

/** One entry. */
export const hook = section({
  url: parsed({ kind: 'URL', allowed: 'http or https' }, readUrl)
    .optional()
    .describe('gets each event as JSON by POST; it is tried again a few times while it does not answer with 2xx'),
  exec: list(text(), 1)
    .optional()
    .describe(
      'or: absolute path of a program, and its arguments. It is run for each event, without a shell; the event is in its environment and on its standard input',
    ),
  events: list(choice(eventKinds), 1)
    .prefault(['member', 'member-warning'])
    .describe('kinds of event, as `/v1/events` has them'),
  timeout: milliseconds(100, 60_000)
    .prefault('5s')
    .describe('longest wait for the answer, or for the end of the program, which is killed then'),
}).transform(({ url, exec, timeout, events }, ctx): HookConfig => {
  const rest = { events, timeoutMs: timeout };
  if (url !== undefined && exec === undefined) return { url, ...rest };
  if (exec !== undefined && url === undefined) return { exec, ...rest };
  ctx.issues.push({ code: 'custom', input: url, message: 'a hook is exactly one of url and exec' });
  return z.NEVER;
});

/** Whether the programs can be run, as far as that can be told without running them. */
export function checkHooks(hooks: readonly Located<HookConfig>[], report: Report): void {
  for (const { path, value } of hooks) {
    if (!('exec' in value)) continue;
    try {
      checkProgram(value.exec[0]!);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      report([...path, 'exec', 0], error.message);
    }
  }
}

/**
 * Looks at a program as execve(2) will, by the rights of this process.
 * @throws {ValueError} it cannot be run, or others could put something else in its place
 */
export function checkProgram(path: string): void {
  if (!isAbsolute(path)) throw new ValueError(`"${path}" is no absolute path of a program`);
  const { mode } = look(path, path);
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new ValueError(`${path} is no file`);
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new ValueError(
      `${path} cannot be run by user id ${process.geteuid!()}: it lacks the right (chmod +x), or is on a file system mounted noexec`,
    );
  }
  checkWriters(path, mode);
  const interpreter = interpreterOf(path);
  if (interpreter !== undefined) look(interpreter, `${path}: its interpreter ${interpreter}`);
}

/** Who may write to it, or replace it, decides what we run. */
function checkWriters(path: string, mode: number): void {
  const others = constants.S_IWOTH;
  if (mode & others) throw new ValueError(`${path} can be written by everybody (chmod o-w), and is not run for that`);
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const folderMode = statSync(folder).mode;
    if (folderMode & others && !(folderMode & sticky)) {
      throw new ValueError(`${path} can be replaced by everybody: ${folder} can be written by all`);
    }
    if (folder === dirname(folder)) return;
  }
}

/** S_ISVTX: in such a folder only owners replace their files. */
const sticky = 0o1000;

function look(path: string, called: string): { readonly mode: number } {
  try {
    return statSync(path);
  } catch (error) {
    const code = errorCode(error);
    const reason = code === 'ENOENT' ? 'does not exist' : code === 'EACCES' ? 'cannot be reached' : code;
    const hidden = /^\/(home|root|run\/user|tmp|var\/tmp)\//.test(path)
      ? '; the unit hides /home, /root, /run/user, /tmp and /var/tmp from the daemon: hooks are well kept in /etc/v6edge/hooks'
      : '';
    throw new ValueError(`${called} ${reason}${hidden}`);
  }
}

/**
 * The program that a script names in its first line; undefined for machine code, and for what may be run and not read.
 * @throws {ValueError} it is neither
 */
function interpreterOf(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  const begin = Buffer.alloc(256);
  const length = readSync(fd, begin, 0, begin.length, 0);
  closeSync(fd);
  const text = begin.toString('latin1', 0, length);
  if (text.startsWith('\x7fELF')) return undefined;
  const script = /^#![ \t]*([^ \t\n]+)/.exec(text);
  if (script === null) throw new ValueError(`${path} is neither a program nor a script that begins with #!`);
  return script[1];
}

function readUrl(value: string): string {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ValueError('is no URL of http or https');
  if (url.username !== '' || url.password !== '') {
    throw new ValueError('has a user name or password in it, which is not supported');
  }
  return url.href;
}
