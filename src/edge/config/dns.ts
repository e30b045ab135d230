/** The `dns` section: schema, defaults, and the checks that span keys. */
import { z } from 'zod';
import { type Cidr, parseCidr } from '../../core/address.ts';
import { ValueError } from '../../core/errors.ts';
import type { Dns64Config, SoaConfig, TsigAlgorithm, ZoneConfig } from '../../dns/config.ts';
import { readDomainName } from './domain-name.ts';
import {
  address,
  bytes,
  choice,
  cidr,
  flag,
  inetEndpoint,
  integer,
  leaf,
  list,
  milliseconds,
  number,
  parsed,
  peers,
  requireText,
  seconds,
  section,
  text,
} from './fields.ts';
import type { Located, Report } from './types.ts';
import { checkRule, lease, updateRule } from './update-rule.ts';
import { upstream } from './upstream.ts';

const tsigAlgorithms = [
  'hmac-md5',
  'hmac-sha1',
  'hmac-sha224',
  'hmac-sha256',
  'hmac-sha384',
  'hmac-sha512',
] as const satisfies readonly TsigAlgorithm[];

/** A TSIG key as configured: its own secret, or the file that holds it. */
export type KeySource =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'inline'; readonly algorithm: TsigAlgorithm; readonly secret: Uint8Array };

/** Prefix lengths that embed an IPv4 address (RFC 6052 §2.2). */
export const nat64Lengths = [32, 40, 48, 56, 64, 96] as const;

/** Longest TTL there is (RFC 2181 §8). */
const maxTtl = 2 ** 31 - 1;

const domainName = () => parsed({ kind: 'domain name' }, readDomainName);

const forward = section({
  upstreams: list(upstream, 1).describe(
    'resolvers asked, by UDP unless `tcp://`, `tls://` or `https://` (RFC 8484) stands before; port 53, 853 with `tls://`, 443 with `https://`, unless given; path /dns-query unless given; after # the name their certificate must have',
  ),
  caFile: text('path')
    .optional()
    .describe(
      'certificates (PEM) that those of `tls://` and `https://` upstreams are checked against, instead of public ones',
    ),
  policy: choice(['fastest', 'ordered', 'roundrobin']).prefault('fastest').describe('which one first'),
  domains: list(
    section({
      domain: domainName().describe('it and all below it'),
      upstreams: list(upstream, 1).describe('resolvers asked for names there, instead of those above'),
    }),
  )
    .prefault([])
    .describe('conditional forwarding: the nearest domain counts'),
  rebind: section({
    protect: flag()
      .prefault(true)
      .describe('refuse answers with private addresses; those of the NAT64’s prefix and from `domains` are not'),
    allow: list(domainName()).prefault([]).describe('domains that may have private addresses'),
  })
    .prefault({})
    .describe('protection against DNS rebinding'),
  timeout: milliseconds(100, 30_000).prefault('2s').describe('longest time for a query, all tries together'),
  cache: section({
    size: bytes(64 * 1024, 64 * 1024 ** 3, '64k to 64g')
      .prefault('64m')
      .describe('memory of all threads’ caches together'),
    minTtl: seconds(0, 86_400).prefault('0s').describe('answers live at least this long'),
    maxTtl: seconds(0, maxTtl).prefault('1d').describe('and at most this long'),
    maxNegativeTtl: seconds(0, maxTtl).prefault('1h').describe('NXDOMAIN and NODATA at most this long (RFC 2308 §5)'),
    serveStale: seconds(0, maxTtl)
      .prefault('1d')
      .describe('when no upstream answers, answers this long past their time (RFC 8767); 0s = never'),
    prefetch: flag().prefault(true).describe('ask again for popular names shortly before they expire'),
  })
    .transform((c) => ({
      sizeBytes: c.size,
      minTtlSeconds: c.minTtl,
      maxTtlSeconds: c.maxTtl,
      maxNegativeTtlSeconds: c.maxNegativeTtl,
      serveStaleSeconds: c.serveStale,
      prefetch: c.prefetch,
    }))
    .prefault({})
    .describe('the forwarder’s cache'),
})
  .transform(({ timeout, ...rest }) => ({ ...rest, timeoutMs: timeout }))
  .optional()
  .describe('names outside our zones; without this section they are refused');

