/** Ties discovery to the two engines it stands between: names are looked up in DNS, members go to the proxy. */
import { getServers } from 'node:dns';
import { parseAddress, parseEndpoint } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import { ValueError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { cryptoRandom } from '../../core/random.ts';
import type { UpstreamConfig } from '../../dns/config.ts';
import type { DnsControl } from '../../dns/control.ts';
import { isSubdomainKey, nameFromText, nameKey } from '../../dns/wire/name.ts';
import { Discovery, type DiscoveryContext } from './discovery.ts';
import { type Ask, LookupError, lookup } from './lookup.ts';
import { askServers } from './stub-resolver.ts';

export interface DiscoveryEngines {
  readonly clock: Clock;
  readonly log: Logger;
  readonly dns: DnsControl;
  readonly known: DiscoveryContext['known'];
  readonly setDiscovered: DiscoveryContext['setDiscovered'];
  /** The configured upstreams; with none the system's own servers are asked. */
  readonly upstreams: () => readonly UpstreamConfig[];
  /** What those by TLS are known by. */
  readonly ca: () => string | undefined;
}

const self = { kind: 'inet', address: parseAddress('::1'), port: 0 } as const;

/** Discovery for a daemon. */
export function createDiscovery({ clock, log, dns, known, setDiscovered, upstreams, ca }: DiscoveryEngines): Discovery {
  const askOwn: Ask = async (query) => {
    const [reply] = await dns.handle({ message: query, client: self, local: self, transport: 'tcp' });
    if (reply === undefined) throw new LookupError('our own zones gave no answer');
    return reply;
  };
  const servers = () => {
    const configured = upstreams();
    return configured.length > 0 ? configured : systemServers();
  };
  const context = {
    random: cryptoRandom,
    isOwn: (name: string) => dns.zones().some((zone) => isSubdomainKey(name, nameKey(nameFromText(zone.name)))),
    askOwn,
    askOthers: (query: Uint8Array) => askServers({ clock, servers, ca }, query),
  };
  return new Discovery({
    clock,
    log,
    lookup: (name, type) => lookup(context, name, type),
    known,
    setDiscovered,
  });
}

/** The name servers of /etc/resolv.conf. */
function systemServers(): UpstreamConfig[] {
  return getServers().flatMap((text) => {
    try {
      const endpoint = /^[^:]+$|^[^\]]*:[^\]]*:[^\]]*$/.test(text)
        ? ({ kind: 'inet', address: parseAddress(text), port: 53 } as const)
        : parseEndpoint(text);
      return endpoint.kind === 'inet' ? [{ transport: 'udp' as const, endpoint, serverName: undefined }] : [];
    } catch (error) {
      if (error instanceof ValueError) return [];
      throw error;
    }
  });
}
