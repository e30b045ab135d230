/** Paths of the admin API by which pools, sessions, records and the cache are changed. */
import { parseDuration } from '../../core/duration.ts';
import { ValueError } from '../../core/errors.ts';
import { nameFromText } from '../../dns/wire/name.ts';
import { rdataFromText } from '../../dns/wire/rdata.ts';
import { typeFromText, typeToText } from '../../dns/wire/types.ts';
import { ProxyError } from '../../proxy/errors.ts';
import { readDomainName } from '../config/domain-name.ts';
import { member } from '../config/proxy.ts';
import { found, noZone, readObject, readQuery, readValue, readZone } from './parameters.ts';
import { ProblemError } from './problem.ts';
import type { Route } from './routes.ts';
import type { AdminSource } from './source.ts';

const defaultSessions = 100;
const maxSessions = 10_000;
/** RFC 2181 §8. */
const maxTtl = 2 ** 31 - 1;

export const changeRoutes: readonly Route[] = [
  {
    method: 'POST',
    url: '/v1/pools/:pool/members',
    handle: (source, { params, body }) => {
      const parsed = member.safeParse(body);
      if (!parsed.success) {
        const errors = parsed.error.issues.map((issue) =>
          [issue.path.join('.'), issue.message].filter(Boolean).join(' '),
        );
        throw new ProblemError(400, `this is no member: ${errors.join('; ')}`, { extra: { errors } });
      }
      return { status: 201, body: asProblem(() => source.addMember(params.pool!, parsed.data)) };
    },
  },
  {
    method: 'DELETE',
    url: '/v1/pools/:pool/members/:member',
    query: ['force'],
    handle: (source, { params, query }) => {
      const force = readQuery(query.force, 'force', readFlag) ?? false;
      asProblem(() => source.removeMember(params.pool!, params.member!, force));
      // 202: sessions may have to end first.
      const gone = source
        .pools()
        .find(({ name }) => name === params.pool)
        ?.members.every(({ name }) => name !== params.member);
      return { status: gone ? 200 : 202, body: { pool: params.pool, member: params.member, removed: gone } };
    },
  },
  {
    method: 'GET',
    url: '/v1/sessions',
    query: ['pool', 'member', 'limit'],
    handle: async (source, { query }) => ({
      body: await source.sessions({
        pool: readQuery(query.pool, 'pool', String),
        member: readQuery(query.member, 'member', String),
        limit: readQuery(query.limit, 'limit', readLimit) ?? defaultSessions,
      }),
    }),
  },
  {
    method: 'DELETE',
    url: '/v1/sessions/:id',
    handle: async (source, { params }) => {
      const id = params.id!;
      if (!(await source.closeSession(id))) throw new ProblemError(404, `there is no session "${id}"`);
      return { body: { id, closed: true } };
    },
  },
  {
    method: 'PUT',
    url: '/v1/zones/:zone/records/:name/:type',
    handle: async (source, { params, body }) => {
      const zone = existingZone(source, params.zone!);
      const { ttl, data } = readRecordSet(body);
      const type = readType(params.type!);
      const rdata = data.map((text) => readValue(text, 'data', (each) => rdataFromText(type, each)));
      const name = readOwner(params.name!);
      return { body: await asProblem(() => source.setRecords(zone, { name: nameFromText(name), type, ttl, rdata })) };
    },
  },
  { method: 'DELETE', url: '/v1/zones/:zone/records/:name', handle: deleteRecords },
  { method: 'DELETE', url: '/v1/zones/:zone/records/:name/:type', handle: deleteRecords },
  {
    method: 'POST',
    url: '/v1/dns/cache/flush',
    handle: (source, { body }) => {
      const { name } = readObject(body ?? {}, ['name']);
      if (name !== undefined && typeof name !== 'string') throw new ProblemError(400, 'name: a text is wanted');
      const owner = name === undefined ? undefined : readOwner(name);
      source.flushCache(owner === undefined ? undefined : nameFromText(owner));
      return { body: { flushed: owner ?? 'everything' } };
    },
  },
];

async function deleteRecords(source: AdminSource, { params }: Parameters<Route['handle']>[1]) {
  const zone = existingZone(source, params.zone!);
  const name = readOwner(params.name!);
  const type = params.type === undefined ? undefined : readType(params.type);
  const filter = { name, type: type === undefined ? undefined : typeToText(type) };
  if (source.records(zone, filter)?.length === 0) {
    throw new ProblemError(404, `${name} has no ${filter.type ?? ''} records`.replace('  ', ' '));
  }
  return { body: await asProblem(() => source.deleteRecords(zone, nameFromText(name), type)) };
}

/** What engines refuse, with the status it deserves. */
async function asProblemAsync<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toProblem(error);
  }
}

function asProblem<T>(run: () => Promise<T>): Promise<T>;
function asProblem<T>(run: () => T): T;
function asProblem<T>(run: () => T | Promise<T>): T | Promise<T> {
  try {
    const result = run();
    return result instanceof Promise ? asProblemAsync(() => result) : result;
  } catch (error) {
    throw toProblem(error);
  }
}

const statuses: Readonly<Record<string, number>> = {
  V6_POOL_UNKNOWN: 404,
  V6_MEMBER_UNKNOWN: 404,
  V6_MEMBER_EXISTS: 409,
  V6_MEMBER_INVALID: 400,
  V6_PROXY_SLOTS: 503,
};

function toProblem(error: unknown): unknown {
  if (error instanceof ValueError) return new ProblemError(400, error.message);
  const status = error instanceof ProxyError ? statuses[error.code] : undefined;
  return status === undefined ? error : new ProblemError(status, (error as Error).message);
}

function existingZone(source: AdminSource, text: string): string {
  const zone = readZone(text);
  found(
    source.zones().find(({ name }) => name === zone),
    noZone(zone),
  );
  return zone;
}

function readOwner(text: string): string {
  return readValue(text, 'name', readDomainName);
}

function readType(text: string): number {
  return readValue(text, 'type', typeFromText);
}

function readRecordSet(body: unknown): { ttl: number; data: readonly string[] } {
  const { ttl, data } = readObject(body, ['ttl', 'data']);
  if (!Array.isArray(data) || data.length === 0 || !data.every((each) => typeof each === 'string')) {
    throw new ProblemError(400, 'data: a list of texts is wanted, one a record, one at least');
  }
  const seconds = typeof ttl === 'string' ? readValue(ttl, 'ttl', parseDuration) / 1000 : ttl;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 0 || seconds > maxTtl) {
    throw new ProblemError(400, `ttl: whole seconds from 0 to ${maxTtl} are wanted`);
  }
  return { ttl: seconds, data };
}

function readFlag(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new ValueError('true or false is wanted');
  return text === 'true';
}

function readLimit(text: string): number {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > maxSessions) throw new ValueError(`a whole number from 1 to ${maxSessions} is wanted`);
  return limit;
}
