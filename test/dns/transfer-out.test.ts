/** Transfers out: who gets what, piece by piece, and how many at a time. */
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { controlCounters, transferCounter } from '../../src/dns/control-counters.ts';
import { UpdatePolicy } from '../../src/dns/policy.ts';
import type { Served } from '../../src/dns/served-zone.ts';
import type { OwnedRRset, SendReplies } from '../../src/dns/snapshot.ts';
import { encodeSoa } from '../../src/dns/soa.ts';
import type { JournalEntry } from '../../src/dns/store.ts';
import { TransferServer } from '../../src/dns/transfer-out.ts';
import { encodeMessage, type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, RCODE, rcodeToText, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { unavailableZone, Zone } from '../../src/dns/zone.ts';
import { zoneConfig } from './control-server.ts';

const apex = nameFromText('test');

function soa(serial: number): OwnedRRset {
  const numbers = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };
  const rdata = [encodeSoa({ mname: 'm.test', rname: 'r.test', ...numbers }, serial)];
  return { owner: apex, rrset: { type: TYPE.SOA, ttl: 60, rdata } };
}

function host(i: number): OwnedRRset {
  return { owner: nameFromText(`h${i}.test`), rrset: { type: TYPE.TXT, ttl: 60, rdata: [new Uint8Array(200)] } };
}

const hosts = (count: number) => Array.from({ length: count }, (_, i) => host(i));

function served(zone: Zone): Served {
  const config = zoneConfig('test', { transfer: { allow: [anyone], key: undefined, notify: [] } });
  return { config, zone, policy: new UpdatePolicy(zone.key, []), transferKey: undefined, lastUpdate: undefined };
}

const anyone = { base: parseInetEndpoint('[::]:1').address, length: 0 };

/** One step that added `count` hosts. */
function journal(count: number): JournalEntry[] {
  const changes = hosts(count).map(({ owner, rrset }) => ({ owner, type: TYPE.TXT, rrset, before: undefined }));
  const step = { owner: apex, type: TYPE.SOA, rrset: soa(2).rrset, before: soa(1) };
  return [{ fromSerial: 1, toSerial: 2, changes: [...changes, step] }];
}

class Asker {
  readonly counters = CounterStripe.alone(controlCounters.length, 0);
  readonly log = new MemoryLogger();
  readonly server = new TransferServer({ clock: new FakeClock(), log: this.log, counters: this.counters });
  readonly zone = new Zone({ name: apex, rrsets: [soa(2), ...hosts(2000)] });
  entries: JournalEntry[] | undefined = undefined;

  async ask(options: {
    type: number;
    transport?: 'udp' | 'tcp';
    serial?: number;
    send?: SendReplies;
    client?: string;
    zone?: Zone;
    udpSize?: number;
  }): Promise<Message[]> {
    const { type, transport = 'tcp', serial, send, client = '[::1]:9', zone = this.zone, udpSize } = options;
    const authority =
      serial === undefined
        ? []
        : soa(serial).rrset.rdata.map((rdata) => ({ name: apex, type: TYPE.SOA, class: CLASS.IN, ttl: 0, rdata }));
    const message = encodeMessage({
      id: 77,
      flags: 0,
      opcode: 0,
      rcode: 0,
      questions: [{ name: apex, type, class: CLASS.IN }],
      answers: [],
      authority,
      additional: [],
      ...(udpSize === undefined ? {} : { edns: { udpSize, extendedRcode: 0, version: 0, do: false, options: [] } }),
    });
    const endpoint = parseInetEndpoint(client);
    const replies = await this.server.answer(
      {
        message: parseMessage(message),
        request: { message, client: endpoint, local: endpoint, transport },
        outcome: { kind: 'unsigned' },
        served: served(zone),
      },
      { journal: () => this.entries },
      send,
    );
    return replies.map((reply) => parseMessage(reply));
  }
}

const types = (messages: readonly Message[]) =>
  messages.flatMap(({ answers }) => answers.map(({ type }) => typeToText(type)));

t.test('what is refused, and how', async (t) => {
  const asker = new Asker();
  const rows = [
    ['AXFR by UDP', { type: TYPE.AXFR, transport: 'udp' }, RCODE.FORMERR],
    ['IXFR without a serial', { type: TYPE.IXFR }, RCODE.FORMERR],
    ['no data', { type: TYPE.AXFR, zone: new Zone(unavailableZone(apex)) }, RCODE.SERVFAIL],
  ] as const;
  for (const [name, options, rcode] of rows) {
    const [reply, ...more] = await asker.ask(options);
    t.equal(rcodeToText(reply!.rcode), rcodeToText(rcode), name);
    t.same(more, []);
  }
  t.equal(asker.counters.get(transferCounter('refused')), rows.length);
});

