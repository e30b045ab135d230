/**
 * A secondary of cluster.test as a process of its own, to be killed:
 *
 *   node test/dns/secondary/secondary-process.ts STATE_DIR PRIMARY_PORT PORT    prints a line when it serves
 */
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { startControlServer, testConfig, testKey, zoneConfig } from '../control-server.ts';

const [, , stateDir, primaryPort, port] = process.argv;
const secondary = {
  primaries: [parseInetEndpoint(`[::1]:${primaryPort}`)],
  key: testKey.name,
  allowNotify: [],
  allowUpdateForwarding: [],
};
const config = testConfig({ zones: [zoneConfig('cluster.test', { ns: [], update: [], secondary })] });
await startControlServer(stateDir!, config, undefined, { port: Number(port) });
process.stdout.write('serves\n');
