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
  const given = /^Bearer +([^ ]+) *$/i.exec(request.authorization ?? '')?.[1];
  if (given !== undefined && equalInConstantTime(given, token)) return;
  // RFC 6750 §3: no error code when no token came.
  const error = given === undefined ? '' : ', error="invalid_token"';
  throw new ProblemError(401, given === undefined ? 'a bearer token is needed' : 'this is not the token', {
    headers: { 'www-authenticate': `Bearer realm="v6edge"${error}` },
  });
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
