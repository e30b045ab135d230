/** The API's description against the API: of a running daemon, with requests made up from the description itself. */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { answers, problem } from '../../../src/edge/admin/answers.ts';
import { describeApi } from '../../../src/edge/admin/openapi.ts';
import type { Route } from '../../../src/edge/admin/route.ts';
import { apiRoutes } from '../../../src/edge/admin/routes.ts';
import { DaemonHome, freePort } from '../daemon-process.ts';

const seed = Number(process.env.SEED ?? 20261125);
/** Requests made up for each operation. */
const runs = Number(process.env.RUNS ?? 25);

interface Schema {
  readonly type?: string | string[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
}
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { readonly schema: Schema }> };
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, unknown>> }>>;
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

const description = (await describeApi(apiRoutes, '0')) as unknown as { paths: Paths; components: { schemas: object } };
const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

t.test('the description hangs together', (t) => {
  const ids = operations.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'every operation has an id of its own');
  t.equal(operations.length, apiRoutes.length);
  const text = JSON.stringify(description);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    t.ok(Object.hasOwn(description.components.schemas, name!), `there is a schema ${name}`);
  }
  for (const { path, operation } of operations) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const described = (operation.parameters ?? []).filter((one) => one.in === 'path').map(({ name }) => name);
    t.strictSame(described, named, path);
  }
  t.end();
});

t.test('bodies are described as they are checked', (t) => {
  const body = (path: string, method: string) =>
    description.paths[path]![method]!.requestBody!.content['application/json']!;
  t.match(body('/v1/pools/{pool}/members/{member}', 'patch').schema, {
    type: 'object',
    additionalProperties: false,
    properties: {
      state: { type: 'string', enum: ['ready', 'drain', 'maint'] },
      weight: { type: 'integer', minimum: 0, maximum: 256 },
    },
  });
  t.match(body('/v1/pools/{pool}/members', 'post').schema, {
    required: ['name', 'address', 'port'],
    properties: { port: { type: 'integer', minimum: 1, maximum: 65535 }, backup: { type: 'boolean', default: false } },
  });
  t.match(body('/v1/zones/{zone}/records/{name}/{type}', 'put').schema, {
    required: ['ttl', 'data'],
    properties: { data: { type: 'array', items: { type: 'string' }, minItems: 1 } },
  });
  t.end();
});

/** A daemon with a pool, a zone and a session's worth of everything. */
async function daemon(t: Test) {
  const home = new DaemonHome(t);
  const [port, dnsPort, joinPort] = [await freePort(), await freePort(), await freePort()];
  home.configure(
    [
      `proxy: { listeners: [{ name: web, bind: ["127.0.0.1:${port}"], pool: web }],`,
      '  pools: { web: { check: { type: none }, members: [{ name: w1, address: 127.0.0.1, port: 9 }] } } }',
      `dns: { listen: ["127.0.0.1:${dnsPort}"], allow: [127.0.0.0/8], zones: [{ name: a.test, ns: [edge.a.test] }] }`,
      `join: { listen: ["[::1]:${joinPort}"] }`,
    ].join('\n'),
    1,
  );
  await home.start();
  return home;
}