const dns64 = section({
  mode: choice(['off', 'upstream', 'synthesize'])
    .prefault('upstream')
    .describe('who makes AAAA records of A records (RFC 6147): nobody, the upstreams, or we'),
  prefix: leaf(
    { kind: 'IPv6 prefix', allowed: 'auto (RFC 7050), or a prefix of length 32, 40, 48, 56, 64 or 96' },
    readDns64Prefix,
  )
    .prefault('auto')
    .describe('the NAT64’s prefix'),
  exclude: list(cidr()).prefault([]).describe('A and AAAA records in these are taken for absent'),
  force: list(domainName())
    .prefault([])
    .describe('domains whose own AAAA records are left aside where there are A records'),
  exempt: list(domainName()).prefault([]).describe('domains that get no made-up AAAA records'),
})
  .transform((d): Dns64Config => d)
  .prefault({})
  .describe('IPv6 addresses for names that have IPv4 ones alone');

/** One value of `dns.keys`; its key is the TSIG key’s name. */
export const key = section({
  file: text('path')
    .optional()
    .describe(
      'a file in BIND’s key syntax, what `nsupdate -k` reads; relative to the configuration file; if it has several keys of this name, all are taken and the first signs',
    ),
  algorithm: choice(tsigAlgorithms).optional().describe('with `secret`: instead of a file'),
  secret: leaf({ kind: 'base64' }, readSecret).optional().describe('the shared secret'),
}).transform((k, ctx): KeySource => {
  if (k.file !== undefined && k.algorithm === undefined && k.secret === undefined)
    return { kind: 'file', file: k.file };
  if (k.file === undefined && k.algorithm !== undefined && k.secret !== undefined) {
    return { kind: 'inline', algorithm: k.algorithm, secret: k.secret };
  }
  return issue(ctx, undefined, 'a key has either `file`, or `algorithm` and `secret`');
});

const soa = section({
  mname: domainName().optional().describe('primary server; else the first of `ns`'),
  rname: parsed({ kind: 'mail name' }, readMailName)
    .optional()
    .describe('mail address of who is responsible, `hostmaster.example.org` or with @; else hostmaster in the zone'),
  refresh: seconds(1, maxTtl).prefault('1h').describe('secondaries ask this often'),
  retry: seconds(1, maxTtl).prefault('15m').describe('and this often after a failure'),
  expire: seconds(1, maxTtl).prefault('14d').describe('they stop answering after this long without us'),
  minimum: seconds(0, maxTtl).prefault('1m').describe('lifetime of negative answers (RFC 2308 §4)'),
}).prefault({});

