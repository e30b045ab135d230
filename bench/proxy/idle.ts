/**
 * Memory of idle sessions, in user space: the most that a freshly started peer has for its own (smaps) when it holds them, less
 * the least that it had before the first. So whatever the first sessions bring with them counts as theirs: code that is compiled,
 * tables that grow, garbage. What sockets take in the kernel is the same for all and not counted.
 */
import { readFileSync } from 'node:fs';
import { type Server, spawnPinned } from '../process.ts';
import { type Steadiness, steady } from '../steady.ts';
import { type Peer, type ProxyBench, startPeer } from './peers.ts';

export const idleWork = 'idle sessions';
/** Steady to half a MiB: some 50 bytes a session. */
const steadyKib = 512;
/**
 * Before the first session a peer may give back what its start left, and counts as settled when it has not for nine seconds: v6edge
 * does twice, 8.5 s apart (edge/settle.ts).
 */
const atRest: Steadiness = { readings: 37, pauseMs: 250, tolerance: steadyKib, limit: 240 };
/** With sessions, and when they have gone. What is given back later is held against it. */
const soon: Steadiness = { readings: 9, pauseMs: 250, tolerance: steadyKib, limit: 120 };
/** What a peer may keep for itself (v6edge 1,000) of the descriptors that it is allowed, and a margin. */
const otherDescriptors = 1_100;

/** Sessions to hold: 10,000, or as many as the descriptor limit allows a proxy, which needs two for each. */
export function idleSessions(): number {
  const limit = /Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return Math.min(10_000, Math.floor((Number(limit ?? Number.POSITIVE_INFINITY) - otherDescriptors) / 2));
}

/** Measures each peer once: they settle side by side, and hold sessions one after the other, for the origin's descriptors. */
export async function runIdle(bench: ProxyBench): Promise<void> {
  const sessions = idleSessions();
  const servers: Server[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  const measure = async (peer: Peer, server: Server) => {
    const before = (await settled(server, atRest)).leastEver;
    const mine = turn.then(() => measureHeld(bench, peer, server, sessions, before));
    turn = mine.catch(() => {});
    await mine;
  };
  try {
    for (const peer of bench.peers) servers.push(await startPeer(bench, peer, sessions));
    const measured = await Promise.allSettled(bench.peers.map((peer, i) => measure(peer, servers[i]!)));
    for (const one of measured) if (one.status === 'rejected') throw one.reason;
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** @param before private memory at rest without a session, KiB */
async function measureHeld(bench: ProxyBench, peer: Peer, server: Server, sessions: number, before: number) {
  const none = Math.min(before, server.memory().uss);
  const letGo = await hold(bench, peer, sessions);
  let held: number;
  try {
    held = (await settled(server, soon)).most;
  } finally {
    await letGo();
  }
  const gone = (await settled(server, soon)).last;
  const bytes = sessionBytes(peer.name, none, held, sessions);
  bench.say(`${peer.name}: ${Math.round(bytes)} bytes a session`);
  const add = (quantity: string, unit: string, value: number) =>
    bench.results.add(`${idleWork} (${sessions})`, quantity, unit, peer.name, value);
  add('memory per session', 'bytes', bytes);
  add('private memory with none', 'MiB', none / 1024);
  add('with all of them', 'MiB', held / 1024);
  add('when they have gone', 'MiB', gone / 1024);
}

/**
 * What a session adds, bytes, of private memory in KiB.
 * @throws {Error} when there was no less without any: such a peer gave something back meanwhile, and its figure would flatter it
 */
export function sessionBytes(name: string, none: number, held: number, sessions: number): number {
  if (held <= none)
    throw new Error(`${name} had not settled: ${none} KiB without a session, ${held} KiB with ${sessions}`);
  return ((held - none) * 1024) / sessions;
}

function settled(server: Server, steadiness: Steadiness) {
  return steady(`private memory of ${server.name}, KiB,`, () => server.memory().uss, steadiness);
}

/** Has a process hold the sessions, each of which has had an answer. The function that it returns ends that process. */
async function hold(bench: ProxyBench, peer: Peer, sessions: number): Promise<() => Promise<void>> {
  const command = [bench.programs.pace, 'hold', '127.0.0.1', String(peer.port), String(sessions)];
  const holder = spawnPinned(bench.cores.rest, command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => holder.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    holder.on('error', reject);
    holder.on('exit', (code) => reject(new Error(`${peer.name}: sessions do not stay (${code})`)));
    holder.stdout!.once('data', () => resolve());
  });
  return async () => {
    holder.kill();
    await exited;
  };
}
