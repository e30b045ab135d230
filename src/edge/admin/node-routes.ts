/** Paths about nodes that join, and the tokens they join with. */
import { ValueError } from '../../core/errors.ts';
import { JoinError } from '../join/book.ts';
import type { NodeSource } from './node-reports.ts';
import { found } from './parameters.ts';
import { ProblemError } from './problem.ts';
import { defineRoute, type Route } from './route.ts';
import type { AdminSource } from './source.ts';

const materialUnknown =
  'what kubeadm join needs is not known here; the first control-plane node gives it, or: v6edge node material set FILE';

export const nodeRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/v1/nodes',
    summary: 'nodes that joined: what they announced, the pools that have them, when they were last heard of',
    answers: { 200: 'Nodes' },
    handle: (source) => ({ body: source.nodes.list() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/nodes/:node',
    summary: 'one node',
    answers: { 200: 'Node' },
    problems: [404],
    handle: (source, { params }) => ({
      body: found(
        source.nodes.list().find(({ name }) => name === params.node),
        `there is no node "${params.node}"`,
      ),
    }),
  }),
  defineRoute({
    method: 'DELETE',
    url: '/v1/nodes/:node',
    summary: 'withdraws a node’s records, so that pools drain it, and its key; again it does nothing',
    answers: { 200: 'NodeRemoved' },
    problems: [409],
    handle: async (source, { params, client }) => {
      const nodes = joinable(source);
      const removed = await asProblem(() => nodes.remove(params.node!, client));
      return { body: { node: params.node, removed } };
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/join/tokens',
    summary: 'tokens that wait for a node, and for a day those that are used or expired',
    answers: { 200: 'Tokens' },
    handle: (source) => ({ body: source.nodes.tokens() }),
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/join/tokens',
    summary: 'makes a token; this once it is shown, with the command that a node runs',
    body: async () => (await import('./bodies.ts')).nodeToken,
    answers: { 201: 'NewToken' },
    problems: [409],
    handle: async (source, { body }) => {
      const nodes = joinable(source);
      const { role, name, ttl } = body;
      const token = await asProblem(() => nodes.createToken({ role, name, ttlMs: ttl }));
      return { status: 201, headers: { location: `/v1/join/tokens/${token.id}` }, body: token };
    },
  }),
  defineRoute({
    method: 'DELETE',
    url: '/v1/join/tokens/:id',
    summary: 'revokes a token; a node that joined with it stays',
    answers: { 200: 'TokenRevoked' },
    problems: [404],
    handle: (source, { params }) => {
      const id = params.id!;
      if (!source.nodes.revokeToken(id)) throw new ProblemError(404, `there is no token "${id}"`);
      return { body: { id, revoked: true } };
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/join/material',
    summary: 'who gave what kubeadm join needs, and until when it is good; no secret of it',
    answers: { 200: 'Material' },
    problems: [404, 409],
    handle: (source) => ({ body: found(joinable(source).material(), materialUnknown) }),
  }),
  defineRoute({
    method: 'PUT',
    url: '/v1/join/material',
    summary: 'gives what kubeadm join needs; the first control-plane node does so by itself',
    body: async () => (await import('./bodies.ts')).joinMaterial,
    secret: true,
    answers: { 200: 'Material' },
    problems: [409],
    handle: async (source, { body }) => {
      const nodes = joinable(source);
      return { body: await asProblem(() => nodes.setMaterial(body.text)) };
    },
  }),
];

/** @throws {ProblemError} 409 */
function joinable(source: AdminSource): NodeSource {
  if (!source.nodes.configured) {
    throw new ProblemError(409, 'nodes cannot join: the configuration has no `join` section (docs/nodes.md)');
  }
  return source.nodes;
}

async function asProblem<T>(run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof JoinError) throw new ProblemError(409, error.message);
    throw error instanceof ValueError ? new ProblemError(400, error.message) : error;
  }
}
