/** The `proxy` section: schema, defaults, and the checks that span keys. */
import { z } from 'zod';
import { formatEndpoint, parseAddress } from '../../core/address.ts';
import type {
  DiscoverConfig,
  ListenerConfig,
  MemberConfig,
  PoolConfig,
  ProxyTimeouts,
  ProxyV2Tlv,
} from '../../proxy/config.ts';
import { customTlvs } from '../../proxy/wire/tlv.ts';
import { check, maxSteps, readHex } from './check.ts';
import { readDomainName } from './domain-name.ts';
import { entityName, nameFault } from './entity-name.ts';
import { choice, flag, integer, list, milliseconds, parsed, section, text } from './fields.ts';
import { listener } from './proxy-listener.ts';
import type { Located, Report } from './types.ts';

/** All own fields of a header together: beside everything else it may hold it has a few KiB. */
const maxTlvBytes = 512;

const port = () => integer(1, 65535);

const timeouts = section({
  connect: milliseconds(1)
    .prefault('3s')
    .describe('longest wait for a member to answer a connect (HAProxy `timeout connect`)'),
  attemptDelay: milliseconds(10, 60_000)
    .prefault('250ms')
    .describe(
      'a connect that has no answer after this has another member tried beside it, and the first to answer gets the session (RFC 8305 §5); as long as `connect` = never',
    ),
  idle: milliseconds()
    .prefault('1h')
    .describe('a session without a byte in either direction ends after this; 0s = never'),
  tunnel: milliseconds()
    .optional()
    .describe('the same once both sides have sent something (`timeout tunnel`); without it `idle`'),
  clientFin: milliseconds(1)
    .prefault('30s')
    .describe('longest wait for the client, without a byte, once the member has half-closed (`timeout client-fin`)'),
  serverFin: milliseconds(1)
    .prefault('30s')
    .describe('longest wait for the member, without a byte, once the client has half-closed (`timeout server-fin`)'),
  proxyHeader: milliseconds(1).prefault('3s').describe('longest wait for the PROXY header that `acceptProxy` requires'),
  clientHello: milliseconds(1)
    .prefault('3s')
    .describe('longest wait for the TLS ClientHello that `routes` go by; after it `pool` serves (`inspect-delay`)'),
  hardStopAfter: milliseconds()
    .prefault('10s')
    .describe('when the daemon stops, sessions may go on for this long (`hard-stop-after`)'),
})
  .transform(
    (t): ProxyTimeouts => ({
      connectMs: t.connect,
      attemptDelayMs: t.attemptDelay < t.connect ? t.attemptDelay : 0,
      idleMs: t.idle,
      tunnelMs: t.tunnel ?? t.idle,
      clientFinMs: t.clientFin,
      serverFinMs: t.serverFin,
      proxyHeaderMs: t.proxyHeader,
      clientHelloMs: t.clientHello,
      hardStopAfterMs: t.hardStopAfter,
    }),
  )
  .prefault({})
  .describe('how long a session may wait for what');

const maxConnections = () => integer(0, 10_000_000).prefault(0).describe('sessions of a member at once; 0 = no limit');

const slowStart = () =>
  milliseconds(0, 3_600_000)
    .prefault('0s')
    .describe(
      'time in which a member that came up again, or is new beside others that serve, grows to its weight and its `maxConnections`',
    );

/** One entry of a pool's `members`. */
export const member = section({
  name: entityName().describe('unique in its pool'),
  address: parsed({ kind: 'address' }, (value) => {
    parseAddress(value);
    return value;
  }).describe('IPv6 or IPv4'),
  port: port().describe('TCP port'),
  weight: integer(0, 256).prefault(100).describe('share of new sessions in proportion; 0 = none'),
  maxConnections: maxConnections(),
  backup: flag().prefault(false).describe('used only when no other member is up'),
  slowStart: slowStart(),
}).transform(({ slowStart, ...rest }): MemberConfig => ({ ...rest, slowStartMs: slowStart }));

const discover = section({
  srv: domainName().optional().describe('name with SRV records: members, ports and weights are theirs'),
  aaaa: domainName().optional().describe('name with AAAA records'),
  a: domainName().optional().describe('name with A records'),
  port: port().optional().describe('port of the members, for `aaaa` and `a`'),
  maxConnections: maxConnections(),
  slowStart: slowStart(),
})
  .transform((d, ctx): DiscoverConfig => {
    const each = { maxConnections: d.maxConnections, slowStartMs: d.slowStart };
    const given = (['srv', 'aaaa', 'a'] as const).filter((kind) => d[kind] !== undefined);
    const kind = given[0];
    if (given.length !== 1 || kind === undefined) {
      return issue(ctx, d, 'exactly one of srv, aaaa and a says where members are found');
    }
    if (kind === 'srv') {
      if (d.port !== undefined) return issue(ctx, d, 'SRV records bring their own ports; leave `port` out');
      return { kind, name: d[kind]!, ...each };
    }
    if (d.port === undefined) return issue(ctx, d, `${kind} records have no port; give \`port\` beside them`);
    return { kind, name: d[kind]!, port: d.port, ...each };
  })
  .optional()
  .describe('members that DNS names, from our own zones or by forwarding');

