/** Members that are listeners of ours and lead back to themselves: one client would take every session there is. */
import {
  equalAddress,
  formatEndpoint,
  isLoopback,
  isUnspecified,
  parseAddress,
  unmapAddress,
} from '../../core/address.ts';
import type { ListenerConfig, MemberConfig } from '../../proxy/config.ts';
import type { PoolSettings } from './proxy.ts';
import type { Located, Report } from './types.ts';

/** Reports each member by which a listener reaches itself, straight or by other listeners; one that leads to another alone is fine. */
export function checkLoops(
  listeners: readonly Located<ListenerConfig>[],
  pools: readonly Located<PoolSettings>[],
  report: Report,
): void {
  const byName = new Map(pools.map((pool) => [String(pool.path.at(-1)), pool]));
  const poolsOf = ({ value }: Located<ListenerConfig>) =>
    [...new Set([value.pool, ...value.routes.map(({ pool }) => pool)])].flatMap((name) => byName.get(name) ?? []);
  const next = (pool: Located<PoolSettings>) =>
    pool.value.members.flatMap((member, at) =>
      listeners.filter(({ value }) => isAt(member, value)).map((listener) => ({ at, listener })),
    );
  const leadsTo = (from: Located<ListenerConfig>, to: Located<ListenerConfig>, seen: Set<unknown>): boolean => {
    if (from === to) return true;
    if (seen.has(from)) return false;
    seen.add(from);
    return poolsOf(from).some((pool) => next(pool).some(({ listener }) => leadsTo(listener, to, seen)));
  };
  const told = new Set<MemberConfig>();
  for (const listener of listeners) {
    for (const pool of poolsOf(listener)) {
      for (const { at, listener: reached } of next(pool)) {
        const member = pool.value.members[at]!;
        if (told.has(member) || !leadsTo(reached, listener, new Set())) continue;
        told.add(member);
        const place = formatEndpoint({ kind: 'inet', address: parseAddress(member.address), port: member.port });
        const how = reached === listener ? 'itself' : `"${reached.value.name}", which leads back to it`;
        report(
          [...pool.path, 'members', at, 'address'],
          `${place} is a listener of ours: "${listener.value.name}" would connect to ${how}, without end`,
        );
      }
    }
  }
}

/** Whether the listener surely accepts what goes to the member; which addresses this host has is not known here. */
function isAt(member: MemberConfig, { bind }: ListenerConfig): boolean {
  const address = unmapAddress(parseAddress(member.address));
  return bind.some(
    (endpoint) =>
      endpoint.port === member.port &&
      (equalAddress(unmapAddress(endpoint.address), address) ||
        (isUnspecified(endpoint.address) && endpoint.address.family === address.family && isLoopback(address))),
  );
}
