/** Advertisements of other routers on the link, and what in them contradicts ours (RFC 4861 §6.2.7). */
import { type Address, formatAddress, formatCidr } from '../core/address.ts';
import { countdownToleranceSeconds, maxOtherRouters, silentRouterMs } from './constants.ts';
import type { KnownOption, NdOption } from './wire/options.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

/** One value on which we and another router differ. */
export interface Contradiction {
  /** RFC 4861 §6.2.1 name, with the prefix where it is one's. */
  readonly what: string;
  readonly ours: string;
  readonly theirs: string;
}

/** Another router. */
export interface OtherRouter {
  readonly source: Address;
  readonly firstSeen: number;
  lastSeen: number;
  advertisement: RouterAdvertisement;
  contradictions: readonly Contradiction[];
  /** What was told of it already, and when it was last so. */
  readonly told: Map<string, number>;
}

/** What we say ourselves. */
export interface Own {
  readonly advertisement: RouterAdvertisement;
  /** Some lifetimes count down to a set time. */
  readonly countsDown: boolean;
}

/** What one advertisement brought that was not known before. */
export interface Novelty {
  readonly router: OtherRouter;
  readonly isNew: boolean;
  readonly newContradictions: readonly Contradiction[];
}

/** The routers of one interface, in the order of when they were last heard; the oldest gives way. */
export class OtherRouters {
  readonly #routers = new Map<string, OtherRouter>();

