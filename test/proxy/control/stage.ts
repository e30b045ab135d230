/** A control with fake checks and a fake clock, for tests, and the configurations it is given. */
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';
import type { CheckConfig, ListenerConfig, MemberConfig, PoolConfig, ProxyConfig } from '../../../src/proxy/config.ts';
import {
  type MemberEvent,
  type MemberWarning,
  ProxyControl,
  type ProxyControlContext,
} from '../../../src/proxy/control.ts';
import type { MemberSnapshot, ProxySnapshot } from '../../../src/proxy/snapshot.ts';

export const noCheck: CheckConfig = {
  type: 'none',
  intervalMs: 2000,
  fastIntervalMs: 2000,
  downIntervalMs: 2000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  method: 'GET',
  path: '/',
  host: undefined,
  expect: [200],
  steps: [],
  sni: undefined,
  verify: 'none',
  caFile: undefined,
  ca: undefined,
  address: undefined,
  port: undefined,
  sendProxy: undefined,
};
export const tcpCheck: CheckConfig = { ...noCheck, type: 'tcp' };

export function member(name: string, more: Partial<MemberConfig> = {}): MemberConfig {
  const base = { address: 'fd00::1', port: 80, weight: 100, maxConnections: 0, backup: false, slowStartMs: 0 };
  return { name, ...base, ...more };
}

export function pool(name: string, members: MemberConfig[], more: Partial<PoolConfig> = {}): PoolConfig {
  return {
    name,
    proxyProtocol: 'none',
    proxyV2Options: [],
    proxyV2Tlvs: [],
    proxyV2Align: 0,
    balance: 'leastconn',
    check: tcpCheck,
    onMarkedDown: 'close',
    onMarkedUp: 'keep',
    keepaliveMs: 30_000,
    userTimeoutMs: 120_000,
    maxAgeMs: 0,
    retries: 3,
    queue: { timeoutMs: 5000, length: 1000 },
    discover: undefined,
    timeouts: undefined,
    ...more,
    members,
  };
}

export function listener(name: string, poolName = 'web'): ListenerConfig {
  const rate = { perSource: 0, windowMs: 10_000 };
  const base = {
    bind: [],
    routes: [],
    whenEmpty: 'reset' as const,
    acceptProxy: false,
    trusted: [],
    allow: [],
    deny: [],
  };
  return {
    name,
    pool: poolName,
    ...base,
    rate,
    maxPerSource: 0,
    onLimit: 'reject',
    backlog: 128,
    maxConnections: 0,
    log: true,
    logStart: false,
    logSilent: true,
  };
}

export function config(pools: PoolConfig[], listeners: ListenerConfig[] = [listener('http')]): ProxyConfig {
  const timeouts = {
    attemptDelayMs: 250,
    connectMs: 3000,
    idleMs: 3.6e6,
    tunnelMs: 3.6e6,
    clientFinMs: 30_000,
    serverFinMs: 30_000,
    proxyHeaderMs: 3000,
    clientHelloMs: 3000,
    hardStopAfterMs: 0,
  };
  return { timeouts, maxConnections: 20_000, listeners, pools };
}

/** A control whose checks end as `healthy` says, 10 ms after they start; keyed by address. */
export function setUp(more: Partial<ProxyControlContext> = {}) {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const snapshots: ProxySnapshot[] = [];
  const events: (MemberEvent | MemberWarning)[] = [];
  const removed: string[] = [];
  const healthy = new Map<string, boolean>();
  const targets: CheckTarget[] = [];
  const control = new ProxyControl({
    clock,
    log,
    random: new SeededRandom(1),
    publish: (snapshot) => snapshots.push(structuredClone(snapshot)),
    emit: (event) => {
      if (event.kind !== 'member-removed') events.push(event);
      else removed.push(`${event.pool}/${event.member}`);
    },
    probe: (target, _clock, done) => {
      targets.push(target);
      const ok = healthy.get(target.address) ?? true;
      const result: CheckResult = ok
        ? { ok, code: 'L4OK', reason: 'connected', durationMs: 10 }
        : { ok, code: 'L4CON', reason: 'connection refused', durationMs: 10 };
      const timer = clock.after(10, () => done(result));
      return { cancel: () => timer.cancel() };
    },
    ...more,
  });
  const last = () => snapshots.at(-1)!;
  const members = (name = 'web') => last().pools.find((p) => p.name === name)!.members;
  const states = (name = 'web') => Object.fromEntries(members(name).map((m: MemberSnapshot) => [m.name, m.state]));
  const told = () =>
    log.lines
      .filter((line) => line.level !== 'debug')
      .map((line) => `${line.level} ${line.fields.member} ${line.message}: ${line.fields.reason}`);
  return { clock, log, snapshots, events, removed, healthy, targets, control, last, members, states, told };
}
