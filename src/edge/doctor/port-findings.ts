/** Addresses that cannot be listened on. */
import { existsSync } from 'node:fs';
import type { Finding } from './report.ts';

/** @param what is to listen, @param error errno's name, or words */
export function portFinding(what: string, endpoint: string, error: string): Finding {
  const port = endpoint.slice(endpoint.lastIndexOf(':') + 1);
  const run = [`ss -lntup 'sport = :${port}'   # who has it`];
  let hint = '';
  if (error === 'EADDRNOTAVAIL') {
    hint = ': no interface has this address yet';
    run.splice(0, 1, 'ip addr');
  } else if (
    port === '53' &&
    /^(\[::\]|0\.0\.0\.0|127\.0\.0\.5[34]):/.test(endpoint) &&
    existsSync('/run/systemd/resolve')
  ) {
    hint = ': systemd-resolved has its stub on 127.0.0.53 and 127.0.0.54, so listen on exact addresses';
    run.push('resolvectl status   # or: DNSStubListener=no in /etc/systemd/resolved.conf');
  }
  const text = `${what} cannot listen on ${endpoint}: ${error}${hint}`;
  return { id: 'port-held', severity: 'error', subject: endpoint, text, run, where: 'edge' };
}
