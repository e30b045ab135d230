import t from 'tap';
import { ValueError } from '../../../src/core/errors.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { nameToText } from '../../../src/dns/wire/name.ts';
import { rdataToText } from '../../../src/dns/wire/rdata.ts';
import { typeToText } from '../../../src/dns/wire/types.ts';
import { buildApp } from '../../../src/edge/admin/app.ts';
import { Gate } from '../../../src/edge/admin/gate.ts';
import type { AdminSource, CheckRecords, RecordReport } from '../../../src/edge/admin/source.ts';
import { ProxyError } from '../../../src/proxy/errors.ts';

/** A daemon with pool `web` (member `w1`), zone `a.test` (`x A`) and session `0-7`, that remembers what it was told. */
function setUp() {
  const calls: unknown[] = [];
  const members = [{ name: 'w1' }];
  let refusal: Error | undefined;
  const before = (name: string, type?: number): RecordReport[] =>
    name === 'x.a.test' && (type ?? 1) === 1 ? [{ name, type: 'A', ttl: 60, data: ['192.0.2.9'] }] : [];
  const refuse = () => {
    if (refusal !== undefined) throw refusal;
  };
  const source = {
    pools: () => [{ name: 'web', members }],
    hasZone: (zone: string) => zone === 'a.test',
    zones: () => [{ name: 'a.test' }],
    taken: async () => undefined,
    addMember(pool: string, member: object) {
      refuse();
      calls.push([pool, member]);
      return { name: 'w2' };
    },
    setMember(pool: string, member: string, order: object) {
      refuse();
      calls.push([pool, member, order]);
      return members.find(({ name }) => name === member);
    },
    removeMember(pool: string, member: string, force: boolean) {
      refuse();
      calls.push([pool, member, force]);
      if (force) members.pop();
    },
    sessions: async (filter: object) => {
      calls.push(filter);
      return [{ id: '0-7' }];
    },
    closeSession: async (id: string) => id === '0-7',
    async setRecords(zone: string, set: Parameters<AdminSource['setRecords']>[1], check: CheckRecords, client: string) {
      refuse();
      check(before(nameToText(set.name), set.type));
      calls.push([
        client,
        zone,
        nameToText(set.name),
        typeToText(set.type),
        set.ttl,
        set.rdata.map((each) => rdataToText(set.type, each)),
      ]);
      return { zone, serial: 9 };
    },
    async deleteRecords(zone: string, name: Uint8Array, type: number | undefined, check: CheckRecords, client: string) {
      check(before(nameToText(name), type));
      calls.push([client, zone, nameToText(name), type]);
      return { zone, serial: 10 };
    },
    refreshZone(zone: string, whole: boolean) {
      if (refusal instanceof ValueError) throw refusal;
      calls.push([zone, whole]);
    },
    notifyZone(zone: string) {
      if (refusal instanceof ValueError) throw refusal;
      calls.push(zone);
      return ['[fd00::53]:53'];
    },
    flushCache: (name: Uint8Array | undefined) => calls.push(name && nameToText(name)),
  };
  const app = buildApp(new Gate('unix', undefined), source as unknown as AdminSource, new MemoryLogger());
  const send = async (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: object,
    headers: Record<string, string> = {},
  ) => {
    const answer = await app.inject({ method, url, headers, ...(body && { payload: body }) });
    return { status: answer.statusCode, json: answer.json() as Record<string, unknown> };
  };
  return { send, calls, app, refuseWith: (error: Error) => (refusal = error) };
}

const member = { name: 'w2', address: 'fd00::2', port: 80 };
const records = '/v1/zones/a.test/records/x.a.test/A';

