/** The same connections to the old proxy and to ours: whether they are accepted, and who answers what. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { formatAddress, formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import { errorCode } from '../../core/errors.ts';
import { reached, type ShadowConfig } from './config.ts';
import type { Compared, Difference } from './report.ts';

const timeoutMs = 3_000;
/** What is looked at of a reply. */
const replyBytes = 4_096;

/** What a client saw: `tls` with a certificate, or a reply to an HTTP request, or how the connection ended. */
type Outcome = string;

/** Nobody is served either way. */
const endings = new Set<Outcome>(['closed without an answer', 'reset']);
const whenEmpty = 'without a member we reset where HAProxy closes; `whenEmpty: close` does as it does';
const mapped =
  'members are told an IPv4 client of a dual-stack bind as IPv4; HAProxy tells them ::ffff:192.0.2.1 for it (RFC 4291 §2.5.5.2)';

/** @param tries connections to each side of each listener: members take turns */
export async function compareProxy(
  listeners: ShadowConfig['proxy'],
  tries: number,
  perSecond: number,
): Promise<Compared> {
  const differences: Difference[] = [];
  const remarks: string[] = [];
  let count = 0;
  for (const { name, acceptProxy, pairs } of listeners) {
    if (acceptProxy) {
      remarks.push(`listener ${name} wants a PROXY header from its own load balancer: it was not tried`);
      continue;
    }
    for (const { old, ours } of pairs) {
      const seen = { old: new Set<Outcome>(), ours: new Set<Outcome>() };
      // A server of TLS answers a request in plain text with an alert, and one of HTTP has no certificate.
      const certificates = await Promise.all([handshake(reached(old)), handshake(reached(ours))]);
      const attempt = certificates.some((each) => each !== undefined) ? tls : request;
      for (let i = 0; i < tries; i++) {
        const next = sleep(1000 / perSecond);
        const [before, after] = await Promise.all([attempt(reached(old)), attempt(reached(ours))]);
        seen.old.add(before);
        seen.ours.add(after);
        count++;
        await next;
      }
      const [before, after] = [[...seen.old].sort(), [...seen.ours].sort()];
      if (before.join('\n') === after.join('\n')) continue;
      const what = `${name} ${formatEndpoint(old)}`;
      differences.push({
        of: 'proxy',
        what,
        part: 'reply',
        old: before.map(short).join(' | '),
        ours: after.map(short).join(' | '),
        accepted: whyRight(before, after),
      });
    }
  }
  return { count, differences, remarks };
}

/** Why two sets of outcomes that are not the same are right so; undefined: they are to be looked at. */
export function whyRight(before: readonly Outcome[], after: readonly Outcome[]): string | undefined {
  if ([...before, ...after].every((each) => endings.has(each))) return whenEmpty;
  // The address is shorter as IPv4, and the reply with it.
  const plain = (each: Outcome) => each.replaceAll(/::ffff:(?=\d+\.\d+\.\d+\.\d+)|^content-length: .*/gim, '');
  const same = before.map(plain).sort().join('\n') === after.map(plain).sort().join('\n');
  return same && before.some((each) => /::ffff:\d/i.test(each)) ? mapped : undefined;
}

async function tls(endpoint: InetEndpoint): Promise<Outcome> {
  const certificate = await handshake(endpoint);
  return certificate === undefined ? 'no TLS' : `TLS, certificate ${certificate}`;
}

/** The fingerprint of the certificate that is shown; undefined: there is none to be had. */
function handshake(endpoint: InetEndpoint): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connectTls(
    { host: formatAddress(endpoint.address), port: endpoint.port, rejectUnauthorized: false, timeout: timeoutMs },
    () => {
      resolve(socket.getPeerCertificate().fingerprint256?.slice(0, 23));
      socket.destroy();
    },
  );
  socket.on('timeout', () => socket.destroy());
  socket.on('error', () => undefined);
  socket.on('close', () => resolve(undefined));
  return promise;
}

/** The reply to an HTTP request, without what is of the moment: dates, and the client's own port. */
function request(endpoint: InetEndpoint): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const socket: Socket = connect({ host: formatAddress(endpoint.address), port: endpoint.port });
  let reply = '';
  let port = 0;
  socket.setTimeout(timeoutMs, () => {
    resolve(reply === '' ? 'accepted, no answer' : strip(reply, port));
    socket.destroy();
  });
  socket.once('connect', () => {
    port = socket.localPort ?? 0;
    socket.write('GET / HTTP/1.0\r\nHost: shadow.invalid\r\nUser-Agent: v6edge-shadow\r\n\r\n');
  });
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    reply += chunk;
    if (reply.length >= replyBytes) socket.destroy();
  });
  socket.on('error', (error) => {
    if (reply === '') resolve(errorCode(error) === 'ECONNREFUSED' ? 'refused' : 'reset');
  });
  socket.on('close', () => resolve(reply === '' ? 'closed without an answer' : strip(reply, port)));
  return promise;
}

function strip(reply: string, port: number): string {
  return reply
    .slice(0, replyBytes)
    .replace(/^(date|last-modified|etag|expires|x-request-id|set-cookie): .*\r?\n/gim, '')
    .replaceAll(new RegExp(`\\b${port}\\b`, 'g'), 'PORT');
}

/** A reply in one line. */
function short(reply: Outcome): string {
  const line = reply.replaceAll(/[\r\n]+/g, ' ⏎ ').replaceAll(/\p{Cc}/gu, '.');
  return line.length <= 160 ? line : `${line.slice(0, 159)}…`;
}
