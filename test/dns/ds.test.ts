/**
 * DS belongs to the parent zone (RFC 4035 §3.1.4.1): what a server answers that is an authority for the child and a forwarder
 * for its clients. BIND 9 with the same zones and the same upstreams says the same, but for one case.
 */
import t, { type Test } from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import type { UpstreamConfig } from '../../src/dns/config.ts';
import { type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { FLAG, RCODE, rcodeToText, TYPE } from '../../src/dns/wire/types.ts';
import { readZoneFile } from '../../src/dns/zonefile.ts';
import { type Bind, startBind } from './bind.ts';
import { recordLine, UdpClient } from './dns-client.ts';
import { Bench, FakeUpstream, query, reply, settings, soa, zone } from './peers.ts';

const apex = '$TTL 300\n@ SOA ns h 7 3600 600 86400 60\n@ NS ns\nns AAAA ::1\n';
const ds = (tag: number) => `DS ${tag} 13 2 ${'ab'.repeat(32)}\n`;
const data = (tag: number) => `000${tag}0d02${'ab'.repeat(32)}`;

/** What the front has. */
const zones: Record<string, string> = {
  'own.test': `${apex}alias CNAME own.test.\ntoboth CNAME sub.both.test.\n`,
  'both.test': `${apex}sub NS ns.sub\nns.sub AAAA ::1\nsub ${ds(2)}bare NS ns.bare\nns.bare AAAA ::1\n`,
  'sub.both.test': apex,
  'bare.both.test': apex,
  'deep.ent.both.test': apex,
  'only.here': apex,
};
/** What the upstream has: the parent of some of them. */
const root = `${apex}own.test. NS ns.own.test.\nown.test. ${ds(1)}both.test. NS ns.own.test.\nsteered.test. ${ds(3)}`;
/** What the upstream of one domain has. */
const steered = `${apex}below NS ns\nbelow ${ds(5)}`;

const names = [
  ...Object.keys(zones),
  ...['alias.own.test', 'toboth.own.test', 'absent.own.test', 'ent.both.test', 'OWN.test'],
  ...['steered.test', 'below.steered.test', 'elsewhere.test'],
];

/** Each name by both kinds of query, in orders that let one find what the other left in a cache. */
const questions = names.flatMap((name) => [FLAG.RD, 0, FLAG.RD].map((flags) => ({ name, flags })));

function summary({ rcode, flags, answers, authority }: Message) {
  return {
    rcode: rcodeToText(rcode),
    authoritative: (flags & FLAG.AA) !== 0,
    // A TTL may have counted down.
    answers: answers.map((record) => recordLine({ ...record, ttl: 0 })).sort(),
    negative: authority.filter(({ type }) => type === TYPE.SOA).map(({ name }) => nameToText(name).toLowerCase()),
  };
}

const udp = ({ port }: Bind): UpstreamConfig => ({
  transport: 'udp',
  endpoint: { kind: 'inet', address: parseAddress('::1'), port },
  serverName: undefined,
});

async function bind(t: Test, files: Record<string, string>, options?: string, extra: string[] = []): Promise<Bind> {
  const given = Object.entries(files).map(([name, file]) => ({ name, file, statements: '' }));
  const forwards = extra.map((statements) => ({ name: 'steered.test', statements }));
  const server = await startBind([], [...given, ...forwards], options);
  t.teardown(() => server.stop());
  return server;
}

t.test('as BIND 9 with the same zones and upstreams', async (t) => {
  const [above, beside] = await Promise.all([bind(t, { '.': root }), bind(t, { 'steered.test': steered })]);
  const forwarders = `forward only; forwarders { ::1 port ${above.port}; };`;
  const domain = { domain: 'steered.test', upstreams: [udp(beside)] };
  const cases = [
    {
      name: 'forwarding',
      options: `recursion yes; allow-recursion { any; }; empty-zones-enable no; ${forwarders}`,
      extra: [`type forward; forward only; forwarders { ::1 port ${beside.port}; };`],
      ours: { upstreams: [udp(above)], forward: { domains: [domain] } },
    },
    { name: 'authority alone', options: undefined, extra: [], ours: {} },
  ];
  for (const { name: mode, options, extra, ours } of cases) {
    const peer = await bind(t, zones, options, extra);
    const bench = await Bench.start(t, ours);
    for (const [name, file] of Object.entries(zones)) {
      const key = nameFromText(name);
      bench.engine.setZone({ name: key, rrsets: readZoneFile(file, { zone: key, ttlSeconds: 300 }) });
    }
    const client = new UdpClient(peer.port);
    t.teardown(() => client.close());
    for (const [i, { name, flags }] of questions.entries()) {
      const bytes = query(name, { type: TYPE.DS, flags, id: i + 1 });
      const theirs = summary(parseMessage((await client.send(bytes))!));
      const ours = summary(parseMessage(await bench.exchange(bytes)));
      const told = `${mode}: ${name}${flags === 0 ? ', without recursion' : ''}`;
      if (name === 'deep.ent.both.test') {
        // There is no delegation, so the parent has no such name. It exists all the same, and NXDOMAIN would hide it (RFC 8020 §2).
        t.strictSame([theirs.rcode, ours.rcode], ['NXDOMAIN', 'NOERROR'], told);
        t.strictSame({ ...ours, rcode: '' }, { ...theirs, rcode: '' }, told);
      } else if (name === 'toboth.own.test' && theirs.answers.length === 1) {
        // Without recursion BIND follows no alias into another of its zones.
        t.strictSame(ours.answers, [`sub.both.test 0 DS ${data(2)}`, ...theirs.answers], told);
      } else {
        t.strictSame(ours, theirs, told);
      }
    }
    const { answers } = await bench.ask('own.test', { type: TYPE.DS });
    t.equal(answers.length, mode === 'forwarding' ? 1 : 0, `${mode}: DS of a zone of ours`);
  }
});

t.test('a zone below one that is ours by nature (RFC 6303): nobody outside hears of it', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { authority: [soa('ip6.arpa')] }));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const name = '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa';
  bench.engine.setZone(zone(name, []));
  const answer = await bench.ask(name, { type: TYPE.DS });
  t.match(answer, { rcode: RCODE.NOERROR, answers: [], authority: [{ name: nameFromText('d.f.ip6.arpa') }] });
  t.equal(upstream.seen.length, 0);
  const public_ = await bench.ask('d.f.ip6.arpa', { type: TYPE.DS });
  t.match(
    public_,
    { authority: [{ name: nameFromText('ip6.arpa') }] },
    'that its delegation is insecure the parent proves',
  );
  t.equal(upstream.seen.length, 1);
});

