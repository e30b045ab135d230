/**
 * What the API answers, for its description alone: loaded when that is asked for. Objects may have members beside these;
 * a test holds real answers of a running daemon against it.
 */
import { z } from 'zod';
import { findingIds } from '../doctor/report.ts';

export type AnswerName =
  | 'Health'
  | 'PrometheusText'
  | 'Status'
  | 'History'
  | 'Interfaces'
  | 'Dns'
  | 'Flushed'
  | 'EventStream'
  | 'Reloaded'
  | 'Pools'
  | 'Pool'
  | 'Member'
  | 'Removed'
  | 'Sessions'
  | 'SessionClosed'
  | 'Sources'
  | 'Zones'
  | 'Zone'
  | 'Records'
  | 'Record'
  | 'ZoneChange'
  | 'ZoneRefresh'
  | 'ZoneNotify'
  | 'Nodes'
  | 'Node'
  | 'NodeRemoved'
  | 'Tokens'
  | 'NewToken'
  | 'TokenRevoked'
  | 'Material'
  | 'EdgeExamined'
  | 'NodeExamined'
  | 'OpenApi'
  | 'Page';

export interface AnswerDescription {
  readonly description: string;
  readonly mediaTypes: readonly string[];
  readonly schema: z.ZodType;
}

const object = z.looseObject;
const count = z.int().min(0);
const figures = z.record(z.string(), z.number()).describe('sums since the start, by name');
/** Milliseconds of the wall clock (Unix time × 1,000). */
const moment = z.number();

const thread = object({
  name: z.string(),
  state: z.enum(['starting', 'running', 'silent', 'restarting', 'stopping']),
  restarts: count,
});

const listener = object({ kind: z.enum(['proxy', 'dns', 'join', 'admin']), name: z.string(), endpoint: z.string() });

const status = object({
  version: z.string(),
  pid: count,
  configFile: z.string(),
  startedAt: moment,
  uptimeSeconds: count,
  threads: z.array(thread),
  listeners: z.array(listener),
  joinConfigured: z.boolean().describe('whether there is a `join` section, so that nodes can join'),
  totals: figures,
});

const history = object({
  span: z.string(),
  stepMs: z.number(),
  times: z.array(moment),
  series: z.record(z.string(), z.array(moment.nullable())).describe('a list as long as `times` for each figure'),
});

const lastCheck = object({
  ok: z.boolean(),
  code: z.string().describe('HAProxy’s word, such as L4OK or L7STS'),
  reason: z.string(),
  durationMs: z.number(),
  rttMs: z.number().optional().describe('smoothed round-trip time of its connection'),
  inconclusive: z
    .boolean()
    .optional()
    .describe('it could not be made for want of descriptors, ports or memory here, and changes no state'),
  refusesHeader: z.boolean().optional().describe('it cannot read the PROXY header that the pool sends'),
  at: moment,
});

const member = object({
  name: z.string(),
  address: z.string(),
  port: count,
  weight: z.number().describe('what counts now: of a slow start, what there is so far'),
  configuredWeight: z.number(),
  maxConnections: count,
  full: object({ weight: count, maxConnections: count }).describe('what counts once a slow start is over'),
  backup: z.boolean(),
  tier: count.describe('0 = no backup; of backups the lowest tier serves of which any is up'),
  state: z.string(),
  admin: z.enum(['ready', 'drain', 'maint']),
  health: z.string(),
  origin: z.string(),
  leaving: z.boolean(),
  since: moment,
  inStateMs: z.number(),
  reason: z.string(),
  lastCheck: lastCheck.optional(),
  checks: object({
    failed: count.describe('checks that failed'),
    wentDown: count.describe('times it went down'),
    downMs: count.describe('milliseconds that it was down altogether'),
  }).describe('sums since the member is here'),
  warning: z.string().optional().describe('what is wrong with its settings, whatever its state'),
  active: z.number(),
  totals: figures,
  tcp: object({
    samples: count.describe('connections looked at as they ended'),
    rttMs: z.number().optional().describe('mean of their smoothed round-trip times'),
    segments: count.describe('that they sent'),
    retransmits: count,
    lost: count,
  }).describe('how connections to it fare (TCP_INFO)'),
});

