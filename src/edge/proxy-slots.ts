/** Slots of the proxy's counters: which are busy still, and may get no new owner, and what is cleared for one. */
import type { CounterTable } from '../core/counters.ts';
import type { SlotUse } from '../proxy/control/slots.ts';
import {
  listenerCounterBase,
  listenerCounterSpecs,
  listenerGaugeBase,
  listenerSlots,
  memberCounterBase,
  memberCounterSpecs,
  memberGaugeBase,
  memberSlots,
  poolGaugeBase,
  poolSlots,
} from '../proxy/counters.ts';

export interface ProxySlots {
  readonly memberSlots: SlotUse;
  readonly listenerSlots: SlotUse;
  readonly poolSlots: SlotUse;
}

/** How `ProxyControl` gives out the slots of these counters. */
export function proxySlots(counters: CounterTable): ProxySlots {
  const use = (capacity: number, gaugeBase: (slot: number) => number) => ({
    capacity,
    busy: (slot: number) => counters.gauge(gaugeBase(slot)) > 0,
  });
  return {
    memberSlots: {
      ...use(memberSlots, memberGaugeBase),
      clear: (slot) => counters.clear(memberCounterBase(slot), memberCounterSpecs.length),
    },
    listenerSlots: {
      ...use(listenerSlots, listenerGaugeBase),
      clear: (slot) => counters.clear(listenerCounterBase(slot), listenerCounterSpecs.length),
    },
    poolSlots: use(poolSlots, poolGaugeBase),
  };
}

/** Sessions at a member now, by its slot. */
export function memberSessions(counters: CounterTable, slot: number): number {
  return counters.gauge(memberGaugeBase(slot));
}