t.test('what a daemon answers is what is described', async (t) => {
  const home = await daemon(t);
  const put = await home.api('PUT', '/v1/zones/a.test/records/x.a.test/A', {}, { ttl: '5m', data: ['192.0.2.1'] });
  t.equal(put.status, 200, put.body);
  const text = `BOOTSTRAP_TOKEN=abcdef.0123456789abcdef\nCA_CERT_HASHES=sha256:${'0'.repeat(64)}\n`;
  t.equal((await home.api('PUT', '/v1/join/material', {}, { text })).status, 200);
  const made = await home.api('POST', '/v1/join/tokens', {}, { role: 'worker' });
  t.equal(made.status, 201, made.body);
  const [, url] = /'(.*)'/.exec((JSON.parse(made.body) as { command: string }).command)!;
  t.equal((await fetch(`${url}/bundle?name=n1`)).status, 200);
  const places: Readonly<Record<string, string>> = {
    ':node': 'n1',
    ':pool': 'web',
    ':member': 'w1',
    ':zone': 'a.test',
    ':name': 'x.a.test',
    ':type': 'A',
  };
  for (const route of apiRoutes) {
    if (route.method !== 'GET' || route.endless === true) continue;
    const path = route.url.replaceAll(/:\w+/g, (name) => places[name]!);
    const { status, body } = await home.api('GET', path);
    t.equal(status, 200, `${path}: ${body.slice(0, 200)}`);
    const { schema, mediaTypes } = answers[route.answers[200]!];
    if (!mediaTypes.includes('application/json')) continue;
    const parsed = schema.safeParse(JSON.parse(body));
    t.ok(parsed.success, `${path}: ${parsed.error?.message ?? 'as described'}`);
  }
  const description = JSON.parse((await home.api('GET', '/openapi.json')).body) as { openapi: string };
  t.equal(description.openapi, '3.1.0');
});

/** Values of a schema, and some that are none. */
function values(schema: Schema): fc.Arbitrary<unknown> {
  const odd = fc.oneof(
    fc.constantFrom<unknown>(null, '', -1, 1e308, [], {}, '\u0000', 'a'.repeat(300), '../..', '%', 'ä', true),
    fc.json().map((text) => JSON.parse(text) as unknown),
  );
  const good = goodValues(schema);
  return fc.oneof({ arbitrary: good, weight: 3 }, { arbitrary: odd, weight: 1 });
}

function goodValues(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 2 ** 31 });
    case 'array':
      return fc.array(values(schema.items ?? {}), { maxLength: 4 });
    case 'object':
      return fc.record(
        Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, each]) => [name, values(each)])),
        { requiredKeys: [] },
      );
    default:
      return fc.constantFrom('web', 'w1', 'w9', 'a.test', 'x.a.test', 'A', 'TXT', 'b.test', '192.0.2.1', '1h');
  }
}

t.test(`requests made up from the description: none is a fault of ours (seed ${seed})`, async (t) => {
  const home = await daemon(t);
  const seen = new Map<number, number>();
  for (const { path, method, operation } of operations) {
    if (path === '/v1/events' || path === '/v1/reload') continue;
    const place = (kind: string) => (operation.parameters ?? []).filter((one) => one.in === kind);
    const body = operation.requestBody?.content['application/json']?.schema;
    const request = fc.record({
      params: fc.record(Object.fromEntries(place('path').map(({ name, schema }) => [name, values(schema)]))),
      query: fc.record(Object.fromEntries(place('query').map(({ name, schema }) => [name, values(schema)])), {
        requiredKeys: [],
      }),
      match: fc.option(fc.constantFrom('*', '"a"', 'x', ''), { nil: undefined }),
      body: body === undefined ? fc.constant(undefined) : fc.option(values(body), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ params, query, match, body }) => {
        const url = path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(text(params[name])));
        const search = new URLSearchParams(
          Object.fromEntries(Object.entries(query).map(([name, value]) => [name, text(value)])),
        );
        const headers = match === undefined ? {} : { 'if-match': match };
        const answer = await home.api(method, `${url}?${search}`, headers, body);
        seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
        const described = new Set([...Object.keys(operation.responses).map(Number), 404, 414]);
        if (!described.has(answer.status))
          throw new Error(`${method} ${url}?${search}: ${answer.status} ${answer.body}`);
        if (answer.status >= 400) problem.parse(JSON.parse(answer.body));
      }),
      { seed, numRuns: runs },
    );
  }
  t.ok((seen.get(200) ?? 0) > 50 && (seen.get(400) ?? 0) > 50, `both good and bad came: ${JSON.stringify([...seen])}`);
  t.equal((await home.api('GET', '/readyz')).status, 200, 'and it serves as before');
});

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

t.test('every route says what it answers', (t) => {
  for (const route of apiRoutes as readonly Route[]) {
    t.ok(Object.keys(route.answers).length > 0 && route.summary.length > 0, `${route.method} ${route.url}`);
  }
  t.end();
});