type Case = readonly [string, Parameters<ReturnType<typeof setUp>['send']>, number, RegExp];
const bad: readonly Case[] = [
  ['member without a body', ['POST', '/v1/pools/web/members'], 400, /a JSON object is wanted/],
  ['member without address', ['POST', '/v1/pools/web/members', { name: 'w2', port: 80 }], 400, /address: is missing/],
  ['member with a wrong port', ['POST', '/v1/pools/web/members', { ...member, port: 0 }], 400, /port/],
  ['member with an unknown key', ['POST', '/v1/pools/web/members', { ...member, wait: 1 }], 400, /wait/],
  ['force that is no flag', ['DELETE', '/v1/pools/web/members/w1?force=yes'], 400, /force: true or false/],
  ['limit of none', ['GET', '/v1/sessions?limit=0'], 400, /limit: .*1 to 10000/],
  ['limit beyond all', ['GET', '/v1/sessions?limit=10001'], 400, /limit/],
  ['limit that is no number', ['GET', '/v1/sessions?limit=1e3'], 400, /limit/],
  ['two pools', ['GET', '/v1/sessions?pool=a&pool=b'], 400, /pool: one value/],
  ['offset below none', ['GET', '/v1/sources?offset=-1'], 400, /offset: .*0 to 65536/],
  ['no such session', ['DELETE', '/v1/sessions/0-8'], 404, /no session "0-8"/],
  [
    'records of no zone',
    ['PUT', '/v1/zones/b.test/records/x.b.test/A', { ttl: 1, data: ['192.0.2.1'] }],
    404,
    /no zone "b.test"/,
  ],
  ['no such type', ['PUT', '/v1/zones/a.test/records/x.a.test/AAAAA', { ttl: 1, data: ['x'] }], 400, /type: /],
  [
    'no name',
    ['PUT', '/v1/zones/a.test/records/x..test/A', { ttl: 1, data: ['192.0.2.1'] }],
    400,
    /name: .*empty label/,
  ],
  ['no data', ['PUT', records, { ttl: 1, data: [] }], 400, /data: .*at least/i],
  ['data of another type', ['PUT', records, { ttl: 1, data: ['fd00::1'] }], 400, /data: /],
  ['no TTL', ['PUT', records, { data: ['192.0.2.1'] }], 400, /ttl: is missing/],
  ['a TTL beyond all', ['PUT', records, { ttl: 2 ** 31, data: ['192.0.2.1'] }], 400, /ttl/],
  ['a TTL that is no duration', ['PUT', records, { ttl: 'soon', data: ['192.0.2.1'] }], 400, /ttl/],
  ['records unknown keys', ['PUT', records, { ttl: 1, data: ['192.0.2.1'], x: 1 }], 400, /unknown: x/],
  ['delete what is not there', ['DELETE', '/v1/zones/a.test/records/y.a.test'], 404, /y\.a\.test has no records/],
  ['delete a type that is not there', ['DELETE', '/v1/zones/a.test/records/x.a.test/AAAA'], 404, /no AAAA records/],
  ['refresh of no such zone', ['POST', '/v1/zones/b.test/refresh'], 404, /b\.test/],
  ['refresh of what', ['POST', '/v1/zones/a.test/refresh', { whole: 'x' }], 400, /whole: /],
  ['notify of no such zone', ['POST', '/v1/zones/b.test/notify'], 404, /b\.test/],
  ['flush of no name', ['POST', '/v1/dns/cache/flush', { name: 'a..b' }], 400, /name: .*empty label/],
  ['flush of a number', ['POST', '/v1/dns/cache/flush', { name: 5 }], 400, /name: 5 is a number/],
  ['flush of something else', ['POST', '/v1/dns/cache/flush', { nmae: 'a' }], 400, /unknown: nmae/],
];
for (const [name, request, status, detail] of bad) {
  t.test(`refused: ${name}`, async (t) => {
    const { send, calls } = setUp();
    const answer = await send(...request);
    t.match(answer, { status, json: { status, detail, type: 'about:blank' } });
    t.strictSame(calls, [], 'and nothing was done');
  });
}

t.test('what engines refuse has its status', async (t) => {
  const { send, refuseWith } = setUp();
  for (const [code, status] of [
    ['V6_POOL_UNKNOWN', 404],
    ['V6_MEMBER_EXISTS', 409],
    ['V6_MEMBER_INVALID', 400],
    ['V6_PROXY_SLOTS', 503],
  ] as const) {
    refuseWith(new ProxyError(code, 'because'));
    t.match(await send('POST', '/v1/pools/web/members', member), { status, json: { detail: 'because' } }, code);
  }
  refuseWith(new ProxyError('V6_MEMBER_LEAVING', 'because'));
  const ordered = await send('PATCH', '/v1/pools/web/members/w1', { state: 'ready' });
  t.match(ordered, { status: 409, json: { detail: 'because' } });
  refuseWith(new ProxyError('V6_MEMBER_UNKNOWN', 'none'));
  t.equal((await send('DELETE', '/v1/pools/web/members/w9')).status, 404);
  refuseWith(new ValueError('x is not in the zone'));
  t.match(await send('PUT', records, { ttl: 1, data: ['192.0.2.1'] }), {
    status: 400,
    json: { detail: /not in the zone/ },
  });
  refuseWith(new Error('ours'));
  t.match(await send('PUT', records, { ttl: 1, data: ['192.0.2.1'] }), { status: 500 });
});

