/**
 * One data thread of places.test.ts: a pool's members and queue as sessions use them (dial.ts), driven by a random script. What
 * does not hold is told and ends the thread.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { parseAddress } from '../../src/core/address.ts';
import { CounterTable } from '../../src/core/counters.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { Backend, type Member } from '../../src/proxy/backend.ts';
import { Queues, type Waiting } from '../../src/proxy/queue.ts';
import type { MemberSnapshot } from '../../src/proxy/snapshot.ts';
import { spanOfAddress } from '../../src/proxy/span.ts';
import { limitOf, member, memberCount, type PlacesSetting, poolOf, queueLength } from './places.ts';

const { thread, seed, steps, layout, counters, queues: queueTable, shared } = workerData as PlacesSetting;
const table = new CounterTable(layout, counters);
const words = new Int32Array(shared);
const random = new SeededRandom(seed * 16 + thread);
const queues = new Queues(queueTable, thread);
const client = spanOfAddress(parseAddress('192.0.2.1'), 1);
const shares = { counters: table.stripe(thread), queues, random };
const members: MemberSnapshot[] = Array.from({ length: memberCount }, (_, i) => member(i));
const backend = new Backend(poolOf(members), shares, () => 0);
const holders: Session[] = [];
const waiting = new Set<Session>();

/** What a session does until it has a member, and when it ends. */
class Session implements Waiting {
  member: Member | undefined;

  /** False: the queue was full. */
  run(): boolean {
    if (backend.up && backend.mustQueue(this)) return this.#wait();
    const taken = backend.take(client, []);
    if (typeof taken === 'string') return this.#wait();
    if (waiting.delete(this)) backend.dequeue(this);
    this.member = taken;
    const others = Atomics.add(words, taken.slot, 1);
    // Not by this thread's own limit: another may have heard of a higher one, or not yet of this.
    if (others >= limitOf(taken.slot)) throw new Error(`${taken.name}: ${others + 1} of ${limitOf(taken.slot)}`);
    holders.push(this);
    return true;
  }

  proceed(): void {
    if (waiting.has(this)) this.run();
  }

  giveUp(): void {
    if (waiting.delete(this)) backend.dequeue(this);
  }

  end(): void {
    const { member } = this;
    Atomics.sub(words, member!.slot, 1);
    backend.vacate(member!);
  }

  #wait(): boolean {
    if (waiting.has(this)) return true;
    if (!backend.enqueue(this)) return false;
    waiting.add(this);
    if (!backend.mustQueue(this)) this.run();
    return true;
  }
}

function endOne(): void {
  if (holders.length > 0) holders.splice(random.below(holders.length), 1)[0]!.end();
}

function giveOneUp(): void {
  const list = [...waiting];
  list[random.below(list.length)]?.giveUp();
}

/** Each thread hears of a change when it does: some are ahead of others. */
function changeOne(): void {
  const i = random.below(memberCount);
  const state = random.below(4) === 0 ? 'down' : 'up';
  members[i] = { ...members[i]!, maxConnections: 1 + random.below(limitOf(i)), state };
  backend.apply(poolOf(members));
  backend.wake();
}

function check(): void {
  if (backend.waiting > queueLength || backend.waiting < 0) throw new Error(`${backend.waiting} wait`);
  for (const { name, slot, active } of backend.members) {
    if (active < 0 || active > limitOf(slot)) throw new Error(`${name}: ${active} are active`);
  }
}

async function live(): Promise<void> {
  for (let step = 0; step < steps; step++) {
    const what = random.below(20);
    if (what < 8) new Session().run();
    else if (what < 16) endOne();
    else if (what < 18) giveOneUp();
    else if (what === 18) changeOne();
    else await turn();
    check();
  }
}

/** Nobody comes any more: everybody who waits is to be served, wherever a place is given back. */
async function wane(): Promise<void> {
  for (const [i, each] of members.entries()) members[i] = { ...each, maxConnections: limitOf(i), state: 'up' };
  backend.apply(poolOf(members));
  backend.wake();
  Atomics.add(words, memberCount, 1);
  while (Atomics.load(words, memberCount) < layout.threads || backend.waiting > 0 || holders.length > 0) {
    endOne();
    check();
    await turn();
  }
}

try {
  await live();
  await wane();
  parentPort!.postMessage('done');
} catch (error) {
  parentPort!.postMessage(String(error));
}
queues.close();
