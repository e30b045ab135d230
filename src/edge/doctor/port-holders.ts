/** Which process has a port (proc(5)). Those of other users are seen by root alone. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { WantedPort } from '../ports.ts';

export interface PortHolder {
  readonly pid: number;
  readonly program: string;
  /** The unit of systemd that it belongs to, as `named.service`. */
  readonly unit: string | undefined;
}

const LISTEN = '0A';
const mappedPrefix = /^0{20}ffff/;

/** The process that has what is wanted; undefined: there is none, or it is not to be seen. */
export function portHolder(wanted: WantedPort): PortHolder | undefined {
  const links = new Set(inodesOf(wanted).map((inode) => `socket:[${inode}]`));
  if (links.size === 0) return undefined;
  const pids = list('/proc').filter((name) => /^\d+$/.test(name));
  // systemd keeps duplicates of what daemons listen on: it is the holder where nobody else is.
  const others = [...pids.filter((pid) => pid !== '1'), '1'];
  const pid = others.find((each) => list(`/proc/${each}/fd`).some((fd) => links.has(link(`/proc/${each}/fd/${fd}`))));
  if (pid === undefined) return undefined;
  const unit = /([^/\n]+\.service)$/m.exec(read(`/proc/${pid}/cgroup`))?.[1];
  return { pid: Number(pid), program: read(`/proc/${pid}/comm`).trim(), unit };
}

/** Sockets that stand in the way of what is wanted. */
function inodesOf({ transport, endpoint: { address, port } }: WantedPort): string[] {
  const wanted = Buffer.from(address.bytes).toString('hex');
  const own = address.family === 4 ? [`/proc/net/${transport}`] : [];
  return [...own, `/proc/net/${transport}6`].flatMap((table) =>
    read(table)
      .split('\n')
      .slice(1)
      .flatMap((line) => {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
        const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
        if (inode === undefined || (transport === 'tcp' && state !== LISTEN)) return [];
        const [hex = '', number = ''] = local.split(':');
        const held = networkOrder(hex).replace(address.family === 4 ? mappedPrefix : /^$/, '');
        const overlaps = held === wanted || isZero(held) || isZero(wanted);
        return Number.parseInt(number, 16) === port && overlaps ? [inode] : [];
      }),
  );
}

/** The kernel prints addresses as words of this machine. */
function networkOrder(hex: string): string {
  return Buffer.from(hex, 'hex').swap32().toString('hex');
}

function isZero(hex: string): boolean {
  return /^0*$/.test(hex);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // It has ended, or is another user's.
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
