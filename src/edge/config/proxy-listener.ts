/** A listener of the `proxy` section: schema and defaults. */
import { ValueError } from '../../core/errors.ts';
import type { ListenerConfig, RouteConfig } from '../../proxy/config.ts';
import { readDomainName } from './domain-name.ts';
import { entityName } from './entity-name.ts';
import { choice, flag, inetEndpoint, integer, list, milliseconds, parsed, peers, section, text } from './fields.ts';

/** One entry of a listener's `routes`. */
const route = section({
  sni: parsed({ kind: 'server name' }, readServerPattern)
    .optional()
    .describe('a name, or `*.example.org` for every name below example.org; the best fit counts, not the order'),
  alpn: list(parsed({ kind: 'protocol' }, readProtocol))
    .prefault([])
    .describe(
      'clients that offer one of these protocols (RFC 7301): `acme-tls/1`, `h2`, `postgresql`; alone or beside `sni`',
    ),
  pool: text('pool name').describe('a key of `proxy.pools`'),
}).transform((r): RouteConfig => ({ ...r, sni: r.sni }));

/** One entry of `proxy.listeners`. */
export const listener = section({
  name: entityName().describe('stands in logs, metrics and the admin API'),
  bind: list(inetEndpoint(), 1).describe('where to accept; `[::]` takes IPv6 alone, so list `0.0.0.0` beside it'),
  pool: text('pool name').describe('a key of `proxy.pools`'),
  routes: list(route)
    .prefault([])
    .describe('pools by the server name (SNI) or protocols (ALPN) in TLS clients’ hello; TLS is not terminated'),
  whenEmpty: choice(['reset', 'close', 'wait'])
    .prefault('reset')
    .describe('what a client gets when no member is up: a RST, a FIN, or patience for `queue.timeout`'),
  acceptProxy: flag().prefault(false).describe('require a PROXY v1 or v2 header from the addresses in `trusted`'),
  trusted: list(peers()).prefault([]).describe('load balancers in front whose PROXY header is believed'),
  allow: list(peers()).prefault([]).describe('clients served; an empty list serves all'),
  deny: list(peers()).prefault([]).describe('clients turned away, even if `allow` has them'),
  rate: section({
    perSource: integer(0, 1_000_000)
      .prefault(0)
      .describe('new connections for each client address (IPv6: /64) in a window; 0 = no limit'),
    window: milliseconds(1000, 3_600_000).prefault('10s').describe('the window'),
  })
    .transform((r) => ({ perSource: r.perSource, windowMs: r.window }))
    .prefault({})
    .describe('connection rate limit'),
  maxPerSource: integer(0, 1_000_000)
    .prefault(0)
    .describe('sessions at once for each client address (IPv6: /64); 0 = no limit'),
  maxConnections: integer(0, 10_000_000)
    .prefault(0)
    .describe('sessions at once; further clients wait in the kernel’s queue; 0 = no limit'),
  onLimit: choice(['reject', 'silent-drop'])
    .prefault('reject')
    .describe(
      'what clients get that `allow` and `deny` turn away or that are over `rate` or `maxPerSource`: a RST, or no answer, so that they wait (`silent-drop`)',
    ),
  backlog: integer(1, 65_535)
    .prefault(4096)
    .describe('connections that the kernel keeps until they are accepted; it caps this at `net.core.somaxconn`'),
  log: flag().prefault(true).describe('one line for each session'),
  logStart: flag()
    .prefault(false)
    .describe('with `log`: a line also when a member is connected, for sessions that last (`option logasap`)'),
  logSilent: flag()
    .prefault(true)
    .describe('with `log`: whether clients that come and go without a byte leave a line (`option dontlognull`)'),
}).transform((l): ListenerConfig => l);

function readServerPattern(value: string): string {
  const name = readDomainName(value.replace(/^\*\./, '')).replace(/\.$/, '');
  if (name.includes('*')) throw new ValueError(`"${value}" is no pattern: a * stands alone, as the first label`);
  return (value.startsWith('*.') ? `*.${name}` : name).toLowerCase();
}

/** RFC 7301 §3.1: 1 to 255 bytes, in practice printable. */
function readProtocol(value: string): string {
  if (!/^[\x21-\x7e]{1,255}$/.test(value)) throw new ValueError(`"${value}" is no protocol name`);
  return value;
}