t.test('changes', async (t) => {
  const { send, calls } = setUp();
  t.match(await send('POST', '/v1/pools/web/members', member), { status: 201, json: { name: 'w2' } });
  const defaults = { weight: 100, maxConnections: 0, backup: false, slowStartMs: 0 };
  t.strictSame(calls.pop(), ['web', { ...member, ...defaults }]);
  t.match(await send('DELETE', '/v1/pools/web/members/w1'), { status: 202, json: { removed: false } });
  t.strictSame(calls.pop(), ['web', 'w1', false]);
  t.match(await send('DELETE', '/v1/pools/web/members/w1?force=true'), { status: 200, json: { removed: true } });
  t.strictSame(calls.pop(), ['web', 'w1', true]);
  t.match(await send('GET', '/v1/sessions'), { status: 200, json: [{ id: '0-7' }] });
  t.strictSame(calls.pop(), { pool: undefined, member: undefined, limit: 100 });
  await send('GET', '/v1/sessions?pool=web&member=w1&limit=3');
  t.strictSame(calls.pop(), { pool: 'web', member: 'w1', limit: 3 });
  t.match(await send('DELETE', '/v1/sessions/0-7'), { status: 200, json: { id: '0-7', closed: true } });
  t.match(await send('PUT', records, { ttl: 300, data: ['192.0.2.1', '192.0.2.2'] }), {
    status: 200,
    json: { serial: 9 },
  });
  t.strictSame(calls.pop(), ['127.0.0.1', 'a.test', 'x.a.test', 'A', 300, ['192.0.2.1', '192.0.2.2']]);
  await send('PUT', '/v1/zones/A.test/records/_s._tcp.a.test./srv', { ttl: '5m', data: ['0 1 80 w.a.test.'] });
  t.strictSame(calls.pop(), ['127.0.0.1', 'a.test', '_s._tcp.a.test', 'SRV', 300, ['0 1 80 w.a.test.']]);
  t.match(await send('DELETE', records), { status: 200, json: { zone: 'a.test', serial: 10 } });
  t.strictSame(calls.pop(), ['127.0.0.1', 'a.test', 'x.a.test', 1]);
  await send('DELETE', '/v1/zones/a.test/records/x.a.test');
  t.strictSame(calls.pop(), ['127.0.0.1', 'a.test', 'x.a.test', undefined]);
  t.match(await send('POST', '/v1/zones/a.test/refresh'), { status: 202, json: { zone: 'a.test', whole: false } });
  t.strictSame(calls.pop(), ['a.test', false]);
  await send('POST', '/v1/zones/a.test/refresh', { whole: true });
  t.strictSame(calls.pop(), ['a.test', true]);
  t.match(await send('POST', '/v1/zones/A.test/notify'), {
    status: 202,
    json: { zone: 'a.test', notified: ['[fd00::53]:53'] },
  });
  t.equal(calls.pop(), 'a.test');
  t.match(await send('POST', '/v1/dns/cache/flush'), { status: 200, json: { flushed: 'everything' } });
  t.equal(calls.pop(), undefined);
  t.match(await send('POST', '/v1/dns/cache/flush', { name: 'A.test.' }), { status: 200, json: { flushed: 'a.test' } });
  t.equal(calls.pop(), 'a.test');
});

t.test('paths say which methods they have', async (t) => {
  const { app } = setUp();
  for (const [method, url, allow] of [
    ['GET', '/v1/pools/web/members', 'POST'],
    ['PUT', '/v1/pools/web/members/w1', 'GET, HEAD, PATCH, DELETE'],
    ['POST', records, 'GET, HEAD, PUT, DELETE'],
    ['HEAD', '/v1/events', 'GET'],
  ] as const) {
    const answer = await app.inject({ method, url });
    t.equal(answer.statusCode, 405, url);
    t.strictSame(String(answer.headers.allow).split(', ').sort(), allow.split(', ').sort(), url);
  }
});

t.test('over TCP a change needs the token', async (t) => {
  const app = buildApp(new Gate('loopback', 'a-token-for-this-test'), {} as AdminSource, new MemoryLogger());
  for (const [method, url] of [
    ['POST', '/v1/pools/web/members'],
    ['DELETE', '/v1/pools/web/members/w1'],
    ['DELETE', '/v1/sessions/0-7'],
    ['PUT', records],
    ['DELETE', records],
    ['POST', '/v1/dns/cache/flush'],
    ['POST', '/v1/zones/a.test/notify'],
  ] as const) {
    t.equal((await app.inject({ method, url, headers: { host: 'localhost' } })).statusCode, 401, `${method} ${url}`);
  }
});
