/**
 * UPDATE messages (RFC 2136): zone section → signature → policy and the update itself (update.ts) → commit → reply. The
 * log says who, with which key, and which prerequisite, record or rule stood against it.
 */
import { formatEndpoint } from '../core/address.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Served } from './served-zone.ts';
import type { HandoffRequest } from './snapshot.ts';
import type { TsigOutcome } from './tsig.ts';
import { checkZoneSection, processUpdate } from './update.ts';
import type { EdnsOption, ParsedMessage } from './wire/message.ts';
import { nameFromText, nameKey, nameToText } from './wire/name.ts';
import { CLASS, RCODE, rcodeToText } from './wire/types.ts';
import { encodeUpdateLease } from './wire/update-lease.ts';
import type { ZoneWriter } from './zone-writer.ts';

/** What is answered. */
export interface UpdateAnswer {
  readonly rcode: number;
  readonly options: readonly EdnsOption[];
}

export interface UpdateContext {
  readonly log: Logger;
  readonly writer: ZoneWriter;
}

/** Carries out an update; resolves when it is durable, or refused. @param served the zone it names, if it is ours */
export async function answerUpdate(
  message: ParsedMessage,
  request: HandoffRequest,
  outcome: TsigOutcome,
  served: Served | undefined,
  { log: parent, writer }: UpdateContext,
): Promise<UpdateAnswer> {
  const section = checkZoneSection(message);
  if (section !== RCODE.NOERROR) return { rcode: section, options: [] };
  const [zoneSection] = message.questions;
  const client = formatEndpoint(request.client);
  const key = outcome.kind === 'verified' ? outcome.key : undefined;
  const fields = { zone: nameToText(zoneSection!.name), client, key: key?.name };
  const refuse = (rcode: number, reason: string): UpdateAnswer => {
    parent.warn({ ...fields, rcode: rcodeToText(rcode), reason }, 'update refused');
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
    parent.info({ ...fields, ignored: result.ignored }, 'records of an update were passed over');
  }
  if (result.changes.length === 0) parent.debug(fields, 'update changes nothing');
  try {
    await writer.commit(served, result.changes, result.added, { by: key.name, client });
  } catch (error) {
    return refuse(RCODE.SERVFAIL, errorMessage(error));
  }
  return { rcode: RCODE.NOERROR, options: result.lease === undefined ? [] : [encodeUpdateLease(result.lease)] };
}
