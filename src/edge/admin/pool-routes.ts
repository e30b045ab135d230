/** Paths about pools, their members and sessions. */
import { ProxyError } from '../../proxy/errors.ts';
import { checkPreconditions, entityTag } from './conditional.ts';
import { found } from './parameters.ts';
import { ProblemError } from './problem.ts';
import { flagParameter, limitParameter, offsetParameter, textParameter } from './query-parameters.ts';
import { defineRoute, type Route } from './route.ts';
import type { AdminSource, MemberReport } from './source.ts';

const defaultSessions = 100;
const maxSessions = 10_000;
/** As many as there are places for. */
const maxSources = 65_536;

export const poolRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/v1/pools',
    summary: 'pools and their members: state, sessions, last check and why',
    answers: { 200: 'Pools' },
    handle: (source) => ({ body: source.pools() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/pools/:pool',
    summary: 'one pool',
    answers: { 200: 'Pool' },
    problems: [404],
    handle: (source, { params }) => ({
      body: found(
        source.pools().find(({ name }) => name === params.pool),
        `there is no pool "${params.pool}"`,
      ),
    }),
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/pools/:pool/members',
    summary: 'adds a member',
    body: async () => (await import('./bodies.ts')).newMember,
    answers: { 201: 'Member' },
    problems: [404, 409, 503],
    handle: async (source, { params, body }) => {
      const member = asProblem(() => source.addMember(params.pool!, body));
      await source.taken();
      const location = `/v1/pools/${encodeURIComponent(params.pool!)}/members/${encodeURIComponent(member.name)}`;
      return { status: 201, headers: { location }, etag: memberTag(member), body: member };
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/pools/:pool/members/:member',
    summary: 'one member; its entity tag is for If-Match and says what was ordered, not the live figures',
    answers: { 200: 'Member' },
    problems: [404],
    handle: (source, { params }) => {
      const member = theMember(source, params);
      return { etag: memberTag(member), body: member };
    },
  }),
  defineRoute({
    method: 'PATCH',
    url: '/v1/pools/:pool/members/:member',
    summary: 'gives a member an order',
    body: async () => (await import('./bodies.ts')).memberOrder,
    answers: { 200: 'Member' },
    problems: [404, 409],
    conditional: true,
    handle: async (source, request) => {
      const { params, body } = request;
      checkPreconditions(request, memberTag(theMember(source, params)));
      const { state, weight } = body;
      const order = { ...(state !== undefined && { state }), ...(weight !== undefined && { weight }) };
      const member = found(
        asProblem(() => source.setMember(params.pool!, params.member!, order)),
        noMember(source, params),
      );
      await source.taken();
      return { etag: memberTag(member), body: member };
    },
  }),
  defineRoute({
    method: 'DELETE',
    url: '/v1/pools/:pool/members/:member',
    summary: 'removes a member: 200 when it is gone, 202 while its sessions end',
    query: { force: flagParameter('ends its sessions at once') },
    answers: { 200: 'Removed', 202: 'Removed' },
    problems: [404, 409],
    conditional: true,
    handle: async (source, request) => {
      const { params, query } = request;
      const { pool, member } = params;
      if (request.ifMatch !== undefined) checkPreconditions(request, memberTag(theMember(source, params)));
      asProblem(() => source.removeMember(pool!, member!, query.force ?? false));
      await source.taken();
      const gone = findMember(source, params) === undefined;
      return { status: gone ? 200 : 202, body: { pool, member, removed: gone } };
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/sessions',
    summary: 'live sessions, the oldest first',
    query: {
      pool: textParameter('of this pool alone'),
      member: textParameter('of members with this name alone'),
      limit: limitParameter('how many at most', defaultSessions, maxSessions),
    },
    answers: { 200: 'Sessions' },
    handle: async (source, { query }) => ({
      body: await source.sessions({
        pool: query.pool,
        member: query.member,
        limit: query.limit ?? defaultSessions,
      }),
    }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/sources',
    summary: 'clients of listeners with rate or maxPerSource, those refused most first',
    query: {
      listener: textParameter('of this listener alone'),
      refused: flagParameter('those alone that were refused'),
      offset: offsetParameter('how many to leave out', maxSources),
      limit: limitParameter('how many at most', defaultSessions, maxSessions),
    },
    answers: { 200: 'Sources' },
    handle: (source, { query }) => ({
      body: source.sources({
        listener: query.listener,
        refused: query.refused ?? false,
        offset: query.offset ?? 0,
        limit: query.limit ?? defaultSessions,
      }),
    }),
  }),
  defineRoute({
    method: 'DELETE',
    url: '/v1/sessions/:id',
    summary: 'ends a session',
    answers: { 200: 'SessionClosed' },
    problems: [404],
    handle: async (source, { params }) => {
      const id = params.id!;
      if (!(await source.closeSession(id))) throw new ProblemError(404, `there is no session "${id}"`);
      return { body: { id, closed: true } };
    },
  }),
];

type MemberParams = Readonly<Record<string, string>>;

function noMember(source: AdminSource, { pool, member }: MemberParams): string {
  const isPool = source.pools().some(({ name }) => name === pool);
  return isPool ? `there is no member "${member}" in pool "${pool}"` : `there is no pool "${pool}"`;
}

function findMember(source: AdminSource, { pool, member }: MemberParams): MemberReport | undefined {
  return source
    .pools()
    .find(({ name }) => name === pool)
    ?.members.find(({ name }) => name === member);
}

function theMember(source: AdminSource, params: MemberParams): MemberReport {
  return found(findMember(source, params), noMember(source, params));
}

/** Of what operators and configuration say of a member. */
function memberTag({ address, port, configuredWeight, full, backup, admin, leaving }: MemberReport) {
  return entityTag([address, port, configuredWeight, full, backup, admin, leaving]);
}

const statuses: Readonly<Record<string, number>> = {
  V6_POOL_UNKNOWN: 404,
  V6_MEMBER_UNKNOWN: 404,
  V6_MEMBER_EXISTS: 409,
  V6_MEMBER_LEAVING: 409,
  V6_MEMBER_INVALID: 400,
  V6_PROXY_SLOTS: 503,
};

/** What the proxy refuses, with the status it deserves. */
function asProblem<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const status = error instanceof ProxyError ? statuses[error.code] : undefined;
    throw status === undefined ? error : new ProblemError(status, (error as Error).message);
  }
}
