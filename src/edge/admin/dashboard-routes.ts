/**
 * The dashboard: files that hold no data, so that anyone who reaches the API may load them; what they show comes from the
 * API, by its rules.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { isFresh } from './conditional.ts';
import { ProblemError } from './problem.ts';
import { defineRoute, type Route, type RouteAnswer } from './route.ts';

const folder = join(import.meta.dirname, 'dashboard');
/** From an npm package in a checkout, beside the others in the Debian package. */
const vendored: Readonly<Record<string, string>> = { 'uplot.js': 'uPlot.esm.js', 'uplot.css': 'uPlot.min.css' };

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing from elsewhere, nothing inline, no frame around it, no string that becomes code. */
const headers: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Looked at each time, fetched when it changed: an upgrade shows at once.
  'cache-control': 'no-cache',
};

export const dashboardRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/',
    summary: 'the dashboard',
    answers: { 200: 'Page' },
    handle: (_source, { ifNoneMatch }) => file('index.html', ifNoneMatch),
  }),
  defineRoute({
    method: 'GET',
    url: '/assets/:file',
    summary: 'a part of the dashboard',
    answers: { 200: 'Page' },
    problems: [404],
    handle: (_source, { params, ifNoneMatch }) => file(params.file!, ifNoneMatch),
  }),
];

function file(name: string, ifNoneMatch: string | undefined): RouteAnswer {
  const path = pathOf(name);
  const type = mediaTypes[extname(name)];
  if (path === undefined || type === undefined) throw new ProblemError(404, `the dashboard has no ${name}`);
  const bytes = readFileSync(path);
  const etag = createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
  if (isFresh(ifNoneMatch, etag)) return { status: 304, type, etag, headers, body: '' };
  return { type, etag, headers, body: bytes };
}

/** Only what is in the folder: no name leads out of it. */
function pathOf(name: string): string | undefined {
  if (readdirSync(folder).includes(name)) return join(folder, name);
  const original = Object.hasOwn(vendored, name) ? vendored[name] : undefined;
  if (original === undefined) return undefined;
  const path = join(dirname(createRequire(import.meta.url).resolve('uplot')), original);
  return existsSync(path) ? path : undefined;
}
