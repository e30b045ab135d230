/**
 * A `DnsControl` behind a real UDP and TCP socket, for tests and as a child process:
 *
 *   node test/dns/control-server.ts STATE_DIR   prints its port, serves until it is killed; updates get leases of an hour
 *
 * Everything goes to the control part: there are no data threads here.
 */

import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { CounterStripe } from '../../src/core/counters.ts';
import { type Logger, nullLogger } from '../../src/core/logger.ts';
import { cryptoRandom } from '../../src/core/random.ts';
import {
  type DnsConfig,
  noDns,
  type TsigKey,
  type UpdateMatch,
  type UpdateRule,
  type ZoneConfig,
} from '../../src/dns/config.ts';
import { DnsControl, type ZoneEvent, type ZonePublication } from '../../src/dns/control.ts';

/** The key that `testConfig` grants everything. */
export const testKey: TsigKey = {
  name: 'node-key',
  algorithm: 'hmac-sha256',
  secret: Uint8Array.from(Buffer.from('c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==', 'base64')),
};

export const reverseZoneName = '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa';

/** A rule of one key. */
export function updateRule(
  key: string,
  match: UpdateMatch,
  name?: string,
  types: readonly string[] = [],
  more: Partial<UpdateRule> = {},
): UpdateRule {
  return { keys: [key], match, name, types, from: [], maxRecords: 0, leaseSeconds: undefined, ...more };
}

export function zoneConfig(name: string, overrides: Partial<ZoneConfig> = {}): ZoneConfig {
  return {
    name,
    ns: ['edge.cluster.test'],
    soa: {
      mname: 'edge.cluster.test',
      rname: 'hostmaster.cluster.test',
      refreshSeconds: 3600,
      retrySeconds: 600,
      expireSeconds: 86400,
      minimumSeconds: 60,
    },
    ttlSeconds: 300,
    file: undefined,
    update: [updateRule('node-key', 'zonesub', undefined, ['ANY'])],
    transfer: { allow: [], key: 'node-key', notify: [] },
    reverse: false,
    leaseSeconds: 0,
    ...overrides,
  };
}

export function testConfig(overrides: Partial<DnsConfig> = {}): DnsConfig {
  return {
    ...noDns,
    keys: [testKey],
    zones: [zoneConfig('cluster.test', { reverse: true }), zoneConfig(reverseZoneName)],
    ...overrides,
  };
}

/** A running server. */
export interface ControlServer {
  readonly control: DnsControl;
  /** What it was started with. */
  readonly config: DnsConfig;
  readonly port: number;
  readonly published: ZonePublication[];
  /** Resolves with the next event, after it was called, that has these fields. */
  event(wanted: Partial<ZoneEvent> & Pick<ZoneEvent, 'type'>): Promise<ZoneEvent>;
  close(): Promise<void>;
}

export async function startControlServer(
  stateDir: string,
  config = testConfig(),
  log: Logger = nullLogger,
  options: { readonly port?: number; readonly clock?: Clock; readonly counters?: CounterStripe } = {},
): Promise<ControlServer> {
  const published: ZonePublication[] = [];
  const waiting = new Set<(event: ZoneEvent) => void>();
  const { port: wantedPort, ...context } = options;
  const control = new DnsControl({
    clock: systemClock,
    random: cryptoRandom,
    log,
    stateDir,
    publish: (publication) => void published.push(publication),
    emit(event) {
      for (const take of waiting) take(event);
    },
    ...context,
  });
  await control.start(config);
  const { udp, tcp } = await listen(wantedPort);
  const { port } = udp.address();
  const local = parseInetEndpoint(`[::1]:${port}`);
  udp.on('message', async (message, from) => {
    const client = parseInetEndpoint(`[${from.address}]:${from.port}`);
    const copy = Uint8Array.from(message);
    for (const reply of await control.handle({ message: copy, client, local, transport: 'udp' })) {
      udp.send(reply, from.port, from.address);
    }
  });
  let closed = false;
  const sockets = new Set<net.Socket>();
  tcp.on('connection', (socket) => {
    sockets.add(socket);
    const client = parseInetEndpoint(`[${socket.remoteAddress}]:${socket.remotePort}`);
    let held = Buffer.alloc(0);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', async (data) => {
      held = Buffer.concat([held, data]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const message = Uint8Array.from(held.subarray(2, 2 + held.readUInt16BE(0)));
        held = held.subarray(2 + message.length);
        const write = (replies: readonly Uint8Array[]) => {
          for (const reply of replies) {
            socket.write(Buffer.concat([Buffer.of(reply.length >> 8, reply.length), reply]));
          }
          return Promise.resolve(!socket.destroyed);
        };
        await write(await control.handle({ message, client, local, transport: 'tcp' }, write));
      }
    });
  });
  return {
    control,
    config,
    port,
    published,
    event(wanted) {
      return new Promise((resolve) => {
        const take = (event: ZoneEvent) => {
          const entries = Object.entries(wanted);
          if (!entries.every(([key, value]) => event[key as keyof ZoneEvent] === value)) return;
          waiting.delete(take);
          resolve(event);
        };
        waiting.add(take);
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      udp.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
      await control.stop();
    },
  };
}

/** Sockets of both transports on one free port: the one that the kernel gives for UDP may be taken for TCP. */
async function listen(port = 0): Promise<{ udp: dgram.Socket; tcp: net.Server }> {
  for (let tries = 20; ; tries--) {
    const udp = dgram.createSocket('udp6');
    udp.bind(port, '::1');
    await once(udp, 'listening');
    const tcp = net.createServer();
    tcp.listen(udp.address().port, '::1');
    try {
      await once(tcp, 'listening');
      return { udp, tcp };
    } catch (error) {
      udp.close();
      if (tries === 0) throw error;
    }
  }
}

if (import.meta.main) {
  const [forward, reverse] = testConfig().zones as [ZoneConfig, ZoneConfig];
  const zones = [{ ...forward, leaseSeconds: 3600 }, reverse];
  const server = await startControlServer(process.argv[2]!, testConfig({ zones }));
  process.stdout.write(`${server.port}\n`);
}
