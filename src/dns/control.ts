/**
 * The control thread's part of DNS: owns the zones and their store, answers what data threads hand over (updates,
 * transfers, anything signed), and tells data threads what changed.
 *
 * A zone is ours, or copied from its primaries (secondary/). An update passes: TSIG → zone section → policy and RFC 2136
 * (update.ts) → commit queue → disk → data threads → reply. A client that has NOERROR finds its records on disk
 * and in answers.
 */
import { formatEndpoint } from '../core/address.ts';
import { ValueError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { DnsConfig, ZoneConfig } from './config.ts';
import type { DnsControlContext } from './control-context.ts';
import { ControlMessages } from './control-messages.ts';
import { ControlQueries } from './control-queries.ts';
import { type DynamicKey, Keys } from './dynamic-keys.ts';
import type { Lease } from './leases.ts';
import { Notifier } from './notify.ts';
import { MIN_PACKED } from './packed-nodes.ts';
import { Secondaries } from './secondary/secondaries.ts';
import type { Contact, SecondaryZone } from './secondary/secondary-zone.ts';
import { primaryAsker } from './secondary/transfer-client.ts';
import { type Served, statusOf, type ZoneStatus } from './served-zone.ts';
import type { HandoffRequest, OwnedRRset, SendReplies, ZoneData } from './snapshot.ts';
import { type ZoneCommit, ZoneStore } from './store.ts';
import { type Name, type NameKey, nameFromText, nameKey, nameToText } from './wire/name.ts';
import { unavailableZone, Zone, ZoneTable } from './zone.ts';
import { ZoneEdits } from './zone-edits.ts';
import { ZonePacking } from './zone-packing.ts';
import { readSeedFile, seedText, startZone, type ZoneFiles } from './zone-seed.ts';
import { ZoneWriter } from './zone-writer.ts';

export type { UpdateSighting, ZoneEvent, ZonePublication } from './zone-events.ts';

/** The control part of DNS; one for the process. */
export class DnsControl {
  readonly #context: DnsControlContext;
  readonly #log: Logger;
  #notifier: Notifier;
  readonly #queries: ControlQueries;
  readonly #messages: ControlMessages;
  readonly #secondaries: Secondaries;
  /** Changes by hand. */
  readonly edits = new ZoneEdits({
    gate: () => this.#gate,
    find: (zone) => this.#mustFind(zone),
    writer: () => this.#writer!,
  });
  readonly #packing = new ZonePacking((zone) => this.#share(zone));
  #store: ZoneStore | undefined;
  #writer: ZoneWriter | undefined;
  readonly #keys = new Keys();
  /** Set while a configuration is being taken over. */
  #gate: Promise<void> | undefined;
  #served = new Map<NameKey, Served>();
  #zones = new ZoneTable();

  constructor(context: DnsControlContext) {
    this.#context = context;
    this.#log = context.log;
    this.#notifier = new Notifier(context);
    this.#queries = new ControlQueries(context);
    this.#messages = new ControlMessages(context, {
      keys: this.#keys,
      queries: this.#queries,
      secondaries: () => this.#secondaries,
      served: () => this.#served,
      writer: () => this.#writer!,
      gate: () => this.#gate,
    });
    this.#secondaries = new Secondaries({
      ...context,
      ask: context.askPrimary ?? primaryAsker(context),
      store: () => this.#store!,
      writer: () => this.#writer!,
      exclusive: (run) => this.#exclusive(run),
      serve: (member, name, zone) => this.#serve(member, name, zone),
      expires: (member, name, at) => this.#setExpiry(member, name, at),
      transferred: (zone, contact) => this.#transferred(zone, contact),
    });
  }

  /**
   * Opens the store and loads the zones.
   * @param files of zones, as far as somebody has read them already
   * @throws {StoreError} the store cannot be used
   * @throws {ValueError} a zone's file or policy cannot be used
   */
  async start(config: DnsConfig, files: ZoneFiles = new Map()): Promise<void> {
    this.#store = await ZoneStore.open(this.#context.stateDir, { log: this.#log });
    // A reload may take DNS out and bring it back.
    this.#notifier = new Notifier(this.#context);
    this.#served = new Map();
    this.#writer = new ZoneWriter(
      {
        ...this.#context,
        publish: (delta) => this.#context.publish({ kind: 'delta', delta }),
        changed: (zone) => {
          this.#notify(zone);
          this.#packing.note(zone);
        },
        gate: () => this.#gate,
      },
      this.#store,
    );
    try {
      await this.apply(config, files);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Takes over a changed configuration: keys, policies, zones. Zones that are gone stay in the store.
   * @throws {ValueError} and nothing has changed
   */
  apply(config: DnsConfig, files: ZoneFiles = new Map()): Promise<void> {
    return this.#exclusive(() => this.#applyIdle(config, files));
  }

  /** Runs while nothing is being written. Updates wait meanwhile: what they would be worked out on may be replaced. */
  async #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    while (this.#gate !== undefined) await this.#gate;
    this.#gate = promise;
    try {
      await this.#writer!.idle();
      await this.#store!.flush();
      return await run();
    } finally {
      this.#gate = undefined;
      resolve();
    }
  }

  async #applyIdle(config: DnsConfig, files: ZoneFiles): Promise<void> {
    const served = new Map<NameKey, Served>();
    const commits: ZoneCommit[] = [];
    const fresh: Zone[] = [];
    /** Zones whose secondaries, or some of them, have not heard of the serial. */
    const untold: Zone[] = [];
    /** What secondary zones do once the configuration holds. */
    const follow: (() => void)[] = [];
    for (const zoneConfig of config.zones) {
      const key = nameKey(nameFromText(zoneConfig.name));
      const policy = this.#keys.policyOf(zoneConfig);
      const transferKey = config.keys.find(({ name }) => name === zoneConfig.transfer.key);
      const old = this.#served.get(key);
      if (zoneConfig.secondary !== undefined) {
        const plan = this.#secondaries.plan(zoneConfig, config.keys, old, this.#store!);
        const { zone, member: secondary } = plan;
        served.set(key, { config: zoneConfig, zone, policy, transferKey, secondary, lastUpdate: old?.lastUpdate });
        if (plan.commit !== undefined) commits.push(plan.commit);
        if (plan.isNew) fresh.push(zone);
        if (plan.isNew || notifyText(old!.config) !== notifyText(zoneConfig)) untold.push(zone);
        follow.push(plan.follow);
        continue;
      }
      if (old !== undefined && seedText(old.config) === seedText(zoneConfig)) {
        served.set(key, { config: zoneConfig, zone: old.zone, policy, transferKey, lastUpdate: old.lastUpdate });
        if (notifyText(old.config) !== notifyText(zoneConfig)) untold.push(old.zone);
        continue;
      }
      const stored = this.#store!.load(key);
      const serial = Math.floor(this.#context.clock.wall() / 1000);
      const readFile = () => files.get(zoneConfig.name) ?? readSeedFile(zoneConfig);
      const { zone, seed, ...content } = startZone(zoneConfig, stored, readFile, serial);
      if (content.changes.length > 0 || stored === undefined) {
        const what = stored === undefined ? 'zone seeded' : 'configuration changed the zone';
        this.#log.info({ zone: zoneConfig.name, serial: zone.serial, rrsets: zone.size }, what);
      }
      if (content.changes.length > 0 || stored?.seed !== seed) commits.push({ zone: key, ...content, seed });
      served.set(key, { config: zoneConfig, zone, policy, transferKey, lastUpdate: old?.lastUpdate });
      fresh.push(zone);
      untold.push(zone);
    }
    if (commits.length > 0) await this.#store!.commit(commits);
    const isStart = this.#served.size === 0;
    if (isStart && fresh.some(({ size }) => size >= MIN_PACKED)) await this.#store!.letGo();
    const before = this.#served;
    const gone = [...before.values()].filter(({ zone }) => !served.has(zone.key));
    for (const { secondary, zone } of before.values()) {
      if (served.get(zone.key)?.secondary !== secondary) secondary?.stop();
    }
    // A transfer may have come meanwhile.
    for (const [key, entry] of served) {
      const old = before.get(key);
      if (entry.secondary !== undefined && entry.secondary === old?.secondary) entry.zone = old.zone;
    }
    this.#keys.configure(config.keys);
    this.#served = served;
    // Which dynamic keys there are may have changed since the policies were made, and does with the configured keys.
    this.#applyPolicies();
    this.#zones = new ZoneTable([...served.values()].map(({ zone }) => zone));
    this.#queries.apply({ served, zones: this.#zones, store: this.#store!, recursion: config.forward !== undefined });
    for (const { zone } of gone) this.#context.publish({ kind: 'zone-removed', name: zone.name });
    for (const zone of fresh) {
      this.#context.publish({ kind: 'zone', data: zone.toShared() });
      await this.#context.taken?.();
    }
    await this.#writer!.apply({ served, zones: this.#zones }, before, fresh);
    for (const zone of untold) this.#notify(zone);
    for (const step of follow) step();
  }

  /**
   * Replaces the keys that come and go, with their rules; at once, or with the next start. A zone that is not ours, or a key that
   * is configured as well, has none of them.
   */
  setDynamicKeys(dynamic: readonly DynamicKey[]): void {
    this.#keys.set(dynamic);
    this.#applyPolicies();
  }

  #applyPolicies(): void {
    for (const served of this.#served.values()) served.policy = this.#keys.policyOf(served.config);
  }

  /** A zone was packed: the data threads leave their own copies of what changed. */
  #share(zone: Zone): void {
    if (this.#served.get(zone.key)?.zone === zone) this.#context.publish({ kind: 'zone', data: zone.toShared() });
  }

  /** Every zone whole, as data threads have them: for one that starts later. */
  snapshots(): ZoneData[] {
    return [...this.#zones.values()].map((zone) => zone.toShared());
  }

  /** Waits for updates under way and closes the store. */
  async stop(): Promise<void> {
    this.#notifier.stop();
    this.#secondaries.stop();
    for (const { secondary } of this.#served.values()) secondary?.stop();
    while (this.#gate !== undefined) await this.#gate;
    this.#packing.stop();
    await this.#writer?.stop();
    await this.#store?.close();
    this.#writer = undefined;
    this.#store = undefined;
  }

  /** Answers a message that a data thread handed over; without `send` all replies come at once. */
  handle(request: HandoffRequest, send?: SendReplies): Promise<readonly Uint8Array[]> {
    return this.#messages.answer(request, send);
  }

  /** All zones, in the order of the configuration. */
  zones(): ZoneStatus[] {
    return [...this.#served.values()].map(statusOf);
  }

  zone(name: string): ZoneStatus | undefined {
    const served = this.#find(name);
    return served === undefined ? undefined : statusOf(served);
  }

  /**
   * Asks the primaries of a secondary zone now; `whole` takes all of it over, whatever its serial.
   * @throws {ValueError} if there is no such zone, or we are its primary
   */
  refresh(zone: string, whole: boolean): void {
    const { secondary } = this.#mustFind(zone);
    if (secondary === undefined) throw new ValueError(`zone ${zone} has no primaries: we are its primary`);
    secondary.refresh({ whole });
  }

  /**
   * Tells the secondaries of a zone what serial it has, as after a change. Returns whom.
   * @throws {ValueError} if there is no such zone, nobody to tell, or nothing of it to tell
   */
  notify(zone: string): readonly string[] {
    const served = this.#mustFind(zone);
    const { notify: targets } = served.config.transfer;
    if (targets.length === 0) throw new ValueError(`zone ${zone} has nobody to notify: transfer.notify is empty`);
    if (served.zone.unavailable) throw new ValueError(`zone ${zone} has no data that are still good`);
    this.#notify(served.zone);
    return targets.map(formatEndpoint);
  }

  /**
   * The records of a zone, or those of a name or type in it.
   * @throws {ValueError} if there is no such zone
   */
  records(name: string, filter: { name?: Name; type?: number } = {}): OwnedRRset[] {
    const served = this.#mustFind(name);
    const zone = served.secondary?.data ?? served.zone;
    if (zone.unavailable) return [];
    const sets = filter.name === undefined ? [...zone.all()] : zone.rrsets(nameKey(filter.name));
    return sets.filter(({ rrset }) => filter.type === undefined || rrset.type === filter.type);
  }

  /**
   * How many records a zone has.
   * @throws {ValueError} if there is no such zone
   */
  recordCount(name: string): number {
    const served = this.#mustFind(name);
    const zone = served.secondary?.data ?? served.zone;
    return zone.unavailable ? 0 : zone.records;
  }

  /**
   * When the records of an RRset will vanish unless they are refreshed; those without a lease are not among them.
   * @throws {ValueError} if there is no such zone
   */
  leases(zone: string, owner: Name, type: number): readonly Lease[] {
    return this.#writer!.leases(this.#mustFind(zone).zone.key, nameKey(owner), type);
  }

  /** When a dynamic key last made an update that was good, wall-clock milliseconds; undefined: not since the start. */
  lastUpdateBy(key: string): number | undefined {
    return this.#keys.lastUpdateBy(key);
  }

  /** Tells the zone's secondaries what serial it has. */
  #notify(zone: Zone): void {
    const served = this.#served.get(zone.key);
    if (served === undefined || served.config.transfer.notify.length === 0 || zone.unavailable) return;
    const { notify: targets } = served.config.transfer;
    this.#notifier.notify({ zone: zone.name, soa: zone.soa.set, targets, key: served.transferKey });
  }

  /** Answers for a secondary zone from its data, or with SERVFAIL. */
  async #serve(member: SecondaryZone, name: Name, data: Zone | undefined): Promise<void> {
    const served = this.#served.get(nameKey(name));
    if (served?.secondary !== member) return;
    const zone = data ?? new Zone(unavailableZone(name));
    // A zone that goes on gets its changes as they are made.
    if (served.zone === zone) return;
    served.zone = zone;
    this.#zones.set(zone);
    this.#context.publish({ kind: 'zone', data: zone.toShared() });
    await this.#context.taken?.();
    if (data !== undefined) return;
    this.#context.emit({ type: 'zone-expired', zone: nameToText(name), serial: member.data?.serial ?? 0 });
  }

  /** The data threads tell who asks when a secondary zone expires (RFC 7314). */
  #setExpiry(member: SecondaryZone, name: Name, expiresAt: number): void {
    const served = this.#served.get(nameKey(name));
    if (served?.secondary !== member || served.zone.unavailable) return;
    served.zone.expires(expiresAt);
    this.#context.publish({ kind: 'zone-expiry', name, expiresAt });
  }

  /** A secondary zone has new content: its own secondaries are told. */
  #transferred(zone: Zone, { kind, from, primary, octets }: Contact): void {
    const served = this.#served.get(zone.key);
    if (served === undefined || (kind !== 'axfr' && kind !== 'ixfr')) return;
    served.lastUpdate = this.#context.clock.wall();
    const event = {
      zone: nameToText(zone.name),
      serial: zone.serial,
      from,
      method: kind,
      primary: formatEndpoint(primary),
    };
    this.#log.info({ ...event, octets }, 'secondary zone transferred');
    this.#context.emit({ type: 'zone-transferred', ...event });
    this.#notify(zone);
  }

  #find(name: string): Served | undefined {
    return this.#served.get(nameKey(nameFromText(name)));
  }

  #mustFind(name: string): Served {
    const served = this.#find(name);
    if (served === undefined) throw new ValueError(`there is no zone "${name}"`);
    return served;
  }
}

/** The text by which a change of `transfer.notify` is noticed. */
function notifyText(config: ZoneConfig): string {
  return config.transfer.notify.map(formatEndpoint).join(' ');
}
