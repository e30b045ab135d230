/**
 * Memory of idle sessions, in user space: what a freshly started peer has for its own (smaps) when it holds them, less
 * what it had before, after some work that makes it compile and allocate what every session needs. What sockets take
 * in the kernel is the same for all and not counted.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { spawnPinned } from '../process.ts';
import { type Peer, type ProxyBench, report, startPeer } from './peers.ts';

export const idleWork = 'idle sessions';
/** From the last session until memory is read: what a peer gives back soon after is not held against it. */
const settleMs = 1_000;
/** What a peer may keep for itself (v6edge 1,000) of the descriptors that it is allowed, and a margin. */
const otherDescriptors = 1_100;

/** Sessions to hold: 10,000, or as many as the descriptor limit allows a proxy, which needs two for each. */
export function idleSessions(): number {
  const limit = /Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return Math.min(10_000, Math.floor((Number(limit ?? Number.POSITIVE_INFINITY) - otherDescriptors) / 2));
}

export async function runIdle(bench: ProxyBench, peer: Peer): Promise<void> {
  const sessions = idleSessions();
  const server = await startPeer(bench, peer, sessions);
  try {
    await report(bench, 'load', 'connect', '127.0.0.1', peer.port, 32, 1);
    await delay(settleMs);
    const before = server.memory().uss;
    const holder = await hold(bench, peer, sessions);
    try {
      await delay(settleMs);
      const after = server.memory().uss;
      const add = (quantity: string, unit: string, value: number) =>
        bench.results.add(idleWork, quantity, unit, peer.name, value);
      add('memory per session', 'bytes', ((after - before) * 1024) / sessions);
      add(`private memory with ${sessions}`, 'MiB', after / 1024);
      add('private memory with none', 'MiB', before / 1024);
    } finally {
      holder.kill();
    }
  } finally {
    await server.stop();
  }
}

/** The process that holds the sessions, each of which has had an answer. */
async function hold(bench: ProxyBench, peer: Peer, sessions: number) {
  const command = [bench.programs.pace, 'hold', '127.0.0.1', String(peer.port), String(sessions)];
  const holder = spawnPinned(bench.cores.rest, command, { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    holder.on('error', reject);
    holder.on('exit', (code) => reject(new Error(`${peer.name}: sessions do not stay (${code})`)));
    holder.stdout!.once('data', () => resolve());
  });
  return holder;
}