t.test('IXFR: differences, or the zone where they are missing or longer', async (t) => {
  const asker = new Asker();
  asker.entries = journal(3);
  const short = ['SOA', 'SOA', 'SOA', 'TXT', 'TXT', 'TXT', 'SOA'];
  t.same(types(await asker.ask({ type: TYPE.IXFR, serial: 1 })), short);
  t.same(types(await asker.ask({ type: TYPE.IXFR, serial: 2 })), ['SOA'], 'up to date');
  const [step] = journal(3);
  const silent = { fromSerial: 2, toSerial: 2, changes: step!.changes.slice(0, 3) };
  asker.entries = [step!, { ...silent, changes: [] }];
  t.same(types(await asker.ask({ type: TYPE.IXFR, serial: 1 })), short, 'a commit without changes');
  asker.entries = [step!, silent];
  t.equal(types(await asker.ask({ type: TYPE.IXFR, serial: 1 })).length, 2002, 'changes without a serial: the zone');
  asker.entries = undefined;
  t.equal(types(await asker.ask({ type: TYPE.IXFR, serial: 1 })).length, 2002, 'not kept: the zone');
  asker.entries = journal(2100);
  const zone = types(await asker.ask({ type: TYPE.IXFR, serial: 1 }));
  t.same([zone[0], zone[1]], ['SOA', 'TXT'], 'longer than the zone: the zone');
  t.same(
    ['axfr', 'ixfr', 'current'].map((kind) => asker.counters.get(transferCounter(kind as 'axfr'))),
    [3, 2, 1],
  );
});

t.test('IXFR by UDP: differences that fit, else the SOA alone (RFC 1995 §2)', async (t) => {
  const asker = new Asker();
  const ask = async (count: number | undefined, udpSize?: number) => {
    asker.entries = count === undefined ? undefined : journal(count);
    const size = udpSize === undefined ? {} : { udpSize };
    const [reply, ...more] = await asker.ask({ type: TYPE.IXFR, transport: 'udp', serial: 1, ...size });
    t.same(more, []);
    t.equal(reply!.edns !== undefined, udpSize !== undefined, 'OPT as the request had it');
    return types([reply!]).length;
  };
  t.equal(await ask(1), 5);
  t.equal(await ask(2), 1, 'more than 512 octets');
  t.equal(await ask(2, 1232), 6);
  t.equal(await ask(2, 600), 1);
  t.equal(await ask(8, 65_535), 1, 'never more than 1232 octets');
  t.equal(await ask(undefined, 1232), 1, 'not kept');
});

t.test('a long transfer goes out piece by piece, one ahead of what the client takes', async (t) => {
  const asker = new Asker();
  const sent: Message[] = [];
  let under = 0;
  const send: SendReplies = async (replies) => {
    t.equal(++under, 1, 'one at a time');
    sent.push(...replies.map((reply) => parseMessage(reply)));
    await new Promise((resolve) => setImmediate(resolve));
    under--;
    return true;
  };
  const done = asker.ask({ type: TYPE.AXFR, send });
  // The zone changes meanwhile: what is under way does not.
  asker.zone.apply([{ owner: host(5).owner, type: TYPE.TXT, rrset: undefined }]);
  sent.push(...(await done));
  t.ok(sent.length > 5, `${sent.length} messages`);
  t.equal(types(sent).length, 2002);
  t.same([types(sent)[0], types(sent).at(-1)], ['SOA', 'SOA']);
});

t.test('a client that goes away ends its transfer', async (t) => {
  const asker = new Asker();
  let rounds = 0;
  const replies = await asker.ask({
    type: TYPE.AXFR,
    send: async () => {
      rounds++;
      return rounds < 2;
    },
  });
  t.same(replies, []);
  t.equal(rounds, 2);
  t.equal(asker.counters.get(transferCounter('axfr')), 0);
  t.match(asker.log.lines.at(-1), { message: /went away/ });
});

t.test('no more than so many at a time, in all and for one client', async (t) => {
  const asker = new Asker();
  const waiting: ((open: boolean) => void)[] = [];
  const send: SendReplies = () => new Promise((more) => void waiting.push(more));
  const running: Promise<Message[]>[] = [];
  const begin = (client: string) => running.push(asker.ask({ type: TYPE.AXFR, send, client }));
  const refused = async (client: string) => (await asker.ask({ type: TYPE.AXFR, client }))[0]!.rcode === RCODE.SERVFAIL;
  for (let i = 0; i < 4; i++) begin('[fd00::1]:9');
  t.ok(await refused('[fd00::1]:10'), 'a fifth to one client');
  for (let i = 2; i < 5; i++) for (let n = 0; n < 4; n++) begin(`[fd00::${i}]:9`);
  t.ok(await refused('[fd00::9]:9'), 'a seventeenth');
  await until(() => waiting.length === 16);
  for (const more of waiting) more(false);
  await Promise.all(running);
  t.notOk(await refused('[fd00::1]:9'), 'again when they are over');
});

/** Resolves when the condition holds, looked at once a turn. */
async function until(condition: () => boolean): Promise<undefined> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
