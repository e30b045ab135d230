/** `check` of a pool: how its members are checked, as a mapping or as the word for its type alone. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseAddress } from '../../core/address.ts';
import { errorMessage, ValueError } from '../../core/errors.ts';
import type { CheckConfig, CheckStep } from '../../proxy/config.ts';
import { readDomainName } from './domain-name.ts';
import { choice, flag, integer, list, milliseconds, parsed, section, show, text } from './fields.ts';

/** More steps are a test suite, not a check. */
export const maxSteps = 16;
/** What a step may send or look for. */
const maxStepBytes = 1024;

/** One entry of `check.steps`: exactly one of its keys. */
const step = section({
  send: parsed({ kind: 'text' }, (value) => bounded(Buffer.from(value)))
    .optional()
    .describe('text to send, UTF-8; `\\r\\n` in double quotes is an end of line (`send`)'),
  sendHex: parsed({ kind: 'hex' }, readHex).optional().describe('bytes to send (`send-binary`)'),
  expect: parsed({ kind: 'text' }, (value) => bounded(Buffer.from(value)))
    .optional()
    .describe('text that must come, anywhere in what came since the last send (`expect string`)'),
  expectHex: parsed({ kind: 'hex' }, readHex).optional().describe('the same, bytes (`expect binary`)'),
  expectMatch: parsed({ kind: 'regular expression' }, readExpression)
    .optional()
    .describe('the same, a regular expression of JavaScript’s on the bytes as Latin-1 characters (`expect rstring`)'),
}).transform((value, ctx): CheckStep => {
  const given = Object.entries(value).filter(([, each]) => each !== undefined);
  const { send, sendHex, expect, expectHex, expectMatch } = value;
  if (given.length !== 1) {
    ctx.issues.push({
      code: 'custom',
      input: value,
      message: `a step is exactly one of ${Object.keys(step.in.shape).join(', ')}`,
    });
    return z.NEVER;
  }
  if (expectMatch !== undefined) return { kind: 'match', expression: expectMatch };
  const sent = send ?? sendHex;
  return sent === undefined ? { kind: 'expect', bytes: expect ?? expectHex! } : { kind: 'send', bytes: sent };
});

const settings = section({
  type: choice(['none', 'tcp', 'tls', 'http', 'https', 'readyz'])
    .prefault('tcp')
    .describe(
      'what counts as healthy: a connect, a TLS handshake, an HTTP answer; `readyz` is https with `path: /readyz`, as kube-apiserver wants it. `check: readyz` alone is short for `check: { type: readyz }`, and so for all types',
    ),
  interval: milliseconds(100, 3_600_000).prefault('2s').describe('from one check to the next'),
  fastInterval: milliseconds(100, 3_600_000)
    .prefault('500ms')
    .describe(
      'the same while results contradict the state: on the way up or down (`fastinter`); never above `interval`',
    ),
  downInterval: milliseconds(100, 3_600_000)
    .optional()
    .describe('the same while the member is down (`downinter`); without it `interval`'),
  timeout: milliseconds(10, 3_600_000).prefault('1s').describe('longest wait for the whole check'),
  rise: integer(1, 1000).prefault(2).describe('good checks in a row that bring a member up'),
  fall: integer(1, 1000).prefault(3).describe('bad checks in a row that take it down'),
  method: choice(['GET', 'HEAD', 'OPTIONS']).prefault('GET').describe('for http and https'),
  path: parsed({ kind: 'path' }, readCheckPath)
    .optional()
    .describe('for http and https; without it `/`, for readyz `/readyz`'),
  host: text('host name')
    .optional()
    .describe('Host header, and for tls and https the SNI name; without it the member’s address'),
  expect: list(integer(100, 599), 1).prefault([200]).describe('HTTP status codes that count as good'),
  sni: parsed({ kind: 'server name' }, readServerName)
    .optional()
    .describe('SNI name for tls and https, if it is not `host` (`check-sni`)'),
  verify: choice(['none', 'required'])
    .prefault('none')
    .describe('whether the certificate must be trusted, and of the SNI name or else the member’s address'),
  caFile: text('path')
    .optional()
    .describe('CA certificates (PEM) to verify by, in place of the public ones; relative to the configuration file'),
  steps: list(step)
    .prefault([])
    .describe(
      `what is said once connected, for tcp and tls: up to ${maxSteps} of send and expect, one after the other (\`tcp-check send\`, \`tcp-check expect\`)`,
    ),
  address: parsed({ kind: 'address' }, (value) => {
    parseAddress(value);
    return value;
  })
    .optional()
    .describe('check this address, not the one traffic goes to (`addr`)'),
  port: integer(1, 65535).optional().describe('check this port, not the one traffic goes to'),
  sendProxy: flag()
    .optional()
    .describe(
      'whether the check begins with the pool’s PROXY header; without it: yes, unless `address` or `port` lead elsewhere (`check-send-proxy`)',
    ),
}).transform(
  ({ type, path, interval, fastInterval, downInterval, timeout, ...rest }): CheckConfig => ({
    ...rest,
    type: type === 'readyz' ? 'https' : type,
    path: path ?? (type === 'readyz' ? '/readyz' : '/'),
    intervalMs: interval,
    fastIntervalMs: Math.min(fastInterval, interval),
    downIntervalMs: downInterval ?? interval,
    timeoutMs: timeout,
    host: rest.host,
    sni: rest.sni,
    caFile: rest.caFile,
    // Read by whoever knows the folder that it is relative to.
    ca: undefined,
    address: rest.address,
    port: rest.port,
    sendProxy: rest.sendProxy,
  }),
);

/** The value of a pool's `check`. */
export const check = z
  .preprocess((value) => (typeof value === 'string' ? { type: value } : value), settings)
  .prefault({})
  .describe('health checks; a word alone is their `type`');

function bounded(bytes: Buffer): Buffer {
  if (bytes.length > maxStepBytes)
    throw new ValueError(`is ${bytes.length} bytes long (allowed: up to ${maxStepBytes})`);
  return bytes;
}

/**
 * Bytes written in hex, with or without spaces.
 * @throws {ValueError}
 */
export function readHex(value: string): Buffer {
  const digits = value.replaceAll(/\s/g, '');
  if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) throw new ValueError(`${show(value)} is no hex: two digits for each byte`);
  return bounded(Buffer.from(digits, 'hex'));
}

function readExpression(value: string): string {
  bounded(Buffer.from(value));
  try {
    new RegExp(value);
  } catch (error) {
    throw new ValueError(`${show(value)} is no regular expression: ${errorMessage(error)}`);
  }
  return value;
}

function readServerName(value: string): string {
  const name = readDomainName(value).replace(/\.$/, '');
  if (isIP(name) !== 0 || name.includes('*'))
    throw new ValueError(`"${value}" is no server name: RFC 6066 §3 has DNS names alone`);
  return name;
}

function readCheckPath(value: string): string {
  if (!/^\/[\x21-\x7e]*$/.test(value))
    throw new ValueError(`"${value}" is no path: it starts with / and has no spaces`);
  return value;
}
