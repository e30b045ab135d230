/** Configurations of a daemon, and who goes through it. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { waitFor } from '../lab/process.ts';
import { keyName, keySecret } from './daemon-process.ts';
import { DnsClient } from './dns-client.ts';

/** A member of a pool: sends back what it gets, with its name before the first bytes. */
export async function echoServer(t: Test, name: string): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(`${name}:`);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** One session through the proxy that collects what comes. */
export class Session {
  readonly socket: Socket;
  text = '';
  closed = false;

  constructor(t: Test, port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setEncoding('utf8').on('data', (chunk) => {
      this.text += chunk;
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
    });
    t.teardown(() => this.socket.destroy());
  }

  async says(text: string): Promise<void> {
    await waitFor(`"${text}" through the proxy`, () => this.text.includes(text), {
      everyMs: 5,
      why: () => `got "${this.text}"`,
    });
  }
}

/** Listeners at ports, in front of members at ports. */
export function proxyConfig(
  listeners: Record<string, number>,
  members: Record<string, number>,
  hardStopAfter = '5s',
): string {
  const binds = Object.entries(listeners).map(
    ([name, port]) => `{ name: ${name}, bind: ["127.0.0.1:${port}"], pool: p }`,
  );
  const list = Object.entries(members).map(([name, port]) => `{ name: ${name}, address: 127.0.0.1, port: ${port} }`);
  return [
    'proxy:',
    `  timeouts: { hardStopAfter: ${hardStopAfter} }`,
    `  listeners: [${binds.join(', ')}]`,
    `  pools: { p: { balance: roundrobin, check: { type: none }, members: [${list.join(', ')}] } }`,
  ].join('\n');
}

/** Zones that a key may change. */
export function dnsConfig(port: number, zones: readonly string[] = ['cluster.test']): string {
  const update = `[{ key: ${keyName}, match: zonesub, types: [AAAA, TXT] }]`;
  return [
    'dns:',
    `  listen: ["127.0.0.1:${port}"]`,
    '  allow: ["127.0.0.0/8"]',
    `  keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }`,
    `  zones: [${zones.map((zone) => `{ name: ${zone}, ns: [edge.${zone}], update: ${update} }`).join(', ')}]`,
  ].join('\n');
}

export function dnsClient(t: Test, port: number): DnsClient {
  const client = new DnsClient(port);
  t.teardown(() => client.close());
  return client;
}
