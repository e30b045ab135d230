/** radvd.conf(5) to our `ra`. Defaults that differ are written down, so that what nodes hear stays as it was. */
import { parseBraces, type Statement } from './braces.ts';
import { type Note, Notes, type Section } from './report.ts';

/** radvd's MaxRtrAdvInterval when it is not given, seconds. */
const defaultMax = 600;

type Path = readonly (string | number)[];

/** One interface on its way into the configuration. */
interface Interface {
  readonly path: Path;
  readonly entry: Section;
  /** Its own notes. */
  readonly notes: Notes;
  maxSeconds: number;
}

/** @throws {ImportError} */
export function importRadvd(text: string, file: string): { ra: Section[]; notes: Note[] } {
  const notes = new Notes();
  const ra: Section[] = [];
  for (const statement of parseBraces(text, file)) {
    const [word, name] = statement.words;
    if (word === 'interface' && name !== undefined) ra.push(readInterface(statement, name, ['ra', ra.length], notes));
    else notes.add(statement.place, statement.words.join(' '), 'no statement of radvd.conf', ['ra']);
  }
  return { ra, notes: notes.all };
}

function readInterface(statement: Statement, name: string, path: Path, notes: Notes): Section {
  const entry: Section = { interface: name };
  const options = statement.block ?? [];
  const max = options.find(({ words }) => words[0] === 'MaxRtrAdvInterval')?.words[1];
  const one: Interface = { path, entry, notes, maxSeconds: max === undefined ? defaultMax : Number(max) };
  const sends = options.some(({ words }) => words[0] === 'AdvSendAdvert' && isOn(words[1]));
  if (!sends) {
    notes.add(statement.place, `interface ${name}`, 'AdvSendAdvert is off: radvd sent nothing here, we would', path);
  }
  for (const option of options) readOption(option, one);
  // radvd is a default router unless told otherwise, we are not; it answers at once, we wait as RFC 4861 §6.2.6 says.
  entry.defaultLifetime ??= duration(3 * one.maxSeconds);
  entry.maxDelay ??= '0s';
  const { ignore } = entry;
  delete entry.ignore;
  for (const prefix of (entry.prefixes as Section[] | undefined) ?? []) {
    if (prefix.prefix === '::/64' && Array.isArray(ignore) && ignore.length > 0) prefix.ignore = ignore;
  }
  return entry;
}

type Reader = (value: string, one: Interface) => void;

const set =
  (key: string, convert: (value: string) => unknown): Reader =>
  (value, { entry }) => {
    entry[key] = convert(value);
  };
const interval =
  (key: 'min' | 'max'): Reader =>
  (value, { entry }) => {
    entry.interval = { ...(entry.interval as Section | undefined), [key]: duration(Number(value)) };
  };

/** radvd's word, in any case, to what becomes of it; undefined: nothing is lost without it. */
const simple: Readonly<Record<string, Reader | undefined>> = {
  advsendadvert: undefined,
  ignoreifmissing: undefined,
  advintervalopt: undefined,
  unrestrictedunicast: undefined,
  advrasolicitedunicast: undefined,
  minrtradvinterval: interval('min'),
  maxrtradvinterval: interval('max'),
  advmanagedflag: set('managed', isOn),
  advotherconfigflag: set('other', isOn),
  advhomeagentflag: set('homeAgent', isOn),
  advlinkmtu: set('mtu', Number),
  advcurhoplimit: set('hopLimit', Number),
  advreachabletime: set('reachableTime', (value) => `${Number(value)}ms`),
  advretranstimer: set('retransTimer', (value) => `${Number(value)}ms`),
  advdefaultlifetime: set('defaultLifetime', (value) => duration(Number(value))),
  advdefaultpreference: set('preference', String),
  advsourcelladdress: set('sourceLinkLayer', isOn),
  unicastonly: set('unicastOnly', isOn),
  advcaptiveportalapi: set('captivePortal', String),
};

function readOption(option: Statement, one: Interface): void {
  const [word = '', ...values] = option.words;
  const key = word.toLowerCase();
  if (Object.hasOwn(simple, key)) {
    simple[key]?.(values[0] ?? '', one);
    return;
  }
  switch (key) {
    case 'prefix':
      push(one.entry, 'prefixes', readPrefix(option, values[0] ?? '', one));
      return;
    case 'route':
      push(one.entry, 'routes', readRoute(option, values[0] ?? '', one));
      return;
    case 'rdnss':
      mergeList(option, one, 'rdnss', 'servers', values, 'advrdnsslifetime');
      return;
    case 'dnssl':
      mergeList(option, one, 'dnssl', 'domains', values, 'advdnssllifetime');
      return;
    case 'nat64prefix':
      one.entry.pref64 = readPref64(option, values[0] ?? '', one);
      return;
    case 'clients':
      readClients(option, one);
      return;
    case 'advrasrcaddress':
      one.entry.source = option.block?.[0]?.words[0];
      if ((option.block?.length ?? 0) > 1) lost(option, one, 'one source address alone: the first is taken');
      return;
    case 'autoignoreprefixes':
    case 'autoignoreprefix':
      one.entry.ignore = option.block?.map(({ words }) => words[0]);
      return;
    default:
      lost(option, one, reasons[key] ?? 'not known here');
  }
}

