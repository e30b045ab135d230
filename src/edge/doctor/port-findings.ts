/** Addresses that cannot be listened on. */
import { existsSync } from 'node:fs';
import { formatPort, type TakenPort } from '../ports.ts';
import { portHolder } from './port-holders.ts';
import type { Finding } from './report.ts';

const resolvedHint = 'systemd-resolved has its stub on 127.0.0.53 and 127.0.0.54, so listen on exact addresses';
const resolvedRun = 'resolvectl status   # or: DNSStubListener=no in /etc/systemd/resolved.conf';

/** Ports that others have, one finding for each of them: which process that is, and what makes room. */
export function takenFindings(taken: readonly TakenPort[]): Finding[] {
  const named = taken.map((each) => ({ ...each, holder: portHolder(each.port) }));
  return [...Map.groupBy(named, ({ holder, reason }) => holder?.pid ?? reason).values()].map((list): Finding => {
    const [{ holder, reason }] = list as [(typeof list)[number]];
    const ports = list.map(({ port }) => formatPort(port)).join(', ');
    const common = { id: 'port-held', severity: 'error', subject: formatPort(list[0]!.port), where: 'edge' } as const;
    if (holder === undefined)
      return { ...common, text: `${ports}: ${reason}`, run: ['ss -lntup   # as root: who has it'] };
    const { pid, program, unit } = holder;
    const text = `${unit ?? program} (${unit === undefined ? '' : `${program}, `}pid ${pid}) has ${ports}`;
    if (unit === 'systemd-resolved.service') return { ...common, text: `${text}: ${resolvedHint}`, run: [resolvedRun] };
    if (pid === 1) return { ...common, text, run: ['systemctl list-sockets   # which unit wants it'] };
    return { ...common, text, run: [unit === undefined ? `ps -f -p ${pid}` : `systemctl disable --now ${unit}`] };
  });
}

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
    hint = `: ${resolvedHint}`;
    run.push(resolvedRun);
  }
  const text = `${what} cannot listen on ${endpoint}: ${error}${hint}`;
  return { id: 'port-held', severity: 'error', subject: endpoint, text, run, where: 'edge' };
}
