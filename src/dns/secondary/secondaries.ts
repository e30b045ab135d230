/** All secondary zones: what connects them with the store, the answers, NOTIFY and updates that come for them. */

import { isDeepStrictEqual } from 'node:util';
import { cidrContains, formatEndpoint, type InetEndpoint, unmapAddress } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import { WireError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { SecondaryConfig, TsigKey, ZoneConfig } from '../config.ts';
import { forwardedCounter, inboundCounter, notifyCounter } from '../control-counters.ts';
import { emptyReply } from '../control-reply.ts';
import { MIN_PACKED } from '../packed-nodes.ts';
import { RefusalLog } from '../refusal-log.ts';
import type { Served } from '../served-zone.ts';
import type { HandoffRequest } from '../snapshot.ts';
import { soaSerial } from '../soa.ts';
import type { StoredZone, ZoneCommit, ZoneStore } from '../store.ts';
import type { TsigOutcome } from '../tsig.ts';
import { HEADER_LENGTH, type ParsedMessage } from '../wire/message.ts';
import { type Name, type NameKey, nameFromText, nameKey, nameToText, parseName } from '../wire/name.ts';
import { RCODE, rcodeToText, TYPE } from '../wire/types.ts';
import { unavailableZone, Zone } from '../zone.ts';
import { SECONDARY_SEED, UNCONFIRMED_SEED, zoneOf } from '../zone-seed.ts';
import type { ZoneWriter } from '../zone-writer.ts';
import { type Contact, type SecondaryHost, type SecondarySettings, SecondaryZone } from './secondary-zone.ts';
import type { AskPrimary } from './transfer-client.ts';
import type { Transferred } from './transfer-reader.ts';
import { UpdateForwarder } from './update-forwarder.ts';
import { applyDifferences, replaceZone } from './zone-changes.ts';

/** Primaries asked at a time; other zones wait for their turn. */
const MAX_ASKED = 10;

/** What secondary zones need of the control part. */
export interface SecondariesContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counters?: CounterStripe;
  readonly ask: AskPrimary;
  readonly store: () => ZoneStore;
  readonly writer: () => ZoneWriter;
  /** Runs while nothing else changes zones or their configuration. */
  readonly exclusive: <T>(run: () => Promise<T>) => Promise<T>;
  /** Answers from the zone, or with SERVFAIL; resolves when data threads do. */
  readonly serve: (member: SecondaryZone, name: Name, zone: Zone | undefined) => Promise<void>;
  /** Answers say when the zone expires. */
  readonly expires: (member: SecondaryZone, name: Name, at: number) => void;
  /** The zone has other content now. */
  readonly transferred: (zone: Zone, contact: Contact) => void;
}

/** What `plan` finds. */
export interface SecondaryPlan {
  readonly member: SecondaryZone;
  /** What answers come from. */
  readonly zone: Zone;
  readonly isNew: boolean;
  readonly commit: ZoneCommit | undefined;
  /** To be called when the configuration holds. */
  readonly follow: () => void;
}