t.test('what the parent says, or that it says nothing, is not what the child says', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { rcode: RCODE.SERVFAIL }));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  bench.engine.setZone(zone('own.test', []));
  const ask = (flags: number) => bench.ask('own.test', { type: TYPE.DS, flags });
  t.match(await ask(0), { rcode: RCODE.NOERROR, flags: FLAG.QR | FLAG.AA | FLAG.RA });
  t.match(await ask(FLAG.RD), { rcode: RCODE.SERVFAIL });
  t.match(await ask(0), { rcode: RCODE.NOERROR, authority: [{ name: nameFromText('own.test') }] }, 'a failure is kept');
  bench.engine.setZone(zone('test', []));
  t.match(
    await ask(FLAG.RD),
    { rcode: RCODE.NOERROR, authority: [{ name: nameFromText('test') }] },
    'the parent is ours',
  );
  bench.engine.removeZone(nameFromText('test'));
  bench.engine.apply(settings({}));
  const alone = { rcode: RCODE.NOERROR, authority: [{ name: nameFromText('own.test') }] };
  t.match(await ask(FLAG.RD), alone, 'nobody to ask');
});

t.test('DS of a domain with upstreams of its own is asked of the parent, if anybody serves that', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { authority: [soa('office.test')] }));
  const domains = [{ domain: 'office.test', upstreams: [upstream.config] }];
  const bench = await Bench.start(t, { upstreams: [], forward: { domains } });
  t.match(await bench.ask('office.test', { type: TYPE.DS }), { rcode: RCODE.NOERROR }, 'who serves the child may know');
});
