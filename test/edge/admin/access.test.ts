import t from 'tap';
import { parseEndpoint } from '../../../src/core/address.ts';
import { checkAccess, type Reach, reachOf } from '../../../src/edge/admin/access.ts';
import type { ProblemError } from '../../../src/edge/admin/problem.ts';

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

/** Authorization header → what is said of it, and whether the challenge says that the token is no good (RFC 6750 §3). */
const complaints: [name: string, authorization: string | undefined, detail: RegExp, invalid: boolean][] = [
  ['none', undefined, /^a bearer token is needed: Authorization: Bearer TOKEN$/, false],
  ['empty', '', /does not begin with Bearer/, false],
  ['another scheme', 'Basic cmlnaHQ=', /does not begin with Bearer/, false],
  ['the token alone', 'right', /does not begin with Bearer/, false],
  ['no space behind the scheme', 'Bearerright', /does not begin with Bearer/, false],
  ['no token', 'Bearer', /no token behind Bearer/, true],
  ['no token, spaces', 'Bearer   ', /no token behind Bearer/, true],
  ['two words', 'Bearer right right', /no token behind Bearer/, true],
  ['quoted', 'Bearer "right"', /no token behind Bearer/, true],
  ['other characters', 'Bearer r\u00efght', /no token behind Bearer/, true],
  ['beyond Latin-1, two lines', 'Bearer r\u2028\night', /no token behind Bearer/, true],
  ['a list', 'Bearer right, Bearer right', /no token behind Bearer/, true],
  ['padding in the middle', 'Bearer ri=ght', /no token behind Bearer/, true],
  ['another', 'Bearer wrong', /^this is not the token/, true],
  ['a longer one', 'Bearer rightx', /^this is not the token/, true],
  ['a shorter one', 'Bearer righ', /^this is not the token/, true],
  ['in other case', 'Bearer RIGHT', /^this is not the token/, true],
];

t.test('what is wrong with the token', (t) => {
  const check = (authorization: string | undefined) =>
    checkAccess('network', 'right', { method: 'GET', path: '/v1/status', host: 'edge', authorization });
  for (const [name, authorization, detail, invalid] of complaints) {
    t.test(name, (t) => {
      let problem: ProblemError | undefined;
      try {
        check(authorization);
      } catch (error) {
        problem = error as ProblemError;
      }
      t.match(problem, { status: 401, message: detail });
      const challenge = problem?.headers['www-authenticate'];
      const error = invalid ? `, error="invalid_token", error_description="${problem?.message}"` : '';
      t.equal(challenge, `Bearer realm="v6edge"${error}`);
      t.match(challenge, /^[\x20-\x5b\x5d-\x7e]+$/, 'characters that RFC 6750 §3 allows');
      t.notMatch(`${problem?.message}${challenge}`, /right|r.ght|Basic/i, 'nothing of what came is repeated');
      t.end();
    });
  }
  for (const authorization of ['Bearer right', 'bearer right', 'BEARER   right  ']) check(authorization);
  t.end();
});
