/** Paths about zones and their records. */
import { ValueError } from '../../core/errors.ts';
import { nameFromText } from '../../dns/wire/name.ts';
import { rdataFromText, rdataToText } from '../../dns/wire/rdata.ts';
import { typeFromText, typeToText } from '../../dns/wire/types.ts';
import { readDomainName } from '../config/domain-name.ts';
import { checkPreconditions, entityTag, isFresh } from './conditional.ts';
import { jsonList } from './json.ts';
import { found, noZone, readValue, readZone } from './parameters.ts';
import { ProblemError } from './problem.ts';
import { limitParameter, nameParameter, textParameter, typeParameter } from './query-parameters.ts';
import { defineRoute, type Route, type RouteAnswer, type RouteRequest } from './route.ts';
import type { AdminSource, RecordReport, ZoneChangeReport } from './source.ts';

/** RFC 4027. */
const zoneFileType = 'text/dns; charset=us-ascii';
/** RRsets of a page when `after` comes without `limit`. */
const defaultRecords = 1_000;
const maxRecords = 10_000;

const recordsQuery = {
  name: nameParameter('records of this name alone'),
  type: typeParameter,
  search: textParameter('names that have this text in them alone'),
  after: nameParameter('names behind this one, in canonical order (RFC 4034 §6.1): where the page before ended'),
  limit: limitParameter('in pages of so many RRsets; the Link header leads to the next one', undefined, maxRecords),
};

export const zoneRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/v1/zones',
    summary:
      'zones: serial, number of records, last update; of secondary ones when they were confirmed, when they expire',
    answers: { 200: 'Zones' },
    handle: (source) => ({ body: source.zones() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/zones/:zone',
    summary: 'one zone',
    answers: { 200: 'Zone' },
    problems: [404],
    handle: (source, { params }) => {
      const zone = readZone(params.zone!);
      return {
        body: found(
          source.zones().find((each) => each.name === zone),
          noZone(zone),
        ),
      };
    },
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/zones/:zone/refresh',
    summary: 'asks the primaries of a secondary zone now; `whole` takes all of it over, whatever its serial',
    body: async () => (await import('./bodies.ts')).zoneRefresh,
    bodyOptional: true,
    answers: { 202: 'ZoneRefresh' },
    problems: [404],
    handle: (source, { params, body }) => {
      const zone = existingZone(source, params.zone!);
      const whole = body?.whole ?? false;
      try {
        source.refreshZone(zone, whole);
      } catch (error) {
        throw error instanceof ValueError ? new ProblemError(400, error.message) : error;
      }
      return { status: 202, body: { zone, whole } };
    },
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/zones/:zone/notify',
    summary: 'tells the secondaries in `transfer.notify` what serial the zone has (NOTIFY, RFC 1996)',
    answers: { 202: 'ZoneNotify' },
    problems: [404],
    handle: (source, { params }) => {
      const zone = existingZone(source, params.zone!);
      try {
        return { status: 202, body: { zone, notified: source.notifyZone(zone) } };
      } catch (error) {
        throw error instanceof ValueError ? new ProblemError(400, error.message) : error;
      }
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/zones/:zone/records',
    summary: 'records of a zone; `Accept: text/dns` gives the whole as a zone file (RFC 4027)',
    query: recordsQuery,
    answers: { 200: 'Records' },
    problems: [404],
    handle: records,
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/zones/:zone/records/:name',
    summary: 'all records of a name',
    answers: { 200: 'Records' },
    problems: [404],
    handle: (source, request) => recordsOfName(source, request),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/zones/:zone/records/:name/:type',
    summary: 'one RRset; its entity tag is for If-Match',
    answers: { 200: 'Record' },
    problems: [404],
    handle: (source, request) => recordsOfName(source, request),
  }),
  defineRoute({
    method: 'PUT',
    url: '/v1/zones/:zone/records/:name/:type',
    summary: 'replaces an RRset',
    body: async () => (await import('./bodies.ts')).recordSet,
    answers: { 200: 'ZoneChange' },
    problems: [404],
    conditional: true,
    handle: async (source, request) => {
      const { params, body } = request;
      const zone = existingZone(source, params.zone!);
      const type = readType(params.type!);
      const rdata = body.data.map((text) => readValue(text, 'data', (each) => rdataFromText(type, each)));
      const set = { name: nameFromText(readOwner(params.name!)), type, ttl: body.ttl, rdata };
      const change = await changed(() => source.setRecords(zone, set, checkAgainst(request), request.client));
      return { etag: tagAsSent(type, body, rdata), body: change };
    },
  }),
  ...['/v1/zones/:zone/records/:name', '/v1/zones/:zone/records/:name/:type'].map((url) =>
    defineRoute({
      method: 'DELETE',
      url,
      summary: url.endsWith(':type') ? 'removes an RRset' : 'removes all records of a name',
      answers: { 200: 'ZoneChange' },
      problems: [404],
      conditional: true,
      handle: deleteRecords,
    }),
  ),
];

