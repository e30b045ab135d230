/** The join listener with the engines around it: where its keys go, whose names are taken, what is told. */
import { join } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { CounterStripe } from '../../core/counters.ts';
import type { Logger } from '../../core/logger.ts';
import { cryptoRandom } from '../../core/random.ts';
import { StateFile } from '../../core/state-file.ts';
import type { DnsConfig } from '../../dns/config.ts';
import type { DnsControl } from '../../dns/control.ts';
import { nameFromText } from '../../dns/wire/name.ts';
import type { EventStream } from '../events.ts';
import { joinCounters } from './counters.ts';
import { Join } from './join.ts';

export interface JoinEngines {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stateDir: string;
  readonly dns: DnsControl;
  readonly dnsConfig: () => DnsConfig | undefined;
  readonly events: EventStream;
}

/** @throws {JoinStateError} */
export function createJoin({ clock, log, stateDir, dns, dnsConfig, events }: JoinEngines): {
  join: Join;
  counters: CounterStripe;
} {
  const counters = CounterStripe.alone(joinCounters.length, 0);
  const join_ = new Join({
    clock,
    random: cryptoRandom,
    log,
    counters,
    // Keys of nodes are in it: its owner's alone.
    file: new StateFile(join(stateDir, 'join.json'), 0o600),
    setKeys: (keys) => dns.setDynamicKeys(keys),
    nameFault: (domain, meant) => nameFault(domain, meant, dns, dnsConfig()),
    missingIn: (domain) => missingIn(domain, dns, dnsConfig()),
    emit: (event) => events.emit(event),
  });
  return { join: join_, counters };
}

/** Why a domain name cannot be a new node's: what the zone itself needs never, other records only if an operator names it. */
function nameFault(domain: string, meant: boolean, dns: DnsControl, config: DnsConfig | undefined): string | undefined {
  if (config?.keys.some(({ name }) => name === domain))
    return `dns.keys has a key "${domain}": give the node another name`;
  const zone = config?.zones
    .filter(({ secondary }) => secondary === undefined)
    .find(({ name }) => domain.endsWith(`.${name}`) && dns.zone(name) !== undefined);
  if (zone === undefined) return `no zone of ours has ${domain} by now`;
  if (zone.ns.includes(domain) || zone.soa.mname === domain) return `${domain} is a name server of the zone`;
  if (meant || dns.records(zone.name, { name: nameFromText(domain) }).length === 0) return undefined;
  const label = domain.slice(0, domain.indexOf('.'));
  return `${domain} has records that no node made: give the node another name, or make a token with --name ${label}`;
}

/** The zone of ours that a name without records is in, unless a wildcard stands in. What other servers answer for is theirs to say. */
function missingIn(domain: string, dns: DnsControl, config: DnsConfig | undefined): string | undefined {
  const zone = config?.zones
    .filter(({ name }) => domain.endsWith(`.${name}`) && dns.zone(name) !== undefined)
    .sort((a, b) => b.name.length - a.name.length)[0];
  if (zone === undefined) return undefined;
  const has = (name: string) => dns.records(zone.name, { name: nameFromText(name) }).length > 0;
  return has(domain) || has(`*.${zone.name}`) ? undefined : zone.name;
}
