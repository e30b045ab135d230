/**
 * Counters and gauges that data threads write and the control thread reads, without messages.
 *
 * One `SharedArrayBuffer` holds, for each thread, a stripe of float64 counters (exact to 2^53, written by that thread
 * alone: an aligned 8-byte store is one store on x86-64 and arm64) and a stripe of int32 gauges; beside them one int32
 * total for each gauge, kept with `Atomics`, so that every thread sees the exact sum. When a thread dies, `release` takes its
 * stripe out of the totals.
 */
export interface CounterLayout {
  readonly threads: number;
  readonly counters: number;
  readonly gauges: number;
}

/** Bytes of the shared buffer for a layout. */
export function counterBytes(layout: CounterLayout): number {
  return layout.threads * layout.counters * 8 + (layout.threads + 1) * layout.gauges * 4;
}

/** All stripes of a shared buffer: for whoever sums them, and to take one stripe out for a thread. */
export class CounterTable {
  readonly buffer: SharedArrayBuffer;
  readonly layout: CounterLayout;
  readonly #counters: Float64Array;
  readonly #gauges: Int32Array;

  constructor(layout: CounterLayout, buffer = new SharedArrayBuffer(counterBytes(layout))) {
    this.layout = layout;
    this.buffer = buffer;
    this.#counters = new Float64Array(buffer, 0, layout.threads * layout.counters);
    this.#gauges = new Int32Array(buffer, layout.threads * layout.counters * 8, (layout.threads + 1) * layout.gauges);
  }

  /** Sum over all threads. */
  counter(index: number): number {
    let sum = 0;
    for (let t = 0; t < this.layout.threads; t++) sum += this.#counters[t * this.layout.counters + index]!;
    return sum;
  }

  /** One thread's share. */
  counterOf(thread: number, index: number): number {
    return this.#counters[thread * this.layout.counters + index]!;
  }

  /** The sum over all threads, exact at this moment. */
  gauge(index: number): number {
    return Atomics.load(this.#gauges, this.layout.threads * this.layout.gauges + index);
  }

  /** Sets counters `from`..`from + count` to zero in every stripe: for a slot that gets a new owner. */
  clear(from: number, count: number): void {
    for (let t = 0; t < this.layout.threads; t++) {
      const start = t * this.layout.counters + from;
      this.#counters.fill(0, start, start + count);
    }
  }

  /** The stripe of one thread. */
  stripe(thread: number): CounterStripe {
    const { threads, counters, gauges } = this.layout;
    return new CounterStripe(
      this.#counters.subarray(thread * counters, (thread + 1) * counters),
      this.#gauges.subarray(thread * gauges, (thread + 1) * gauges),
      this.#gauges.subarray(threads * gauges, (threads + 1) * gauges),
    );
  }

  /** Takes a dead thread's gauges out of the totals; its counters stay, so that sums never step back. */
  release(thread: number): void {
    const { threads, gauges } = this.layout;
    for (let i = 0; i < gauges; i++) {
      const own = this.#gauges[thread * gauges + i]!;
      if (own !== 0) Atomics.sub(this.#gauges, threads * gauges + i, own);
      this.#gauges[thread * gauges + i] = 0;
    }
  }
}

/** One counter or gauge of a table that an engine exports: its place in the table is its index. */
export interface MetricSpec {
  /** Prometheus name, `v6edge_` first; counters end in `_total`. Several specs may share a name with different labels. */
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** What one thread writes. */
export class CounterStripe {
  readonly counters: Float64Array;
  readonly #own: Int32Array;
  readonly #total: Int32Array;

  constructor(counters: Float64Array, own: Int32Array, total: Int32Array) {
    this.counters = counters;
    this.#own = own;
    this.#total = total;
  }

  /** A stripe of its own memory, for tests and for parts that run in one thread only. */
  static alone(counters: number, gauges: number): CounterStripe {
    return new CounterTable({ threads: 1, counters, gauges }).stripe(0);
  }

  /** A window for one engine, indexed from 0: counters `counterBase`…, gauges `gaugeBase`…. */
  window(counterBase: number, counters: number, gaugeBase: number, gauges: number): CounterStripe {
    return new CounterStripe(
      this.counters.subarray(counterBase, counterBase + counters),
      this.#own.subarray(gaugeBase, gaugeBase + gauges),
      this.#total.subarray(gaugeBase, gaugeBase + gauges),
    );
  }

  add(index: number, n = 1): void {
    this.counters[index]! += n;
  }

  get(index: number): number {
    return this.counters[index]!;
  }

  /** Adds to a gauge and returns the exact total before. */
  gaugeAdd(index: number, n: number): number {
    this.#own[index]! += n;
    return Atomics.add(this.#total, index, n);
  }

  /** Adds 1 to a gauge whose total is below `limit`; false, and not for a moment more than that, when it is not. */
  gaugeTake(index: number, limit: number): boolean {
    for (let total = Atomics.load(this.#total, index); total < limit; ) {
      const before = Atomics.compareExchange(this.#total, index, total, total + 1);
      if (before === total) {
        this.#own[index]! += 1;
        return true;
      }
      total = before;
    }
    return false;
  }

  /** The exact total over all threads. */
  gauge(index: number): number {
    return Atomics.load(this.#total, index);
  }
}