function records(source: AdminSource, { params, query, accept }: RouteRequest<typeof recordsQuery>): RouteAnswer {
  const zone = readZone(params.zone!);
  if (prefersZoneFile(accept)) {
    if (Object.values(query).some((value) => value !== undefined)) {
      throw new ProblemError(400, 'a zone file is of the whole zone: leave out the query, or accept JSON');
    }
    return { type: zoneFileType, body: found(source.exportZone(zone), noZone(zone)) };
  }
  const { name, type, search, after, limit = after === undefined ? undefined : defaultRecords } = query;
  if (limit === undefined) {
    return { body: jsonList(found(source.allRecords(zone, { name, type, search }), noZone(zone))) };
  }
  const page = found(source.records(zone, { name, type, search, after, limit }), noZone(zone));
  if (page.next === undefined) return { body: page.records };
  const next = new URLSearchParams({ limit: String(limit), after: page.next });
  if (type !== undefined) next.set('type', type);
  if (search !== undefined) next.set('search', search);
  return { next, body: page.records };
}

function recordsOfName(source: AdminSource, { params, ifNoneMatch }: RouteRequest): RouteAnswer {
  const zone = readZone(params.zone!);
  const name = readOwner(params.name!);
  const type = params.type === undefined ? undefined : typeToText(readType(params.type));
  const filter = { name, type, search: undefined, after: undefined, limit: maxRecords };
  const sets = found(source.records(zone, filter), noZone(zone)).records;
  if (sets.length === 0) throw new ProblemError(404, nothing(name, type));
  const etag = recordTag(sets)!;
  if (isFresh(ifNoneMatch, etag)) return { status: 304, etag, body: '' };
  return { etag, body: type === undefined ? sets : sets[0] };
}

async function deleteRecords(source: AdminSource, request: RouteRequest): Promise<RouteAnswer> {
  const { params } = request;
  const zone = existingZone(source, params.zone!);
  const name = readOwner(params.name!);
  const type = params.type === undefined ? undefined : readType(params.type);
  const check = (before: readonly RecordReport[]) => {
    checkAgainst(request)(before);
    if (before.length === 0)
      throw new ProblemError(404, nothing(name, type === undefined ? undefined : typeToText(type)));
  };
  return { body: await changed(() => source.deleteRecords(zone, nameFromText(name), type, check, request.client)) };
}

/** Runs on what is there in the very transaction that changes it. */
function checkAgainst(request: RouteRequest): (before: readonly RecordReport[]) => void {
  return (before) => checkPreconditions(request, recordTag(before));
}

/** The same whatever order types and records are in; undefined: nothing is there. */
function recordTag(sets: readonly Pick<RecordReport, 'type' | 'ttl' | 'data'>[]): string | undefined {
  if (sets.length === 0) return undefined;
  return entityTag(sets.map(({ type, ttl, data }) => [type, ttl, ...[...data].sort()].join(' ')).sort());
}

/** The tag of an RRset that was put as it was sent; undefined: it reads otherwise now, and must be asked for (RFC 9110 §9.3.4). */
function tagAsSent(
  type: number,
  { ttl, data }: { readonly ttl: number; readonly data: readonly string[] },
  rdata: readonly Uint8Array[],
): string | undefined {
  const kept = [...new Set(rdata.map((each) => rdataToText(type, each)))];
  const same = kept.length === data.length && kept.every((text, i) => text === data[i]);
  return same ? recordTag([{ type: typeToText(type), ttl, data: kept }]) : undefined;
}

function nothing(name: string, type: string | undefined): string {
  return `${name} has no ${type === undefined ? '' : `${type} `}records`;
}

/** @throws {ProblemError} 400 for what the rules of a zone do not allow */
async function changed(run: () => Promise<ZoneChangeReport>): Promise<ZoneChangeReport> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof ValueError ? new ProblemError(400, error.message) : error;
  }
}

function existingZone(source: AdminSource, text: string): string {
  const zone = readZone(text);
  if (!source.hasZone(zone)) throw new ProblemError(404, noZone(zone));
  return zone;
}

function readOwner(text: string): string {
  return readValue(text, 'name', readDomainName);
}

function readType(text: string): number {
  return readValue(text, 'type', typeFromText);
}

/** Whether text/dns stands in an Accept header, and JSON does not with at least its weight (RFC 9110 §12.5.1). */
function prefersZoneFile(accept: string): boolean {
  const weight = (type: string) => {
    for (const part of accept.split(',')) {
      const [name, ...parameters] = part.split(';').map((each) => each.trim().toLowerCase());
      const q = parameters.find((each) => each.startsWith('q='));
      if (name === type) return q === undefined ? 1 : Number(q.slice(2)) || 0;
    }
    return 0;
  };
  return weight('text/dns') > weight('application/json');
}
