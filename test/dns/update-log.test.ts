/** What the log and events say of an update, however much its client puts into it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { type Clock, FakeClock, systemClock } from '../../src/core/clock.ts';
import { type LogLine, MemoryLogger } from '../../src/core/logger.ts';
import type { ZoneEvent } from '../../src/dns/control.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, parseMessage, type ResourceRecord } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, RCODE, rcodeToText, TYPE } from '../../src/dns/wire/types.ts';
import { startControlServer, testKey } from './control-server.ts';
import { updateMessage } from './dns-client.ts';
import { query } from './peers.ts';

/** Octets of a line: as many names as fit a message, told one by one, are more than two million. */
const MAX_LINE = 32 * 1024;
const endpoint = parseInetEndpoint('[::1]:5353');
/** Long in words: an octet that is no letter is four there. */
const suffix = `${[60, 60, 60].map((octets) => '\\001'.repeat(octets)).join('.')}.cluster.test`;

function record(i: number, type: number, rdata: Uint8Array): ResourceRecord {
  return { name: nameFromText(`h${i}.${suffix}`), type, class: CLASS.IN, ttl: 60, rdata };
}

const some = (count: number, type: number, rdata: Uint8Array) =>
  Array.from({ length: count }, (_, i) => record(i, type, rdata));

async function server(t: Test, clock: Clock = systemClock) {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-update-log-'));
  const log = new MemoryLogger();
  const { control, event, close } = await startControlServer(dir, undefined, log, { clock });
  t.teardown(async () => {
    await close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { event, log, send, exchange };

  async function send(records: readonly ResourceRecord[]): Promise<string> {
    const message = signRequest(encodeMessage(updateMessage(7, 'cluster.test', [], records)), testKey, systemClock);
    return exchange(message);
  }

  async function exchange(message: Uint8Array): Promise<string> {
    const [reply] = await control.handle({ message, client: endpoint, local: endpoint, transport: 'tcp' });
    return rcodeToText(parseMessage(reply!).rcode);
  }
}

function lineOf(log: MemoryLogger, text: string): LogLine {
  return log.lines.findLast(({ message }) => message === text)!;
}

const sizeOf = (what: LogLine | ZoneEvent) => JSON.stringify(what).length;
const text = Uint8Array.of(1, 0x78);

t.test('thousands of names: the first of them, and how many more', async (t) => {
  const { event, log, send } = await server(t);
  const told = event({ type: 'zone-updated' });
  const count = 2400;
  t.equal(await send(some(count, TYPE.TXT, text)), 'NOERROR');
  const line = lineOf(log, 'zone updated');
  const { changed, more } = line.fields as { changed: string[]; more: number };
  t.same([changed.length, more, changed[0]], [20, count - 20, `h0.${suffix} TXT`]);
  t.match(line.fields, { zone: 'cluster.test', by: 'node-key', client: '[::1]:5353', serial: Number });
  t.ok(sizeOf(line) < MAX_LINE, `a line of ${sizeOf(line)} octets`);
  t.match(await told, { changed, more });
  t.ok(sizeOf(await told) < MAX_LINE);
});

t.test('as many that are passed over', async (t) => {
  const { log, send } = await server(t);
  const count = 2000;
  const alias = nameFromText('cluster.test');
  t.equal(await send(some(count, TYPE.TXT, text)), 'NOERROR');
  t.equal(await send(some(count, TYPE.CNAME, alias)), 'NOERROR', 'beside other records there is no CNAME');
  const line = lineOf(log, 'records of an update were passed over');
  const { ignored, more } = line.fields as { ignored: string[]; more: number };
  t.same([ignored.length, more], [20, count - 20]);
  t.match(ignored[0], /^h0\..* IN CNAME: the name has other records/);
  t.ok(sizeOf(line) < MAX_LINE, `a line of ${sizeOf(line)} octets`);
});

t.test('few names: all of them, and nothing of more', async (t) => {
  const { log, send } = await server(t);
  t.equal(await send(some(20, TYPE.TXT, text)), 'NOERROR');
  const { changed, more } = lineOf(log, 'zone updated').fields as { changed: string[]; more?: number };
  t.same([changed.length, more], [20, undefined]);
});

t.test('what is refused is one record', async (t) => {
  const { log, send } = await server(t);
  t.equal(await send([...some(2000, TYPE.TXT, text), record(1, TYPE.AAAA, new Uint8Array(3))]), 'FORMERR');
  t.ok(sizeOf(lineOf(log, 'update refused')) < MAX_LINE);
  t.match(lineOf(log, 'update refused').fields, { rcode: rcodeToText(RCODE.FORMERR) });
});

t.test(
  'thousands of messages that are refused: ten lines a second of each kind, and how many more there were',
  async (t) => {
    const clock = new FakeClock(systemClock.wall());
    const { log, exchange } = await server(t, clock);
    const update = encodeMessage(updateMessage(7, 'cluster.test', [], some(1, TYPE.TXT, text)));
    const forged = signRequest(update, { ...testKey, secret: new Uint8Array(32) }, clock);
    const axfr = query('cluster.test', { type: TYPE.AXFR });
    const kinds: [string, string, Uint8Array][] = [
      ['update refused', 'REFUSED', update],
      ['signature refused', 'NOTAUTH', forged],
      ['zone transfer refused', 'REFUSED', axfr],
    ];
    const linesOf = (text: string) => log.lines.filter(({ message }) => message === text);
    for (const [kind, rcode, message] of kinds) {
      for (let i = 0; i < 1000; i++) if ((await exchange(message)) !== rcode) t.fail(`${kind}: not ${rcode}`);
      t.equal(linesOf(kind).length, 10, kind);
    }
    clock.advance(1000);
    for (const [kind, , message] of kinds) {
      t.match(linesOf(`${kind}: more of these, without a line each`), [{ level: 'warn', fields: { count: 990 } }]);
      await exchange(message);
      t.equal(linesOf(kind).length, 11, `${kind}: and lines again`);
    }
    clock.advance(10_000);
    t.equal(log.lines.filter(({ message }) => /without a line/.test(message)).length, kinds.length, 'told once');
  },
);