/** One entry of `dns.zones`. */
export const zone = section({
  name: domainName().describe('the zone’s apex'),
  primaries: list(inetEndpoint(53), 1)
    .optional()
    .describe('makes us a secondary: the zone is copied from these servers, asked in this order (AXFR, IXFR)'),
  key: text('key name').optional().describe('with `primaries`: signs what we ask of them'),
  allowNotify: list(peers())
    .prefault([])
    .describe('with `primaries`: whose NOTIFY is heard beside theirs; one signed with `key` always is'),
  allowUpdateForwarding: list(peers())
    .prefault([])
    .describe('with `primaries`: whose signed updates are passed on to them (RFC 2136 §6)'),
  ns: list(domainName()).prefault([]).describe('name servers; needed unless `file` brings them'),
  soa: soa.describe('start of authority; takes the place of the one in `file`, but for its serial'),
  ttl: seconds(0, maxTtl).prefault('5m').describe('of SOA and NS, and of records that come without'),
  file: text('path')
    .optional()
    .describe('zone file with the records the zone starts from; relative to the configuration file'),
  update: list(updateRule)
    .prefault([])
    .describe('who may change what by DNS UPDATE; the first rule that matches grants, none refuses'),
  transfer: section({
    allow: list(peers()).prefault([]).describe('who may transfer the zone'),
    key: text('key name').optional().describe('and must sign with this key'),
    notify: list(inetEndpoint(53)).prefault([]).describe('secondaries told of changes'),
  })
    .transform((t) => ({ ...t, key: keyName(t.key) }))
    .prefault({})
    .describe('secondaries'),
  reverse: flag().prefault(false).describe('keep PTR records in our ip6.arpa zones in step with AAAA records here'),
  lease: lease()
    .prefault('0s')
    .describe(
      'records of updates that are not refreshed so long vanish (RFC 9664); clients may ask for less; 0s = they stay, unless a client asks for a lease',
    ),
}).transform(({ soa, ttl, lease, primaries, key, allowNotify, allowUpdateForwarding, ...rest }, ctx): ZoneConfig => {
  const alone = key !== undefined || allowNotify.length > 0 || allowUpdateForwarding.length > 0;
  if (primaries === undefined && alone) {
    return issue(ctx, undefined, '`key`, `allowNotify` and `allowUpdateForwarding` go with `primaries`');
  }
  return {
    ...rest,
    leaseSeconds: lease,
    file: rest.file,
    secondary:
      primaries === undefined ? undefined : { primaries, key: keyName(key), allowNotify, allowUpdateForwarding },
    ttlSeconds: ttl,
    soa: {
      mname: soa.mname ?? rest.ns[0] ?? rest.name,
      rname: soa.rname ?? (rest.name === '' ? 'hostmaster' : `hostmaster.${rest.name}`),
      refreshSeconds: soa.refresh,
      retrySeconds: soa.retry,
      expireSeconds: soa.expire,
      minimumSeconds: soa.minimum,
    } satisfies SoaConfig,
  };
});

/** Key names are domain names: case and a final dot make no difference. */
function keyName(name: string | undefined): string | undefined {
  return name?.toLowerCase().replace(/\.$/, '');
}

