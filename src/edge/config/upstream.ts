/** An upstream of `dns.forward`, as it is written. */
import { ValueError } from '../../core/errors.ts';
import type { UpstreamConfig } from '../../dns/config.ts';
import { readDomainName } from './domain-name.ts';
import { parsed, readInetEndpoint } from './fields.ts';

const upstreamPorts = { udp: 53, tcp: 53, tls: 853, https: 443 };
/** Octets a path of a URL may have (RFC 3986 §3.3, §3.4); the braces of a template are not among them. */
const urlPath = /^\/[\w.~!$&'()*+,;=:@%/?-]{0,255}$/;

export const upstream = parsed(
  {
    kind: 'upstream',
    allowed: 'address[:port], tcp://address[:port], tls://address[:port]#name or https://address[:port]/path#name',
  },
  readUpstream,
);

/**
 * Reads `2001:db8::53`, `[2001:db8::53]:5353`, `tcp://2001:db8::53`, `tls://[2001:db8::853]:853#dns.example` or
 * `https://2001:db8::443/dns-query#dns.example`.
 * @throws {ValueError}
 */
function readUpstream(value: string): UpstreamConfig {
  const match = /^(?:(tls|tcp|udp|https):\/\/)?([^#/]+)(\/[^#]*)?(?:#(.+))?$/.exec(value);
  if (match === null) throw new ValueError(`"${value}" is no upstream; write an address, or tls://address#name`);
  const transport = (match[1] ?? 'udp') as UpstreamConfig['transport'];
  const [, , address, path, name] = match;
  const encrypted = transport === 'tls' || transport === 'https';
  if (!encrypted && name !== undefined) {
    throw new ValueError(`"${value}": a name to check goes with tls:// and https:// alone`);
  }
  if (path !== undefined && transport !== 'https') throw new ValueError(`"${value}": a path goes with https:// alone`);
  if (path !== undefined && !urlPath.test(path)) {
    throw new ValueError(`"${value}": "${path}" is no path; write /dns-query, say, without {?dns}`);
  }
  return {
    transport,
    endpoint: readInetEndpoint(address!, upstreamPorts[transport]),
    serverName: name === undefined ? undefined : readDomainName(name),
    ...(transport === 'https' ? { path: path ?? '/dns-query' } : {}),
  };
}
