import { readFileSync, writeFileSync } from 'node:fs';

/** Kernel settings under /proc/sys; tests have their own. */
export interface Sysctl {
  /** The value, trimmed; undefined when there is no such setting. */
  read(path: string): string | undefined;
  /** Whether the kernel took it. */
  write(path: string, value: string): boolean;
}

/** The kernel's own, of this process's network namespace. Paths have slashes: `net/ipv6/conf/eth1/accept_ra`. */
export const kernelSysctl: Sysctl = {
  read(path) {
    try {
      return readFileSync(`/proc/sys/${path}`, 'ascii').trim();
    } catch {
      return undefined;
    }
  },
  write(path, value) {
    try {
      writeFileSync(`/proc/sys/${path}`, value);
      return true;
    } catch {
      return false;
    }
  },
};
