/** A primary and its secondary. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { CounterStripe } from '../../../src/core/counters.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import type { TsigKey, ZoneConfig } from '../../../src/dns/config.ts';
import { controlCounters } from '../../../src/dns/control-counters.ts';
import { signRequest } from '../../../src/dns/tsig.ts';
import { encodeMessage, type Message, parseMessage, type ResourceRecord } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { CLASS, OPCODE, rcodeToText, TYPE } from '../../../src/dns/wire/types.ts';
import { writeZoneFile } from '../../../src/dns/zonefile.ts';
import { freePort } from '../../free-port.ts';
import { type ControlServer, startControlServer, testConfig, testKey, zoneConfig } from '../control-server.ts';
import { rr, updateMessage } from '../dns-client.ts';

export const zone = 'cluster.test';
export const here = parseInetEndpoint('[::1]:9999');
export const strangeKey: TsigKey = { ...testKey, name: 'of-the-primary' };

export const at = (port: number) => parseInetEndpoint(`[::1]:${port}`);

export function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-secondary-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The zone as a secondary has it, of a primary at `port`. */
export function secondaryZone(port: number, more: Partial<NonNullable<ZoneConfig['secondary']>> = {}): ZoneConfig {
  const secondary = { primaries: [at(port)], key: testKey.name, allowNotify: [], allowUpdateForwarding: [], ...more };
  return zoneConfig(zone, { ns: [], update: [], secondary });
}

interface Pair {
  readonly primary: ControlServer;
  readonly secondary: ControlServer;
  readonly counters: CounterStripe;
  readonly log: MemoryLogger;
  readonly dir: string;
}

/** A primary that tells its secondary of changes; the secondary has the zone. */
export async function startPair(
  t: Test,
  options: { secondary?: Parameters<typeof secondaryZone>[1]; primary?: Partial<ZoneConfig>; keys?: TsigKey[] } = {},
): Promise<Pair> {
  const port = await freePort('::1');
  const transfer = { allow: [], key: testKey.name, notify: [at(port)] };
  const keys = [testKey, ...(options.keys ?? [])];
  const primary = await startControlServer(
    newDir(t),
    testConfig({ keys, zones: [zoneConfig(zone, { transfer, ...options.primary })] }),
  );
  t.teardown(() => primary.close());
  const dir = newDir(t);
  const counters = CounterStripe.alone(controlCounters.length, 0);
  const log = new MemoryLogger();
  const config = testConfig({ zones: [secondaryZone(primary.port, options.secondary)] });
  const secondary = await startControlServer(dir, config, log, { port, counters });
  t.teardown(() => secondary.close());
  await loaded(secondary);
  return { primary, secondary, counters, log, dir };
}

/** Waits until a secondary zone has come. */
export async function loaded(server: ControlServer): Promise<void> {
  while (server.control.zone(zone)?.secondary?.lastRefresh === undefined) await turn();
}

export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** The zone as a server has it, in a zone file's form. */
export function text(server: ControlServer): string {
  return writeZoneFile({ name: nameFromText(zone), rrsets: server.control.records(zone) });
}

export const txt = (name: string, value: string): ResourceRecord =>
  rr(`${name}.${zone}`, CLASS.IN, TYPE.TXT, 60, rdataFromText(TYPE.TXT, `"${value}"`));

let ids = 1;
/** Of a message, so that no two are the same. */
export const nextId = () => ids++;

/** Adds records by a signed update; returns the response code. */
export async function update(server: ControlServer, records: ResourceRecord[], key: TsigKey | null = testKey) {
  const plain = encodeMessage(updateMessage(ids++, zone, [], records));
  const message = key === null ? plain : signRequest(plain, key, systemClock);
  const [reply] = await server.control.handle({ message, client: here, local: here, transport: 'udp' });
  return { rcode: rcodeToText(parseMessage(reply!).rcode), reply: reply!, message };
}

/** What a server answers to a query for the zone's records of a name. */
export async function ask(server: ControlServer, name: string): Promise<Message> {
  const message = encodeMessage({
    ...updateMessage(ids++, zone, [], []),
    opcode: OPCODE.QUERY,
    questions: [{ name: nameFromText(name), type: TYPE.TXT, class: CLASS.IN }],
  });
  const [reply] = await server.control.handle({ message, client: here, local: here, transport: 'udp' });
  return parseMessage(reply!);
}

/** Resolves when the condition holds, looked at once a turn. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
