/** RFC 4861 §10, router constants, and limits of ours. */
import { parseAddress } from '../core/address.ts';

export const MAX_INITIAL_RTR_ADVERT_INTERVAL_MS = 16_000;
export const MAX_INITIAL_RTR_ADVERTISEMENTS = 3;
export const MAX_FINAL_RTR_ADVERTISEMENTS = 3;
export const MIN_DELAY_BETWEEN_RAS_MS = 3_000;

export const ALL_NODES = parseAddress('ff02::1');
export const ALL_ROUTERS = parseAddress('ff02::2');

/** Every IPv6 link carries packets of this size (RFC 8200 §5). */
export const IPV6_MIN_MTU = 1_280;
export const IPV6_HEADER_BYTES = 40;

/** A node may ask this often at once (it may be several programs, or reboot quickly), then once a second. */
export const sourceBurst = 4;
export const sourceIntervalMs = 1_000;
/** Sources remembered an interface; the one unheard of for longest is forgotten first. */
export const maxSources = 1_024;
/** Unicast replies an interface sends at once, and each second; beyond, one multicast answers all. */
export const interfaceBurst = 200;
export const interfaceRepliesPerSecond = 100;

/** A multicast that could not be sent is tried again after this, doubled each time up to the second. */
export const retryMinMs = 250;
export const retryMaxMs = 16_000;
/** A full neighbour table is told of this often at most. */
export const neighbourWarningMs = 60_000;

/** RFC 4862 §5.5.3(e): an advertisement cannot shorten a valid lifetime below two hours. */
export const withdrawnValidSeconds = 7_200;

/** What is taken back is so for as long as hosts may hold it; for what never ends, and what is absurdly long, this long. */
export const maxWithdrawnMs = 30 * 86_400_000;
/** Items taken back at a time on an interface; with more, the first give way. */
export const maxWithdrawnItems = 128;
/** The state file is written this often at most. */
export const memorySaveMs = 1_000;

/** Other routers remembered an interface. */
export const maxOtherRouters = 32;
/**
 * A router that is silent for three of the longest intervals of RFC 4861 §6.2.1 (1800 s) is gone, unless it said that it
 * would serve for longer (RFC 8319 allows up to 65535 s between two advertisements).
 */
export const silentRouterMs = 3 * 1_800_000;
/** Lifetimes that count down to a set time are the same on two edges whose clocks differ by no more. */
export const countdownToleranceSeconds = 60;
/** How often silent routers are looked for. */
export const routerCheckMs = 60_000;
