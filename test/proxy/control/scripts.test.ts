/**
 * Pools and members under random scripts: orders, members that come and go by every way, reloads, checks that fail, and restarts.
 * `V6EDGE_CONTROL_SCRIPTS` has more of them run than the few hundred that do by default.
 */
import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import type { MemberConfig, PoolConfig, ProxyConfig } from '../../../src/proxy/config.ts';
import { type AdminState, ProxyControl } from '../../../src/proxy/control.ts';
import { ProxyError } from '../../../src/proxy/errors.ts';
import type { ProxySnapshot } from '../../../src/proxy/snapshot.ts';
import { config, member, noCheck, pool, tcpCheck } from './stage.ts';

const scripts = Number(process.env.V6EDGE_CONTROL_SCRIPTS ?? 150);
const steps = 60;
const names = ['a', 'b', 'c', 'd'];
const poolNames = ['web', 'api'];
const discover = { kind: 'srv', name: '_x._tcp.cluster.test', maxConnections: 0, slowStartMs: 3000 } as const;

class Script {
  readonly random: SeededRandom;
  readonly clock = new FakeClock();
  readonly busy = new Set<number>();
  readonly dead = new Set<string>();
  /** Checks that run now. */
  readonly running = new Set<object>();
  kept: string | undefined;
  last!: ProxySnapshot;
  settings: ProxyConfig;
  control: ProxyControl;
  readonly said: string[] = [];

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.settings = this.#settings();
    this.control = this.#start();
  }

  step(): void {
    const what = this.random.below(14);
    if (what < 3) this.#try('order', () => this.#order());
    else if (what === 3) this.#try('add', () => void this.control.addMember(this.#pool(), this.#member(true)));
    else if (what === 4)
      this.#try('remove', () => this.control.removeMember(this.#pool(), this.#name(), { force: this.#coin() }));
    else if (what < 7) this.#try('discovered', () => this.#discovered());
    else if (what === 7) this.#try('reload', () => this.#reload());
    else if (what === 8) this.#toggle(this.dead, `fd00::${1 + this.random.below(6)}`);
    else if (what === 9) this.#toggle(this.busy, this.random.below(12));
    else if (what === 10)
      this.#try('failure', () => this.control.reportConnectFailure(this.#pool(), this.#name(), 'ECONNREFUSED'));
    else if (what === 11) this.#try('restart', () => this.#restart());
    else this.#try('time', () => this.clock.advance(this.random.below(4000)));
  }

  /** What must hold at any time; the reason if it does not. */
  fault(): string | undefined {
    const pools = this.control.pools();
    const slots = pools.flatMap(({ members }) => members.map(({ slot }) => slot));
    if (new Set(slots).size !== slots.length) return `a slot has two owners: ${slots}`;
    const plain = (list: readonly { name: string; members: readonly object[] }[]) =>
      JSON.stringify(
        list.map(({ name, members }) => [
          name,
          members.map((one) => {
            const { name, slot, address, port, weight, maxConnections, state } =
              one as ProxySnapshot['pools'][0]['members'][0];
            return [name, slot, address, port, weight, maxConnections, state];
          }),
        ]),
      );
    // Time that passes alone changes a weight within a step of a slow start, which is published with the step.
    if (
      !pools.some(({ members }) => members.some(({ weight, full }) => weight !== full.weight)) &&
      plain(pools) !== plain(this.last.pools)
    )
      return `published ${plain(this.last.pools)}, told ${plain(pools)}`;
    for (const { members } of pools) {
      for (const one of members) {
        if ((one.state === 'maint') !== (one.admin === 'maint'))
          return `${one.name} is ${one.state}, ordered ${one.admin}`;
        if (one.leaving && one.state === 'up') return `${one.name} leaves and takes sessions`;
        if (!(one.weight >= 0 && one.weight <= one.full.weight)) return `${one.name} weighs ${one.weight}`;
      }
    }
    const checked = pools.flatMap(({ members }) => members).filter(({ admin }) => admin !== 'maint').length;
    if (this.running.size > checked) return `${this.running.size} checks run for ${checked} members`;
    return undefined;
  }

  /** Nothing is left of it. */
  end(): string | undefined {
    this.control.apply(config([]));
    this.control.stop();
    this.clock.advance(10_000);
    if (this.running.size > 0 || this.clock.pending > 0)
      return `${this.running.size} checks, ${this.clock.pending} timers`;
    return undefined;
  }

  #start(): ProxyControl {
    const control = new ProxyControl({
      clock: this.clock,
      log: new MemoryLogger(),
      random: this.random,
      publish: (snapshot) => {
        this.last = structuredClone(snapshot);
      },
      emit: () => undefined,
      memberSlots: { capacity: 40, busy: (slot) => this.busy.has(slot) },
      keep: {
        read: () => this.kept,
        write: (text) => {
          this.kept = text;
        },
      },
      probe: (target, _, done) => {
        const one = {};
        this.running.add(one);
        const timer = this.clock.after(5, () => {
          this.running.delete(one);
          const ok = !this.dead.has(target.address);
          done({ ok, code: ok ? 'L4OK' : 'L4CON', reason: ok ? 'connected' : 'connection refused', durationMs: 5 });
        });
        return {
          cancel: () => {
            this.running.delete(one);
            timer.cancel();
          },
        };
      },
    });
    control.start(this.settings);
    return control;
  }

  /** As a process that ends and another that begins: orders hold. */
  #restart(): void {
    const before = this.#orders();
    if (this.#coin()) this.control.stop();
    else {
      // Killed, at a time when all is on disk.
      this.clock.advance(1000);
      const { kept } = this;
      this.control.stop();
      this.kept = kept;
    }
    this.busy.clear();
    this.control = this.#start();
    const after = this.#orders();
    for (const key of new Set([...before.keys(), ...after.keys()])) {
      const [was, is] = [before.get(key), after.get(key)];
      // Of one that the API added, and the configuration has as well, the latter says the weight when it is read.
      const taken = was?.origin === 'api' && is?.origin === 'config';
      if (was?.admin === is?.admin && (taken || was?.weight === is?.weight)) continue;
      throw new Error(`${key}: ${JSON.stringify(was)} before, ${JSON.stringify(is)} after`);
    }
  }

  /** By pool, name and place. */
  #orders() {
    const stay = this.control
      .pools()
      .flatMap(({ name: pool, members }) => members.map((one) => ({ ...one, pool })).filter(({ leaving }) => !leaving));
    return new Map(
      stay.map(({ pool, name, address, port, admin, full, origin }) => [
        `${pool}/${name} ${address} ${port}`,
        { admin, weight: full.weight, origin },
      ]),
    );
  }

  #order(): void {
    const state = (['ready', 'drain', 'maint'] as const)[this.random.below(3)] as AdminState;
    const weight = this.random.below(20);
    const order = this.#coin() ? { state } : this.#coin() ? { weight } : { state, weight };
    this.control.setMember(this.#pool(), this.#name(), order);
  }

  #discovered(): void {
    const found = new Map(
      Array.from({ length: this.random.below(4) }, () => this.#member()).map((one) => [one.name, one]),
    );
    const pool = this.settings.pools.find(({ discover }) => discover !== undefined);
    if (pool !== undefined) this.control.setDiscovered(pool.name, [...found.values()]);
  }

  #reload(): void {
    this.settings = this.#settings();
    this.control.apply(this.settings);
  }

  #settings(): ProxyConfig {
    const pools = poolNames
      .filter(() => this.random.below(5) > 0)
      .map((name): PoolConfig => {
        const members = names.filter(() => this.#coin()).map((each) => ({ ...this.#member(), name: each }));
        const more = { check: this.#coin() ? tcpCheck : noCheck, discover: this.#coin() ? discover : undefined };
        return pool(name, members, more);
      });
    return config(pools, []);
  }

  #member(byApi = false): MemberConfig {
    return member(this.#name(), {
      address: `fd00::${1 + this.random.below(byApi ? 6 : 4)}`,
      weight: this.random.below(3) * 50,
      slowStartMs: this.random.below(2) * 3000,
    });
  }

  #try(what: string, run: () => void): void {
    try {
      run();
      this.said.push(what);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.said.push(`${what}: ${error.code}`);
    }
  }

  #toggle<T>(set: Set<T>, value: T): void {
    if (!set.delete(value)) set.add(value);
    this.said.push(`toggle ${value}`);
  }

  #pool(): string {
    return poolNames[this.random.below(poolNames.length)]!;
  }

  #name(): string {
    return names[this.random.below(names.length)]!;
  }

  #coin(): boolean {
    return this.random.below(2) === 0;
  }
}

t.test('any script: slots, states, checks and orders are whole', (t) => {
  for (let seed = 1; seed <= scripts; seed++) {
    const script = new Script(seed);
    let fault: string | undefined;
    try {
      for (let i = 0; i < steps && fault === undefined; i++) {
        script.step();
        fault = script.fault();
      }
      fault ??= script.end();
    } catch (error) {
      fault = String((error as Error).stack);
    }
    if (fault !== undefined) {
      t.fail(`seed ${seed}: ${fault} after ${script.said.join(', ')}`);
      break;
    }
  }
  t.pass(`${scripts} scripts`);
  t.end();
});
