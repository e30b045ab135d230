/** The API's description (OpenAPI 3.1), made from the routes themselves: what is served and what is described are one. */
import { z } from 'zod';
import { fieldMeta } from '../config/fields.ts';
import { type AnswerName, answers, problem } from './answers.ts';
import { problemType } from './problem.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

/** Statuses that any path may answer, with why. */
const everywhere: Readonly<Record<number, string>> = {
  400: 'a parameter or the body is not as described',
  401: 'a bearer token is needed over TCP, or the one that came is not right',
  403: 'no token is configured, so that changes are for the UNIX socket alone',
  429: 'too many requests from one address',
};
const elsewhere: Readonly<Record<number, string>> = {
  404: 'there is no such thing',
  409: 'it is there already, in use, or on its way out',
  412: 'a precondition (If-Match, If-None-Match) does not hold',
  413: 'the body is too large',
  415: 'the body is no JSON',
  422: 'the configuration has errors',
  503: 'not now',
};

/** What each parameter in a path is. */
const pathParameters: Readonly<Record<string, string>> = {
  pool: 'name of a pool',
  member: 'name of a member',
  id: 'id of a session or token, as the list and the log have it',
  node: 'name of a node, without the zone; for the doctor also an address of it, or its MAC',
  zone: 'name of a zone',
  name: 'domain name, absolute',
  type: 'record type: a mnemonic or TYPEnnn (RFC 3597 §5)',
};

/** @param version of the daemon */
export async function describeApi(routes: readonly Route[], version: string): Promise<Json> {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.url.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: await operation(route) };
  }
  const schemas = Object.fromEntries(
    Object.entries(answers).map(([name, { schema }]) => [name, jsonSchema(schema, 'output')]),
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'v6edge admin API',
      version,
      description:
        'Over its UNIX socket for root and the group v6edge, without token; over TCP with one, where loopback may read without. ' +
        'Errors are problem details (RFC 9457).',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://[::1]:8653' }],
    security: [{}, { token: [] }],
    paths,
    components: {
      schemas: { ...schemas, Problem: jsonSchema(problem, 'output') },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}

async function operation(route: Route): Promise<Json> {
  const problems = [...(route.problems ?? []), ...(route.conditional === true ? [412] : [])];
  if (route.body !== undefined) problems.push(413, 415);
  return {
    operationId: operationId(route),
    summary: route.summary,
    ...(parameters(route).length > 0 && { parameters: parameters(route) }),
    ...(route.body !== undefined && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: { 'application/json': { schema: jsonSchema(await route.body(), 'input') } },
      },
    }),
    responses: {
      ...Object.fromEntries(Object.entries(route.answers).map(([status, name]) => [status, response(name)])),
      ...Object.fromEntries(
        [...Object.keys(everywhere).map(Number), ...problems].sort().map((status) => [status, problemResponse(status)]),
      ),
    },
  };
}

/** `patchPoolsMember`: method and path without version and parameters' colons. */
function operationId({ method, url }: Route): string {
  const words = url.split('/').filter((part) => part !== '' && part !== 'v1');
  const joined = words.map((word) =>
    word.replace(/^:/, 'by-').replaceAll(/[^a-z]+([a-z])/g, (_, c) => c.toUpperCase()),
  );
  return method.toLowerCase() + joined.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}

function parameters(route: Route): Json[] {
  const path = [...route.url.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: pathParameters[name!],
    schema: { type: 'string' },
  }));
  const query = Object.entries(route.query).map(([name, { description, schema }]) => ({
    name,
    in: 'query',
    description,
    schema,
  }));
  if (route.conditional !== true) return [...path, ...query];
  const header = (name: string, description: string) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  });
  return [
    ...path,
    ...query,
    header('If-Match', 'entity tag of the version that is changed (RFC 9110 §13.1.1)'),
    header('If-None-Match', '`*`: only if there is nothing yet (RFC 9110 §13.1.2)'),
  ];
}

function response(name: AnswerName): Json {
  const { description, mediaTypes } = answers[name];
  const schema = (type: string) => (type === 'application/json' ? reference(name) : { type: 'string' });
  return { description, content: Object.fromEntries(mediaTypes.map((type) => [type, { schema: schema(type) }])) };
}

function problemResponse(status: number): Json {
  const description = everywhere[status] ?? elsewhere[status] ?? 'a problem';
  return { description, content: { [problemType]: { schema: reference('Problem') } } };
}

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** JSON Schema of a zod schema; the fields of the configuration say their kind and range themselves. */
export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const json = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: target }) => {
      const meta = fieldMeta.get(innermost(zodSchema) as z.ZodType);
      if (meta !== undefined) Object.assign(target, schemaOfKind(meta.kind, meta.allowed));
    },
  }) as Json;
  delete json.$schema;
  return json;
}

/** The field inside of optional, default and the like. */
function innermost(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  for (;;) {
    // `get`, not `has`: a schema that was described is a copy, and only `get` asks the original.
    if (fieldMeta.get(inner as z.ZodType) !== undefined) return inner;
    const definition = inner._zod.def as { innerType?: z.core.$ZodType; in?: z.core.$ZodType };
    const next = definition.innerType ?? definition.in;
    if (next === undefined) return inner;
    inner = next;
  }
}

function schemaOfKind(kind: string, allowed: string | undefined): Json {
  switch (kind) {
    case 'true or false':
      return { type: 'boolean' };
    case 'word':
      return { type: 'string', enum: allowed?.split(', ') };
    case 'number': {
      const [, minimum, maximum] = /^(\d+) to (\d+)$/.exec(allowed ?? '') ?? [];
      return { type: 'integer', ...(minimum !== undefined && { minimum: Number(minimum), maximum: Number(maximum) }) };
    }
    case 'TTL':
      return { type: ['integer', 'string'], examples: [300, '5m'] };
    case 'duration':
      return { type: 'string', examples: ['500ms', '2s', '1h'] };
    default:
      return { type: 'string' };
  }
}
