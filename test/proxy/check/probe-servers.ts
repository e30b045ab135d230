/** Servers that are asked by checks, until the tests of a file are over. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../../src/core/clock.ts';
import { networkProbe } from '../../../src/proxy/check/probe.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';

const directory = mkdtempSync(join(tmpdir(), 'v6edge-probe-'));
execFileSync(
  'openssl',
  ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem'].concat([
    ...['-out', 'cert.pem', '-subj', '/CN=somebody-else', '-days', '2'],
  ]),
  { cwd: directory, stdio: 'ignore' },
);
/** A certificate of another name than anybody asks for. */
export const tlsOptions = {
  key: readFileSync(join(directory, 'key.pem')),
  cert: readFileSync(join(directory, 'cert.pem')),
};
rmSync(directory, { recursive: true });

/** Connections that servers have now. */
export const open = new Set<Socket>();
const servers = new Set<Server>();
t.teardown(() => {
  for (const server of servers) server.close();
  for (const socket of open) socket.destroy();
});

/** Listens on loopback; the sockets it accepts are ended with the test. */
export async function listen(server: Server, address = '::1'): Promise<number> {
  servers.add(server);
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
  });
  await once(server.listen(0, address), 'listening');
  return (server.address() as AddressInfo).port;
}

/** A check of a local port. */
export function target(port: number, more: Partial<CheckTarget> = {}): CheckTarget {
  return {
    type: 'tcp',
    address: '::1',
    port,
    timeoutMs: 5000,
    proxyProtocol: 'none',
    method: 'GET',
    path: '/readyz',
    host: undefined,
    expect: [200],
    sni: undefined,
    verify: false,
    ca: undefined,
    steps: [],
    ...more,
  };
}

export const check = (what: CheckTarget) => new Promise<CheckResult>((done) => networkProbe(what, systemClock, done));
