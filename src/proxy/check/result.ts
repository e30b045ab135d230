import type { CheckStep, CheckType, ProxyProtocol } from '../config.ts';

/** How a check ended, in HAProxy's words (management guide 9.1, `check_status`): layer, then OK, TOUT, CON, RSP or STS. */
export type CheckCode =
  | 'L4OK'
  | 'L4TOUT'
  | 'L4CON'
  | 'L6OK'
  | 'L6TOUT'
  | 'L6RSP'
  | 'L7OK'
  | 'L7TOUT'
  | 'L7RSP'
  | 'L7STS'
  | 'SOCKERR';

/** The outcome of one check. */
export interface CheckResult {
  readonly ok: boolean;
  readonly code: CheckCode;
  /** In plain words, for logs and the status page. */
  readonly reason: string;
  readonly durationMs: number;
  /** Smoothed round-trip time of its connection, as the kernel has it; undefined: there was no connection. */
  readonly rttMs?: number;
  /** It could not be made for want of something of ours: it says nothing of the member. */
  readonly inconclusive?: true;
  /** The member cannot read the PROXY header that the pool sends. */
  readonly refusesHeader?: true;
}

/** All that one check needs to know. */
export interface CheckTarget {
  readonly type: Exclude<CheckType, 'none'>;
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Sent first, with the LOCAL command, so that a receiver that expects a header logs nothing. */
  readonly proxyProtocol: ProxyProtocol;
  readonly method: string;
  readonly path: string;
  readonly host: string | undefined;
  /** Server name in the TLS hello; undefined: that of `host`, if it is a name. */
  readonly sni: string | undefined;
  /** Whether the certificate must be of a CA that is trusted, and of the server's name. */
  readonly verify: boolean;
  /** CA certificates, PEM; undefined: those that Node.js trusts. */
  readonly ca: string | undefined;
  readonly expect: readonly number[];
  /** What is said once connected; for tcp and tls. */
  readonly steps: readonly CheckStep[];
}
