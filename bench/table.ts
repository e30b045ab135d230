/** Figures to medians, ratios and tables. */

/** One measured quantity of one peer: a value for each run. */
export interface Series {
  readonly work: string;
  readonly quantity: string;
  readonly unit: string;
  readonly peer: string;
  readonly values: number[];
}

/** One line of the table: what we need against a peer in the same run. */
export interface Row {
  readonly work: string;
  readonly quantity: string;
  readonly unit: string;
  readonly medians: Readonly<Record<string, number>>;
  /** v6edge / peer, of the medians. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Largest distance of a run from the median, v6edge's and the peers': a fraction. */
  readonly spread: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Collects values of all runs, by work and quantity. */
export class Results {
  readonly #series = new Map<string, Series>();

  add(work: string, quantity: string, unit: string, peer: string, value: number): void {
    const key = `${work}\0${quantity}\0${peer}`;
    const series = this.#series.get(key) ?? { work, quantity, unit, peer, values: [] };
    series.values.push(value);
    this.#series.set(key, series);
  }

  get series(): Series[] {
    return [...this.#series.values()];
  }

  rows(us = 'v6edge'): Row[] {
    const rows = new Map<string, Series[]>();
    for (const series of this.#series.values()) {
      const key = `${series.work}\0${series.quantity}`;
      rows.set(key, [...(rows.get(key) ?? []), series]);
    }
    return [...rows.values()].map((group) => {
      const medians = Object.fromEntries(group.map(({ peer, values }) => [peer, median(values)]));
      const ours = medians[us];
      const ratios = Object.fromEntries(
        Object.entries(medians)
          .filter(([peer, value]) => peer !== us && ours !== undefined && value !== 0)
          .map(([peer, value]) => [peer, ours! / value]),
      );
      const spread = Math.max(
        // Of nothing there is no ratio: a peer that needed no time at all in most runs.
        0,
        ...group.flatMap(({ values }) => {
          const middle = median(values);
          return middle === 0 ? [] : values.map((value) => Math.abs(value / middle - 1));
        }),
      );
      const { work, quantity, unit } = group[0]!;
      return { work, quantity, unit, medians, ratios, spread };
    });
  }
}

function round(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 3 - Math.ceil(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(3, digits));
}

/** The rows as a Markdown table, one column a peer and one a ratio. */
export function markdown(rows: readonly Row[], us = 'v6edge'): string {
  const peers = [...new Set(rows.flatMap((row) => Object.keys(row.medians)))].filter((peer) => peer !== us);
  const head = ['work', 'quantity', us, ...peers, ...peers.map((peer) => `${us} / ${peer}`), 'spread'];
  const lines = rows.map((row) => [
    row.work,
    `${row.quantity}, ${row.unit}`,
    row.medians[us] === undefined ? '' : round(row.medians[us]),
    ...peers.map((peer) => (row.medians[peer] === undefined ? '' : round(row.medians[peer]))),
    ...peers.map((peer) => (row.ratios[peer] === undefined ? '' : `${row.ratios[peer].toFixed(2)} ×`)),
    `±${Math.round(row.spread * 100)} %`,
  ]);
  const widths = head.map((cell, i) => Math.max(cell.length, ...lines.map((line) => line[i]!.length)));
  const format = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  return [format(head), format(widths.map((width) => '-'.repeat(width))), ...lines.map(format)].join('\n');
}