const reasons: Readonly<Record<string, string>> = {
  mindelaybetweenras: '3 s always (RFC 4861 §10)',
  advmobrtrsupportflag: 'network mobility (RFC 3963) is left out',
  advhomeagentinfo: 'the home agent information option (RFC 6275 §7.4) is left out',
  homeagentlifetime: 'the home agent information option (RFC 6275 §7.4) is left out',
  homeagentpreference: 'the home agent information option (RFC 6275 §7.4) is left out',
  lowpanco: '6LoWPAN is left out',
  abro: '6LoWPAN is left out',
  removeadvonexit: 'final advertisements are sent on a stop, not on a restart',
};

function readPrefix(statement: Statement, prefix: string, one: Interface): Section {
  const entry: Section = { prefix };
  for (const option of statement.block ?? []) {
    const [word = '', value = ''] = option.words;
    switch (word.toLowerCase()) {
      case 'advonlink':
        entry.onLink = isOn(value);
        break;
      case 'advautonomous':
        entry.autonomous = isOn(value);
        break;
      case 'advrouteraddr':
        entry.routerAddress = isOn(value);
        break;
      case 'advvalidlifetime':
        entry.valid = lifetime(value);
        break;
      case 'advpreferredlifetime':
        entry.preferred = lifetime(value);
        break;
      case 'deprecateprefix':
        entry.deprecateOnStop = isOn(value);
        break;
      case 'decrementlifetimes':
        if (isOn(value)) lost(option, one, 'give validUntil and preferredUntil, the times at which they reach 0');
        break;
      case 'base6interface':
      case 'base6to4interface':
        lost(option, one, 'give the prefix itself, or ::/64 for those of the interface');
        break;
      default:
        lost(option, one, 'not known here');
    }
  }
  return entry;
}

function readRoute(statement: Statement, prefix: string, one: Interface): Section {
  const entry: Section = { prefix };
  for (const option of statement.block ?? []) {
    const [word = '', value = ''] = option.words;
    if (/^advroutelifetime$/i.test(word)) entry.lifetime = lifetime(value);
    else if (/^advroutepreference$/i.test(word)) entry.preference = value;
    else if (!/^removeroute$/i.test(word)) lost(option, one, 'not known here');
  }
  return entry;
}

function readPref64(statement: Statement, prefix: string, one: Interface): Section {
  const entry: Section = { prefix };
  for (const option of statement.block ?? []) {
    if (/^advvalidlifetime$/i.test(option.words[0] ?? '')) entry.lifetime = lifetime(option.words[1] ?? '');
    else lost(option, one, 'not known here');
  }
  return entry;
}

function mergeList(
  statement: Statement,
  one: Interface,
  key: string,
  list: string,
  values: readonly string[],
  lifetimeWord: string,
): void {
  const before = one.entry[key] as Section | undefined;
  const entry: Section = before ?? { [list]: [] };
  (entry[list] as string[]).push(...values);
  for (const option of statement.block ?? []) {
    const word = (option.words[0] ?? '').toLowerCase();
    if (word === lifetimeWord) {
      const value = lifetime(option.words[1] ?? '');
      if (before !== undefined && entry.lifetime !== undefined && entry.lifetime !== value) {
        lost(option, one, 'one lifetime for all: the first is taken');
      } else entry.lifetime = value;
    } else if (/^advrdnss(preference|open)$/.test(word)) lost(option, one, 'the order of servers is their preference');
    else if (!/^flush(rdnss|dnssl)$/.test(word)) lost(option, one, 'not known here');
  }
  one.entry[key] = entry;
}

/** `fe80::1;` are answered, `!fe80::2;` never. */
function readClients(statement: Statement, one: Interface): void {
  for (const { words } of statement.block ?? []) {
    const text = words.join('');
    if (text.startsWith('!')) push(one.entry, 'deny', text.slice(1));
    else push(one.entry, 'clients', text);
  }
}

function lost({ place, words }: Statement, { notes, path }: Interface, why: string): void {
  notes.add(place, words.join(' '), why, path);
}

function push(entry: Section, key: string, value: unknown): void {
  entry[key] = [...((entry[key] as unknown[] | undefined) ?? []), value];
}

function isOn(value: string | undefined): boolean {
  return value?.toLowerCase() === 'on';
}

function lifetime(value: string): string {
  return /^infinity$/i.test(value) || Number(value) >= 2 ** 32 - 1 ? 'infinity' : duration(Number(value));
}

/** Seconds, maybe with a fraction. */
function duration(seconds: number): string {
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1000)}ms`;
}