/** One entry of `proxyV2Tlvs`. */
const tlv = section({
  type: integer(customTlvs.min, customTlvs.max).describe('0xE0 to 0xEF, which are free for own use'),
  value: text().optional().describe('text, UTF-8'),
  hex: parsed({ kind: 'hex' }, readHex).optional().describe('bytes, in place of `value`'),
}).transform((t, ctx): ProxyV2Tlv => {
  if ((t.value === undefined) === (t.hex === undefined))
    return issue(ctx, t, 'exactly one of value and hex says what it holds');
  return { type: t.type, value: Uint8Array.from(t.hex ?? Buffer.from(t.value!)) };
});

/** `timeouts` of a pool: what differs from those of the proxy. */
const poolTimeouts = section({
  connect: milliseconds(1).optional().describe('longest wait for a member to answer a connect'),
  idle: milliseconds().optional().describe('a session without a byte in either direction ends after this; 0s = never'),
  tunnel: milliseconds()
    .optional()
    .describe('the same once both sides have sent something; without it the `idle` given here'),
  clientFin: milliseconds(1)
    .optional()
    .describe('longest wait for the client, without a byte, once the member has half-closed'),
  serverFin: milliseconds(1)
    .optional()
    .describe('longest wait for the member, without a byte, once the client has half-closed'),
});

/** A pool by itself: without the proxy's timeouts. */
export type PoolSettings = Omit<PoolConfig, 'name' | 'timeouts'> & { readonly timeouts: z.infer<typeof poolTimeouts> };

/** One value of `proxy.pools`; its key is its name. */
export const pool = section({
  proxyProtocol: choice(['none', 'v1', 'v2'])
    .prefault('none')
    .describe('PROXY protocol header sent to members, with the client’s address'),
  proxyV2Options: list(choice(['unique-id', 'authority', 'alpn', 'crc32c']))
    .prefault([])
    .describe(
      'TLVs in v2 headers: the session’s id as the log has it, the server name that `routes` read, the protocol they read if the client offers just one, a checksum (`proxy-v2-options`)',
    ),
  proxyV2Tlvs: list(tlv)
    .prefault([])
    .describe(`TLVs of your own in v2 headers, ${maxTlvBytes} bytes together (\`set-proxy-v2-tlv-fmt\`)`),
  proxyV2Align: integer(0, 256)
    .prefault(0)
    .describe('v2 headers are padded with a NOOP TLV to a multiple of so many bytes; 0 = they are not'),
  balance: choice(['roundrobin', 'leastconn', 'random2', 'source', 'first'])
    .prefault('leastconn')
    .describe('who gets a new session; `source` hashes the client’s address, `first` fills members in their order'),
  check,
  onMarkedDown: choice(['close', 'keep'])
    .prefault('close')
    .describe('sessions of a member whose checks fail (HAProxy `on-marked-down`)'),
  onMarkedUp: choice(['keep', 'close-backups'])
    .prefault('keep')
    .describe(
      'sessions of backups when a member comes up that goes before them (HAProxy `on-marked-up shutdown-backup-sessions`)',
    ),
  keepalive: milliseconds(0, 86_400_000)
    .prefault('30s')
    .describe('TCP keepalive on both sides; 0s = off; a reload changes live sessions, too'),
  userTimeout: milliseconds(0, 86_400_000)
    .prefault('2m')
    .describe(
      'a peer that acknowledges or takes nothing for this long is dead, on both sides (TCP_USER_TIMEOUT, HAProxy `tcp-ut`); 0s = the kernel’s 15 minutes; a reload changes live sessions, too',
    ),
  maxAge: milliseconds()
    .prefault('0s')
    .describe(
      'longest session, give or take a tenth; 0s = no limit; a reload changes live sessions, too, and ends those too old already within a fifth of it',
    ),
  retries: integer(0, 100).prefault(3).describe('other members tried before the client is closed'),
  queue: section({
    timeout: milliseconds(0, 3_600_000).prefault('5s').describe('longest wait for a place'),
    length: integer(0, 1_000_000).prefault(1000).describe('clients that may wait'),
  })
    .transform((q) => ({ timeoutMs: q.timeout, length: q.length }))
    .prefault({})
    .describe('when every member is at its `maxConnections`'),
  timeouts: poolTimeouts
    .prefault({})
    .describe('of sessions that this pool serves, where they are to be others than `proxy.timeouts`'),
  members: list(member).prefault([]).describe('static members'),
  discover,
}).transform(
  ({ keepalive, userTimeout, maxAge, ...rest }): PoolSettings => ({
    ...rest,
    discover: rest.discover,
    keepaliveMs: keepalive,
    userTimeoutMs: userTimeout,
    maxAgeMs: maxAge,
  }),
);

