/** Errors of the admin API: problem details (RFC 9457). */
import { STATUS_CODES } from 'node:http';
import { V6edgeError } from '../../core/errors.ts';

export const problemType = 'application/problem+json';

/** What people read when it is v6edge that failed. */
export const faultText = 'this is a fault of v6edge; its log has the details';

/** An error that the API answers with its status; thrown by handlers. */
export class ProblemError extends V6edgeError {
  readonly status: number;
  /** Members beside the standard ones, such as `errors`. */
  readonly extra: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    { extra = {}, headers = {} }: { extra?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(`V6_ADMIN_${status}`, detail);
    this.status = status;
    this.extra = extra;
    this.headers = headers;
  }
}

/** The body of a problem response. */
export function problemBody(status: number, detail: string, extra: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, ...extra });
}
