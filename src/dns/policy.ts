/** Who may change what in a zone: the rules of `update`, deny by default. */
import { type Address, type Cidr, cidrContains, formatAddress, unmapAddress } from '../core/address.ts';
import { ValueError } from '../core/errors.ts';
import type { UpdateMatch, UpdateRule } from './config.ts';
import { isSubdomainKey, type NameKey, nameFromText, nameKey, parentKey } from './wire/name.ts';
import { TYPE, typeFromText } from './wire/types.ts';

/** Types that a rule without `types` does not grant, as in BIND: who writes them changes the zone, not a name. */
const WITHHELD: ReadonlySet<number> = new Set([TYPE.SOA, TYPE.NS, TYPE.RRSIG, TYPE.NSEC, TYPE.NSEC3]);
/** The first label of a wildcard, in a `NameKey`. */
const ASTERISK = '\x01*';

/** Who asks for an update: the key that signed it, and where it came from. */
export interface Requester {
  readonly key: NameKey;
  readonly address: Address;
}

/** What a rule grants. */
export interface Grant {
  /** The rule in words, for the log. */
  readonly text: string;
  /** Records of the type that a name may have; 0 = as many as fit. */
  readonly maxOfType: number;
  /** Records of all types that a name may have; 0 = as many as fit. */
  readonly maxRecords: number;
  /** The rule's `lease`; undefined = the zone's. */
  readonly leaseSeconds: number | undefined;
  /** Records must lead to this name; undefined = anywhere. Limits count those that do. */
  readonly target?: NameKey | undefined;
}

/** Whether all that a record is about leads to a name; what a rule with `target` asks. */
export type LeadsTo = (target: NameKey) => boolean;

interface Rule {
  readonly keys: readonly NameKey[];
  readonly match: UpdateMatch;
  /** What `match` compares with; for wildcard the name under the asterisk. */
  readonly name: NameKey;
  /** Empty = everywhere. */
  readonly from: readonly Cidr[];
  /** What is granted for each type; `other` for all but `WITHHELD`, `any` for all. */
  readonly types: ReadonlyMap<number, Grant>;
  readonly other: Grant | undefined;
  readonly any: Grant | undefined;
  readonly target: 'self' | undefined;
  /** Empty = every address. */
  readonly addresses: readonly Cidr[];
  readonly text: string;
}

/** A zone's update policy, ready for look-ups. */
export class UpdatePolicy {
  readonly #rules: readonly Rule[];
  readonly #own: ReadonlyMap<NameKey, readonly Rule[]>;

  /**
   * @param own rules of keys that come and go at run time (dynamic-keys.ts): `rules` are not about these
   * @throws {ValueError} if a rule names a type or name that is none
   */
  constructor(
    zone: NameKey,
    rules: readonly UpdateRule[],
    own: ReadonlyMap<NameKey, readonly UpdateRule[]> = new Map(),
  ) {
    const read = (rule: UpdateRule, i: number) => readRule(zone, rule, i + 1);
    this.#rules = rules.map(read);
    this.#own = new Map([...own].map(([key, each]) => [key, each.map(read)]));
  }

  /** Whether any rule is about the requester: if none is, it may not even ask for prerequisites. */
  knows(who: Requester): boolean {
    return this.#rulesFor(who).some((rule) => isAbout(rule, who));
  }

  /**
   * What the first rule that covers a record's owner and type, and where it leads, grants; undefined if there is none.
   * @param address that an A or AAAA record adds; undefined = none is added
   */
  grant(
    who: Requester,
    owner: NameKey,
    type: number,
    leadsTo: LeadsTo = () => false,
    address?: Uint8Array,
  ): Grant | undefined {
    for (const rule of this.#rulesFor(who)) {
      if (!isAbout(rule, who) || !covers(rule, who.key, owner)) continue;
      const grant = grantOf(rule, type);
      if (grant === undefined || !allowsAddress(rule, address)) continue;
      if (rule.target === undefined) return grant;
      if (leadsTo(who.key)) return { ...grant, target: who.key };
    }
    return undefined;
  }

