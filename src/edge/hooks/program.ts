/**
 * Runs a hook's program for one event. There is no shell: the event is in the environment, value by value, and whole as JSON on
 * standard input, so that what a peer wrote into it (a check's reason) is data wherever the program is careful with its own.
 *
 * The program gets no descriptor of ours, none of our environment (sockets and secrets of the service manager), none of our
 * capabilities. It is the leader of a process group, and what is left of the group when it ends, or when its time is over, is
 * killed: nothing piles up.
 */
import type { ChildProcess } from 'node:child_process';
import { errorCode } from '../../core/errors.ts';
import { clearAmbientCapabilities, closeDescriptorsOnExec } from '../../linux/exec.ts';
import type { Outgoing } from './event.ts';

/** What is kept of what it says on standard error; the rest is read and thrown away. */
const maxSaid = 512;
/** Longest wait for the rest of it once the program has ended. */
const lastWordsMs = 200;
/** Longest value in the environment; the kernel takes no more than 128 KiB in one (execve(2)). */
const maxValue = 4096;

const environmentOfPrograms: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/**
 * Resolves when the program has ended with 0. An aborted signal kills it.
 * @throws {Error} it cannot be run, ends otherwise, or was killed
 */
export async function runProgram(command: readonly string[], event: Outgoing, signal: AbortSignal): Promise<void> {
  const { spawn } = await import('node:child_process');
  signal.throwIfAborted();
  closeDescriptorsOnExec();
  clearAmbientCapabilities();
  const [program, ...args] = command;
  const child = spawn(program!, args, {
    cwd: '/',
    env: environment(event),
    // A session and process group of its own.
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const said = firstWords(child);
  // It may not want to read what it is told.
  child.stdin!.on('error', () => {}).end(`${JSON.stringify(event)}\n`);
  const kill = () => killGroup(child);
  signal.addEventListener('abort', kill);
  try {
    const ended = await endOf(child);
    kill();
    signal.throwIfAborted();
    if (ended !== 'status 0') throw new Error(`ended with ${ended}${await said()}`);
  } finally {
    signal.removeEventListener('abort', kill);
    child.stdin!.destroy();
    child.stderr!.destroy();
  }
}

/** `V6EDGE_` and the name of each field that is text, a number or a truth. */
export function environment(event: Outgoing): Record<string, string> {
  const variables: Record<string, string> = { ...environmentOfPrograms };
  for (const [name, value] of Object.entries(event)) {
    if (!['string', 'number', 'boolean'].includes(typeof value)) continue;
    const variable = `V6EDGE_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
    // One line, without the NUL that ends a variable.
    variables[variable] = String(value)
      .slice(0, maxValue)
      .replaceAll(/\p{Cc}/gu, ' ');
  }
  return variables;
}

/** `status N` or the signal that ended it; it may have children that hold its pipes, so their end is not waited for. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`cannot be run: ${errorCode(error) ?? error.message}`)));
    child.once('exit', (code, signal) => resolve(code === null ? String(signal) : `status ${code}`));
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/** Collects the begin of standard error; the function returned gives its first line once the program has ended. */
function firstWords({ stderr }: ChildProcess): () => Promise<string> {
  let said = '';
  stderr!.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < maxSaid) said = (said + text).slice(0, maxSaid);
  });
  // Whoever left the group may hold the pipe open for ever.
  const closed = new Promise((resolve) => stderr!.once('error', resolve).once('close', resolve));
  return async () => {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, lastWordsMs);
    await Promise.race([closed, timeout.promise]);
    clearTimeout(timer);
    const line = said
      .trimStart()
      .split('\n', 1)[0]!
      .replaceAll(/\p{Cc}/gu, ' ')
      .trim();
    return line === '' ? '' : `: ${line}`;
  };
}