const discovery = object({
  name: z.string(),
  members: count,
  lastGood: moment.optional(),
  error: z.string().optional(),
});

const pool = object({
  name: z.string(),
  balance: z.string(),
  proxyProtocol: z.enum(['none', 'v1', 'v2']),
  check: z.string(),
  up: count,
  queued: count.describe('sessions that wait for a place at a member, or for a member'),
  members: z.array(member),
  removed: z
    .array(object({ name: z.string(), address: z.string(), port: count }))
    .describe('members of the configuration that were taken out by this API'),
  discovery: discovery.optional(),
});

const session = object({
  id: z.string().describe('as in the log'),
  listener: z.string(),
  client: z.string().describe('its address and port'),
  pool: z.string(),
  member: z.string().optional(),
  state: z.enum(['header', 'hello', 'waiting', 'connecting', 'relaying', 'ended']),
  bytesIn: count.describe('from the client'),
  bytesOut: count.describe('to it'),
  ageMs: count,
  idleMs: count.describe('since a byte came from either end, or left for one that acknowledges'),
});

const source = object({
  listener: z.string(),
  client: z.string().describe('its address; of IPv6 clients the /64'),
  sessions: count.describe('at this moment'),
  connections: count.describe('new ones in the present window'),
  expiresMs: count.describe('until it may be forgotten, unless it has sessions then'),
  refused: count.describe('connections refused since it came into the table'),
});

const secondary = object({
  state: z.enum(['loaded', 'missing', 'expired']),
  primaries: z.array(z.string()),
  primary: z.string().optional(),
  asking: z.boolean(),
  lastRefresh: moment.optional(),
  nextRefresh: moment.optional(),
  expires: moment.optional(),
  lastError: z.string().optional(),
});

const zone = object({
  name: z.string(),
  serial: count,
  records: count,
  lastUpdate: moment.optional(),
  role: z.enum(['primary', 'secondary']),
  secondary: secondary.optional(),
});
const record = object({
  name: z.string(),
  type: z.string(),
  ttl: count,
  data: z.array(z.string()),
  expiresAt: z.array(moment.nullable()).optional(),
});

const upstream = object({
  endpoint: z.string(),
  transport: z.string(),
  healthy: z.boolean(),
  rttMs: z.number().optional(),
  reason: z.string().optional(),
  totals: figures,
});

const dns = object({ upstreams: z.array(upstream), dns64: z.unknown(), cache: figures, totals: figures });

const raInterface = object({
  interface: z.string(),
  state: z.string(),
  lastSent: moment.optional(),
  lastSolicitation: moment.optional(),
  totals: figures,
});

const role = z.enum(['control-plane', 'worker']);

const node = object({
  name: z.string(),
  domain: z.string(),
  role,
  mode: z.enum(['init', 'join']).describe('whether it makes the cluster, or joins it'),
  joinedAt: moment,
  source: z.string().describe('where it joined from'),
  state: z.enum(['joining', 'announced', 'up', 'down']),
  addresses: z.array(z.string()),
  pools: z.array(object({ pool: z.string(), member: z.string(), port: count, state: z.string(), reason: z.string() })),
  lastUpdate: moment.optional().describe('of its last DNS update since the start'),
  progress: object({ state: z.string(), step: z.string().optional(), at: moment })
    .optional()
    .describe('what its scripts last said'),
  leaseUntil: moment.optional().describe('when its address vanishes unless it is announced again'),
});

const token = object({
  id: z.string(),
  role,
  name: z.string().optional(),
  state: z.enum(['open', 'claimed', 'used', 'expired']),
  createdAt: moment,
  expiresAt: moment,
  node: z.string().optional(),
  source: z.string().optional(),
});

const newToken = object({
  id: z.string(),
  token: z.string(),
  role,
  name: z.string().optional(),
  expiresAt: moment,
  command: z.string().describe('what to run on the node'),
  scriptSha256: z.string().describe('of the script that the command fetches'),
  warning: z.string().optional().describe('why a node could not join with it now'),
});

const material = object({
  by: z.string(),
  at: moment,
  tokenExpiresAt: moment,
  caCertHashes: z.array(z.string()),
  certificateKeyExpiresAt: moment.optional(),
});

