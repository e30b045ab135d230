/** What others tell a secondary: NOTIFY, and updates that it passes on. */
import t from 'tap';
import { parseCidr, parseInetEndpoint } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import type { TsigKey } from '../../../src/dns/config.ts';
import { forwardedCounter, inboundCounter, notifyCounter } from '../../../src/dns/control-counters.ts';
import { signRequest } from '../../../src/dns/tsig.ts';
import { StreamVerifier } from '../../../src/dns/tsig-stream.ts';
import { encodeMessage, type Message, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { rdataFromText } from '../../../src/dns/wire/rdata.ts';
import { locateTsig } from '../../../src/dns/wire/tsig.ts';
import { CLASS, OPCODE, rcodeToText, TYPE } from '../../../src/dns/wire/types.ts';
import { testKey } from '../control-server.ts';
import { updateMessage } from '../dns-client.ts';
import { here, nextId, startPair, strangeKey, text, txt, until, update, zone } from './secondary-pair.ts';

t.test('NOTIFY: from whom', async (t) => {
  const allowNotify = [parseCidr('fd00:1::/64')];
  const { secondary, counters, primary } = await startPair(t, { secondary: { allowNotify } });
  const asked = counters.get(inboundCounter('current'));
  const notify = async (client: string, key?: TsigKey, parts: Partial<Message> = {}) => {
    const questions = [{ name: nameFromText(zone), type: TYPE.SOA, class: CLASS.IN }];
    const plain = encodeMessage({
      ...updateMessage(nextId(), zone, [], []),
      opcode: OPCODE.NOTIFY,
      questions,
      ...parts,
    });
    const message = key === undefined ? plain : signRequest(plain, key, systemClock);
    const [reply] = await secondary.control.handle({
      message,
      client: parseInetEndpoint(client),
      local: here,
      transport: 'udp',
    });
    return rcodeToText(parseMessage(reply!).rcode);
  };
  const other = [{ name: nameFromText('other.test'), type: TYPE.SOA, class: CLASS.IN }];
  t.equal(await notify('[::1]:5', undefined, { questions: [] }), 'NOTAUTH', 'no question');
  t.equal(await notify('[::1]:5', undefined, { questions: other }), 'NOTAUTH', 'not our zone');
  const [question] = other;
  const wrongType = [{ ...question!, name: nameFromText(zone), type: TYPE.TXT }];
  t.equal(await notify('[::1]:5', undefined, { questions: wrongType }), 'FORMERR', 'not the SOA');
  t.equal(await notify('[fd00::9]:5'), 'REFUSED', 'a stranger');
  t.equal(await notify('[fd00::9]:5', strangeKey), 'NOTAUTH', 'an unknown key');
  t.equal(await notify('[fd00::9]:5', testKey), 'NOERROR', 'the key is enough');
  t.equal(await notify('[fd00:1::9]:5'), 'NOERROR', 'allowNotify');
  t.equal(await notify('[::1]:5'), 'NOERROR', 'the primary');
  t.equal(counters.get(notifyCounter('accepted')), 3);
  t.equal(counters.get(notifyCounter('refused')), 2);
  const soa = primary.control.records(zone, { type: TYPE.SOA })[0]!;
  const answers = [{ name: soa.owner, type: TYPE.SOA, class: CLASS.IN, ttl: 0, rdata: soa.rrset.rdata[0]! }];
  await until(() => counters.get(inboundCounter('current')) === asked + 1);
  await until(() => secondary.control.zone(zone)!.secondary!.asking === false);
  const before = counters.get(inboundCounter('current'));
  t.equal(await notify('[::1]:5', undefined, { answers }), 'NOERROR');
  t.equal(secondary.control.zone(zone)!.secondary!.asking, false, 'a serial we have is no reason to ask');
  t.equal(counters.get(inboundCounter('current')), before);
});

t.test('updates are forwarded as they are, and so are the answers', async (t) => {
  const everything = {
    match: 'zonesub',
    name: undefined,
    types: ['ANY'],
    from: [],
    maxRecords: 0,
    leaseSeconds: undefined,
  } as const;
  const rules = [{ ...everything, keys: [testKey.name, strangeKey.name] }];
  const { primary, secondary, counters, log } = await startPair(t, {
    keys: [strangeKey],
    primary: { update: rules },
    secondary: { allowUpdateForwarding: [parseCidr('::1/128')] },
  });
  for (const key of [testKey, strangeKey]) {
    const arrived = secondary.event({ type: 'zone-transferred' });
    const { rcode, reply, message } = await update(secondary, [txt(`by-${key.name}`, 'x')], key);
    t.equal(rcode, 'NOERROR', key.name);
    const verifier = new StreamVerifier(key, locateTsig(message)!.record.mac, systemClock);
    t.equal(verifier.check(reply), undefined, 'signed by the primary for the client');
    await arrived;
    t.equal(text(secondary), text(primary));
  }
  t.equal((await update(secondary, [txt('u', 'x')], null)).rcode, 'REFUSED', 'unsigned');
  const wrong = { ...testKey, secret: new Uint8Array(32) };
  t.equal((await update(secondary, [txt('u', 'x')], wrong)).rcode, 'NOTAUTH', 'a key we know, the wrong secret');
  t.equal(
    (await update(secondary, [txt('u', 'x')], { ...wrong, name: 'nobodys' })).rcode,
    'NOTAUTH',
    'BADKEY by the primary',
  );
  t.equal(counters.get(forwardedCounter('answered')), 3);
  await primary.close();
  t.equal((await update(secondary, [txt('u', 'x')])).rcode, 'SERVFAIL', 'no primary');
  t.equal(counters.get(forwardedCounter('failed')), 1);
  t.ok(log.lines.some(({ message }) => message === 'update could not be forwarded'));
  await t.rejects(
    secondary.control.edits.setRRset(zone, nameFromText(`u.${zone}`), TYPE.TXT, 60, [rdataFromText(TYPE.TXT, 'x')]),
    { message: /changed at its primary/ },
  );
});

t.test('updates from elsewhere are not forwarded', async (t) => {
  const { primary, secondary, counters } = await startPair(t, {
    secondary: { allowUpdateForwarding: [parseCidr('fd00:1::/64')] },
  });
  const { serial } = primary.control.zone(zone)!;
  t.equal((await update(secondary, [txt('u', 'x')])).rcode, 'REFUSED');
  t.equal((await update(secondary, [txt('u', 'x')], strangeKey)).rcode, 'NOTAUTH');
  t.equal(counters.get(forwardedCounter('refused')), 2);
  t.equal(primary.control.zone(zone)!.serial, serial);
});
