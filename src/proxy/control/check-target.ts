import type { CheckTarget } from '../check/result.ts';
import type { MemberConfig, PoolConfig } from '../config.ts';

/** What a check of the member needs to know. */
export function checkTarget({ check, proxyProtocol }: PoolConfig, member: MemberConfig): CheckTarget {
  const { timeoutMs, method, path, host, expect, sni, ca, steps } = check;
  // HAProxy's rule for check-send-proxy: as traffic does, unless the check goes elsewhere.
  const sendProxy = check.sendProxy ?? (check.address === undefined && check.port === undefined);
  return {
    type: check.type === 'none' ? 'tcp' : check.type,
    address: check.address ?? member.address,
    port: check.port ?? member.port,
    timeoutMs,
    proxyProtocol: sendProxy ? proxyProtocol : 'none',
    method,
    path,
    host,
    expect,
    sni,
    verify: check.verify === 'required',
    ca,
    steps,
  };
}
