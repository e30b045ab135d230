import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { changeRecord, readRecordOrder } from '../../../src/edge/cli/record.ts';

t.test('what stands behind the name', (t) => {
  t.throws(() => readRecordOrder('add', []), { code: 'V6_VALUE', message: /type and the data/ });
  t.throws(() => readRecordOrder('add', ['A']), { message: /data of the A record/ });
  t.throws(() => readRecordOrder('add', ['60', 'A']), { message: /data of the A record/ });
  t.throws(() => readRecordOrder('add', ['AAAAA', 'x']), { message: /no DNS record type/ });
  t.throws(() => readRecordOrder('add', ['A', 'fd00::1']), { code: 'V6_VALUE' });
  t.throws(() => readRecordOrder('delete', ['60', 'A', '192.0.2.1']), { message: /no TTL/ });
  t.strictSame(readRecordOrder('add', ['60', 'aaaa', 'FD00:0::1']), {
    action: 'add',
    ttl: '60',
    type: 'AAAA',
    data: 'fd00::1',
  });
  t.strictSame(readRecordOrder('add', ['SRV', '0', '50', '80', 'w.a.test.']), {
    action: 'add',
    ttl: undefined,
    type: 'SRV',
    data: '0 50 80 w.a.test.',
  });
  t.match(readRecordOrder('delete', []), { type: undefined, data: undefined });
  t.match(readRecordOrder('delete', ['A']), { type: 'A', data: undefined });
  t.end();
});

t.test('one record of a set', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-record-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const calls: string[] = [];
  let data: string[] = [];
  let meanwhile: string[] | undefined;
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      if (req.method === 'GET') {
        if (data.length === 0) res.writeHead(404).end('{"detail":"none"}');
        else res.setHeader('etag', `"${data.length}"`).end(JSON.stringify({ ttl: 60, data }));
        return;
      }
      const { 'if-match': match, 'if-none-match': noneMatch } = req.headers;
      calls.push(`${req.method} ${req.url} ${body} ${match ?? noneMatch ?? ''}`.trim().replace('  ', ' '));
      // Somebody else was faster.
      if (meanwhile !== undefined) {
        data = meanwhile;
        meanwhile = undefined;
        res.writeHead(412).end('{"detail":"changed"}');
        return;
      }
      res.end(JSON.stringify({ zone: 'a.test', serial: 2 }));
    });
  });
  const path = join(folder, 'api.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const run = (action: 'add' | 'delete', ...fields: string[]) =>
    changeRecord({ api: `unix:${path}`, token: undefined }, 'a.test', 'x.a.test', readRecordOrder(action, fields));

  t.strictSame(await run('add', 'A', '192.0.2.1'), { zone: 'a.test', serial: 2 });
  await run('add', '5m', 'A', '192.0.2.1');
  data = ['192.0.2.1'];
  await run('add', 'A', '192.0.2.2');
  await run('add', '90', 'A', '192.0.2.1');
  await run('delete', 'A', '192.0.2.1');
  await t.rejects(run('delete', 'A', '192.0.2.9'), { message: /x\.a\.test has no record A 192\.0\.2\.9/ });
  data = ['192.0.2.1', '192.0.2.2'];
  await run('delete', 'A', '192.0.2.1');
  await run('delete', 'A');
  await run('delete');
  meanwhile = ['192.0.2.7'];
  await run('add', 'A', '192.0.2.8');
  const url = '/v1/zones/a.test/records/x.a.test';
  t.strictSame(calls, [
    `PUT ${url}/A {"ttl":300,"data":["192.0.2.1"]} *`,
    `PUT ${url}/A {"ttl":"5m","data":["192.0.2.1"]} *`,
    `PUT ${url}/A {"ttl":60,"data":["192.0.2.1","192.0.2.2"]} "1"`,
    `PUT ${url}/A {"ttl":90,"data":["192.0.2.1"]} "1"`,
    `DELETE ${url}/A "1"`,
    `PUT ${url}/A {"ttl":60,"data":["192.0.2.2"]} "2"`,
    `DELETE ${url}/A`,
    `DELETE ${url}`,
    `PUT ${url}/A {"ttl":60,"data":["192.0.2.1","192.0.2.2","192.0.2.8"]} "2"`,
    `PUT ${url}/A {"ttl":60,"data":["192.0.2.7","192.0.2.8"]} "1"`,
  ]);
});
