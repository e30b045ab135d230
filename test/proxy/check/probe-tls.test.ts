import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import t from 'tap';
import type { CheckTarget } from '../../../src/proxy/check/result.ts';
import { check, listen, target, tlsOptions } from './probe-servers.ts';

t.test('tls: the handshake, whoever the certificate names; SNI from host', async (t) => {
  const names: (string | false | null)[] = [];
  const server = createTls({
    ...tlsOptions,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  server.on('secureConnection', (socket) => socket.on('error', () => {}).resume());
  const port = await listen(server);
  t.match(await check(target(port, { type: 'tls' })), { ok: true, code: 'L6OK', reason: /handshake done \(TLSv1.3\)/ });
  t.match(await check(target(port, { type: 'tls', host: 'api.cluster.test' })), { ok: true });
  for (const host of ['fd00::1', '[fd00::1]:6443', '192.0.2.1', '192.0.2.1:443', 'a\0b', '']) {
    t.match(
      await check(target(port, { type: 'tls', host })),
      { ok: true },
      `${JSON.stringify(host)} is no server name`,
    );
  }
  t.match(await check(target(port, { type: 'tls', host: 'other.test:6443' })), { ok: true }, 'without the port');
  t.strictSame(names, ['api.cluster.test', 'other.test']);
});

t.test('tls: what is no TLS server', async (t) => {
  const cases: [string, (socket: Socket) => void, RegExp][] = [
    [
      'garbage',
      (socket) => socket.end('this is no TLS record at all, but long enough to be one\r\n'),
      /^TLS handshake failed: wrong version number$/,
    ],
    ['closes at once', (socket) => socket.end(), /^connection closed before the answer$/],
    [
      'resets',
      (socket) => socket.once('data', () => socket.resetAndDestroy()),
      /^connection (reset|closed) before the answer$/,
    ],
  ];
  for (const [name, behave, reason] of cases) {
    const port = await listen(createServer(behave));
    for (const type of ['tls', 'https'] as const) {
      t.match(await check(target(port, { type })), { ok: false, code: 'L6RSP', reason }, `${name}, ${type}`);
    }
  }
});

t.test('the certificate, where it is to be verified', async (t) => {
  const make = (name: string, ...more: string[]) => {
    const folder = mkdtempSync(join(tmpdir(), 'v6edge-ca-'));
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem'];
    execFileSync(
      'openssl',
      ['req', '-x509', ...key, '-out', 'cert.pem', '-subj', `/CN=${name}`, '-days', '2', ...more],
      {
        cwd: folder,
        stdio: 'ignore',
      },
    );
    const [keyPem, cert] = ['key.pem', 'cert.pem'].map((file) => readFileSync(join(folder, file), 'utf8'));
    rmSync(folder, { recursive: true });
    return { key: keyPem!, cert: cert! };
  };
  const own = make('api', '-addext', 'subjectAltName=DNS:api.cluster.test,IP:::1');
  const other = make('other');
  const server = createTls(own);
  server.on('secureConnection', (socket) => socket.on('error', () => {}).resume());
  server.on('tlsClientError', () => {});
  const port = await listen(server);
  const verify = { type: 'tls', verify: true } as const;
  const cases: [name: string, more: Partial<CheckTarget>, ok: boolean, reason: RegExp][] = [
    ['of a CA that nobody knows', {}, false, /^certificate not accepted: self-signed certificate$/],
    ['of another CA', { ca: other.cert }, false, /^certificate not accepted/],
    ['of the CA, by address', { ca: own.cert }, true, /handshake done/],
    ['of the CA, by an address with a zone', { ca: own.cert, address: '::1%lo' }, true, /handshake done/],
    ['of the CA, by host', { ca: own.cert, host: 'api.cluster.test:6443' }, true, /handshake done/],
    ['of the CA, by SNI', { ca: own.cert, sni: 'api.cluster.test', host: 'else.test' }, true, /handshake done/],
    ['of the CA, for another name', { ca: own.cert, sni: 'else.test' }, false, /not accepted: .*else.test/],
    ['one of several CAs', { ca: other.cert + own.cert }, true, /handshake done/],
    ['not verified', { verify: false, sni: 'else.test' }, true, /handshake done/],
  ];
  for (const [name, more, ok, reason] of cases) {
    t.match(await check(target(port, { ...verify, ...more })), { ok, code: ok ? 'L6OK' : 'L6RSP', reason }, name);
  }
});