const finding = object({
  id: z.enum(findingIds),
  severity: z.enum(['error', 'warning', 'note']),
  subject: z.string(),
  text: z.string(),
  run: z.array(z.string()).describe('what mends it: commands, or what to change'),
  where: z.enum(['node', 'edge']),
});

const heard = object({ count, last: moment.optional() });

const examinedNode = object({
  node: z.string(),
  healthy: z.boolean(),
  since: moment.describe('since when things are counted'),
  names: z.array(z.string()),
  addresses: z.array(
    object({
      address: z.string(),
      neighbour: z.string(),
      mac: z.string().optional(),
      interface: z.string().optional(),
      advertised: z.boolean(),
    }),
  ),
  solicitations: heard,
  queries: heard.extend({ refused: count }),
  updates: object({ accepted: count, refused: count, last: moment.optional() }),
  members: z.array(object({ member: z.string(), state: z.string(), reason: z.string() })),
  sessions: count,
  findings: z.array(finding),
});

const examinedEdge = object({
  healthy: z.boolean(),
  since: moment,
  findings: z.array(finding),
  nodes: z.array(
    object({ node: z.string(), healthy: z.boolean(), findings: z.array(z.enum(findingIds)), text: z.string() }),
  ),
  more: count.describe('nodes beyond those listed'),
});

const json = (description: string, schema: z.ZodType): AnswerDescription => ({
  description,
  mediaTypes: ['application/json'],
  schema,
});

export const answers: Readonly<Record<AnswerName, AnswerDescription>> = {
  Health: json('it is', object({ status: z.string(), notes: z.array(z.string()).optional() })),
  PrometheusText: { description: 'metrics', mediaTypes: ['text/plain'], schema: z.string() },
  Status: json('the daemon', status),
  History: json('figures over time', history),
  Interfaces: json('interfaces that advertise, or should', z.array(raInterface)),
  Dns: json('forwarder and cache', dns),
  Flushed: json('done', object({ flushed: z.string() })),
  EventStream: {
    description: 'one event after the other; the data of each is a JSON object with kind and at',
    mediaTypes: ['text/event-stream'],
    schema: z.string(),
  },
  Reloaded: json('it is in effect', object({ changed: z.array(z.string()), overridden: z.array(z.string()) })),
  Pools: json('all pools', z.array(pool)),
  Pool: json('the pool', pool),
  Member: json('the member', member),
  Removed: json('gone, or going', object({ pool: z.string(), member: z.string(), removed: z.boolean() })),
  Sessions: json('sessions', z.array(session)),
  Sources: json('clients', z.array(source)),
  SessionClosed: json('ended', object({ id: z.string(), closed: z.boolean() })),
  Zones: json('all zones', z.array(zone)),
  Zone: json('the zone', zone),
  Records: { description: 'RRsets', mediaTypes: ['application/json', 'text/dns'], schema: z.array(record) },
  Record: json('the RRset', record),
  ZoneChange: json('changed, and on disk', object({ zone: z.string(), serial: count })),
  ZoneRefresh: json('the primaries are being asked', object({ zone: z.string(), whole: z.boolean() })),
  ZoneNotify: json('the secondaries are being told', object({ zone: z.string(), notified: z.array(z.string()) })),
  Nodes: json('all nodes', z.array(node)),
  Node: json('the node', node),
  NodeRemoved: json(
    'it is gone; `removed` is false if it was not there',
    object({ node: z.string(), removed: z.boolean() }),
  ),
  Tokens: json('tokens', z.array(token)),
  NewToken: json('made', newToken),
  TokenRevoked: json('nobody can join with it', object({ id: z.string(), revoked: z.boolean() })),
  Material: json('what is known of it', material),
  EdgeExamined: json('what is wrong with the edge, and a line for each node', examinedEdge),
  NodeExamined: json('what is wrong with the node', examinedNode),
  OpenApi: json('OpenAPI 3.1', object({ openapi: z.string() })),
  Page: { description: 'the dashboard', mediaTypes: ['text/html'], schema: z.string() },
};

/** The body of every error (RFC 9457). */
export const problem = object({
  type: z.string(),
  title: z.string(),
  status: count,
  detail: z.string(),
  errors: z.array(z.string()).optional(),
});