export class Secondaries {
  readonly #context: SecondariesContext;
  #forwarder: UpdateForwarder;
  readonly #refusals: RefusalLog;
  #asked = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(context: SecondariesContext) {
    this.#context = context;
    this.#refusals = new RefusalLog(context.clock, context.log);
    this.#forwarder = new UpdateForwarder(context.clock, this.#refusals);
  }

  /** Ends what is under way for clients; the zones are stopped by who has them. */
  stop(): void {
    this.#forwarder.stop();
    this.#forwarder = new UpdateForwarder(this.#context.clock, this.#refusals);
  }

  /**
   * What a configured secondary zone is: the one that it was, or a new one of what is stored, which may be from another
   * time: from other primaries, or a zone of our own. Nothing happens before `follow`.
   */
  plan(
    config: ZoneConfig,
    keys: readonly TsigKey[],
    old: Served | undefined,
    store: Pick<ZoneStore, 'load'>,
  ): SecondaryPlan {
    const { primaries, key } = config.secondary!;
    const settings = { primaries, key: keys.find(({ name }) => name === key) };
    if (old?.secondary !== undefined) {
      const member = old.secondary;
      const same = isDeepStrictEqual(member.settings, settings);
      const follow = () => same || member.apply(settings);
      return { member, zone: old.zone, isNew: false, commit: undefined, follow };
    }
    const name = nameFromText(config.name);
    const stored = store.load(nameKey(name));
    const member = this.#create(name, settings, stored);
    const zone = member.served ?? new Zone(unavailableZone(name));
    const commit = unconfirmed(nameKey(name), stored, this.#context.clock.wall());
    return { member, zone, isNew: true, commit, follow: () => member.start() };
  }

  #create(name: Name, settings: SecondarySettings, stored: StoredZone | undefined): SecondaryZone {
    const { clock, random, log } = this.#context;
    const member: SecondaryZone = new SecondaryZone(
      {
        clock,
        random,
        log: log.child({ zone: nameToText(name) }),
        ask: (request) => this.#ask(request),
        host: this.#hostOf(name, () => member),
      },
      settings,
      {
        name,
        zone: stored === undefined ? undefined : zoneOf(name, stored),
        // A zone that was our own until now is good from now on.
        refreshedAt: stored === undefined ? undefined : isCopy(stored) ? stored.refreshed : clock.wall(),
        foreign: stored !== undefined && stored.seed !== SECONDARY_SEED,
      },
    );
    return member;
  }

  /** Takes a NOTIFY (RFC 1996 §3.10 to §3.12) for a secondary zone. Returns the rcode. */
  notified(
    message: ParsedMessage,
    client: InetEndpoint,
    key: TsigKey | undefined,
    member: SecondaryZone,
    config: SecondaryConfig,
  ): number {
    const { log, counters } = this.#context;
    const [question] = message.questions;
    const answer = (rcode: number): number => {
      counters?.add(notifyCounter(rcode === RCODE.NOERROR ? 'accepted' : 'refused'));
      return rcode;
    };
    if (message.questions.length !== 1 || question!.type !== TYPE.SOA) return answer(RCODE.FORMERR);
    const from = formatEndpoint(client);
    if (!mayNotify(client, key, config)) {
      const fields = { client: from, rcode: rcodeToText(RCODE.REFUSED) };
      this.#refusals.warn(log, fields, 'NOTIFY refused: it is from no primary');
      return answer(RCODE.REFUSED);
    }
    const soa = message.answers.find(({ type, rdata }) => type === TYPE.SOA && rdata.length > 20);
    const serial = soa === undefined ? undefined : soaSerial(soa.rdata);
    log.debug({ client: from, serial }, 'NOTIFY');
    member.notified(client, serial);
    return answer(RCODE.NOERROR);
  }

  /**
   * The primary's answer to an update for a secondary zone; undefined: it is not to be forwarded. Keys that only the primary
   * knows are no fault here (RFC 8945 §5.5); without any it would be us whom the primary believes.
   */
  async forwardUpdate(
    { message, client }: HandoffRequest,
    outcome: TsigOutcome,
    all: ReadonlyMap<NameKey, Served>,
  ): Promise<Uint8Array[] | undefined> {
    const unknownKey = outcome.kind === 'failed' && outcome.error === RCODE.BADKEY;
    if (outcome.kind !== 'verified' && !unknownKey) return undefined;
    const zone = zoneSection(message);
    const config = zone === undefined ? undefined : all.get(zone)?.config;
    if (config?.secondary === undefined) return undefined;
    const { log, counters } = this.#context;
    const { bytes } = unmapAddress(client.address);
    const { allowUpdateForwarding, primaries } = config.secondary;
    if (!allowUpdateForwarding.some((cidr) => cidrContains(cidr, bytes))) {
      counters?.add(forwardedCounter('refused'));
      return undefined;
    }
    const fields = { zone: config.name, client: formatEndpoint(client) };
    const reply = await this.#forwarder.forward(message, primaries, log.child(fields));
    counters?.add(forwardedCounter(reply === undefined ? 'failed' : 'answered'));
    if (reply !== undefined) return [reply];
    const failure = emptyReply(message, RCODE.SERVFAIL);
    return [outcome.kind === 'verified' ? outcome.signer.sign(failure) : failure];
  }

  /** Asks when it is this zone's turn. */
  async #ask(request: Parameters<AskPrimary>[0]): ReturnType<AskPrimary> {
    if (this.#asked >= MAX_ASKED) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    this.#asked++;
    try {
      return await this.#context.ask(request);
    } finally {
      this.#asked--;
      this.#waiting.shift()?.();
    }
  }

  /** A large transfer leaves memory behind in the store. */
  async #letGo(name: Name): Promise<void> {
    const { store, log } = this.#context;
    try {
      await store().flush();
      await store().letGo();
      log.debug({ zone: nameToText(name) }, 'the zone store was opened anew after a large transfer');
    } catch (error) {
      // The zone is on disk; what cannot be opened is opened by the next change, or that says why not.
      log.warn(
        { zone: nameToText(name), err: error },
        'the zone store could not be opened anew after a large transfer',
      );
    }
  }

  #hostOf(name: Name, member: () => SecondaryZone): SecondaryHost {
    const { exclusive, serve, expires, writer, counters, transferred } = this.#context;
    const key = nameKey(name);
    return {
      take: (content, at) => exclusive(() => this.#take(member(), key, name, content, at)),
      async confirm(at) {
        await exclusive(async () => {
          const { stopped, data: zone } = member();
          // It may be somebody else's by now, or a zone of our own.
          if (stopped || zone === undefined) return;
          await writer().takeOver({ zone, changes: [], refreshed: at, seed: SECONDARY_SEED });
        });
      },
      serve: (zone) => serve(member(), name, zone),
      expires: (at) => expires(member(), name, at),
      onContact(contact) {
        counters?.add(inboundCounter(contact.kind));
        if (contact.kind === 'axfr' || contact.kind === 'ixfr') transferred(member().data!, contact);
      },
    };
  }

  /** Brings a transfer to disk and into the zone. */
  async #take(
    member: SecondaryZone,
    key: NameKey,
    name: Name,
    content: Exclude<Transferred, { kind: 'current' }>,
    refreshed: number,
  ): Promise<Zone | undefined> {
    if (member.stopped) return undefined;
    const { store, writer, log } = this.#context;
    const zone = member.data;
    if (content.kind === 'axfr' && content.passedOver > 0) {
      log.warn({ zone: nameToText(name), records: content.passedOver }, 'records outside the zone were passed over');
    }
    const changes =
      content.kind === 'axfr'
        ? await replaceZone(zone, content.rrsets)
        : zone === undefined
          ? undefined
          : applyDifferences(key, zone, content.steps);
    if (changes === undefined) return undefined;
    const seed = SECONDARY_SEED;
    if (zone === undefined) await store().commit([{ zone: key, changes, seed, refreshed }]);
    else await writer().takeOver({ zone, changes, seed, refreshed });
    if (changes.length >= MIN_PACKED) await this.#letGo(name);
    if (zone !== undefined) return zone;
    return new Zone({ name, rrsets: changes.map(({ owner, rrset }) => ({ owner, rrset: rrset! })) });
  }
}

