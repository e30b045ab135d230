/**
 * Who may do what through which socket. The UNIX socket's file mode is its own check. Over TCP, writes need the bearer
 * token, and so does everything on a listener beyond loopback; health, readiness and metrics never do.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Endpoint, isLoopback, parseAddress } from '../../core/address.ts';
import { ProblemError } from './problem.ts';

/** How far a listener reaches. */
export type Reach = 'unix' | 'loopback' | 'network';

/** Paths for probes and scrapers, which carry no token, and the page that asks for one; it holds no data itself. */
const openPaths: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', '/']);
const openFolder = '/assets/';
/** RFC 6750 §2.1, b64token. */
const bearerToken = /^[A-Za-z0-9._~+/-]+=*$/;
const reads: ReadonlySet<string> = new Set(['GET', 'HEAD']);

export function reachOf(endpoint: Endpoint): Reach {
  if (endpoint.kind === 'unix') return 'unix';
  return isLoopback(endpoint.address) ? 'loopback' : 'network';
}

export interface AccessRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly host: string | undefined;
  readonly authorization: string | undefined;
}

/**
 * Lets a request through or throws.
 * @throws {ProblemError} 401, 403 or 421
 */
export function checkAccess(reach: Reach, token: string | undefined, request: AccessRequest): void {
  if (reach === 'unix') return;
  // Browsers can be made to resolve a stranger's name to ::1 (DNS rebinding); they then send that name here.
  if (reach === 'loopback' && !isLoopbackHost(request.host)) {
    throw new ProblemError(421, 'on loopback the Host header must be localhost or a loopback address');
  }
  const isRead = reads.has(request.method);
  if (openPaths.has(request.path) || (isRead && request.path.startsWith(openFolder))) return;
  if (isRead && reach === 'loopback' && request.authorization === undefined) return;
  if (token === undefined) {
    if (isRead && reach === 'loopback') return;
    throw new ProblemError(
      403,
      'this needs a token: name a file with one in admin.tokenFile and restart, or use the UNIX socket',
    );
  }
  const complaint = complaintOf(request.authorization, token);
  if (complaint !== undefined) throw unauthorized(complaint);
}

/** Why a request is not let through, and what its challenge says of that. */
interface Complaint {
  readonly detail: string;
  /** The token is no good; without one RFC 6750 §3.1 wants no error code. */
  readonly invalid?: true;
}

/** What is wrong with the Authorization header (RFC 6750 §2.1), if anything. It is not repeated: a token may be in it. */
function complaintOf(authorization: string | undefined, token: string): Complaint | undefined {
  if (authorization === undefined) return { detail: 'a bearer token is needed: Authorization: Bearer TOKEN' };
  const [, scheme = '', given = ''] = /^([^ ]*) *(.*)$/s.exec(authorization.trim())!;
  if (scheme.toLowerCase() !== 'bearer') {
    return { detail: 'a bearer token is needed: the Authorization header does not begin with Bearer' };
  }
  if (!bearerToken.test(given)) {
    const detail =
      'there is no token behind Bearer: letters, digits and . _ ~ + / - are wanted, and at most = behind them';
    return { detail, invalid: true };
  }
  if (equalInConstantTime(given, token)) return undefined;
  return { detail: 'this is not the token that the file in admin.tokenFile had when v6edge started', invalid: true };
}

/** RFC 6750 §3. */
function unauthorized({ detail, invalid }: Complaint): ProblemError {
  const error = invalid === undefined ? '' : `, error="invalid_token", error_description="${detail}"`;
  return new ProblemError(401, detail, { headers: { 'www-authenticate': `Bearer realm="v6edge"${error}` } });
}

/** Compares digests, so that neither length nor content shows in the time it takes. */
function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function isLoopbackHost(host: string | undefined): boolean {
  const name = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(host ?? '');
  const text = name?.[1] ?? name?.[2];
  if (text === undefined) return false;
  if (text.toLowerCase() === 'localhost') return true;
  try {
    return isLoopback(parseAddress(text));
  } catch {
    return false;
  }
}
