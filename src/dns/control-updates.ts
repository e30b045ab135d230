/**
 * UPDATE messages (RFC 2136): zone section → signature → policy and the update itself (update.ts) → commit → reply. The
 * log says who, with which key, and which prerequisite, record or rule stood against it.
 */
import { formatEndpoint } from '../core/address.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { firstFew } from './first-few.ts';
import type { RefusalLog } from './refusal-log.ts';
import type { Served } from './served-zone.ts';
import type { HandoffRequest } from './snapshot.ts';
import type { TsigOutcome } from './tsig.ts';
import { checkZoneSection, processUpdate } from './update.ts';
import { recordText } from './update-refusal.ts';
import type { EdnsOption, ParsedMessage } from './wire/message.ts';
import { nameFromText, nameKey, nameToText } from './wire/name.ts';
import { CLASS, RCODE, rcodeToText } from './wire/types.ts';
import { encodeUpdateLease } from './wire/update-lease.ts';
import type { UpdateSighting } from './zone-events.ts';
import type { ZoneWriter } from './zone-writer.ts';

/** More names of one update are of no use to whoever looks for a node. */
const maxOwnersTold = 8;

/** What is answered. */
export interface UpdateAnswer {
  readonly rcode: number;
  readonly options: readonly EdnsOption[];
}

export interface UpdateContext {
  readonly log: Logger;
  readonly refusals: RefusalLog;
  readonly writer: ZoneWriter;
  readonly saw: ((sighting: UpdateSighting) => void) | undefined;
  /** Told what is going to be answered if all goes well, once the disk has been given its work. */
  readonly expect?: (answer: UpdateAnswer) => void;
  /** Told that it can be answered so; what else is to be done about the update comes after. */
  readonly durable?: () => void;
}

/** Carries out an update; resolves when it is durable, or refused. @param served the zone it names, if it is ours */
export async function answerUpdate(
  message: ParsedMessage,
  request: HandoffRequest,
  outcome: TsigOutcome,
  served: Served | undefined,
  { log: parent, refusals, writer, saw, expect, durable }: UpdateContext,
): Promise<UpdateAnswer> {
  const section = checkZoneSection(message);
  if (section !== RCODE.NOERROR) return { rcode: section, options: [] };
  const [zoneSection] = message.questions;
  const client = formatEndpoint(request.client);
  const key = outcome.kind === 'verified' ? outcome.key : undefined;
  const fields = { zone: nameToText(zoneSection!.name), client, key: key?.name };
  const sight = (rcode: number, reason: string | undefined) =>
    saw?.({
      client: request.client.address,
      key: key?.name,
      names: ownersOf(message),
      result: rcodeToText(rcode),
      reason,
      clockBehindSeconds: outcome.kind === 'verified' ? outcome.clockBehindSeconds : undefined,
    });
  const refuse = (rcode: number, reason: string): UpdateAnswer => {
    refusals.warn(parent, { ...fields, rcode: rcodeToText(rcode), reason }, 'update refused');
    sight(rcode, reason);
    return { rcode, options: [] };
  };
  // §3.1.2 asks for name and class in one.
  if (zoneSection!.class !== CLASS.IN) return refuse(RCODE.NOTAUTH, 'we have no zone of a class other than IN');
  if (served === undefined) return refuse(RCODE.NOTAUTH, 'no zone of ours has this name');
  if (served.secondary !== undefined) return refuse(RCODE.REFUSED, 'we are its secondary, and forward none from here');
  if (key === undefined) return refuse(RCODE.REFUSED, 'it is not signed');
  const { zone, policy, config } = served;
  const who = { key: nameKey(nameFromText(key.name)), address: request.client.address };
  const result = processUpdate(message, zone.key, writer.view(zone), policy, who, config.leaseSeconds);
  if (result.reason !== undefined) return refuse(result.rcode, result.reason);
  if (result.ignored.length > 0) {
    const { first, more } = firstFew(result.ignored, ({ record, reason }) => `${recordText(record)}: ${reason}`);
    parent.info({ ...fields, ignored: first, more }, 'records of an update were passed over');
  }
  if (result.changes.length === 0) parent.debug(fields, 'update changes nothing');
  const answer = {
    rcode: RCODE.NOERROR,
    options: result.lease === undefined ? [] : [encodeUpdateLease(result.lease)],
  };
  try {
    // The reply goes to a data thread behind what that was told.
    const author = { by: key.name, client };
    const committed = writer.commit(served, result.changes, result.added, author, 'told', durable);
    // The first write of a group begins in an immediate, too, and that one was asked for before.
    setImmediate(() => expect?.(answer));
    await committed;
  } catch (error) {
    return refuse(RCODE.SERVFAIL, errorMessage(error));
  }
  sight(RCODE.NOERROR, undefined);
  return answer;
}

/** Names in the update section, for whoever looks for a node's updates. */
function ownersOf({ authority }: ParsedMessage): string[] {
  const owners = new Set<string>();
  for (const { name } of authority) {
    owners.add(nameToText(name).toLowerCase());
    if (owners.size === maxOwnersTold) break;
  }
  return [...owners];
}