/** The commit that a zone of our own, or one that was left alone for a while, needs to become a secondary one. */
function unconfirmed(key: NameKey, stored: StoredZone | undefined, now: number): ZoneCommit | undefined {
  if (stored === undefined || isCopy(stored)) return undefined;
  return { zone: key, changes: [], seed: UNCONFIRMED_SEED, refreshed: now };
}

/** Whether what is stored was a secondary zone when it was stored. */
function isCopy({ seed }: StoredZone): boolean {
  return seed === SECONDARY_SEED || seed === UNCONFIRMED_SEED;
}

/** The name in the zone section of an update that need not parse. */
function zoneSection(message: Uint8Array): NameKey | undefined {
  try {
    return nameKey(parseName(message, HEADER_LENGTH, message.length).name);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/**
 * NOTIFY is a hint: it makes us ask the primaries we know, and nothing else. So an address is enough, and the zone's key is
 * as well, from wherever it comes.
 */
function mayNotify(client: InetEndpoint, key: TsigKey | undefined, config: SecondaryConfig): boolean {
  if (key !== undefined && key.name === config.key) return true;
  const { bytes } = unmapAddress(client.address);
  return (
    config.primaries.some(({ address }) => Buffer.compare(address.bytes, bytes) === 0) ||
    config.allowNotify.some((cidr) => cidrContains(cidr, bytes))
  );
}
