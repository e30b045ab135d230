/** Changes of zones by hand, through the admin API: worked out on what is there, on disk before they are told of. */
import { ValueError } from '../core/errors.ts';
import type { LeasedRecord } from './lease-grant.ts';
import { Overlay } from './overlay.ts';
import type { Served } from './served-zone.ts';
import type { OwnedRRset } from './snapshot.ts';
import { finishChanges } from './update.ts';
import { replaceRRset, withdrawRRset } from './update-apply.ts';
import { type Name, type NameKey, nameKey } from './wire/name.ts';
import { CLASS, TYPE } from './wire/types.ts';
import { withdrawHost } from './withdraw.ts';
import type { ZoneWriter } from './zone-writer.ts';

/** Looks at the RRsets that a change by hand is about, in the transaction that changes them; what it throws stops that. */
export type CheckBefore = (before: readonly OwnedRRset[]) => void;

/** What it needs of the control part. */
export interface ZoneEditsContext {
  /** Set while a configuration is being taken over. */
  readonly gate: () => Promise<void> | undefined;
  /** @throws {ValueError} if there is no such zone */
  readonly find: (zone: string) => Served;
  readonly writer: () => ZoneWriter;
}

export class ZoneEdits {
  readonly #context: ZoneEditsContext;

  constructor(context: ZoneEditsContext) {
    this.#context = context;
  }

  /**
   * Puts an RRset in place of what is there, to stay; resolves when it is on disk.
   * @param check sees what is there in the same transaction; nothing changes if it throws
   * @param client who asked, for the log
   * @returns the zone's serial
   * @throws {ValueError} if the zone's rules do not allow it
   */
  setRRset(
    zone: string,
    owner: Name,
    type: number,
    ttl: number,
    rdata: readonly Uint8Array[],
    check: CheckBefore = () => undefined,
    client?: string,
  ): Promise<number> {
    const added = rdata.map((one) => ({ record: { name: owner, type, class: CLASS.IN, ttl, rdata: one }, seconds: 0 }));
    return this.#edit(zone, added, client, (key, overlay) => {
      check(overlay.rrsets(nameKey(owner)).filter(({ rrset }) => rrset.type === type));
      replaceRRset(owner, type, ttl, rdata, key, overlay);
    });
  }

  /**
   * Deletes an RRset, or with no type all of a name; resolves when it is on disk.
   * @param check and client as for `setRRset`
   * @returns the zone's serial
   * @throws {ValueError} if the zone's rules do not allow it
   */
  deleteRRset(
    zone: string,
    owner: Name,
    type?: number,
    check: CheckBefore = () => undefined,
    client?: string,
  ): Promise<number> {
    return this.#edit(zone, [], client, (key, overlay) => {
      check(overlay.rrsets(nameKey(owner)).filter(({ rrset }) => type === undefined || rrset.type === type));
      withdrawRRset(owner, type ?? TYPE.ANY, key, overlay);
    });
  }

  /**
   * Deletes a host's records in a zone, and those that lead to it (withdraw.ts); resolves when it is on disk.
   * @param client who asked, for the log
   * @returns the zone's serial
   * @throws {ValueError} if there is no such zone, or its rules do not allow it
   */
  withdrawHost(zone: string, host: Name, client?: string): Promise<number> {
    return this.#edit(zone, [], client, (_, overlay) => withdrawHost(host, this.#context.find(zone).zone, overlay));
  }

  async #edit(
    zone: string,
    added: readonly LeasedRecord[],
    client: string | undefined,
    change: (key: NameKey, overlay: Overlay) => void,
  ): Promise<number> {
    for (let gate = this.#context.gate(); gate !== undefined; gate = this.#context.gate()) await gate;
    const served = this.#context.find(zone);
    if (served.secondary !== undefined) throw new ValueError(`zone ${zone} is changed at its primary`);
    const writer = this.#context.writer();
    const view = writer.view(served.zone);
    const overlay = new Overlay(view);
    change(served.zone.key, overlay);
    const changes = finishChanges(served.zone.key, view, overlay);
    await writer.commit(served, changes, added, { by: 'api', client });
    return served.zone.serial;
  }
}
