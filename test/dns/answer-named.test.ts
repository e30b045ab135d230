import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameToText } from '../../src/dns/wire/name.ts';
import { FLAG } from '../../src/dns/wire/types.ts';
import { writeZoneFile } from '../../src/dns/zonefile.ts';
import { freePort } from '../free-port.ts';
import { ask, edns, makeQuery, summary, zones } from './answer-zones.ts';

const seed = 20261123;

/** BIND with our zones; ends with the test. */
async function startNamed(t: Test): Promise<(query: Uint8Array) => Promise<Message>> {
  const dir = t.testdir();
  const port = await freePort();
  const blocks = [...zones.values()].map((zone) => {
    const text = nameToText(zone.name);
    writeFileSync(join(dir, text), writeZoneFile(zone.toData()));
    return `zone "${text}" { type primary; file "${text}"; check-names ignore; check-integrity no; };`;
  });
  writeFileSync(
    join(dir, 'named.conf'),
    `options { directory "${dir}"; pid-file none; session-keyfile none; lock-file none; listen-on port ${port} { 127.0.0.1; };
      listen-on-v6 { none; }; recursion yes; allow-recursion { any; }; forward only; forwarders { 127.0.0.1 port 1; };
      dnssec-validation no; zero-no-soa-ttl no; minimal-responses yes; minimal-any yes; rrset-order { order none; }; empty-zones-enable no; };
      controls { }; ${blocks.join('\n')}`,
  );
  const named = spawn('named', ['-g', '-n', '1', '-c', join(dir, 'named.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => named.kill('SIGKILL'));
  let log = '';
  for await (const chunk of named.stderr) {
    log += chunk;
    if (/running\n/.test(log)) break;
  }
  t.match(log, /running\n/, 'named runs');
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  return async (query) => {
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
    socket.send(query, port, '127.0.0.1');
    return parseMessage((await reply)[0]);
  };
}

t.test('BIND gives the same answers', async (t) => {
  const named = await startNamed(t);
  const labels = [
    'example',
    'second',
    'web',
    'WEB',
    'alias',
    'chain',
    'dangling',
    'out',
    'cross',
    'wild',
    '*',
    'exists',
    'below',
    'cwild',
    'sub',
    'ns',
    'into',
    'moved',
    'ent',
    'a',
    '_s',
    '_tcp',
    'h',
    'mail',
    'hidden',
    'host',
    'x',
  ];
  const types = ['A', 'AAAA', 'NS', 'SOA', 'MX', 'TXT', 'SRV', 'CNAME', 'DS', 'DNAME', 'HTTPS', 'TYPE65280'];
  const owners = new Set<string>();
  for (const zone of zones.values()) for (const { owner } of zone.all()) owners.add(nameToText(owner));
  const asked: Array<[string, string]> = [];
  for (const owner of owners) {
    // Loops: BIND answers with as many turns as it likes, we with as many as we like.
    if (owner.startsWith('loop')) continue;
    for (const type of types) asked.push([owner, type]);
    asked.push(
      [`x.${owner}`, 'A'],
      [`x.${owner}`, 'AAAA'],
      [`y.x.${owner}`, 'TXT'],
      [owner.slice(owner.indexOf('.') + 1), 'A'],
    );
  }
  const random = fc.sample(
    fc.tuple(
      fc.array(fc.constantFrom(...labels), { maxLength: 4 }),
      fc.constantFrom('example', 'second'),
      fc.constantFrom(...types),
    ),
    { seed, numRuns: 300 },
  );
  for (const [front, zone, type] of random) asked.push([[...front, zone, 'test'].join('.'), type]);

  for (const [name, type] of asked) {
    // Without RD, BIND does not follow an alias from one of its zones into another.
    const flags = /(cross|moved)\.example\.test$/i.test(name) ? FLAG.RD : 0;
    const bytes = makeQuery(name, type, { flags, ...edns(1232) });
    const ours = ask(bytes);
    if (ours === undefined) continue;
    const reply = await named(bytes);
    // Where a chain leaves its zones BIND adds a referral to the root.
    const theirs = { ...reply, authority: reply.authority.filter(({ name }) => name.length > 1) };
    // BIND leaves out addresses of SRV, MX and NS with minimal-responses; sections that answer are to be the same.
    t.strictSame(
      summary(ours.message, ['answers', 'authority']),
      summary(theirs, ['answers', 'authority']),
      `${name} ${type}`,
    );
  }
});
