/** The whole configuration file: one schema is the type, the check, the defaults and the reference page. */

import { ValueError } from '../../core/errors.ts';
import { dns } from './dns.ts';
import { choice, endpoint, leaf, list, section, show, text } from './fields.ts';
import { hook } from './hooks.ts';
import { join } from './join.ts';
import { proxy } from './proxy.ts';
import { ra } from './ra.ts';

/** More data threads than this were never wanted by anyone who meant it. */
const maxWorkers = 256;

/** The `admin` section. */
export const admin = section({
  listen: list(endpoint())
    .prefault(['unix:/run/v6edge/admin.sock', '[::1]:8653'])
    .describe('where the admin API answers; the socket is for root and group v6edge, without token'),
  tokenFile: text('path')
    .optional()
    .describe(
      'file with the bearer token: for writes over TCP, and for any TCP listener beyond loopback; without one loopback reads only',
    ),
});

/** The file. */
export const schema = section({
  workers: leaf({ kind: 'number', allowed: `auto, 1 to ${maxWorkers}` }, readWorkers)
    .prefault('auto')
    .describe('data threads; auto = the CPUs this process may use'),
  log: section({
    level: choice(['debug', 'info', 'warn', 'error']).prefault('info').describe('least important lines written'),
    format: choice(['auto', 'json', 'pretty'])
      .prefault('auto')
      .describe('for machines or for people; auto = pretty on a terminal, json everywhere else'),
  })
    .prefault({})
    .describe('the log, on standard output'),
  state: section({
    dir: text('path')
      .prefault('/var/lib/v6edge')
      .describe('zone store; made if missing; relative to the configuration file'),
  })
    .prefault({})
    .describe('what outlives the daemon'),
  admin: admin.prefault({}).describe('the admin API'),
  hooks: list(hook).prefault([]).describe('who is told of events: a URL, or a program ([hooks](hooks.md))'),
  proxy,
  dns: dns.optional(),
  ra,
  join: join.optional(),
});

function readWorkers(value: unknown): number | 'auto' {
  if (value === 'auto') return value;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > maxWorkers) {
    throw new ValueError(`${show(value)} is no number of threads (allowed: auto, 1 to ${maxWorkers})`);
  }
  return value;
}
