/** HTTP client of the admin API for the command line: over its UNIX socket or TCP. */
import { request } from 'node:http';
import { errorCode, errorMessage, V6edgeError } from '../../core/errors.ts';

const timeoutMs = 10_000;

/** The daemon said no, or cannot be reached: exit code 1. The message says what to do. */
export class ApiError extends V6edgeError {}

export interface ApiTarget {
  /** `unix:/path` or `http://host:port`. */
  readonly api: string;
  readonly token: string | undefined;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'PATCH' | 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers that are none of success and nevertheless what was asked for. */
  readonly statuses?: readonly number[];
}

export interface ApiAnswer {
  readonly body: string;
  /** As it came, with its quotes. */
  readonly etag: string | undefined;
  /** Path of the next page (RFC 8288). */
  readonly next: string | undefined;
}

/**
 * Sends a request.
 * @throws {ApiError} `V6_API_UNREACHABLE`, or `V6_API_` and the status
 */
export async function callApi(target: ApiTarget, path: string, options: ApiRequest = {}): Promise<ApiAnswer> {
  const { status, ...answer } = await send(target, path, options).catch((error: unknown) => {
    throw new ApiError('V6_API_UNREACHABLE', explainFailure(target.api, error), { cause: error });
  });
  if ((status >= 200 && status < 300) || options.statuses?.includes(status)) return answer;
  throw new ApiError(`V6_API_${status}`, explainProblem(target, status, answer.body));
}

/**
 * The JSON that a path answers; of a list in pages, all of it.
 * @throws {ApiError}
 */
export async function getJson<T>(target: ApiTarget, path: string, options: ApiRequest = {}): Promise<T> {
  const { body, next } = await callApi(target, path, options);
  const answer = parseAnswer<T>(target, body);
  if (next === undefined || !Array.isArray(answer)) return answer;
  const pages: unknown[][] = [answer];
  for (let more: string | undefined = next; more !== undefined; ) {
    const page: ApiAnswer = await callApi(target, more, options);
    pages.push(parseAnswer<unknown[]>(target, page.body));
    more = page.next;
  }
  return pages.flat() as T;
}

/** @throws {ApiError} */
export function parseAnswer<T>(target: ApiTarget, body: string): T {
  try {
    return JSON.parse(body) as T;
  } catch (error) {
    throw new ApiError('V6_API_ANSWER', `${target.api} answered something that is no JSON; is this v6edge?`, {
      cause: error,
    });
  }
}

function send(target: ApiTarget, path: string, options: ApiRequest): Promise<ApiAnswer & { status: number }> {
  const payload = options.body === undefined ? undefined : JSON.stringify(options.body);
  const headers: Record<string, string> = { accept: options.accept ?? 'application/json', ...options.headers };
  if (payload !== undefined) headers['content-type'] = 'application/json';
  if (target.token !== undefined) headers.authorization = `Bearer ${target.token}`;
  const place = target.api.startsWith('unix:')
    ? { socketPath: target.api.slice(5), path, host: 'localhost' }
    : urlPlace(new URL(path, target.api));
  const { promise, resolve, reject } = Promise.withResolvers<ApiAnswer & { status: number }>();
  const req = request({ ...place, method: options.method ?? 'GET', headers, agent: false }, (res) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('end', () => {
      const { etag, link } = res.headers;
      const next = /<([^>]+)>; *rel="next"/.exec(String(link ?? ''))?.[1];
      resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8'), etag, next });
    });
    res.on('error', reject);
  });
  req.setTimeout(timeoutMs, () => req.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
  req.on('error', reject);
  req.end(payload);
  return promise;
}

function urlPlace(url: URL) {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || 80, path: url.pathname + url.search };
}

function explainFailure(api: string, error: unknown): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return `there is no ${api.slice(5)}: is v6edge running? (systemctl status v6edge; another place: --api)`;
    case 'ECONNREFUSED':
      return `nobody listens on ${api}: is v6edge running? (systemctl status v6edge; another place: --api)`;
    case 'EACCES':
    case 'EPERM':
      return `no permission to use ${api}: be root or a member of the group v6edge`;
    default:
      return `${api}: ${errorMessage(error)}`;
  }
}

/** The text of an RFC 9457 problem, or what there is. */
function explainProblem({ token }: ApiTarget, status: number, body: string): string {
  const hint = status === 401 ? ` (${token === undefined ? 'give the token with' : 'it came from'} --token-file)` : '';
  try {
    const problem = JSON.parse(body) as { title?: string; detail?: string; errors?: string[] };
    const { detail = problem.title ?? `status ${status}`, errors = [] } = problem;
    // Where the detail is nothing but the errors, they are said once.
    return (detail === errors.join('; ') ? errors : [detail, ...errors]).join('\n') + hint;
  } catch {
    return `status ${status}${hint}`;
  }
}
