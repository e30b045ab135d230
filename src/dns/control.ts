/**
 * The control thread's part of DNS: owns the zones and their store, answers what data threads hand over (updates,
 * transfers, anything signed), and tells data threads what changed.
 *
 * An update passes: TSIG → zone section → policy and RFC 2136 (update.ts) → commit queue → disk → data threads → reply.
 * A client that has NOERROR finds its records on disk and in answers.
 */
import { formatEndpoint } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import { errorMessage, ValueError, WireError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import { CommitQueue, type ZoneTransaction } from './commit-queue.ts';
import type { DnsConfig, ZoneConfig } from './config.ts';
import { STORE_COMMITS, STORE_FAILURES, tsigCounter, updateCounter } from './control-counters.ts';
import { ControlQueries } from './control-queries.ts';
import { emptyReply, replyTo, tsigErrorText } from './control-reply.ts';
import { Notifier } from './notify.ts';
import { Overlay, type RRsetChange } from './overlay.ts';
import { UpdatePolicy } from './policy.ts';
import { applyPtrChanges, existingPtrs, isReverseZone, type PtrChange, ptrChanges, ptrsByZone } from './reverse.ts';
import { type Served, statusOf, type ZoneStatus } from './served-zone.ts';
import type { HandoffRequest, OwnedRRset, SendReplies, ZoneData, ZoneDelta } from './snapshot.ts';
import { soaSerial } from './soa.ts';
import { type ZoneCommit, ZoneStore } from './store.ts';
import { Keyring, type TsigOutcome, verifyRequest } from './tsig.ts';
import { checkZoneSection, finishChanges, processUpdate } from './update.ts';
import { replaceRRset, withdrawRRset } from './update-apply.ts';
import { type Message, type ParsedMessage, parseMessage } from './wire/message.ts';
import { type Name, type NameKey, nameFromText, nameKey, nameToText } from './wire/name.ts';
import { CLASS, OPCODE, RCODE, rcodeToText, TYPE, typeToText } from './wire/types.ts';
import { type Zone, ZoneTable } from './zone.ts';
import { fileRecords, seedText, startZone } from './zone-seed.ts';

/** What goes to the data threads. */
export type ZonePublication =
  | { readonly kind: 'zone'; readonly data: ZoneData }
  | { readonly kind: 'delta'; readonly delta: ZoneDelta }
  | { readonly kind: 'zone-removed'; readonly name: Name };

/** A zone changed: for the event stream. */
export interface ZoneEvent {
  readonly type: 'zone-updated';
  readonly zone: string;
  readonly serial: number;
  /** Who: a key's name, or `api`. */
  readonly by: string;
  readonly client: string | undefined;
  /** The RRsets that changed, `name type`. */
  readonly changed: readonly string[];
}

/** What the control part needs from above. */
/** Looks at the RRsets that a change by hand is about, in the transaction that changes them; what it throws stops that. */
export type CheckBefore = (before: readonly OwnedRRset[]) => void;

export interface DnsControlContext {
  readonly clock: Clock;
  /** Draws the ids of messages that we send first. */
  readonly random: Random;
  readonly log: Logger;
  /** Window for `controlCounters`. */
  readonly counters?: CounterStripe;
  readonly stateDir: string;
  /** May return a promise that resolves when data threads have it: replies wait for it, a short while. */
  readonly publish: (publication: ZonePublication) => void | Promise<void>;
  readonly emit: (event: ZoneEvent) => void;
}

/** The control part of DNS; one for the process. */
export class DnsControl {
  readonly #context: DnsControlContext;
  readonly #log: Logger;
  readonly #notifier: Notifier;
  readonly #queries: ControlQueries;
  #store: ZoneStore | undefined;
  #queue: CommitQueue | undefined;
  #keys = new Keyring([]);
  /** Set while a configuration is being taken over. */
  #gate: Promise<void> | undefined;
  #served = new Map<NameKey, Served>();
  #zones = new ZoneTable();

  constructor(context: DnsControlContext) {
    this.#context = context;
    this.#log = context.log;
    this.#notifier = new Notifier(context);
    this.#queries = new ControlQueries(context);
  }

  /**
   * Opens the store and loads the zones.
   * @throws {StoreError} the store cannot be used
   * @throws {ValueError} a zone's file or policy cannot be used
   */
  async start(config: DnsConfig): Promise<void> {
    this.#store = await ZoneStore.open(this.#context.stateDir);
    this.#queue = new CommitQueue({
      store: this.#store,
      clock: this.#context.clock,
      publish: (delta) => this.#context.publish({ kind: 'delta', delta }),
      onCommit: (error) => this.#committed(error),
    });
    try {
      await this.apply(config);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Takes over a changed configuration: keys, policies, zones. Zones that are gone stay in the store.
   * @throws {ValueError} and nothing has changed
   */
  async apply(config: DnsConfig): Promise<void> {
    // Updates wait meanwhile: what they would be worked out on may be about to be replaced.
    const { promise, resolve } = Promise.withResolvers<void>();
    while (this.#gate !== undefined) await this.#gate;
    this.#gate = promise;
    try {
      await this.#queue!.idle();
      await this.#applyIdle(config);
    } finally {
      this.#gate = undefined;
      resolve();
    }
  }

  async #applyIdle(config: DnsConfig): Promise<void> {
    const served = new Map<NameKey, Served>();
    const commits: ZoneCommit[] = [];
    const fresh: Zone[] = [];
    /** Zones whose secondaries, or some of them, have not heard of the serial. */
    const untold: Zone[] = [];
    for (const zoneConfig of config.zones) {
      const key = nameKey(nameFromText(zoneConfig.name));
      const policy = new UpdatePolicy(key, zoneConfig.update);
      const transferKey = config.keys.find(({ name }) => name === zoneConfig.transfer.key);
      const old = this.#served.get(key);
      if (old !== undefined && seedText(old.config) === seedText(zoneConfig)) {
        served.set(key, { config: zoneConfig, zone: old.zone, policy, transferKey, lastUpdate: old.lastUpdate });
        if (notifyText(old.config) !== notifyText(zoneConfig)) untold.push(old.zone);
        continue;
      }
      const stored = this.#store!.load(key);
      const serial = Math.floor(this.#context.clock.wall() / 1000);
      const { zone, changes, seed } = startZone(zoneConfig, stored, () => fileRecords(zoneConfig), serial);
      if (changes.length > 0) {
        const what = stored === undefined ? 'zone seeded' : 'configuration changed the zone';
        this.#log.info({ zone: zoneConfig.name, serial: zone.serial, rrsets: zone.size }, what);
      }
      if (changes.length > 0 || stored?.seed !== seed) commits.push({ zone: key, changes, seed });
      served.set(key, { config: zoneConfig, zone, policy, transferKey, lastUpdate: old?.lastUpdate });
      fresh.push(zone);
      untold.push(zone);
    }
    if (commits.length > 0) await this.#store!.commit(commits);
    const before = this.#served;
    const gone = [...before.values()].filter(({ zone }) => !served.has(zone.key));
    this.#keys = new Keyring(config.keys);
    this.#served = served;
    this.#zones = new ZoneTable([...served.values()].map(({ zone }) => zone));
    this.#queries.apply({ served, zones: this.#zones, store: this.#store!, recursion: config.forward !== undefined });
    for (const { zone } of gone) await this.#context.publish({ kind: 'zone-removed', name: zone.name });
    for (const zone of fresh) await this.#context.publish({ kind: 'zone', data: zone.toData() });
    await this.#seedReverse(before, fresh);
    for (const zone of untold) this.#notify(zone);
  }

  /** PTR records of addresses that were there before `reverse` was set, or before the reverse zone. */
  async #seedReverse(before: ReadonlyMap<NameKey, Served>, fresh: readonly Zone[]): Promise<void> {
    const newReverse = fresh.some(({ key }) => isReverseZone(key));
    for (const { config, zone } of this.#served.values()) {
      const known = before.get(zone.key)?.config.reverse === true && !fresh.includes(zone) && !newReverse;
      if (!config.reverse || known) continue;
      const transactions = this.#reverse(existingPtrs(zone.all()));
      if (transactions.length === 0) continue;
      try {
        await this.#queue!.submit(transactions);
      } catch (error) {
        // The zones are as they were; the next start tries again.
        this.#log.error({ zone: config.name, err: error }, 'PTR records of existing addresses could not be stored');
      }
    }
  }

  /** Every zone whole, as data threads have them: for one that starts later. */
  snapshots(): ZoneData[] {
    return [...this.#zones.values()].map((zone) => zone.toData());
  }

  /** Waits for updates under way and closes the store. */
  async stop(): Promise<void> {
    this.#notifier.stop();
    await this.#queue?.idle();
    await this.#store?.close();
    this.#queue = undefined;
    this.#store = undefined;
  }

  /** Answers a message that a data thread handed over; without `send` all replies come at once. */
  async handle(request: HandoffRequest, send?: SendReplies): Promise<readonly Uint8Array[]> {
    const { message } = request;
    if (message.length < 12 || (message[2]! & 0x80) !== 0) return [];
    const outcome = verifyRequest(message, this.#keys, this.#context.clock);
    const opcode = (message[2]! >> 3) & 15;
    if (outcome.kind === 'malformed' || outcome.kind === 'failed') return [this.#refuseSignature(request, outcome)];
    const inner = outcome.kind === 'verified' ? outcome.message : message;
    const sign = (reply: Uint8Array) => (outcome.kind === 'verified' ? outcome.signer.sign(reply) : reply);
    let parsed: ParsedMessage;
    try {
      parsed = parseMessage(inner);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#log.debug({ client: formatEndpoint(request.client), reason: error.message }, 'message does not parse');
      if (opcode === OPCODE.UPDATE) this.#context.counters?.add(updateCounter(RCODE.FORMERR));
      return [sign(emptyReply(message, RCODE.FORMERR))];
    }
    switch (opcode) {
      case OPCODE.UPDATE: {
        while (this.#gate !== undefined) await this.#gate;
        const rcode = await this.#update(parsed, request, outcome);
        this.#context.counters?.add(updateCounter(rcode));
        return [sign(replyTo(message, parsed, rcode))];
      }
      case OPCODE.QUERY:
        return this.#queries.answer(inner, parsed, request, outcome, send);
      case OPCODE.NOTIFY:
        // We are no secondary of any zone (RFC 1996 §3.10 speaks to those).
        return [sign(replyTo(message, parsed, this.#zoneOf(parsed) === undefined ? RCODE.NOTAUTH : RCODE.REFUSED))];
      default:
        return [sign(replyTo(message, parsed, RCODE.NOTIMP))];
    }
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
   * The records of a zone, or those of a name or type in it.
   * @throws {ValueError} if there is no such zone
   */
  records(zone: string, filter: { name?: Name; type?: number } = {}): OwnedRRset[] {
    const served = this.#mustFind(zone);
    const sets = filter.name === undefined ? [...served.zone.all()] : served.zone.rrsets(nameKey(filter.name));
    return sets.filter(({ rrset }) => filter.type === undefined || rrset.type === filter.type);
  }

  /**
   * Puts an RRset in place of what is there; resolves when it is on disk.
   * @param check sees what is there in the same transaction; nothing changes if it throws
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
  ): Promise<number> {
    return this.#edit(zone, (key, overlay) => {
      check(overlay.rrsets(nameKey(owner)).filter(({ rrset }) => rrset.type === type));
      replaceRRset(owner, type, ttl, rdata, key, overlay);
    });
  }

  /**
   * Deletes an RRset, or with no type all of a name; resolves when it is on disk.
   * @param check as for `setRRset`
   * @returns the zone's serial
   * @throws {ValueError} if the zone's rules do not allow it
   */
  deleteRRset(zone: string, owner: Name, type?: number, check: CheckBefore = () => undefined): Promise<number> {
    return this.#edit(zone, (key, overlay) => {
      check(overlay.rrsets(nameKey(owner)).filter(({ rrset }) => type === undefined || rrset.type === type));
      withdrawRRset(owner, type ?? TYPE.ANY, key, overlay);
    });
  }

  async #edit(zone: string, change: (key: NameKey, overlay: Overlay) => void): Promise<number> {
    while (this.#gate !== undefined) await this.#gate;
    const served = this.#mustFind(zone);
    const view = this.#queue!.view(served.zone);
    const overlay = new Overlay(view);
    change(served.zone.key, overlay);
    await this.#commit(served, finishChanges(served.zone.key, view, overlay), 'api', undefined);
    return served.zone.serial;
  }

  /** RFC 2136 §3. */
  async #update(message: ParsedMessage, request: HandoffRequest, outcome: TsigOutcome): Promise<number> {
    const section = checkZoneSection(message);
    if (section !== RCODE.NOERROR) return section;
    const [zoneSection] = message.questions;
    const zone = nameToText(zoneSection!.name);
    const client = formatEndpoint(request.client);
    const key = outcome.kind === 'verified' ? outcome.key : undefined;
    const log = this.#log.child({ zone, client, key: key?.name });
    const refuse = (rcode: number, reason: string): number => {
      log.warn({ rcode: rcodeToText(rcode), reason }, 'update refused');
      return rcode;
    };
    if (zoneSection!.class !== CLASS.IN) return refuse(RCODE.NOTIMP, 'the class is not IN');
    const served = this.#zoneOf(message);
    if (served === undefined) return refuse(RCODE.NOTAUTH, 'no zone of ours has this name');
    if (key === undefined) return refuse(RCODE.REFUSED, 'it is not signed');
    const view = this.#queue!.view(served.zone);
    const who = { key: nameKey(nameFromText(key.name)), address: request.client.address };
    const result = processUpdate(message, served.zone.key, view, served.policy, who);
    if (result.reason !== undefined) return refuse(result.rcode, result.reason);
    if (result.ignored.length > 0) log.info({ ignored: result.ignored }, 'records of an update were passed over');
    if (result.changes.length === 0) {
      log.debug({}, 'update changes nothing');
      return RCODE.NOERROR;
    }
    try {
      await this.#commit(served, result.changes, key.name, client);
    } catch (error) {
      return refuse(RCODE.SERVFAIL, errorMessage(error));
    }
    return RCODE.NOERROR;
  }

  /** Submits changes with the PTR records that follow from them, and tells of them when they are durable. */
  async #commit(
    served: Served,
    changes: readonly RRsetChange[],
    by: string,
    client: string | undefined,
  ): Promise<void> {
    const transactions = [{ zone: served.zone, changes }];
    if (served.config.reverse) transactions.push(...this.#reverse(ptrChanges(changes)));
    if (changes.length === 0) return;
    await this.#queue!.submit(transactions);
    const now = this.#context.clock.wall();
    for (const { zone, changes } of transactions) {
      const entry = this.#served.get(zone.key);
      if (entry !== undefined) entry.lastUpdate = now;
      const soa = changes.find(({ type }) => type === TYPE.SOA);
      const event: ZoneEvent = {
        type: 'zone-updated',
        zone: nameToText(zone.name),
        serial: soa?.rrset === undefined ? zone.serial : soaSerial(soa.rrset.rdata[0]!),
        by,
        client,
        changed: changes
          .filter(({ type }) => type !== TYPE.SOA)
          .map(({ owner, type }) => `${nameToText(owner)} ${typeToText(type)}`),
      };
      const { type: _, ...fields } = event;
      this.#log.info(fields, 'zone updated');
      this.#context.emit(event);
      this.#notify(zone);
    }
  }

  /** Tells the zone's secondaries what serial it has. */
  #notify(zone: Zone): void {
    const served = this.#served.get(zone.key);
    if (served === undefined || served.config.transfer.notify.length === 0) return;
    const { notify: targets } = served.config.transfer;
    this.#notifier.notify({ zone: zone.name, soa: zone.soa.set, targets, key: served.transferKey });
  }

  /** The transactions that bring PTR changes into the reverse zones we have. */
  #reverse(changes: readonly PtrChange[]): ZoneTransaction[] {
    const transactions: ZoneTransaction[] = [];
    for (const [zone, ptrs] of ptrsByZone(changes, this.#zones)) {
      const view = this.#queue!.view(zone);
      const overlay = new Overlay(view);
      applyPtrChanges(ptrs, overlay);
      const changes = finishChanges(zone.key, view, overlay);
      if (changes.length > 0) transactions.push({ zone, changes });
    }
    return transactions;
  }

  #refuseSignature(request: HandoffRequest, outcome: TsigOutcome & { kind: 'malformed' | 'failed' }): Uint8Array {
    const failed = outcome.kind === 'failed' ? outcome : undefined;
    this.#context.counters?.add(tsigCounter(failed?.error ?? RCODE.FORMERR));
    const rcode = failed === undefined ? RCODE.FORMERR : RCODE.NOTAUTH;
    const error = failed === undefined ? 'FORMERR' : tsigErrorText(failed.error);
    this.#log.warn({ client: formatEndpoint(request.client), error, reason: outcome.reason }, 'signature refused');
    if (((request.message[2]! >> 3) & 15) === OPCODE.UPDATE) this.#context.counters?.add(updateCounter(rcode));
    const reply = emptyReply(request.message, rcode);
    return failed?.signer.sign(reply) ?? reply;
  }

  /** The zone of ours whose name is the one in the first section. */
  #zoneOf(message: Message): Served | undefined {
    const [entry] = message.questions;
    return entry === undefined || entry.class !== CLASS.IN ? undefined : this.#served.get(nameKey(entry.name));
  }

  #find(name: string): Served | undefined {
    return this.#served.get(nameKey(nameFromText(name)));
  }

  #mustFind(name: string): Served {
    const served = this.#find(name);
    if (served === undefined) throw new ValueError(`there is no zone "${name}"`);
    return served;
  }

  #committed(error: unknown): void {
    this.#context.counters?.add(error === undefined ? STORE_COMMITS : STORE_FAILURES);
    if (error !== undefined) this.#log.error({ err: error }, 'updates could not be stored');
  }
}

/** The text by which a change of `transfer.notify` is noticed. */
function notifyText(config: ZoneConfig): string {
  return config.transfer.notify.map(formatEndpoint).join(' ');
}
