/** Charts of the last hour or day; what a chart shows stands in words beside it for those who do not see it. */

import { byId, h } from './dom.js';
import { bitRate, count, timeOfDay } from './format.js';
import uPlot from './uplot.js';

/**
 * @typedef {{ span: string, stepMs: number, times: number[], series: Record<string, number[]> }} History
 * @typedef {{ title: string, unit: (value: number) => string, lines: { label: string, figure: string }[] }} Chart
 */

/** @type {Chart[]} */
const charts = [
  {
    title: 'Traffic',
    unit: bitRate,
    lines: [
      { label: 'to members', figure: 'bytesIn' },
      { label: 'to clients', figure: 'bytesOut' },
    ],
  },
  {
    title: 'Connections',
    unit: count,
    lines: [
      { label: 'new a second', figure: 'connections' },
      { label: 'open', figure: 'sessions' },
    ],
  },
  {
    title: 'DNS answers a second, by source',
    unit: count,
    lines: [
      { label: 'cache', figure: 'answersCache' },
      { label: 'own zones', figure: 'answersZone' },
      { label: 'forwarded', figure: 'answersForwarded' },
      { label: 'stale', figure: 'answersStale' },
    ],
  },
  {
    title: 'DNS responses a second, by code',
    unit: count,
    lines: [
      { label: 'NOERROR', figure: 'noerror' },
      { label: 'NXDOMAIN', figure: 'nxdomain' },
      { label: 'SERVFAIL', figure: 'servfail' },
      { label: 'REFUSED', figure: 'refused' },
    ],
  },
];

const height = 170;
/** Room for a time on its axis. */
const timeSpace = 64;
/** @type {{ plot: uPlot, figure: HTMLElement, chart: Chart }[]} */
let drawn = [];

/** @param {History} history */
export function draw(history) {
  if (drawn.length === 0) create();
  for (const { plot, figure, chart } of drawn) {
    const times = history.times.map((ms) => ms / 1000);
    const values = chart.lines.map((line) => history.series[line.figure] ?? []);
    plot.setData(/** @type {any} */ ([times, ...values]));
    figure.querySelector('[role=img]')?.setAttribute('aria-label', inWords(chart, history));
  }
}

function create() {
  drawn = charts.map((chart) => {
    const place = h('div', { role: 'img', 'aria-label': chart.title });
    const figure = h('figure', {}, h('figcaption', {}, chart.title), place);
    byId('charts').append(figure);
    const plot = new uPlot(
      options(chart, place.clientWidth),
      /** @type {any} */ ([[], ...chart.lines.map(() => [])]),
      place,
    );
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height })).observe(place);
    return { plot, figure, chart };
  });
}

/** @param {Chart} chart @param {number} width @returns {any} */
function options(chart, width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => () => resolved(style, name);
  const axis = {
    stroke: colour('--quiet'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  };
  return {
    width,
    height,
    cursor: { drag: { x: false, y: false } },
    legend: { live: false },
    scales: {
      y: {
        range: (/** @type {any} */ _plot, /** @type {number} */ _min, /** @type {number} */ max) => [
          0,
          Math.max(1, max * 1.1),
        ],
      },
    },
    axes: [
      { ...axis, space: timeSpace, values: times },
      { ...axis, size: 80, values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map(chart.unit) },
    ],
    series: [
      {},
      ...chart.lines.map(({ label }, i) => ({
        label,
        width: 1.5,
        points: { show: false },
        stroke: colour(`--series-${i + 1}`),
      })),
    ],
  };
}

/**
 * Times of day as a clock of 24 hours has them, with seconds where marks are closer than a minute.
 * @param {any} _plot @param {number[]} marks seconds @param {number} _axis @param {number} _space @param {number} step seconds
 */
function times(_plot, marks, _axis, _space, step) {
  return marks.map((seconds) => timeOfDay(seconds * 1000, step < 60));
}

/** A custom property's colour, `light-dark()` worked out. @param {CSSStyleDeclaration} style @param {string} name */
function resolved(style, name) {
  const probe = h('span', { hidden: true });
  probe.style.color = style.getPropertyValue(name);
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @param {Chart} chart @param {History} history */
function inWords(chart, history) {
  const parts = chart.lines.map(({ label, figure }) => {
    const values = history.series[figure] ?? [];
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    return `${label}: ${chart.unit(values.at(-1) ?? 0)} now, ${chart.unit(most)} at most`;
  });
  return `${chart.title} in the last ${history.span}. ${parts.join('; ')}.`;
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const { plot } of drawn) plot.redraw();
});
