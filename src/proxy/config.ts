/** The proxy's validated configuration: no optional that has a default, no strings for addresses or durations. */
import type { Cidr, InetEndpoint } from '../core/address.ts';

export type WhenEmpty = 'reset' | 'close' | 'wait';
export type OnLimit = 'reject' | 'silent-drop';
export type BalanceAlgorithm = 'roundrobin' | 'leastconn' | 'random2' | 'source' | 'first';
export type ProxyProtocol = 'none' | 'v1' | 'v2';
/** TLVs that version 2 headers get (HAProxy `proxy-v2-options`). */
export type ProxyV2Option = 'unique-id' | 'authority' | 'alpn' | 'crc32c';

/** A field of the operator's in version 2 headers. */
export interface ProxyV2Tlv {
  /** 0xE0 to 0xEF, which the specification leaves to them (§2.2.9). */
  readonly type: number;
  readonly value: Uint8Array;
}
export type CheckType = 'none' | 'tcp' | 'tls' | 'http' | 'https';

/** Milliseconds throughout; HAProxy's words: `timeout connect`, `timeout client-fin`, `timeout server-fin`. */
export interface ProxyTimeouts {
  readonly connectMs: number;
  /** A connect that has no answer after this has another member tried beside it; 0 = it is waited for alone. */
  readonly attemptDelayMs: number;
  /** No byte in either direction; 0 = never. */
  readonly idleMs: number;
  /** The same once both sides have sent something (`timeout tunnel`). */
  readonly tunnelMs: number;
  /** For the client, once the member has half-closed (`timeout client-fin`). */
  readonly clientFinMs: number;
  /** For the member, once the client has half-closed (`timeout server-fin`). */
  readonly serverFinMs: number;
  /** Waiting for a PROXY header from the client (`acceptProxy`). */
  readonly proxyHeaderMs: number;
  /** Waiting for a ClientHello on a listener with routes (`inspect-delay`). */
  readonly clientHelloMs: number;
  /** How long sessions may go on after a stop was asked for (`hard-stop-after`). */
  readonly hardStopAfterMs: number;
}

/** TLS clients of a kind: at least one of `sni` and `alpn` is given. */
export interface RouteConfig {
  /** A name in lower case, or `*.` and the end of names; undefined: any, and none. */
  readonly sni: string | undefined;
  /** Protocols of which the client offers one; empty: any, and none. */
  readonly alpn: readonly string[];
  readonly pool: string;
}

export interface ListenerConfig {
  readonly name: string;
  readonly bind: readonly InetEndpoint[];
  readonly pool: string;
  /** Pools for server names; `pool` serves whatever fits none. */
  readonly routes: readonly RouteConfig[];
  readonly whenEmpty: WhenEmpty;
  readonly acceptProxy: boolean;
  readonly trusted: readonly Cidr[];
  readonly allow: readonly Cidr[];
  readonly deny: readonly Cidr[];
  readonly rate: { readonly perSource: number; readonly windowMs: number };
  /** Sessions at once of a client address (IPv6: /64); 0 = no limit. */
  readonly maxPerSource: number;
  /** What who is denied or beyond a limit of its own gets: a reset, or nothing at all. */
  readonly onLimit: OnLimit;
  /** Connections the kernel keeps until they are accepted; it caps this at net.core.somaxconn. */
  readonly backlog: number;
  /** Sessions at once; further clients wait in the kernel's queue. 0 = no limit. */
  readonly maxConnections: number;
  readonly log: boolean;
  /** A line also when a member is connected (HAProxy `option logasap`). */
  readonly logStart: boolean;
  /** Whether clients leave a line that ended without a byte either way (off: `option dontlognull`). */
  readonly logSilent: boolean;
}

/** One step of a check's conversation: bytes that are sent, or that must come, or what they must match. */
export type CheckStep =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | { readonly kind: 'expect'; readonly bytes: Uint8Array }
  /** A JavaScript regular expression, on the bytes as Latin-1 characters. */
  | { readonly kind: 'match'; readonly expression: string };

export interface CheckConfig {
  readonly type: CheckType;
  readonly intervalMs: number;
  /** While results contradict the state, and before the first (HAProxy `fastinter`). */
  readonly fastIntervalMs: number;
  /** While the member is down (`downinter`). */
  readonly downIntervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  /** For http and https. */
  readonly method: string;
  readonly path: string;
  readonly host: string | undefined;
  readonly expect: readonly number[];
  /** Of tcp and tls, once connected (HAProxy `tcp-check send` and `expect`). */
  readonly steps: readonly CheckStep[];
  /** For tls and https; undefined: the name in `host`. */
  readonly sni: string | undefined;
  readonly verify: 'none' | 'required';
  readonly caFile: string | undefined;
  /** What `caFile` holds: certificates of the CAs to verify by, PEM; undefined: those Node.js trusts. */
  readonly ca: string | undefined;
  /** Check another address or port than traffic goes to. */
  readonly address: string | undefined;
  readonly port: number | undefined;
  /** Whether the PROXY header goes first; undefined: if traffic has one and goes where the check goes. */
  readonly sendProxy: boolean | undefined;
}

export interface MemberConfig {
  readonly name: string;
  /** IPv4 or IPv6 text, as given. */
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** 0 = no limit. */
  readonly maxConnections: number;
  readonly backup: boolean;
  /** Among backups those of the lowest tier serve of which any is up; absent: 1. SRV records have more than one. */
  readonly tier?: number;
  readonly slowStartMs: number;
}

/** What is asked of DNS. */
export type DiscoverName =
  | { readonly kind: 'srv'; readonly name: string }
  | { readonly kind: 'aaaa' | 'a'; readonly name: string; readonly port: number };

/** The name, and what is true of each member found by it. */
export type DiscoverConfig = DiscoverName & Pick<MemberConfig, 'maxConnections' | 'slowStartMs'>;

export interface PoolConfig {
  readonly name: string;
  readonly proxyProtocol: ProxyProtocol;
  readonly proxyV2Options: readonly ProxyV2Option[];
  readonly proxyV2Tlvs: readonly ProxyV2Tlv[];
  /** Version 2 headers are padded to a multiple of this; 0 = they are not. */
  readonly proxyV2Align: number;
  readonly balance: BalanceAlgorithm;
  readonly check: CheckConfig;
  readonly onMarkedDown: 'close' | 'keep';
  /** What becomes of sessions at backups when a member comes up that goes before them. */
  readonly onMarkedUp: 'close-backups' | 'keep';
  readonly keepaliveMs: number;
  /** TCP_USER_TIMEOUT on both sides (`tcp-ut`); 0 = the kernel's. */
  readonly userTimeoutMs: number;
  readonly maxAgeMs: number;
  readonly retries: number;
  readonly queue: { readonly timeoutMs: number; readonly length: number };
  /** Of sessions that the pool serves; undefined: those of the proxy. */
  readonly timeouts: ProxyTimeouts | undefined;
  readonly members: readonly MemberConfig[];
  readonly discover: DiscoverConfig | undefined;
}

export interface ProxyConfig {
  readonly timeouts: ProxyTimeouts;
  readonly maxConnections: number;
  readonly listeners: readonly ListenerConfig[];
  readonly pools: readonly PoolConfig[];
}
