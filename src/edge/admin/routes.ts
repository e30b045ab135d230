/** The paths of the admin API, as data: what each answers, and with which status. */
import type { Readable } from 'node:stream';
import { typeFromText, typeToText } from '../../dns/wire/types.ts';
import { readDomainName } from '../config/domain-name.ts';
import { changeRoutes } from './change-routes.ts';
import { eventBody } from './event-reader.ts';
import { found, noZone, readObject, readQuery, readZone } from './parameters.ts';
import { ProblemError } from './problem.ts';
import type { AdminSource, RecordFilter } from './source.ts';

export interface RouteRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly accept: string;
  /** The Last-Event-ID header. */
  readonly lastEventId: string | undefined;
  readonly body: unknown;
}

/** JSON unless `type` says otherwise; a `Readable` goes out as it comes. */
export interface RouteAnswer {
  readonly status?: number;
  readonly type?: string;
  readonly body: Readable | unknown;
}

export interface Route {
  readonly method: 'GET' | 'PATCH' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Query parameters known; others are an error. */
  readonly query?: readonly string[];
  /** Its answer has no end: there is no HEAD of it. */
  readonly endless?: boolean;
  readonly handle: (source: AdminSource, request: RouteRequest) => RouteAnswer | Promise<RouteAnswer>;
}

/** RFC 4027. */
const zoneFileType = 'text/dns; charset=us-ascii';

export const routes: readonly Route[] = [
  { method: 'GET', url: '/healthz', handle: () => ({ body: { status: 'alive' } }) },
  {
    method: 'GET',
    url: '/readyz',
    handle: (source) => {
      const { ready, waitingFor, notes } = source.ready();
      if (ready) return { body: { status: 'ready', notes } };
      throw new ProblemError(503, `not ready: ${waitingFor.join('; ')}`, { extra: { waitingFor, notes } });
    },
  },
  {
    method: 'GET',
    url: '/metrics',
    handle: async (source) => ({ type: 'text/plain; version=0.0.4; charset=utf-8', body: await source.metrics() }),
  },
  { method: 'GET', url: '/v1/status', handle: (source) => ({ body: source.status() }) },
  { method: 'GET', url: '/v1/pools', handle: (source) => ({ body: source.pools() }) },
  {
    method: 'GET',
    url: '/v1/pools/:pool',
    handle: (source, { params }) => {
      const name = params.pool!;
      return {
        body: found(
          source.pools().find((pool) => pool.name === name),
          `there is no pool "${name}"`,
        ),
      };
    },
  },
  {
    method: 'PATCH',
    url: '/v1/pools/:pool/members/:member',
    handle: (source, { params, body }) => {
      const pool = params.pool!;
      const member = params.member!;
      const report = source.setMember(pool, member, readMemberOrder(body));
      return { body: found(report, `there is no member "${member}" in a pool "${pool}"`) };
    },
  },
  { method: 'GET', url: '/v1/zones', handle: (source) => ({ body: source.zones() }) },
  {
    method: 'GET',
    url: '/v1/zones/:zone',
    handle: (source, { params }) => {
      const zone = readZone(params.zone!);
      return {
        body: found(
          source.zones().find((each) => each.name === zone),
          noZone(zone),
        ),
      };
    },
  },
  { method: 'GET', url: '/v1/zones/:zone/records', query: ['name', 'type'], handle: records },
  { method: 'GET', url: '/v1/ra', handle: (source) => ({ body: source.ra() }) },
  { method: 'GET', url: '/v1/dns', handle: (source) => ({ body: source.dns() }) },
  {
    method: 'GET',
    url: '/v1/events',
    endless: true,
    handle: (source, { lastEventId }) => {
      const lastId = lastEventId !== undefined && /^\d{1,16}$/.test(lastEventId) ? Number(lastEventId) : undefined;
      return { type: 'text/event-stream; charset=utf-8', body: eventBody(source.events, lastId) };
    },
  },
  ...changeRoutes,
  {
    method: 'POST',
    url: '/v1/reload',
    handle: async (source) => {
      const { errors, overridden } = await source.reload();
      if (errors.length === 0) return { body: { overridden } };
      throw new ProblemError(422, 'the configuration has errors; nothing has changed', { extra: { errors } });
    },
  },
];

function records(source: AdminSource, { params, query, accept }: RouteRequest): RouteAnswer {
  const zone = readZone(params.zone!);
  const filter: RecordFilter = {
    name: readQuery(query.name, 'name', readDomainName),
    type: readQuery(query.type, 'type', (text) => typeToText(typeFromText(text))),
  };
  if (!prefersZoneFile(accept)) return { body: found(source.records(zone, filter), noZone(zone)) };
  if (filter.name !== undefined || filter.type !== undefined) {
    throw new ProblemError(400, 'a zone file is of the whole zone: leave out name and type, or accept JSON');
  }
  return { type: zoneFileType, body: found(source.exportZone(zone), noZone(zone)) };
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

function readMemberOrder(body: unknown): { state?: 'ready' | 'drain' | 'maint'; weight?: number } {
  const bad = (detail: string) => new ProblemError(400, detail);
  const { state, weight } = readObject(body, ['state', 'weight']);
  if (state === undefined && weight === undefined) throw bad('state or weight is wanted');
  if (state !== undefined && state !== 'ready' && state !== 'drain' && state !== 'maint') {
    throw bad('state: allowed are ready, drain and maint');
  }
  if (weight !== undefined && (typeof weight !== 'number' || !Number.isInteger(weight) || weight < 0 || weight > 256)) {
    throw bad('weight: a whole number from 0 to 256 is wanted');
  }
  return { ...(state !== undefined && { state }), ...(weight !== undefined && { weight }) };
}