/** The `proxy` section. */
export const proxy = section({
  timeouts,
  maxConnections: integer(1, 10_000_000).prefault(20_000).describe('sessions at once over all listeners'),
  listeners: list(listener).prefault([]).describe('where clients connect'),
  pools: z.record(z.string(), pool).prefault({}).describe('where sessions go, by name'),
})
  .transform(({ pools, ...rest }) => ({
    ...rest,
    pools: Object.entries(pools).map(
      ([name, value]): PoolConfig => ({ name, ...value, timeouts: timeoutsOf(value, rest.timeouts) }),
    ),
  }))
  .prefault({})
  .describe('the TCP proxy');

/** What no single key shows: names, and keys that need one another. */
export function checkProxy(
  listeners: readonly Located<ListenerConfig>[],
  pools: readonly Located<PoolSettings>[],
  report: Report,
): void {
  const names = new Set<string>();
  for (const { path, value } of listeners) {
    if (names.has(value.name)) report([...path, 'name'], `a listener "${value.name}" stands above already`);
    names.add(value.name);
    const patterns = new Set<string>();
    for (const [i, { sni, alpn }] of value.routes.entries()) {
      const at = [...path, 'routes', i];
      if (sni === undefined && alpn.length === 0) report(at, 'fits every client: give `sni`, `alpn` or both');
      // Two that ask for different protocols of one name are two.
      for (const protocol of alpn.length === 0 ? [undefined] : alpn) {
        const what = [...(sni === undefined ? [] : [`"${sni}"`]), ...(protocol === undefined ? [] : [protocol])].join(
          ' with ',
        );
        if (patterns.has(what))
          report(sni === undefined ? at : [...at, 'sni'], `a route for ${what} stands above already`);
        patterns.add(what);
      }
    }
    if (value.acceptProxy && value.trusted.length === 0) {
      report(
        [...path, 'acceptProxy'],
        'needs the addresses of those in front, in `trusted`; as it is nobody could connect',
      );
    }
  }
  for (const { path, value } of pools) {
    const name = String(path.at(-1));
    const fault = nameFault(name);
    if (fault !== undefined) report(path, fault);
    checkFields(path, value, report);
    if (value.check.caFile !== undefined && value.check.verify === 'none') {
      report([...path, 'check', 'caFile'], 'needs `verify: required`: without it nothing is verified');
    }
    if (value.check.steps.length > 0 && !['tcp', 'tls'].includes(value.check.type)) {
      report([...path, 'check', 'steps'], `are for checks of type tcp and tls, not ${value.check.type}`);
    }
    if (value.check.steps.length > maxSteps) {
      report([...path, 'check', 'steps'], `are ${value.check.steps.length} (allowed: up to ${maxSteps})`);
    }
    const members = new Set<string>();
    const places = new Set<string>();
    for (const [i, member] of value.members.entries()) {
      if (members.has(member.name))
        report([...path, 'members', i, 'name'], `a member "${member.name}" stands above already`);
      members.add(member.name);
      const place = formatEndpoint({ kind: 'inet', address: parseAddress(member.address), port: member.port });
      if (places.has(place)) report([...path, 'members', i, 'address'], `a member at ${place} stands above already`);
      places.add(place);
    }
  }
}

/** A pool's timeouts, if it has any of its own. */
function timeoutsOf({ timeouts: own }: PoolSettings, common: ProxyTimeouts): ProxyTimeouts | undefined {
  const { connect, idle, tunnel = idle, clientFin, serverFin } = own;
  if (Object.keys(own).length === 0) return undefined;
  const connectMs = connect ?? common.connectMs;
  return {
    ...common,
    connectMs,
    attemptDelayMs: common.attemptDelayMs < connectMs ? common.attemptDelayMs : 0,
    idleMs: idle ?? common.idleMs,
    tunnelMs: tunnel ?? common.tunnelMs,
    clientFinMs: clientFin ?? common.clientFinMs,
    serverFinMs: serverFin ?? common.serverFinMs,
  };
}

/** What version 2 headers carry. */
function checkFields(path: Located<unknown>['path'], pool: PoolSettings, report: Report): void {
  const { proxyProtocol, proxyV2Options, proxyV2Tlvs, proxyV2Align } = pool;
  const wanted = { proxyV2Options: proxyV2Options.length, proxyV2Tlvs: proxyV2Tlvs.length, proxyV2Align };
  for (const [key, count] of Object.entries(wanted)) {
    if (count > 0 && proxyProtocol !== 'v2') {
      report([...path, key], 'needs `proxyProtocol: v2`: other headers have no room for them');
    }
  }
  const bytes = proxyV2Tlvs.reduce((sum, { value }) => sum + value.length, 0);
  if (bytes > maxTlvBytes) report([...path, 'proxyV2Tlvs'], `hold ${bytes} bytes (allowed: up to ${maxTlvBytes})`);
  for (const [i, { type }] of proxyV2Tlvs.entries()) {
    if (proxyV2Tlvs.findIndex((other) => other.type === type) < i) {
      report([...path, 'proxyV2Tlvs', i, 'type'], `a field of type 0x${type.toString(16)} stands above already`);
    }
  }
}

function domainName() {
  return parsed({ kind: 'domain name' }, readDomainName);
}

function issue(ctx: z.core.$RefinementCtx, input: unknown, message: string): never {
  ctx.issues.push({ code: 'custom', message, input });
  return z.NEVER;
}
