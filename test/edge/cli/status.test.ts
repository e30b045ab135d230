import t from 'tap';
import { type Overview, showOverview } from '../../../src/edge/cli/status.ts';
import type { Paint } from '../../../src/edge/cli/table.ts';

const plain: Paint = (_, text) => text;
const now = 1_800_000_000_000;

const member = {
  name: 'w1',
  address: 'fd00:6:6::21',
  port: 80,
  weight: 100,
  backup: false,
  tier: 1,
  state: 'up',
  admin: 'ready',
  reason: 'connected',
  code: 'L4OK',
  inStateMs: 5000,
  active: 1,
  totals: {},
};
const well = {
  status: {
    version: '1.2.3',
    pid: 7,
    configFile: '/etc/v6edge/v6edge.yaml',
    startedAt: now - 61_000,
    uptimeSeconds: 61,
    threads: [{ name: 'data-0', state: 'running', restarts: 0 }],
    listeners: [
      { kind: 'proxy', name: 'web', endpoint: '0.0.0.0:80' },
      { kind: 'proxy', name: 'web', endpoint: '[::]:80' },
      { kind: 'dns', name: 'udp', endpoint: '[fd00:6:6::1]:53' },
      { kind: 'admin', name: 'admin', endpoint: 'unix:/run/v6edge/admin.sock' },
    ],
    totals: { sessions: 2, sessionsNow: 1, bytesIn: 1500, bytesOut: 20, queries: 1 },
  },
  waitingFor: [],
  notes: [],
  pools: [{ name: 'workers', members: [member, { ...member, name: 'w2' }] }],
  zones: [{ name: 'cluster.test', role: 'primary', serial: 5, records: 1, lastUpdate: now - 3000 }],
  dns: {
    upstreams: [{ endpoint: '[2001:db8::53]:53', transport: 'udp', healthy: true, rttMs: 12.34, totals: {} }],
    dns64: undefined,
    cache: {},
    totals: { answers_cache: 3, answers_stale: 0, answers_forwarded: 1 },
  },
  ra: [
    {
      interface: 'eth1',
      state: 'advertising',
      reason: '',
      lastSent: now - 9000,
      lastSolicitation: undefined,
      lastSolicitedBy: undefined,
      totals: {},
    },
  ],
} as unknown as Overview;

t.test('all is well: one screen of all three roles', async (t) => {
  t.equal(
    showOverview(well, now, plain),
    `v6edge 1.2.3, pid 7, up 1m 1s: ready

configuration  /etc/v6edge/v6edge.yaml
threads        data-0 running
admin          unix:/run/v6edge/admin.sock

proxy          1 session now, 2 since the start; 1.5 kB in, 20 B out
  listeners    web on 0.0.0.0:80, [::]:80
  pools        workers: 2 of 2 up, 2 sessions

dns            1 query since the start, 75 % of what is forwarded came from the cache
  listeners    udp on [fd00:6:6::1]:53
  zones        cluster.test: primary, serial 5, 1 record, changed 3s ago
  upstreams    [2001:db8::53]:53: well, 12.3 ms

ra             eth1: advertising, sent 9s ago
`,
  );
});

t.test('what is wrong stands on top, in words', async (t) => {
  const down = { ...member, name: 'w2', state: 'down', reason: 'connection refused' };
  const cases: [string, Partial<Record<keyof Overview, unknown>>, RegExp][] = [
    [
      'not ready',
      { waitingFor: ['zone cluster.test is not loaded'] },
      /: not ready\n {2}zone cluster\.test is not loaded\n/,
    ],
    [
      'a member down',
      { pools: [{ name: 'workers', members: [member, down] }] },
      /\n {2}workers\/w2 is down: connection refused\n/,
    ],
    [
      'that member in its pool',
      { pools: [{ name: 'workers', members: [member, down] }] },
      /workers: 1 of 2 up, 2 sessions \(w2 down\)\n/,
    ],
    ['no member up', { pools: [{ name: 'workers', members: [down] }] }, /\n {2}pool workers: no member is up\n/],
    ['no members at all', { pools: [{ name: 'workers', members: [] }] }, /workers: no members, 0 sessions\n/],
    [
      'an upstream down',
      { dns: { ...well.dns, upstreams: [{ ...well.dns.upstreams[0], healthy: false, reason: 'timeout' }] } },
      /\n {2}upstream \[2001:db8::53\]:53 is down: timeout\n/,
    ],
    [
      'a send that failed',
      { ra: [{ ...well.ra[0], lastError: 'ENETDOWN' }] },
      /\n {2}eth1: the last advertisement was not sent: ENETDOWN\n/,
    ],
    [
      'another router',
      {
        ra: [
          {
            ...well.ra[0],
            routers: [
              { source: 'fe80::9', lastSeen: '', contradictions: [{ what: 'hopLimit', ours: '64', theirs: '255' }] },
            ],
          },
        ],
      },
      /\n {2}eth1: router fe80::9 contradicts ours: hopLimit\n/,
    ],
    [
      'a silent thread',
      { status: { ...well.status, threads: [{ name: 'data-0', state: 'silent', restarts: 2 }] } },
      /thread data-0 is silent\n/,
    ],
    ['a note', { notes: ['upstreams synthesize'] }, /ready\n {2}upstreams synthesize\n/],
  ];
  for (const [name, change, expected] of cases) {
    t.match(showOverview({ ...well, ...change } as Overview, now, plain), expected, name);
  }
});

t.test('parts that are not configured are not there, long ones are summed up', async (t) => {
  const empty = { ...well, status: { ...well.status, listeners: [] }, pools: [], zones: [], ra: [] };
  t.notMatch(showOverview(empty, now, plain), /^(proxy|dns|ra) /m);
  const zones = Array.from({ length: 40 }, (_, i) => ({ ...well.zones[0]!, name: `z${i}.test` }));
  const text = showOverview({ ...well, zones }, now, plain);
  t.match(text, /z6\.test[\s\S]*… and 33 more zones: v6edge zones\n/);
  t.notMatch(text, /z7\.test/);
});
