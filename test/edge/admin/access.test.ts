import t from 'tap';
import { parseEndpoint } from '../../../src/core/address.ts';
import { checkAccess, type Reach, reachOf } from '../../../src/edge/admin/access.ts';

t.test('how far an endpoint reaches', (t) => {
  for (const [endpoint, reach] of [
    ['unix:/run/x', 'unix'],
    ['[::1]:1', 'loopback'],
    ['127.9.9.9:1', 'loopback'],
    ['[::]:1', 'network'],
    ['0.0.0.0:1', 'network'],
    ['[fd00::1]:1', 'network'],
  ]) {
    t.equal(reachOf(parseEndpoint(endpoint!)), reach, endpoint!);
  }
  t.end();
});

/** The whole table: reach, method, path, token configured, token given → status, 0 = let through. */
t.test('the table of access', (t) => {
  const expected = (reach: Reach, method: string, path: string, configured: boolean, given: string): number => {
    if (reach === 'unix' || path === '/healthz') return 0;
    if (reach === 'loopback' && method === 'GET') return configured && given === 'wrong' ? 401 : 0;
    if (!configured) return 403;
    return given === 'right' ? 0 : 401;
  };
  for (const reach of ['unix', 'loopback', 'network'] as const) {
    for (const method of ['GET', 'POST', 'PATCH', 'DELETE', 'OPTIONS']) {
      for (const path of ['/healthz', '/v1/status']) {
        for (const configured of [true, false]) {
          for (const given of ['none', 'wrong', 'right']) {
            const authorization = given === 'none' ? undefined : `Bearer ${given}`;
            let status = 0;
            try {
              checkAccess(reach, configured ? 'right' : undefined, { method, path, host: '[::1]:1', authorization });
            } catch (error) {
              status = (error as { status: number }).status;
            }
            const name = `${reach} ${method} ${path} configured=${configured} given=${given}`;
            t.equal(status, expected(reach, method, path, configured, given), name);
          }
        }
      }
    }
  }
  t.end();
});
