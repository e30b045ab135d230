import fc from 'fast-check';
import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { FRESH, KEY_CD, KEY_DO, MISS, STALE, WireCache } from '../../src/dns/cache.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { query } from './peers.ts';

const life = { ttl: 60, authoritative: false, failure: false };

/** A response with one TTL of 300 after the question and `padding` bytes more. */
function response(name: string, padding = 4): { message: Uint8Array; question: number; ttlOffsets: number[] } {
  const base = query(name);
  const message = new Uint8Array(base.length + 4 + padding);
  message.set(base);
  message.set([0, 0, 1, 44], base.length);
  return { message, question: base.length - 12, ttlOffsets: [base.length] };
}

function put(cache: WireCache, name: string, now: number, key = 0, lifetime = life, padding = 4): void {
  const { message, question, ttlOffsets } = response(name, padding);
  cache.insert(message, question, ttlOffsets, key, now, lifetime);
}

function look(cache: WireCache, name: string, now: number, key = 0): number {
  const bytes = Buffer.alloc(512);
  bytes.set(query(name));
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 128);
  const length = query(name).length - 12;
  return cache.lookup(bytes, words, 12, length, cache.hash(words, 3, length), key, now);
}

function fetched(cache: WireCache, now: number): Buffer {
  const out = Buffer.alloc(4096);
  const length = cache.copyTo(out, new Uint32Array(out.buffer, out.byteOffset, 1024), 0, now);
  return out.subarray(0, length);
}

function ttlOf(cache: WireCache, name: string, now: number): number {
  return fetched(cache, now).readUInt32BE(query(name).length);
}

function fresh(bytes = 64 * 1024): WireCache {
  return new WireCache(bytes, new SeededRandom(1));
}

t.test('an empty cache', async (t) => {
  const cache = fresh();
  t.equal(look(cache, 'a.test', 0), MISS);
  t.equal(cache.found, -1);
  t.strictSame(cache.status, { entries: 0, bytes: 0, capacity: 65536, evicted: 0 });
});

t.test(
  "admits: in a full cache one in eight answers that can be made again, and what takes its predecessor's place",
  async (t) => {
    const cache = fresh();
    const own = { ttl: 0, authoritative: true, failure: false };
    let admitted = 0;
    const ask = (name: string): number => {
      const found = look(cache, name, 0);
      if (found !== FRESH && cache.admits()) {
        admitted++;
        put(cache, name, 0, 0, own);
      }
      return found;
    };
    const names = Array.from({ length: 2000 }, (_, i) => `n${i}.test`);
    for (const name of names.slice(0, 400)) ask(name);
    t.equal(admitted, 400, 'all while there is room');
    for (const name of names) ask(name);
    const { evicted, entries } = cache.status;
    t.ok(evicted > 0, 'it is full');
    admitted = 0;
    let hits = 0;
    for (const name of names) if (ask(name) === FRESH) hits++;
    const misses = names.length - hits;
    t.ok(Math.abs(admitted - misses / 8) < 1, `${admitted} of ${misses}`);
    t.ok(hits > entries / 2, 'round after round, many of those that are in are still there');
    const kept = names.findLast((name) => look(cache, name, 0) === FRESH)!;
    cache.zonesVersion++;
    t.equal(look(cache, kept, 0), MISS);
    for (let i = 0; i < 20; i++) t.ok(cache.admits(), 'of the version before');
    put(cache, kept, 0, 0, own);
    t.equal(look(cache, kept, 0), FRESH);
    cache.flush();
    t.equal(look(cache, 'new.test', 0), MISS);
    for (let i = 0; i < 20; i++) t.ok(cache.admits(), 'room again');
  },
);

t.test('keys: name without case, type, CD and DO', async (t) => {
  const cache = fresh();
  put(cache, 'WWW.Example.Test', 10);
  t.equal(look(cache, 'www.example.test', 10), FRESH);
  t.ok(cache.exact, 'lower case is how it is kept');
  t.equal(look(cache, 'wWw.eXAMPLE.tesT', 10), FRESH);
  t.notOk(cache.exact);
  for (const key of [KEY_CD, KEY_DO, KEY_CD | KEY_DO]) t.equal(look(cache, 'www.example.test', 10, key), MISS);
  put(cache, 'www.example.test', 10, KEY_DO);
  t.equal(look(cache, 'www.example.test', 10, KEY_DO), FRESH);
  t.equal(cache.status.entries, 2);
  t.equal(look(cache, 'www.example.tess', 10), MISS);
  t.equal(look(cache, 'ww.wexample.test', 10), MISS);
});

t.test('octets that differ in bit 5 but are no letters are not the same', async (t) => {
  const cache = fresh();
  put(cache, '\\064.test', 0); // @ and `
  t.equal(look(cache, '\\096.test', 0), MISS);
  t.equal(look(cache, '\\064.test', 0), FRESH);
});

t.test('TTLs count down; the end comes', async (t) => {
  const cache = fresh();
  put(cache, 'a.test', 100);
  t.equal(look(cache, 'a.test', 100), FRESH);
  t.equal(ttlOf(cache, 'a.test', 100), 300);
  t.equal(look(cache, 'a.test', 159), FRESH);
  t.equal(ttlOf(cache, 'a.test', 159), 241);
  t.equal(look(cache, 'a.test', 160), MISS);
});

