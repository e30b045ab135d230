/** named.conf to our `dns`. */
import { dirname, isAbsolute, join } from 'node:path';
import { parseBraces, type Statement } from './braces.ts';
import { ImportError, listAt, type Note, Notes, type Place, type Section, sectionAt } from './report.ts';

/** Files named.conf includes may include others; a circle ends here. */
const maxIncludes = 64;

export interface NamedFiles {
  /** @throws {Error} */
  readonly read: (path: string) => string;
  readonly exists: (path: string) => boolean;
}

export interface NamedImport {
  readonly dns: Section;
  readonly notes: readonly Note[];
  /** Zone files that the configuration goes on with, and where BIND had them. */
  readonly zones: readonly { readonly name: string; readonly file: string; readonly journal: string | undefined }[];
}

/** @throws {ImportError} */
export function importNamed(text: string, file: string, files: NamedFiles): NamedImport {
  const statements = withIncludes(parseBraces(text, file), file, files, { left: maxIncludes });
  return new NamedImporter(statements, file, files).run();
}

function withIncludes(
  statements: readonly Statement[],
  file: string,
  files: NamedFiles,
  budget: { left: number },
): Statement[] {
  return statements.flatMap((statement) => {
    if (statement.words[0] !== 'include') return [statement];
    if (budget.left-- <= 0) throw new ImportError('V6_IMPORT_SYNTAX', `${file}: more than ${maxIncludes} includes`);
    const path = join(isAbsolute(statement.words[1] ?? '') ? '' : dirname(file), statement.words[1] ?? '');
    try {
      return withIncludes(parseBraces(files.read(path), path), path, files, budget);
    } catch (error) {
      if (error instanceof ImportError) throw error;
      throw new ImportError('V6_IMPORT_READ', `${file}:${statement.place.line}: cannot read ${path}`, { cause: error });
    }
  });
}

/** Statements that say nothing about what is served. */
const ownWays = new Set(
  (
    'directory pid-file session-keyfile managed-keys-directory bindkeys-file dump-file statistics-file memstatistics-file ' +
    'lock-file listen-on listen-on-v6 forwarders forward allow-query allow-recursion allow-query-cache recursion dnssec-validation ' +
    'auth-nxdomain version hostname server-id max-cache-size max-cache-ttl max-ncache-ttl querylog minimal-responses empty-zones-enable ' +
    'dns64 allow-transfer allow-update also-notify notify zone-statistics'
  ).split(' '),
);

class NamedImporter {
  readonly #statements: readonly Statement[];
  readonly #files: NamedFiles;
  readonly #file: string;
  readonly #notes = new Notes();
  readonly #dns: Section = {};
  readonly #acls = new Map<string, Statement>();
  readonly #zones: { name: string; file: string; journal: string | undefined }[] = [];
  #folder: string;

  constructor(statements: readonly Statement[], file: string, files: NamedFiles) {
    this.#statements = statements;
    this.#files = files;
    this.#file = file;
    this.#folder = dirname(file);
  }