  /** @param wall wall-clock milliseconds */
  hear(source: Address, advertisement: RouterAdvertisement, ours: Own | undefined, wall: number): Novelty {
    const key = formatAddress(source);
    const known = this.#routers.get(key);
    const router = known ?? {
      source,
      firstSeen: wall,
      lastSeen: wall,
      advertisement,
      contradictions: [],
      told: new Map<string, number>(),
    };
    this.#routers.delete(key);
    this.#routers.set(key, router);
    if (this.#routers.size > maxOtherRouters) this.#routers.delete(this.#routers.keys().next().value!);
    router.lastSeen = wall;
    router.advertisement = advertisement;
    return { router, isNew: known === undefined, newContradictions: compareWith(router, ours, wall) };
  }

  /** We say something else from now on. */
  compare(ours: Own, wall: number): Novelty[] {
    return this.list().map((router) => ({
      router,
      isNew: false,
      newContradictions: compareWith(router, ours, wall),
    }));
  }

  /** Forgets, and returns, those that have been silent for longer than they said they would serve, and for long anyway. */
  forgetSilent(wall: number): OtherRouter[] {
    const silent = this.list().filter(
      ({ lastSeen, advertisement }) => wall - lastSeen > Math.max(silentRouterMs, advertisement.lifetimeSeconds * 1000),
    );
    for (const { source } of silent) this.#routers.delete(formatAddress(source));
    return silent;
  }

  clear(): void {
    this.#routers.clear();
  }

  get size(): number {
    return this.#routers.size;
  }

  list(): readonly OtherRouter[] {
    return [...this.#routers.values()];
  }
}

/** Options of which all that is said is one set; what has lifetime 0 is not said. */
interface SetOf<T> {
  readonly what: string;
  readonly items: (option: T) => readonly string[];
}

/** How each kind of option is compared as a set, or why it is not. A kind that is missing here does not compile. */
const compared: {
  readonly [K in KnownOption['kind']]:
    | SetOf<Extract<KnownOption, { kind: K }>>
    | 'each prefix alone'
    | 'one number'
    | 'not';
} = {
  'prefix-information': 'each prefix alone',
  mtu: 'one number',
  // Each router has its own.
  'route-information': 'not',
  'source-link-layer-address': 'not',
  rdnss: { what: 'RDNSS', items: (one) => (one.lifetimeSeconds > 0 ? one.servers.map(formatAddress) : []) },
  dnssl: { what: 'DNSSL', items: (one) => (one.lifetimeSeconds > 0 ? one.domains : []) },
  pref64: { what: 'PREF64', items: (one) => (one.lifetimeSeconds > 0 ? [formatCidr(one.prefix)] : []) },
  'captive-portal': { what: 'captive portal', items: (one) => [one.uri] },
};

const sets = Object.entries(compared).flatMap(([kind, how]) => {
  if (typeof how === 'string') return [];
  const { what, items } = how as SetOf<NdOption>;
  return [{ what, itemsOf: (option: NdOption) => (option.kind === kind ? items(option) : []) }];
});

/** Notes what contradicts, and returns what was not told yet, or ended so long ago that it is news again. */
function compareWith(router: OtherRouter, ours: Own | undefined, wall: number): Contradiction[] {
  const { told, advertisement, lastSeen } = router;
  // What counts down has done so since it was said.
  const tolerance = ours?.countsDown ? countdownToleranceSeconds + (wall - lastSeen) / 1000 : 0;
  router.contradictions = ours === undefined ? [] : findContradictions(ours.advertisement, advertisement, tolerance);
  const isNews = ({ what }: Contradiction): boolean => wall - (told.get(what) ?? -Infinity) > silentRouterMs;
  const news = router.contradictions.filter(isNews);
  for (const { what } of router.contradictions) told.set(what, wall);
  return news;
}

/**
 * The checks of §6.2.7, and besides those: DNS servers and search domains, NAT64 prefixes, the captive portal, and a default
 * router on a link where we say that we are none (RFC 6104). A value that is "unspecified" on one side contradicts nothing.
 * @param lifetimeTolerance seconds by which lifetimes of a prefix may differ
 */
export function findContradictions(
  ours: RouterAdvertisement,
  theirs: RouterAdvertisement,
  lifetimeTolerance = 0,
): Contradiction[] {
  const found: Contradiction[] = [];
  const compare = (what: string, a: unknown, b: unknown): void => {
    if (a !== b) found.push({ what, ours: String(a), theirs: String(b) });
  };
  const compareSpecified = (what: string, a: number, b: number): void => {
    if (a !== 0 && b !== 0) compare(what, a, b);
  };
  const compareLifetimes = (what: string, a: number, b: number): void => {
    if (!(Math.abs(a - b) <= lifetimeTolerance)) compare(what, a, b);
  };
  if (ours.lifetimeSeconds === 0 && isDefaultRouter(theirs)) {
    found.push({ what: 'default router', ours: 'none', theirs: `${theirs.lifetimeSeconds} s, ${theirs.preference}` });
  }
  compareSpecified('AdvCurHopLimit', ours.hopLimit, theirs.hopLimit);
  compare('AdvManagedFlag', ours.managed, theirs.managed);
  compare('AdvOtherConfigFlag', ours.other, theirs.other);
  compareSpecified('AdvReachableTime', ours.reachableTimeMs, theirs.reachableTimeMs);
  compareSpecified('AdvRetransTimer', ours.retransTimerMs, theirs.retransTimerMs);
  compareSpecified('AdvLinkMTU', mtuOf(ours.options), mtuOf(theirs.options));
  const prefixes = new Map(prefixesOf(ours.options).map((option) => [formatCidr(option.prefix), option]));
  for (const option of prefixesOf(theirs.options)) {
    const name = formatCidr(option.prefix);
    const own = prefixes.get(name);
    if (own === undefined) continue;
    compareLifetimes(`AdvValidLifetime ${name}`, own.validSeconds, option.validSeconds);
    compareLifetimes(`AdvPreferredLifetime ${name}`, own.preferredSeconds, option.preferredSeconds);
  }
  for (const { what, itemsOf } of sets) {
    const [a, b] = [ours, theirs].map(({ options }) => options.flatMap(itemsOf).sort().join(' '));
    if (a !== '' && b !== '') compare(what, a, b);
  }
  return found;
}

/** By its header, or by a route to everything (RFC 4191 §2.3). */
function isDefaultRouter({ lifetimeSeconds, options }: RouterAdvertisement): boolean {
  return (
    lifetimeSeconds > 0 ||
    options.some((one) => one.kind === 'route-information' && one.prefix.length === 0 && one.lifetimeSeconds > 0)
  );
}

function mtuOf(options: readonly NdOption[]): number {
  return options.find((option) => option.kind === 'mtu')?.mtu ?? 0;
}

function prefixesOf(options: readonly NdOption[]) {
  return options.filter((option) => option.kind === 'prefix-information');
}
