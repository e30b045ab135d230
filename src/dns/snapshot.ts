/** What the control thread tells data threads about DNS: plain data, passed by structured clone. */
import type { Cidr, InetEndpoint } from '../core/address.ts';
import type { Loan } from '../linux/lent-fd.ts';
import type { ReturnPath } from '../linux/udp-batch.ts';
import type { DnsConfig } from './config.ts';
import type { PackedData } from './packed-nodes.ts';

/** All records of one owner and type. `rdata` is uncompressed wire form, one entry a record, no two equal. */
export interface RRset {
  readonly type: number;
  readonly ttl: number;
  readonly rdata: readonly Uint8Array[];
}

/** An RRset with its owner name: uncompressed wire form, case as it was first written. */
export interface OwnedRRset {
  readonly owner: Uint8Array;
  readonly rrset: RRset;
}

/** A zone whole: its apex SOA among the sets. */
export interface ZoneData {
  readonly name: Uint8Array;
  readonly rrsets: readonly OwnedRRset[];
  /** Where most of a large zone lies, shared by all threads; of the names in `replaced` the RRsets are in `rrsets`, or gone. */
  readonly packed?: PackedData;
  readonly replaced?: readonly string[];
  /** A secondary zone without data that may be served: the SOA is a placeholder. */
  readonly unavailable?: boolean;
  /** Of a secondary zone: when it expires, wall-clock milliseconds. */
  readonly expiresAt?: number;
}

/** One RRset replaced (or, with undefined, gone). */
export interface ZoneChange {
  readonly owner: Uint8Array;
  readonly type: number;
  readonly rrset: RRset | undefined;
}

/** What one transaction changed; applied as a whole. The new SOA is among the changes. */
export interface ZoneDelta {
  readonly name: Uint8Array;
  readonly changes: readonly ZoneChange[];
}

/** The settings a data thread needs: none of the configured secrets is among them. */
export interface DnsSettings extends Omit<DnsConfig, 'keys' | 'zones'> {
  /** What server cookies are made with (RFC 9018 §4.4): 16 octets, the same in all threads. */
  readonly cookieSecret: Uint8Array;
  /**
   * Who deals with our zones: primaries, secondaries, whose updates are passed on. Outside `allow` as well they reach the
   * control thread, which has a policy for each of these, and answers questions from our zones alone.
   */
  readonly zonePeers?: readonly Cidr[];
  /** Who may have which of our zones without a key; names as in the configuration. */
  readonly openTransfers?: Readonly<Record<string, readonly Cidr[]>>;
  /** Slots of the counters: of zones by their names in the configuration, of upstreams by `upstreamName`. */
  readonly slots: {
    readonly zones: Readonly<Record<string, number>>;
    readonly upstreams: Readonly<Record<string, number>>;
  };
}

/** A message that only the control thread answers: UPDATE, NOTIFY, AXFR, IXFR, or anything signed. */
export interface HandoffRequest {
  readonly message: Uint8Array;
  readonly client: InetEndpoint;
  readonly local: InetEndpoint;
  readonly transport: 'udp' | 'tcp';
  /** How another thread can send a reply by itself. */
  readonly way?: ReplyWay | undefined;
}

/** A data thread's socket, and where a datagram from it goes to reach the client. */
export interface ReplyWay {
  readonly loan: Loan;
  readonly path: ReturnPath;
}

/** Sends replies that are not the last; resolves when the client has room for more, with false when it is gone. */
export type SendReplies = (replies: readonly Uint8Array[]) => Promise<boolean>;

/**
 * The last replies, in order; what is long goes by `send` before them. None at all = drop. `left` is told the response code
 * of each that was sent by the request's `way`.
 */
export type Handoff = (
  request: HandoffRequest,
  send: SendReplies,
  left: (rcode: number) => void,
) => Promise<readonly Uint8Array[]>;
