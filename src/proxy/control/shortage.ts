/** What people are told when this host lacks something that a connect to a member needs: no fault of the member's. */
import { isIP } from 'node:net';

/** In plain words, with what to do. @param code of the errno that connect(2) gave */
export function shortageWords(code: string, address: string, port: number): string {
  const to = isIP(address.replace(/%.*/, '')) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  switch (code) {
    case 'EADDRNOTAVAIL':
    case 'EAGAIN':
      return (
        `no local port is free for another connection to ${to} (${code}), or this host has no address to connect from: ` +
        `see \`ss -tan dst ${to}\`; widen net.ipv4.ip_local_port_range, which counts for IPv6, too, or add members`
      );
    case 'ENOSPC':
      return `the kernel watches no more sockets (${code}): raise fs.epoll.max_user_watches`;
    default:
      return `the kernel has no memory for another connection to ${to} (${code}): see net.ipv4.tcp_mem and the memory limit of the unit`;
  }
}
