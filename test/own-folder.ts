/**
 * Folders of tests in /tmp that outlive nobody: each has a file that its process holds locked (flock(2)), of which the kernel lets go
 * however the process ends. The next test that makes such a folder takes those away whose process is gone; a name alone, or a
 * number of a process, which another may have by then, proves nothing.
 */
import { closeSync, constants, mkdtempSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tryLock } from '../src/linux/flock.ts';

const lockName = '.lock';

/** Makes one whose name begins with `prefix`; it ends with the test `t`. */
export function ownFolder(t: Test, prefix: string): string {
  takeAwayLeft(prefix);
  const folder = mkdtempSync(join(tmpdir(), prefix));
  // It has the name that others look for when it is locked, and never before.
  const fresh = join(folder, `${lockName}.new`);
  const fd = openSync(fresh, 'wx');
  tryLock(fd);
  renameSync(fresh, join(folder, lockName));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
    closeSync(fd);
  });
  return folder;
}

function takeAwayLeft(prefix: string): void {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(prefix))) {
    const folder = join(tmpdir(), name);
    let fd: number;
    try {
      fd = openSync(join(folder, lockName), constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch {
      // Not one of these, or not yet, or no longer.
      continue;
    }
    try {
      if (tryLock(fd)) rmSync(folder, { recursive: true, force: true });
    } finally {
      closeSync(fd);
    }
  }
}
