/**
 * 500 acknowledged updates survive `kill -9` at 20 random moments: the daemon is killed while updates are under way, and
 * started again on the same state. Each update adds two records to a name of its own; a client that lost its answer does not
 * ask again, so such an update may be there or not, but never by half.
 */
import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { DaemonHome, freePort, keyName, keySecret } from './daemon-process.ts';
import { aaaa, DnsClient, txt } from './dns-client.ts';

const kills = 20;
const acknowledgedWanted = 500;
/** Updates under way at one time. */
const parallel = 4;
const zone = 'cluster.test';

t.test('acknowledged updates survive kill -9 at random moments', async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.comment(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const home = new DaemonHome(t);
  const port = await freePort();
  home.configure(
    [
      'dns:',
      `  listen: ["127.0.0.1:${port}"]`,
      '  allow: ["127.0.0.0/8"]',
      `  keys: { ${keyName}: { algorithm: hmac-sha256, secret: ${keySecret} } }`,
      `  zones: [{ name: ${zone}, ns: [edge.${zone}], update: [{ key: ${keyName}, match: zonesub, types: [AAAA, TXT] }] }]`,
    ].join('\n'),
    1,
  );
  const client = new DnsClient(port);
  t.teardown(() => client.close());
  const acknowledged = new Set<string>();
  const sent = new Set<string>();

  /** Checks what the zone holds; returns its serial. */
  const look = async (lowest: number): Promise<number> => {
    const records = await home.json<{ name: string; type: string }[]>(`/v1/zones/${zone}/records`);
    const types = new Map<string, number>();
    for (const { name } of records) types.set(name, (types.get(name) ?? 0) + 1);
    t.strictSame(
      [...acknowledged].filter((name) => types.get(name) !== 2),
      [],
      'every acknowledged name is there',
    );
    t.strictSame(
      [...sent].filter((name) => types.get(name) === 1),
      [],
      'none is there by half',
    );
    const [{ serial }] = await home.json<[{ serial: number }]>('/v1/zones');
    t.ok(serial >= lowest, `serial ${serial} is not below ${lowest}`);
    return serial;
  };

  /** Sends updates, some at a time, until told to stop. */
  const work = async (stopped: () => boolean): Promise<void> => {
    while (!stopped()) {
      const name = `n${sent.size}.${zone}`;
      sent.add(name);
      const rcode = await client.add(zone, [aaaa(name, `fd00::${sent.size.toString(16)}`), txt(name, 'node')], 300);
      if (rcode === RCODE.NOERROR) acknowledged.add(name);
      else if (rcode !== undefined) t.fail(`${name}: rcode ${rcode}`);
    }
  };

  let serial = 0;
  for (let round = 0; round < kills; round++) {
    const daemon = await home.start();
    serial = await look(serial);
    let done = false;
    const quota = acknowledged.size + Math.ceil(acknowledgedWanted / kills);
    const workers = Array.from({ length: parallel }, () => work(() => done));
    // At least so many updates, then a moment that nobody knows.
    while (acknowledged.size < quota) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, random.fraction() * 20));
    serial = Math.max(serial, await serialOf(client));
    daemon.kill('SIGKILL');
    await daemon.exited;
    done = true;
    await Promise.all(workers);
  }
  await home.start();
  await look(serial);
  t.ok(acknowledged.size >= acknowledgedWanted, `${acknowledged.size} of ${sent.size} updates were acknowledged`);
  const last = [...acknowledged].at(-1)!;
  t.equal((await client.query(last, TYPE.AAAA))?.answers.length, 1);
});

/** What a client saw: the zone must never be older afterwards. 0 when there was no answer. */
async function serialOf(client: DnsClient): Promise<number> {
  const reply = await client.query(zone, TYPE.SOA, 300);
  const rdata = reply?.answers[0]?.rdata;
  return rdata === undefined ? 0 : Buffer.from(rdata).readUInt32BE(rdata.length - 20);
}
