/** Orders to members that DNS names no more: they hold if it names them again, as a node does that comes back after a boot. */
import type { MemberConfig } from '../config.ts';
import { memberKey, sameServer } from './member-config.ts';
import type { SavedMember } from './memory.ts';

/** Orders to more are forgotten, the oldest first: names may change for ever. */
const most = 256;

export class Absent {
  /** By pool and name, the oldest first. */
  readonly #members = new Map<string, SavedMember>();

  /** All of them, the oldest first. */
  get members(): SavedMember[] {
    return [...this.#members.values()];
  }

  /** The member goes. */
  keep(member: SavedMember): void {
    const key = memberKey(member.pool, member.config.name);
    this.#members.delete(key);
    if (member.admin === 'ready' && member.adminWeight === undefined) return;
    this.#members.set(key, member);
    if (this.#members.size > most) this.#members.delete(this.#members.keys().next().value!);
  }

  /** The member comes: what was said of it when it went. One of the name at another address is another. */
  take(pool: string, config: MemberConfig): SavedMember | undefined {
    const key = memberKey(pool, config.name);
    const member = this.#members.get(key);
    this.#members.delete(key);
    return member !== undefined && sameServer(member.config, config) ? member : undefined;
  }
}
