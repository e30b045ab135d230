/** The DNS server's validated configuration. */
import type { Address, Cidr, InetEndpoint } from '../core/address.ts';

export type TsigAlgorithm = 'hmac-md5' | 'hmac-sha1' | 'hmac-sha224' | 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';

/** A TSIG key (RFC 8945), ready for use. */
export interface TsigKey {
  /** Owner name, text, lower case, without the final dot. */
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Uint8Array;
  /** Octets of MACs that are sent, and the fewest that are taken (RFC 8945 §5.2.2.1); undefined = whole MACs. */
  readonly macLength?: number;
}

export type UpdateMatch = 'self' | 'selfsub' | 'selfwild' | 'name' | 'subdomain' | 'wildcard' | 'zonesub';

/** One rule of a zone's update policy; the first that matches grants. No rule: REFUSED. */
export interface UpdateRule {
  /** Key names as in `keys`; `*.example.org` is every key below example.org. */
  readonly keys: readonly string[];
  readonly match: UpdateMatch;
  /** For name, subdomain and wildcard: absolute name; undefined = the zone's name. */
  readonly name: string | undefined;
  /**
   * Type mnemonics or TYPEnnn, with the most records a name may have of it as in `AAAA(2)`; empty = every type but SOA,
   * NS, RRSIG, NSEC, NSEC3 (as BIND).
   */
  readonly types: readonly string[];
  /** Where updates may come from; empty = everywhere. */
  readonly from: readonly Cidr[];
  /** The most records of all types a name may have; 0 = no limit. */
  readonly maxRecords: number;
  /** How long records last that are not refreshed; 0 = for ever, undefined = as the zone says. */
  readonly leaseSeconds: number | undefined;
  /** Set: records must lead to the key's own name (the target of SRV, PTR's name); `types` are of these alone then. */
  readonly target?: 'self' | undefined;
  /** What A and AAAA records may be added for; undefined or empty = every address. */
  readonly addresses?: readonly Cidr[] | undefined;
}

export interface SoaConfig {
  readonly mname: string;
  readonly rname: string;
  readonly refreshSeconds: number;
  readonly retrySeconds: number;
  readonly expireSeconds: number;
  readonly minimumSeconds: number;
}

/** A zone that is copied from elsewhere. */
export interface SecondaryConfig {
  /** Asked in this order. */
  readonly primaries: readonly InetEndpoint[];
  /** Key name as in `keys`: signs what we ask; NOTIFY signed with it is believed wherever it comes from. */
  readonly key: string | undefined;
  /** Whose NOTIFY is heard beside the primaries'. */
  readonly allowNotify: readonly Cidr[];
  /** Whose updates are passed on to the primaries (RFC 2136 §6). */
  readonly allowUpdateForwarding: readonly Cidr[];
}

export interface ZoneConfig {
  /** Absolute, lower case, without the final dot; the root is the empty string. */
  readonly name: string;
  readonly ns: readonly string[];
  readonly soa: SoaConfig;
  readonly ttlSeconds: number;
  readonly file: string | undefined;
  readonly update: readonly UpdateRule[];
  readonly transfer: {
    readonly allow: readonly Cidr[];
    readonly key: string | undefined;
    readonly notify: readonly InetEndpoint[];
  };
  readonly reverse: boolean;
  /** How long records of updates last that are not refreshed (RFC 9664); 0 = for ever, unless the client asks. */
  readonly leaseSeconds: number;
  /** Set for a secondary zone: `ns`, `soa`, `ttl`, `file`, `update` and `reverse` mean nothing then. */
  readonly secondary?: SecondaryConfig | undefined;
}

export interface UpstreamConfig {
  readonly transport: 'udp' | 'tcp' | 'tls' | 'https';
  readonly endpoint: InetEndpoint;
  /** Name to authenticate, for tls and https; undefined = the address. */
  readonly serverName: string | undefined;
  /** Of https: where it answers there (RFC 8484 §4.1), with its slash. */
  readonly path?: string | undefined;
}

export interface ForwardConfig {
  readonly upstreams: readonly UpstreamConfig[];
  /** Certificates (PEM) that those of upstreams by TLS are checked against; undefined = the runtime's own. */
  readonly ca: string | undefined;
  readonly policy: 'fastest' | 'ordered' | 'roundrobin';
  /** Names in these domains go to these upstreams; the nearest domain counts. */
  readonly domains: readonly { readonly domain: string; readonly upstreams: readonly UpstreamConfig[] }[];
  /** Whether private addresses from upstreams are refused (DNS rebinding), and the domains where they are not. */
  readonly rebind: { readonly protect: boolean; readonly allow: readonly string[] };
  /** Whole time spent on a query, all tries together. */
  readonly timeoutMs: number;
  readonly cache: {
    readonly sizeBytes: number;
    readonly minTtlSeconds: number;
    readonly maxTtlSeconds: number;
    readonly maxNegativeTtlSeconds: number;
    readonly serveStaleSeconds: number;
    readonly prefetch: boolean;
  };
}

export interface Dns64Config {
  readonly mode: 'off' | 'upstream' | 'synthesize';
  readonly prefix: 'auto' | Cidr;
  readonly exclude: readonly Cidr[];
  /** Domains whose own AAAA records are left aside if there are A records, and those where nothing is synthesized. */
  readonly force: readonly string[];
  readonly exempt: readonly string[];
}

export interface QueryLogConfig {
  /** The share of queries that get a line, 0 to 1. */
  readonly sample: number;
  /** Lines a second that a data thread writes at most. */
  readonly maxPerSecond: number;
}

/** DNS over TLS (RFC 7858) for clients: certificate and key in PEM. */
export interface DnsTlsConfig {
  readonly listen: readonly InetEndpoint[];
  readonly certificate: string;
  readonly key: string;
}

export interface IdentityConfig {
  /** What version.bind and version.server, hostname.bind and id.server say; empty = nothing. */
  readonly version: string;
  readonly id: string;
}

export interface RateLimitConfig {
  /** 0 = no limit. */
  readonly responsesPerSecond: number;
  readonly slip: number;
  /** Networks that are not limited. */
  readonly exempt?: readonly Cidr[];
}

export interface DnsConfig {
  readonly listen: readonly InetEndpoint[];
  readonly allow: readonly Cidr[];
  readonly rateLimit: RateLimitConfig;
  /** Queries of one client address that a data thread takes; 0 = no limit. */
  readonly clientLimit: { readonly queriesPerSecond: number };
  readonly queryLog: QueryLogConfig;
  readonly identity: IdentityConfig;
  readonly tls: DnsTlsConfig | undefined;
  readonly forward: ForwardConfig | undefined;
  readonly dns64: Dns64Config;
  /** Names in these domains have these addresses, whatever the world says of them. */
  readonly hairpin: { readonly ingressDomains: readonly string[]; readonly addresses: readonly Address[] };
  /** Several may have one name while a secret is being replaced: all are taken, the first signs what we send first. */
  readonly keys: readonly TsigKey[];
  readonly zones: readonly ZoneConfig[];
}

/** What a configuration without DNS means. */
export const noDns: DnsConfig = {
  listen: [],
  allow: [],
  rateLimit: { responsesPerSecond: 0, slip: 0 },
  clientLimit: { queriesPerSecond: 0 },
  queryLog: { sample: 0, maxPerSecond: 0 },
  identity: { version: '', id: '' },
  tls: undefined,
  forward: undefined,
  dns64: { mode: 'off', prefix: 'auto', exclude: [], force: [], exempt: [] },
  hairpin: { ingressDomains: [], addresses: [] },
  keys: [],
  zones: [],
};
