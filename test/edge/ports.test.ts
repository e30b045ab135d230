import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatEndpoint, parseInetEndpoint } from '../../src/core/address.ts';
import { loadConfig } from '../../src/edge/config/load.ts';
import { checkPorts, type WantedPort, wantedPorts } from '../../src/edge/ports.ts';

const port = (transport: 'tcp' | 'udp', endpoint: string): WantedPort => ({
  transport,
  endpoint: parseInetEndpoint(endpoint),
});

t.test('what a configuration wants: listeners over TCP, DNS over both', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-ports-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'v6edge.yaml');
  const listener = '{ name: a, bind: ["[::1]:4001", "127.0.0.1:4001"], pool: p }';
  const member = '{ name: m, address: "::1", port: 1 }';
  writeFileSync(
    file,
    `proxy: { listeners: [${listener}], pools: { p: { members: [${member}] } } }\ndns: { listen: ["[::1]:4053"], allow: ["::1/128"] }\n`,
  );
  const loaded = loadConfig(file);
  if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
  const wanted = wantedPorts(loaded.config).map(
    ({ transport, endpoint }) => `${transport} ${formatEndpoint(endpoint)}`,
  );
  t.strictSame(wanted, ['tcp [::1]:4001', 'tcp 127.0.0.1:4001', 'udp [::1]:4053', 'tcp [::1]:4053']);
  t.end();
});

t.test('ports of others are named, all of them; what may come later is passed over', async (t) => {
  const server = createServer();
  server.listen(0, '::1');
  await once(server, 'listening');
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => {
    server.close();
    socket.close();
  });
  const tcp = `[::1]:${(server.address() as AddressInfo).port}`;
  const udp = `127.0.0.1:${socket.address().port}`;
  const later = [port('tcp', '[2001:db8::1]:40001'), port('udp', '[fe80::1%nowhere0]:40001'), port('udp', '[::1]:0')];
  t.doesNotThrow(() => checkPorts(later));
  t.throws(() => checkPorts([port('tcp', tcp), ...later, port('udp', udp)]), {
    code: 'V6_PORT',
    message: `tcp ${tcp}, udp ${udp}: another process listens there`,
  });
  const [, number] = /:(\d+)$/.exec(tcp)!;
  t.doesNotThrow(
    () => checkPorts([port('tcp', tcp)], [port('tcp', `[::]:${number}`)]),
    'ours already, by another address',
  );
  t.throws(() => checkPorts([port('tcp', tcp)], [port('udp', tcp)]), { code: 'V6_PORT' }, 'the other transport is not');
});
