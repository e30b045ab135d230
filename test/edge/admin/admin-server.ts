/** An admin server for tests, with a source of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { startAdmin } from '../../../src/edge/admin/server.ts';
import type { AdminSource, MemberReport, PoolReport } from '../../../src/edge/admin/source.ts';
import { EventStream } from '../../../src/edge/events.ts';

/** Where its sockets are, until all tests of the file are over. */
export const folder = mkdtempSync(join(tmpdir(), 'v6edge-admin-'));
t.teardown(() => rmSync(folder, { recursive: true }));

export const token = 'a-token-for-this-test';

const member: MemberReport = {
  name: 'w1',
  slot: 0,
  address: 'fd00::21',
  port: 80,
  weight: 100,
  configuredWeight: 100,
  full: { weight: 100, maxConnections: 0 },
  maxConnections: 0,
  backup: false,
  tier: 0,
  state: 'up',
  admin: 'ready',
  health: 'up',
  origin: 'config',
  leaving: false,
  since: 1,
  inStateMs: 2,
  reason: 'check passed',
  lastCheck: undefined,
  checks: { failed: 0, wentDown: 0, downMs: 0 },
  warning: undefined,
  tcp: { samples: 0, rttMs: undefined, segments: 0, retransmits: 0, lost: 0 },
  active: 1,
  totals: { sessions: 3 },
};

const pool: PoolReport = {
  name: 'workers',
  slot: 0,
  queued: 0,
  balance: 'leastconn',
  proxyProtocol: 'v2',
  check: 'tcp',
  up: 1,
  removed: [],
  members: [member],
};

const noNodes: AdminSource['nodes'] = {
  configured: false,
  list: () => [],
  remove: async () => false,
  tokens: () => [],
  createToken: () => {
    throw new Error('not configured');
  },
  revokeToken: () => false,
  material: () => undefined,
  setMaterial: () => {
    throw new Error('not configured');
  },
};

/** A daemon that has one of everything, and remembers what it was told. */
export function fakeSource(): AdminSource & { ready_: boolean; broken: boolean; calls: unknown[]; errors: string[] } {
  return {
    ready_: true,
    broken: false,
    calls: [],
    errors: [],
    nodes: noNodes,
    status() {
      if (this.broken) throw new Error('the hidden reason');
      return {
        version: '1',
        pid: 2,
        configFile: '/c',
        startedAt: 0,
        uptimeSeconds: 1,
        threads: [],
        listeners: [],
        joinConfigured: false,
        totals: { sessions: 3 },
      };
    },
    ready() {
      return {
        ready: this.ready_,
        waitingFor: this.ready_ ? [] : ['zone a.test is not loaded', '[::]:80 is not bound'],
        notes: ['dns64: upstreams synthesize'],
      };
    },
    metrics: async () => '# HELP v6edge_x x\nv6edge_x 1\n',
    pools: () => [pool],
    hasZone: (zone) => zone === 'a.test',
    zones: () => [{ name: 'a.test', serial: 5, records: 2, lastUpdate: undefined, role: 'primary' }],
    records(zone, filter) {
      this.calls.push({ zone, ...filter });
      if (zone !== 'a.test') return undefined;
      const next = filter.after === undefined && filter.name === undefined ? 'x.a.test' : undefined;
      return { records: [{ name: 'x.a.test', type: 'A', ttl: 60, data: ['192.0.2.1'] }], next };
    },
    allRecords(zone, filter) {
      this.calls.push({ zone, ...filter });
      return zone === 'a.test' ? [{ name: 'x.a.test', type: 'A', ttl: 60, data: ['192.0.2.1'] }] : undefined;
    },
    exportZone: (zone) => (zone === 'a.test' ? '$ORIGIN a.test.\n' : undefined),
    ra: () => [
      {
        interface: 'eth1',
        state: 'advertising',
        lastSent: 1,
        lastSolicitation: undefined,
        lastSolicitedBy: undefined,
        totals: { sentMulticast: 1 },
      },
    ],
    dns: () => ({ upstreams: [], dns64: undefined, cache: {}, totals: {} }),
    history: (span) => ({ span, stepMs: 5000, times: [1], series: { queries: [2] } }),
    setMember(pool, name, order) {
      this.calls.push({ pool, name, ...order });
      return pool === 'workers' && name === 'w1' ? { ...member, admin: order.state ?? 'ready' } : undefined;
    },
    async reload() {
      return {
        errors: this.errors,
        overridden: ['workers/w1 drain'],
        changed: ['proxy.pools.workers.balance changed'],
      };
    },
    taken: async () => undefined,
    addMember: () => member,
    removeMember: () => undefined,
    sessions: async () => [],
    sources: () => [],
    closeSession: async () => false,
    setRecords: async (zone) => ({ zone, serial: 6 }),
    deleteRecords: async (zone) => ({ zone, serial: 6 }),
    refreshZone: () => undefined,
    notifyZone: () => ['[::1]:53'],
    flushCache: () => undefined,
    doctor: async () => ({ healthy: true, since: 0, findings: [], nodes: [], more: 0 }),
    doctorOf: async () => {
      throw new Error('nobody asks for a node here');
    },
    events: new EventStream(systemClock),
  };
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  json: unknown;
}

/** Sends one request to a listening endpoint as `startAdmin` names it. */
export function send(
  endpoint: string,
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const to = parseEndpoint(endpoint);
  const place =
    to.kind === 'unix' ? { socketPath: to.path } : { host: /^\[?(.*?)\]?:\d+$/.exec(endpoint)![1]!, port: to.port };
  return new Promise((resolve, reject) => {
    const req = request({ ...place, path, method, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (chunk) => {
        text += chunk;
      });
      res.on('end', () => {
        const json = /json/.test(res.headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : undefined;
        resolve({ status: res.statusCode!, headers: res.headers, text, json });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** A server on these endpoints, until the test is over. */
export async function start(
  t: Test,
  listen: string[],
  options: { token?: string; source?: AdminSource; log?: MemoryLogger } = {},
) {
  const config = { listen: listen.map(parseEndpoint), tokenFile: undefined, token: options.token };
  const server = await startAdmin(config, options.source ?? fakeSource(), options.log ?? new MemoryLogger());
  t.teardown(() => server.close());
  return server;
}

/** An endpoint in `folder`. */
export const socket = (name: string) => `unix:${join(folder, name)}`;
