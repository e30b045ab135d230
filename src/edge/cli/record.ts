/** The `record` verb: one record more or less, on an API that knows whole RRsets. */
import { ValueError } from '../../core/errors.ts';
import { rdataFromText, rdataToText } from '../../dns/wire/rdata.ts';
import { typeFromText, typeToText } from '../../dns/wire/types.ts';
import type { RecordReport, ZoneChangeReport } from '../admin/source.ts';
import { ApiError, type ApiTarget, callApi, getJson, parseAnswer } from './client.ts';

/** For a record whose name has none of its type yet. */
const defaultTtl = 300;
/** Others may change the same RRset meanwhile; the change is worked out anew then. */
const maxTries = 5;

export interface RecordOrder {
  readonly action: 'add' | 'delete';
  /** Seconds, or a duration as configuration files have it. */
  readonly ttl: string | undefined;
  /** Undefined: all of the name. */
  readonly type: string | undefined;
  /** Undefined: all of the type. */
  readonly data: string | undefined;
}

/**
 * Reads what stands behind the name: `[TTL] TYPE RDATA` to add, `[TYPE [RDATA]]` to delete.
 * @throws {ValueError}
 */
export function readRecordOrder(action: 'add' | 'delete', fields: readonly string[]): RecordOrder {
  const hasTtl = /^\d/.test(fields[0] ?? '');
  if (hasTtl && action === 'delete') throw new ValueError(`record delete takes no TTL (${fields[0]})`);
  const [typeText, ...rest] = hasTtl ? fields.slice(1) : fields;
  if (typeText === undefined && action === 'add') throw new ValueError('record add: give the type and the data');
  if (rest.length === 0 && action === 'add')
    throw new ValueError(`record add: give the data of the ${typeText} record`);
  if (typeText === undefined) return { action, ttl: undefined, type: undefined, data: undefined };
  const type = typeFromText(typeText);
  const data = rest.length === 0 ? undefined : rdataToText(type, rdataFromText(type, rest.join(' ')));
  return { action, ttl: hasTtl ? fields[0] : undefined, type: typeToText(type), data };
}

/**
 * Carries it out.
 * @throws {ApiError}
 */
export async function changeRecord(
  api: ApiTarget,
  zone: string,
  name: string,
  { action, ttl, type, data }: RecordOrder,
): Promise<ZoneChangeReport> {
  const records = `/v1/zones/${encodeURIComponent(zone)}/records`;
  const path = [records, name, ...(type === undefined ? [] : [type])].map((each, i) =>
    i === 0 ? each : encodeURIComponent(each),
  );
  if (type === undefined || data === undefined) return await getJson(api, path.join('/'), { method: 'DELETE' });
  for (let tries = 1; ; tries++) {
    try {
      return await changeSet(api, path.join('/'), { action, ttl, type, data, name });
    } catch (error) {
      if (tries === maxTries || !(error instanceof ApiError) || error.code !== 'V6_API_412') throw error;
    }
  }
}

/** One try: what is there is read, and replaced if it still is that. */
async function changeSet(
  api: ApiTarget,
  path: string,
  { action, ttl, type, data, name }: RecordOrder & { readonly name: string },
): Promise<ZoneChangeReport> {
  const { set: old, condition } = await currentSet(api, path);
  const others = (old?.data ?? []).filter((each) => each !== data);
  if (action === 'delete') {
    if (others.length === old?.data.length || old === undefined) {
      throw new ValueError(`${name} has no record ${type} ${data}`);
    }
    if (others.length === 0) return await getJson(api, path, { method: 'DELETE', headers: condition });
  }
  return await getJson(api, path, {
    method: 'PUT',
    headers: condition,
    // TTLs of one RRset are one (RFC 2181 §5.2).
    body: {
      ttl: ttl === undefined ? (old?.ttl ?? defaultTtl) : readTtl(ttl),
      data: action === 'add' ? [...others, data!] : others,
    },
  });
}

/** The RRset, and the condition that it is still as it is (RFC 9110 §13.1). */
async function currentSet(
  api: ApiTarget,
  path: string,
): Promise<{ set: RecordReport | undefined; condition: Record<string, string> }> {
  try {
    const { body, etag } = await callApi(api, path);
    return { set: parseAnswer<RecordReport>(api, body), condition: { 'if-match': etag ?? '*' } };
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'V6_API_404') throw error;
    return { set: undefined, condition: { 'if-none-match': '*' } };
  }
}

/** Bare digits are seconds. */
function readTtl(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}
