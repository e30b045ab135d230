/**
 * Prometheus text from the engines' counter tables. Nothing is copied between scrapes: a scrape reads the shared counters
 * as they are. Metrics of several sources (engines, threads, slots) may share a name; labels tell them apart.
 */
import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import type { MetricSpec } from '../core/counters.ts';
import { assert } from '../core/errors.ts';
import { histogramSum, latencyBounds } from '../core/histogram.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';

export type Labels = Readonly<Record<string, string>>;

/** One value of a metric at the time of a scrape. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** The name of its line, where that is not the metric's: a part of a histogram. */
  readonly metricName?: string;
}

/** A listener's or member's place in a table of slots, and what it is called. */
export interface Slot {
  readonly labels: Labels;
  /** Value of the spec at this offset. */
  readonly read: (offset: number) => number;
}

/**
 * The default metrics' histogram of the loop's delay wakes the thread a hundred times a second, which costs an idle daemon
 * ten times what all its work does. `nodejs_eventloop_lag_seconds`, which is measured when it is read, stays.
 */
const lagMetrics = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];
const neverMs = 2 ** 31 - 1;

interface Family {
  readonly help: string;
  readonly type: MetricType;
  readonly labelNames: Set<string>;
  readonly sources: (() => Iterable<Sample>)[];
}

/** What there is to know of a metric without reading it. */
export interface MetricDescription {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly labels: readonly string[];
}

/** All metrics of the daemon. Add sources first, then read `text` as often as wanted. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #families = new Map<string, Family>();
  readonly #built = new Set<string>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: neverMs });
    for (const name of lagMetrics) this.#registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`);
  }

  /** Content-Type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Adds an engine's table: `read` gives the sum over all threads of the spec at an index. */
  addTable(specs: readonly MetricSpec[], read: (index: number) => number, type: MetricType): void {
    for (const [index, spec] of specs.entries()) {
      const labels = spec.labels ?? {};
      this.#add(spec, type, Object.keys(labels), () => [{ labels, value: read(index) }]);
    }
  }

  /** Adds a table that repeats for each slot in use: listeners, members. `labelNames` are those of the slots. */
  addSlots(
    specs: readonly MetricSpec[],
    labelNames: readonly string[],
    slots: () => Iterable<Slot>,
    type: MetricType,
  ): void {
    for (const [offset, spec] of specs.entries()) {
      this.#add(spec, type, [...labelNames, ...Object.keys(spec.labels ?? {})], function* () {
        for (const slot of slots()) yield { labels: { ...slot.labels, ...spec.labels }, value: slot.read(offset) };
      });
    }
  }

  /** Adds a metric that is worked out at each scrape. */
  addSamples(spec: MetricSpec, labelNames: readonly string[], samples: () => Iterable<Sample>, type: MetricType): void {
    this.#add(spec, type, labelNames, samples);
  }

  /** Adds a histogram of latencies (core/histogram.ts), one for each slot. */
  addHistogram(spec: MetricSpec, labelNames: readonly string[], slots: () => Iterable<Slot>): void {
    const { name } = spec;
    this.#add(spec, 'histogram', labelNames, function* () {
      for (const { labels, read } of slots()) {
        let count = 0;
        for (const [offset, bound] of [...latencyBounds, '+Inf'].entries()) {
          count += read(offset);
          yield { labels: { ...labels, le: String(bound) }, value: count, metricName: `${name}_bucket` };
        }
        yield { labels, value: read(histogramSum), metricName: `${name}_sum` };
        yield { labels, value: count, metricName: `${name}_count` };
      }
    });
  }

  /** Our own metrics, by name. */
  describe(): MetricDescription[] {
    return [...this.#families]
      .map(([name, { type, help, labelNames }]) => ({ name, type, help, labels: [...labelNames] }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Every metric in Prometheus' text format. */
  async text(): Promise<string> {
    for (const [name, family] of this.#families) {
      if (!this.#built.has(name)) this.#build(name, family);
    }
    return await this.#registry.metrics();
  }

  #add(spec: MetricSpec, type: MetricType, labelNames: readonly string[], source: () => Iterable<Sample>): void {
    const { name, help } = spec;
    assert(/^v6edge_[a-z0-9_]+$/.test(name), `metric ${name} needs v6edge_ in front`);
    assert(
      name.endsWith('_total') === (type === 'counter'),
      `metric ${name}: _total ends counters' names, and theirs alone`,
    );
    const family = this.#families.get(name);
    if (family === undefined) {
      this.#families.set(name, { help, type, labelNames: new Set(labelNames), sources: [source] });
      return;
    }
    assert(family.type === type && family.help === help, `metric ${name} has two meanings`);
    assert(!this.#built.has(name), `metric ${name} was read before all its sources were there`);
    for (const label of labelNames) family.labelNames.add(label);
    family.sources.push(source);
  }

  #build(name: string, { help, type, labelNames, sources }: Family): void {
    this.#built.add(name);
    const settings = { name, help, labelNames: [...labelNames], registers: [this.#registry] };
    if (type === 'histogram') {
      // prom-client's own observes values one by one; a registry takes whatever gives it samples.
      const get = async () => ({ name, help, type, aggregator: 'sum', values: sources.flatMap((each) => [...each()]) });
      this.#registry.registerMetric({ name, help, type, get } as unknown as Metric);
      return;
    }
    if (type === 'counter') {
      new Counter({
        ...settings,
        collect() {
          this.reset();
          for (const source of sources) for (const { labels, value } of source()) this.inc(labels, value);
        },
      });
      return;
    }
    new Gauge({
      ...settings,
      collect() {
        this.reset();
        for (const source of sources) for (const { labels, value } of source()) this.set(labels, value);
      },
    });
  }
}
