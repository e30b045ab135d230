import { V6edgeError } from '../core/errors.ts';

/** What the proxy refuses to do, by `code`: an unknown pool or member, a name that is taken, a member that is on its way out, a bad value, no slot left. */
export type ProxyErrorCode =
  | 'V6_POOL_UNKNOWN'
  | 'V6_MEMBER_UNKNOWN'
  | 'V6_MEMBER_EXISTS'
  | 'V6_MEMBER_LEAVING'
  | 'V6_MEMBER_INVALID'
  | 'V6_PROXY_SLOTS';

/** An order of the operator's that the proxy cannot carry out; nothing was changed. */
export class ProxyError extends V6edgeError {
  declare readonly code: ProxyErrorCode;

  constructor(code: ProxyErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}