/** The `dns` section. */
export const dns = section({
  listen: list(inetEndpoint(53), 1).describe('where to answer, UDP and TCP'),
  allow: list(peers())
    .prefault(['::1/128', '127.0.0.0/8'])
    .describe('who may ask; others get REFUSED, but for servers that zones name: those get answers from our zones'),
  rateLimit: section({
    responsesPerSecond: integer(0, 1_000_000)
      .prefault(200)
      .describe(
        'equal answers for each client prefix, as all NXDOMAIN of our zones are, and all of one wildcard; 0 = no limit',
      ),
    slip: integer(0, 10)
      .prefault(2)
      .describe('every how many-th dropped answer goes out truncated, so that real clients come back by TCP; 0 = none'),
    exempt: list(peers())
      .prefault(['::1/128', '127.0.0.0/8', 'fc00::/7', 'fe80::/10', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'])
      .describe('networks that are not limited: nobody outside can be flooded in the name of a private address'),
  })
    .prefault({})
    .describe('response rate limiting'),
  tls: section({
    listen: list(inetEndpoint(853), 1).describe('where to answer; port 853 unless given'),
    certificateFile: text('path').describe('the certificate (PEM), with those between it and its authority'),
    keyFile: text('path').describe(
      'its private key (PEM); both relative to the configuration file, read again by a reload',
    ),
  })
    .optional()
    .describe('DNS over TLS (RFC 7858) for clients; without this section there is none'),
  clientLimit: section({
    queriesPerSecond: integer(0, 1_000_000)
      .prefault(0)
      .describe('of one address, in each data thread: more are dropped, by TCP refused; 0 = no limit'),
  })
    .prefault({})
    .describe('limit of what one client asks'),
  queryLog: section({
    sample: number(0, 1)
      .prefault(0)
      .describe('share of queries that get a line: 0 = none, 1 = all, 0.01 = one in a hundred'),
    maxPerSecond: integer(1, 100_000)
      .prefault(1000)
      .describe('lines a second of each data thread; what is more is counted'),
  })
    .prefault({})
    .describe('a structured line a query, at level info'),
  identity: section({
    version: oneString().prefault('').describe('what version.bind and version.server say; empty = REFUSED'),
    id: oneString()
      .prefault('')
      .describe('what hostname.bind, id.server (RFC 4892) and NSID (RFC 5001) say; empty = REFUSED'),
  })
    .prefault({})
    .describe('what this server says of itself to who may ask'),
  forward,
  dns64,
  hairpin: section({
    ingressDomains: list(domainName()).prefault([]).describe('names of our ingress: these domains and all below'),
    addresses: list(address()).prefault([]).describe('the edge’s private addresses, answered for them'),
  })
    .transform((h, ctx) => {
      if (h.ingressDomains.length === 0 || h.addresses.length > 0) return h;
      return issue(ctx, undefined, '`ingressDomains` without `addresses`: nobody could reach these names');
    })
    .prefault({})
    .describe('machines inside reach our ingress by the edge, as those outside do'),
  keys: z.record(z.string(), key).prefault({}).describe('TSIG keys (RFC 8945) by name'),
  zones: list(zone).prefault([]).describe('zones we are authoritative for'),
}).describe('the DNS server; without this section there is none');

/** A text that fits a character-string (RFC 1035 §3.3); unlike other texts it may be empty. */
function oneString() {
  return leaf({ kind: 'text', allowed: 'up to 255 octets' }, (value) => {
    const read = value === '' ? '' : requireText(value);
    if (Buffer.byteLength(read) > 255) throw new ValueError(`"${read}" is longer than 255 octets`);
    return read;
  });
}

/** What no single key shows about zones. */
export function checkDns(zones: readonly Located<ZoneConfig>[], zoneNames: readonly string[], report: Report): void {
  const hasReverse = zoneNames.some((name) => /(^|\.)(ip6|in-addr)\.arpa\.?$/i.test(name));
  const names = new Set<string>();
  for (const { path, value } of zones) {
    if (names.has(value.name)) report([...path, 'name'], `a zone "${value.name}" stands above already`);
    names.add(value.name);
    if (value.ns.length === 0 && value.file === undefined && value.secondary === undefined) {
      report([...path, 'ns'], 'a zone needs a name server: give `ns`, or a `file` that has NS records');
    }
    for (const [i, rule] of value.update.entries()) checkRule([...path, 'update', i], rule, value.name, report);
    if (value.reverse && !hasReverse) {
      report([...path, 'reverse'], 'PTR records have no place: no ip6.arpa or in-addr.arpa zone is configured');
    }
  }
}

function readDns64Prefix(value: unknown): 'auto' | Cidr {
  if (value === 'auto') return value;
  const prefix = parseCidr(requireText(value));
  if (prefix.base.family !== 6 || !nat64Lengths.some((length) => length === prefix.length)) {
    throw new ValueError(
      `"${value}" is no NAT64 prefix (allowed: auto, or an IPv6 prefix of length ${nat64Lengths.join(', ')})`,
    );
  }
  return prefix;
}

/** Never shows what it read: it may be a secret all the same. */
function readSecret(value: unknown): Uint8Array {
  const valid =
    typeof value === 'string' && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value);
  if (!valid || value === '') throw new ValueError('is no base64 text');
  return new Uint8Array(Buffer.from(value, 'base64'));
}

/** RFC 1035 §8: the local part is the first label, its dots escaped. */
function readMailName(value: string): string {
  const at = value.lastIndexOf('@');
  if (at < 0) return readDomainName(value);
  const local = value.slice(0, at);
  if (!/^[A-Za-z0-9._+-]{1,63}$/.test(local))
    throw new ValueError(`"${value}" is no mail address that fits into an SOA record`);
  return `${local.replaceAll('.', '\\.')}.${readDomainName(value.slice(at + 1))}`;
}

function issue(ctx: z.core.$RefinementCtx, input: unknown, message: string): never {
  ctx.issues.push({ code: 'custom', message, input });
  return z.NEVER;
}
