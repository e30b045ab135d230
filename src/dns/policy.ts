/** Who may change what in a zone: the rules of `update`, deny by default. */
import type { UpdateMatch, UpdateRule } from './config.ts';
import { isSubdomainKey, type NameKey, nameFromText, nameKey, parentKey } from './wire/name.ts';
import { TYPE, typeFromText } from './wire/types.ts';

/** Types that a rule without `types` does not grant, as in BIND: who writes them changes the zone, not a name. */
const WITHHELD: ReadonlySet<number> = new Set([TYPE.SOA, TYPE.NS, TYPE.RRSIG, TYPE.NSEC, TYPE.NSEC3]);

interface Rule {
  readonly key: NameKey;
  readonly match: UpdateMatch;
  /** What `match` compares with; for wildcard the name under the asterisk. */
  readonly name: NameKey;
  /** undefined = all but `WITHHELD`. */
  readonly types: ReadonlySet<number> | undefined;
  readonly text: string;
}

/** A zone's update policy, ready for look-ups. */
export class UpdatePolicy {
  readonly #rules: readonly Rule[];

  /** @throws {ValueError} if a rule names a type or name that is none */
  constructor(zone: NameKey, rules: readonly UpdateRule[]) {
    this.#rules = rules.map((rule, i) => {
      const name = rule.name === undefined ? zone : nameKey(nameFromText(rule.name));
      const asterisk = rule.match === 'wildcard' && name.startsWith('\x01*');
      return {
        key: nameKey(nameFromText(rule.key)),
        match: rule.match,
        name: asterisk ? parentKey(name)! : name,
        types: rule.types.length === 0 ? undefined : new Set(rule.types.map(typeFromText)),
        text: `rule ${i + 1} (${rule.key} ${rule.match}${rule.name === undefined ? '' : ` ${rule.name}`})`,
      };
    });
  }

  /** Whether any rule is about the key: if none is, it may not even ask for prerequisites. */
  knows(key: NameKey): boolean {
    return this.#rules.some((rule) => rule.key === key);
  }

  /** The first rule by which the key may change records of this owner and type, in words; undefined if there is none. */
  grant(key: NameKey, owner: NameKey, type: number): string | undefined {
    const rule = this.#rules.find((rule) => rule.key === key && covers(rule, owner) && coversType(rule, type));
    return rule?.text;
  }

  /** Why `grant` said no, for the log. */
  explain(key: NameKey, owner: NameKey): string {
    if (!this.knows(key)) return 'no rule names the key';
    return this.#rules.some((rule) => rule.key === key && covers(rule, owner))
      ? 'the rules for this name leave the type out'
      : "none of the key's rules covers the name";
  }
}

function covers(rule: Rule, owner: NameKey): boolean {
  switch (rule.match) {
    case 'self':
      return owner === rule.key;
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

function coversType(rule: Rule, type: number): boolean {
  return rule.types === undefined ? !WITHHELD.has(type) : rule.types.has(type) || rule.types.has(TYPE.ANY);
}