  run(): NamedImport {
    for (const statement of this.#statements) {
      if (statement.words[0] === 'acl') this.#acls.set(statement.words[1] ?? '', statement);
    }
    for (const statement of this.#statements) this.#top(statement);
    this.#dns.listen ??= ['[::1]:53'];
    this.#dns.allow ??= ['::1/128', '127.0.0.0/8'];
    return { dns: this.#dns, notes: this.#notes.all, zones: this.#zones };
  }

  #top(statement: Statement): void {
    const [word, name = ''] = statement.words;
    switch (word) {
      case 'options':
        this.#options(statement);
        return;
      case 'key':
        this.#key(statement, name);
        return;
      case 'zone':
        this.#zone(statement, name.toLowerCase().replace(/\.$/, ''));
        return;
      case 'acl':
      case 'controls':
      case 'logging':
      case 'statistics-channels':
        return;
      default:
        this.#lost(statement, 'not known here', ['dns']);
    }
  }

  #options({ block = [] }: Statement): void {
    const find = (word: string) => block.find(({ words }) => words[0] === word);
    const folder = find('directory')?.words[1];
    if (folder !== undefined) this.#folder = folder;
    const listens = block.filter(({ words }) => words[0] === 'listen-on' || words[0] === 'listen-on-v6');
    const listen = listens.flatMap((one) => this.#listen(one));
    if (listen.length > 0) this.#dns.listen = listen;
    const recursion = find('allow-recursion') ?? find('allow-query');
    if (recursion !== undefined) this.#dns.allow = this.#addresses(recursion, ['dns', 'allow']);
    const forwarders = find('forwarders');
    if (forwarders !== undefined && (forwarders.block?.length ?? 0) > 0) {
      Object.assign(sectionAt(this.#dns, 'forward'), {
        upstreams: endpoints(forwarders),
        policy: 'ordered',
        ...this.#cache(block),
      });
      if (find('forward')?.words[1] !== 'only') {
        this.#lost(find('forward') ?? forwarders, 'forward only: we do not resolve from the root by ourselves', [
          'dns',
          'forward',
        ]);
      }
    } else if (find('recursion')?.words[1] !== 'no') {
      this.#notes.add(
        { file: this.#file, line: 1 },
        'options',
        'BIND resolved from the root; we forward: name upstreams',
        ['dns'],
      );
    }
    const validation = find('dnssec-validation');
    if (validation !== undefined && validation.words[1] !== 'no') {
      this.#lost(validation, 'we do not validate by ourselves: take upstreams that do, by tls://', ['dns', 'forward']);
    }
    this.#dns64(block.filter(({ words }) => words[0] === 'dns64'));
    for (const one of block) {
      if (!ownWays.has(one.words[0] ?? '')) this.#lost(one, 'not known here', ['dns']);
    }
  }

  #cache(block: readonly Statement[]): Section {
    const value = (word: string) => block.find(({ words }) => words[0] === word)?.words[1];
    const cache: Section = {};
    const size = value('max-cache-size');
    if (size !== undefined && /^\d+[kmg]?$/i.test(size)) cache.size = size.toLowerCase();
    const ttl = (word: string) => (/^\d+$/.test(value(word) ?? '') ? `${value(word)}s` : undefined);
    if (ttl('max-cache-ttl') !== undefined) cache.maxTtl = ttl('max-cache-ttl');
    if (ttl('max-ncache-ttl') !== undefined) cache.maxNegativeTtl = ttl('max-ncache-ttl');
    return Object.keys(cache).length === 0 ? {} : { cache };
  }

  #dns64(statements: readonly Statement[]): void {
    const [first, ...others] = statements;
    if (first === undefined) return;
    this.#dns.dns64 = { mode: 'synthesize', prefix: first.words[1] };
    for (const one of others) this.#lost(one, 'one prefix alone: the first is taken', ['dns', 'dns64']);
    for (const one of first.block ?? []) {
      const exclude = one.words[0] === 'exclude';
      if (exclude) (this.#dns.dns64 as Section).exclude = this.#addresses(one, ['dns', 'dns64']);
      else this.#lost(one, 'for all clients and addresses here', ['dns', 'dns64']);
    }
  }

  #listen(statement: Statement): string[] {
    const at = statement.words.indexOf('port');
    const port = at < 0 ? '53' : statement.words[at + 1];
    return (statement.block ?? []).flatMap(({ words, place }) => {
      const [address = ''] = words;
      if (address === 'none') return [];
      if (address === 'any') {
        this.#notes.add(place, words.join(' '), 'name the exact addresses: others hold port 53 on some', [
          'dns',
          'listen',
        ]);
        return statement.words[0] === 'listen-on-v6' ? [`[::]:${port}`] : [`0.0.0.0:${port}`];
      }
      return [address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`];
    });
  }

  #key(statement: Statement, name: string): void {
    const value = (word: string) => statement.block?.find(({ words }) => words[0] === word)?.words[1];
    const keys = sectionAt(this.#dns, 'keys');
    const algorithm = (value('algorithm') ?? 'hmac-sha256').toLowerCase().replace(/\.$/, '');
    const short = algorithm === 'hmac-md5.sig-alg.reg.int' ? 'hmac-md5' : algorithm;
    keys[name.toLowerCase().replace(/\.$/, '')] = { algorithm: short, secret: value('secret') };
  }

  #zone(statement: Statement, name: string): void {
    const block = statement.block ?? [];
    const find = (word: string) => block.find(({ words }) => words[0] === word);
    const type = find('type')?.words[1];
    if (type === 'hint' || type === 'mirror') return;
    if (type === 'forward') {
      this.#forwardZone(name, find('forwarders'));
      return;
    }
    const list = listAt<Section>(this.#dns, 'zones');
    const path = ['dns', 'zones', list.length];
    const secondary = type === 'slave' || type === 'secondary';
    const entry: Section = { name };
    list.push(entry);
    if (secondary) this.#secondary(find('primaries') ?? find('masters'), entry, path);
    else if (type !== 'master' && type !== 'primary')
      this.#lost(statement, `a zone of type ${type} is not known here`, path);
    const file = find('file')?.words[1];
    if (file !== undefined && !secondary) {
      const full = isAbsolute(file) ? file : join(this.#folder, file);
      entry.file = full;
      this.#zones.push({ name, file: full, journal: this.#files.exists(`${full}.jnl`) ? `${full}.jnl` : undefined });
    }
    const update = [find('update-policy'), find('allow-update')].filter((one) => one !== undefined);
    for (const one of update) this.#update(one, entry, path);
    this.#transfer(find('allow-transfer'), find('also-notify'), entry, path);
    const known = 'type file update-policy allow-update allow-transfer also-notify masters primaries notify';
    for (const one of block) {
      if (!`${known} masterfile-format check-names journal max-journal-size`.split(' ').includes(one.words[0] ?? '')) {
        this.#lost(one, 'not known here', path);
      }
    }
  }

  #forwardZone(domain: string, forwarders: Statement | undefined): void {
    if (forwarders === undefined) return;
    const forward = sectionAt(this.#dns, 'forward');
    listAt(forward, 'upstreams');
    listAt<Section>(forward, 'domains').push({ domain, upstreams: endpoints(forwarders) });
  }

  #secondary(primaries: Statement | undefined, entry: Section, path: readonly (string | number)[]): void {
    if (primaries === undefined) return;
    entry.primaries = endpoints(primaries);
    const key = primaries.block
      ?.map(({ words }) => words[words.indexOf('key') + 1])
      .find((_, i) => primaries.block![i]!.words.includes('key'));
    if (key !== undefined) entry.key = key;
    if (endpoints(primaries).length === 0) this.#lost(primaries, 'a list by name: write its addresses', path);
  }

  #update(statement: Statement, entry: Section, path: readonly (string | number)[]): void {
    const rules = listAt<Section>(entry, 'update');
    for (const one of statement.block ?? []) {
      if (statement.words[0] === 'allow-update') {
        if (one.words[0] === 'none') continue;
        if (one.words[0] === 'key') rules.push({ key: keyName(one.words[1]), match: 'zonesub' });
        else this.#lost(one, 'an update without a key is refused here', path);
        continue;
      }
      const rule = this.#rule(one, path);
      if (rule !== undefined) rules.push(rule);
    }
  }

  /** `grant KEY RULETYPE [NAME] [TYPES]`. */
  #rule(one: Statement, path: readonly (string | number)[]): Section | undefined {
    const [verb, key, type = '', ...rest] = one.words;
    const match = ruleTypes[type.toLowerCase()];
    if (verb !== 'grant' || match === undefined) {
      this.#lost(
        one,
        verb === 'deny' ? 'what no rule grants is refused; put narrower rules' : `no rule type ${type} here`,
        path,
      );
      return undefined;
    }
    const named = match === 'name' || match === 'subdomain' || match === 'wildcard';
    const name = match === 'zonesub' ? undefined : rest[0];
    const types = match === 'zonesub' ? rest : rest.slice(1);
    return {
      key: keyName(key),
      match,
      ...(named && name !== undefined && { name: name.toLowerCase().replace(/\.$/, '') }),
      ...(types.length > 0 && types[0] !== 'ANY' && { types }),
    };
  }

  #transfer(
    allow: Statement | undefined,
    notify: Statement | undefined,
    entry: Section,
    path: readonly (string | number)[],
  ): void {
    const transfer: Section = {};
    const keys = allow?.block?.filter(({ words }) => words[0] === 'key').map(({ words }) => keyName(words[1])) ?? [];
    if (keys[0] !== undefined) transfer.key = keys[0];
    const from = allow === undefined ? [] : this.#addresses(allow, path);
    if (keys.length > 0 && from.length === 0) from.push('::/0', '0.0.0.0/0');
    if (from.length > 0) transfer.allow = from;
    if (notify !== undefined) transfer.notify = endpoints(notify);
    if (keys.length > 1) this.#lost(allow!, 'one key alone: the first is taken', path);
    if (Object.keys(transfer).length > 0) entry.transfer = transfer;
  }

  /** An address match list as prefixes; negations and names of the machine are said to be lost. */
  #addresses(statement: Statement, path: readonly (string | number)[], depth = 0): string[] {
    return (statement.block ?? []).flatMap((one) => {
      const [word = ''] = one.words;
      if (word === 'none' || word === 'key') return [];
      if (word === 'any') return ['::/0', '0.0.0.0/0'];
      if (word === 'localhost') return ['::1/128', '127.0.0.0/8'];
      const acl = this.#acls.get(word);
      if (acl !== undefined && depth < 8) return this.#addresses(acl, path, depth + 1);
      if (/^[0-9a-f.:]+(\/\d+)?$/i.test(word)) return [withLength(word)];
      this.#lost(one, 'name the prefixes themselves', path);
      return [];
    });
  }

  #lost(
    { place, words }: { place: Place; words: readonly string[] },
    why: string,
    path: readonly (string | number)[],
  ): void {
    this.#notes.add(place, words.join(' '), why, path);
  }
}

/** BIND's rule types that mean the same here. */
const ruleTypes: Readonly<Record<string, string>> = {
  self: 'self',
  selfsub: 'selfsub',
  selfwild: 'selfwild',
  name: 'name',
  subdomain: 'subdomain',
  wildcard: 'wildcard',
  zonesub: 'zonesub',
};

function keyName(text: string | undefined): string {
  return (text ?? '').toLowerCase().replace(/\.$/, '');
}

function withLength(text: string): string {
  if (text.includes('/')) return text;
  return text.includes(':') ? `${text}/128` : `${text}/32`;
}

/** `2001:db8::53; 192.0.2.53 port 5353;` as endpoints. */
function endpoints({ block = [] }: Statement): string[] {
  return block
    .filter(({ words }) => /^[0-9a-f.:]+(%\w+)?$/i.test(words[0] ?? '') && /[.:]/.test(words[0] ?? ''))
    .map(({ words }) => {
      const [address = ''] = words;
      const at = words.indexOf('port');
      if (at < 0) return address;
      return address.includes(':') ? `[${address}]:${words[at + 1]}` : `${address}:${words[at + 1]}`;
    });
}