t.test('stale for as long as it may be, with a short TTL (RFC 8767 §4)', async (t) => {
  const cache = fresh();
  cache.serveStaleSeconds = 100;
  put(cache, 'a.test', 0);
  t.equal(look(cache, 'a.test', 60), STALE);
  t.equal(ttlOf(cache, 'a.test', 60), 30);
  t.equal(cache.failedLately(60), false);
  cache.noteFailedRefresh(90);
  t.equal(look(cache, 'a.test', 89), STALE);
  t.equal(cache.failedLately(89), true);
  t.equal(cache.failedLately(90), false);
  t.equal(look(cache, 'a.test', 159), STALE);
  t.equal(look(cache, 'a.test', 160), MISS);
  put(cache, 'f.test', 0, 0, { ttl: 1, authoritative: false, failure: true });
  t.equal(look(cache, 'f.test', 0), FRESH);
  t.equal(cache.failureSeconds(0), 1);
  t.equal(cache.failureSeconds(2), 1, 'it failed lately');
  t.equal(cache.failureSeconds(3), 0, 'long ago');
  t.equal(look(cache, 'f.test', 1), MISS, 'failures do not go stale');
});

t.test('an answer from zones holds for their version and does not age', async (t) => {
  const cache = fresh();
  cache.zonesVersion = 7;
  put(cache, 'a.test', 0, 0, { ttl: 0, authoritative: true, failure: false });
  t.equal(look(cache, 'a.test', 1e6), FRESH);
  t.ok(cache.authoritative);
  t.equal(ttlOf(cache, 'a.test', 1e6), 300);
  cache.zonesVersion = 8;
  t.equal(look(cache, 'a.test', 0), MISS);
});

t.test('a new answer takes the place of the old', async (t) => {
  const cache = fresh();
  put(cache, 'a.test', 0);
  put(cache, 'A.test', 50, 0, life, 40);
  t.equal(cache.status.entries, 1);
  t.equal(look(cache, 'a.test', 50), FRESH);
  t.equal(fetched(cache, 50).length, response('a.test', 40).message.length);
});

t.test('prefetch: popular, in the last tenth, once', async (t) => {
  const cache = fresh();
  cache.prefetches = true;
  put(cache, 'a.test', 0);
  look(cache, 'a.test', 55);
  t.equal(cache.wantsRefresh(55), false, 'asked once');
  look(cache, 'a.test', 20);
  t.equal(cache.wantsRefresh(20), false, 'too early');
  look(cache, 'a.test', 55);
  t.equal(cache.wantsRefresh(55), true);
  t.equal(cache.wantsRefresh(55), false, 'once');
  cache.prefetches = false;
  put(cache, 'b.test', 0);
  for (let i = 0; i < 3; i++) look(cache, 'b.test', 55);
  t.equal(cache.wantsRefresh(55), false, 'switched off');
});

t.test('flush: all, or a name and what is below', async (t) => {
  const cache = fresh();
  for (const name of ['example.test', 'a.example.test', 'b.a.EXAMPLE.test', 'notexample.test', 'test'])
    put(cache, name, 0);
  t.equal(cache.flush(nameFromText('example.test')), 3);
  t.equal(look(cache, 'a.example.test', 0), MISS);
  t.equal(look(cache, 'notexample.test', 0), FRESH);
  t.equal(cache.flush(), 2);
  t.strictSame(cache.status.entries, 0);
  put(cache, 'a.test', 0);
  t.equal(look(cache, 'a.test', 0), FRESH);
});

t.test('a scan does not push out what is asked for', async (t) => {
  const cache = fresh();
  for (let i = 0; i < 20; i++) put(cache, `hot${i}.test`, 0);
  for (let i = 0; i < 4000; i++) {
    put(cache, `once${i}.test`, 0);
    for (let j = 0; j < 20 && i % 100 === 0; j++) look(cache, `hot${j}.test`, 0);
  }
  const left = Array.from({ length: 20 }, (_, i) => look(cache, `hot${i}.test`, 0)).filter((found) => found === FRESH);
  t.equal(left.length, 20);
  t.ok(cache.status.evicted > 3000);
  t.ok(cache.status.bytes <= cache.capacity);
});

t.test('what is larger than a sixteenth of the cache is not kept', async (t) => {
  const cache = fresh();
  put(cache, 'big.test', 0, 0, life, 5000);
  t.equal(look(cache, 'big.test', 0), MISS);
  put(cache, 'big.test', 0, 0, life, 3000);
  t.equal(look(cache, 'big.test', 0), FRESH);
});

t.test('whatever is put and asked, what is found is what was put last', async (t) => {
  const steps = fc.array(
    fc.record({
      name: fc.integer({ min: 0, max: 400 }),
      key: fc.integer({ min: 0, max: 3 }),
      padding: fc.integer({ min: 0, max: 900 }),
      action: fc.constantFrom('put', 'put', 'look', 'flush'),
    }),
    { minLength: 400, maxLength: 1500, size: 'max' },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const cache = fresh();
      const last = new Map<string, number>();
      for (const { name, key, padding, action } of all) {
        const text = `n${name}.example.test`;
        const id = `${text} ${key}`;
        if (action === 'flush' && name === 0) {
          cache.flush();
          last.clear();
        } else if (action === 'put') {
          put(cache, text, 0, key, life, padding);
          last.set(id, response(text, padding).message.length);
        } else if (look(cache, text, 0, key) === FRESH) {
          if (fetched(cache, 0).length !== last.get(id)) return false;
        }
        const { entries, bytes, capacity } = cache.status;
        if (bytes > capacity || entries > last.size) return false;
      }
      return true;
    }),
    { seed: 20261123, numRuns: 15 },
  );
  t.pass('holds');
});