  /** Why `knows` or `grant` said no, for the log: which rules came near, and what they lack. */
  explain(who: Requester, owner?: NameKey, type?: number, address?: Uint8Array): string {
    const named = this.#rulesFor(who).filter((rule) => rule.keys.some((key) => matchesKey(key, who.key)));
    if (named.length === 0) return 'no rule of the zone names the key';
    const here = named.filter((rule) => isAbout(rule, who));
    const list = (rules: readonly Rule[]) => rules.map(({ text }) => text).join(', ');
    if (here.length === 0) return `${list(named)}: not from ${formatAddress(who.address)}`;
    const covering = owner === undefined ? [] : here.filter((rule) => covers(rule, who.key, owner));
    const typed = covering.filter((rule) => type !== undefined && grantOf(rule, type) !== undefined);
    const outside = typed.filter((rule) => !allowsAddress(rule, address));
    if (outside.length > 0) return `${list(outside)}: not this address`;
    if (typed.length > 0) return `${list(typed)}: not what leads to another name`;
    if (covering.length > 0) return `${list(covering)}: not this type`;
    return `${list(here)}: not this name`;
  }

  #rulesFor({ key }: Requester): readonly Rule[] {
    return this.#own.get(key) ?? this.#rules;
  }
}

function readRule(zone: NameKey, rule: UpdateRule, number: number): Rule {
  const name = rule.name === undefined ? zone : nameKey(nameFromText(rule.name));
  const asterisk = rule.match === 'wildcard' && name.startsWith(ASTERISK);
  const subject = rule.name === undefined ? '' : ` ${rule.name}`;
  const text = `rule ${number} (${rule.keys.join(', ')} ${rule.match}${subject})`;
  const { maxRecords, leaseSeconds, target, addresses = [] } = rule;
  const grant = (maxOfType: number): Grant => ({ text, maxOfType, maxRecords, leaseSeconds });
  const types = new Map(rule.types.map(readTypeLimit).map(({ type, max }) => [type, grant(max)]));
  return {
    keys: rule.keys.map((key) => nameKey(nameFromText(key))),
    match: rule.match,
    name: asterisk ? parentKey(name)! : name,
    from: rule.from,
    types,
    other: types.size === 0 ? grant(0) : undefined,
    any: types.get(TYPE.ANY),
    target,
    addresses,
    text,
  };
}

/**
 * Reads `AAAA` or `AAAA(2)`: a type, and how many records of it a name may have (0 = no limit), as BIND writes them.
 * @throws {ValueError}
 */
export function readTypeLimit(text: string): { type: number; max: number } {
  const match = /^([A-Za-z0-9-]+)(?:\((\d{1,4})\))?$/.exec(text);
  if (match === null || match[2] === '0') {
    throw new ValueError(`"${text}" is no record type; write for example AAAA, or AAAA(2) for 2 at most`);
  }
  return { type: typeFromText(match[1]!), max: Number(match[2] ?? 0) };
}

function isAbout(rule: Rule, who: Requester): boolean {
  if (!rule.keys.some((key) => matchesKey(key, who.key))) return false;
  if (rule.from.length === 0) return true;
  const { bytes } = unmapAddress(who.address);
  return rule.from.some((cidr) => cidrContains(cidr, bytes));
}

function allowsAddress({ addresses }: Rule, address: Uint8Array | undefined): boolean {
  return address === undefined || addresses.length === 0 || addresses.some((cidr) => cidrContains(cidr, address));
}

/** A rule's key may be a wildcard: every key below (as BIND's identity field has it). */
function matchesKey(pattern: NameKey, key: NameKey): boolean {
  if (!pattern.startsWith(ASTERISK)) return pattern === key;
  const above = parentKey(pattern)!;
  return key !== above && isSubdomainKey(key, above);
}

function covers(rule: Rule, key: NameKey, owner: NameKey): boolean {
  switch (rule.match) {
    case 'self':
      return owner === key;
    case 'selfsub':
      return isSubdomainKey(owner, key);
    case 'selfwild':
      return owner !== key && isSubdomainKey(owner, key);
    case 'name':
      return owner === rule.name;
    case 'subdomain':
      return isSubdomainKey(owner, rule.name);
    case 'wildcard':
      return owner !== rule.name && isSubdomainKey(owner, rule.name);
    case 'zonesub':
      return true;
  }
}

function grantOf(rule: Rule, type: number): Grant | undefined {
  return rule.types.get(type) ?? rule.any ?? (WITHHELD.has(type) ? undefined : rule.other);
}
