/** Where each engine's window lies in a data thread's stripe of the shared counters. */
import type { CounterLayout, CounterStripe } from '../core/counters.ts';
import { dnsGauges } from '../dns/counters.ts';
import { dnsCounterCount } from '../dns/slot-counters.ts';
import { proxyCounters, proxyGauges } from '../proxy/counters.ts';

/** Counter and gauge index at which the DNS server's window begins; the proxy's begins at 0. */
export const dnsCounterBase: number = proxyCounters;
export const dnsGaugeBase: number = proxyGauges;

/** The layout of the shared buffer for so many data threads. */
export function counterLayout(threads: number): CounterLayout {
  return {
    threads,
    counters: dnsCounterBase + dnsCounterCount,
    gauges: dnsGaugeBase + dnsGauges.length,
  };
}

/** The proxy's window of a stripe. */
export function proxyWindow(stripe: CounterStripe): CounterStripe {
  return stripe.window(0, proxyCounters, 0, proxyGauges);
}

/** The DNS server's window of a stripe. */
export function dnsWindow(stripe: CounterStripe): CounterStripe {
  return stripe.window(dnsCounterBase, dnsCounterCount, dnsGaugeBase, dnsGauges.length);
}
