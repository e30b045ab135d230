/** haproxy.cfg in TCP mode to our `proxy`. What HAProxy does by default and we do not is written down. */
import { isIP } from 'node:net';
import { type HaproxySection, haproxyTime, type Line, parseHaproxy } from './haproxy-file.ts';
import { readServer, type Server, splitEndpoint } from './haproxy-server.ts';
import { otherWays, ownOptions, ownWays } from './haproxy-words.ts';
import { listAt, type Note, Notes, type Section, sectionAt } from './report.ts';

type Path = readonly (string | number)[];

/** @throws {ImportError} */
export function importHaproxy(text: string, file: string): { proxy: Section; notes: readonly Note[] } {
  return new HaproxyImporter(parseHaproxy(text, file)).run();
}

const balances: Readonly<Record<string, string>> = {
  roundrobin: 'roundrobin',
  'static-rr': 'roundrobin',
  leastconn: 'leastconn',
  source: 'source',
  random: 'random2',
};

class HaproxyImporter {
  readonly #sections: readonly HaproxySection[];
  readonly #notes = new Notes();
  readonly #proxy: Section = { timeouts: {}, listeners: [], pools: {} };
  #defaults: readonly Line[] = [];

  constructor(sections: readonly HaproxySection[]) {
    this.#sections = sections;
  }

  run(): { proxy: Section; notes: readonly Note[] } {
    for (const section of this.#sections) this.#section(section);
    if (Object.keys(this.#proxy.timeouts as Section).length === 0) delete this.#proxy.timeouts;
    return { proxy: this.#proxy, notes: this.#notes.all };
  }

  #section(section: HaproxySection): void {
    const { kind, name, lines, place } = section;
    switch (kind) {
      case 'global':
        this.#limit(lines, true);
        this.#others(lines, ['proxy']);
        return;
      case 'defaults':
        this.#defaults = lines;
        this.#timeouts(lines, ['proxy', 'timeouts'], this.#proxy.timeouts as Section);
        this.#limit(lines, false);
        this.#others(lines, ['proxy']);
        return;
      case 'frontend':
        this.#frontend(section);
        return;
      case 'backend':
        this.#backend(section);
        return;
      case 'listen':
        // The page of statistics is `GET /` here.
        if (serversOf(lines).length === 0 && lines.some(isStats)) {
          this.#others(lines.filter(isStats), ['proxy']);
          return;
        }
        this.#frontend(section);
        this.#backend(section);
        return;
      case 'resolvers':
      case 'peers':
        return;
      default:
        this.#notes.add(place, `${kind} ${name}`, 'a section that is not known here', ['proxy']);
    }
  }

  #limit(lines: readonly Line[], global: boolean): void {
    const maxconn = lines.find(({ words }) => words[0] === 'maxconn');
    if (maxconn === undefined) return;
    if (global || this.#proxy.maxConnections === undefined) this.#proxy.maxConnections = Number(maxconn.words[1]);
  }

  /**
   * HAProxy has timeouts for each side, we have one for silence on both; `timeout tunnel` is in place of theirs from the connect on.
   * @param into of all, or of a pool; undefined: a frontend's, which are lost
   */
  #timeouts(lines: readonly Line[], path: Path, into: Section | undefined): void {
    const found = new Map(lines.filter(({ words }) => words[0] === 'timeout').map((line) => [line.words[1], line]));
    const value = (name: string) => {
      const text = found.get(name)?.words[2];
      return text === undefined ? undefined : haproxyTime(text);
    };
    if (into === undefined) {
      for (const line of found.values()) this.#lost(line, 'timeouts are those of all, or of a pool, here', path);
      return;
    }
    // A tunnel's time that holds for all goes before that of one side of one backend.
    const tunnels = this.#defaults.some(({ words: [word, which] }) => word === 'timeout' && which === 'tunnel');
    const sides = tunnels ? undefined : longer(value('client'), value('server'));
    const entries: [string, string | undefined][] = [
      ['connect', value('connect')],
      ['idle', value('tunnel') ?? sides],
      ['clientFin', value('client-fin')],
      ['serverFin', value('server-fin')],
    ];
    for (const [key, text] of entries) if (text !== undefined) into[key] = text;
  }

  #frontend({ kind, name, lines, place }: HaproxySection): void {
    const listeners = listAt<Section>(this.#proxy, 'listeners');
    const path: Path = ['proxy', 'listeners', listeners.length];
    const entry: Section = { name, bind: [], pool: name };
    listeners.push(entry);
    const mode = [...this.#defaults, ...lines].findLast(({ words }) => words[0] === 'mode');
    if (mode !== undefined && mode.words[1] !== 'tcp')
      this.#lost(mode, 'connections are passed on as they are (TCP mode)', path);
    for (const line of lines) {
      if (line.words[0] === 'bind') this.#bind(line, entry, path);
      else if (line.words[0] === 'default_backend') entry.pool = line.words[1];
      else if (line.words[0] === 'use_backend') this.#route(line, lines, entry, path);
      else if (line.words[0] === 'tcp-request') this.#access(line, lines, entry, path);
    }
    if ((entry.bind as unknown[]).length === 0)
      this.#notes.add(place, `frontend ${name}`, 'it has no bind that can be taken over', path);
    // Those of a `listen` are its pool's.
    if (kind === 'frontend') this.#timeouts(lines, path, undefined);
    this.#others(lines, path);
  }

  #bind(line: Line, entry: Section, path: Path): void {
    const bind = listAt<string>(entry, 'bind');
    const options = line.words.slice(2);
    for (const text of (line.words[1] ?? '').split(',')) {
      const { address, port } = splitEndpoint(text);
      if (port === undefined) this.#lost(line, 'name each address and port', path);
      else if (address === '' || address === '*' || address === '0.0.0.0') {
        bind.push(`0.0.0.0:${port}`);
      } else if (address === '::') bind.push(`[::]:${port}`, ...(options.includes('v4v6') ? [`0.0.0.0:${port}`] : []));
      else if (isIP(address) === 0) this.#lost(line, 'an address is wanted', path);
      else bind.push(isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`);
    }
    if (options.includes('accept-proxy')) {
      entry.acceptProxy = true;
      entry.trusted = ['0.0.0.0/0', '::/0'];
      this.#lost(line, 'accept-proxy believes everyone, as before: name the load balancers in `trusted`', path);
    }
    if (options.includes('ssl')) this.#lost(line, 'TLS is not terminated here: it goes on to the members', path);
    if (options.includes('interface')) this.#lost(line, 'listeners are bound to addresses', path);
  }

  /** `use_backend POOL if { req.ssl_sni -i NAME … }`, also through a named acl. */
  #route(line: Line, lines: readonly Line[], entry: Section, path: Path): void {
    const pool = line.words[1] ?? '';
    const tests = conditions(line.words.slice(2), lines);
    const names = tests.length === 1 ? serverNames(tests[0]!) : undefined;
    if (names === undefined) {
      this.#lost(line, 'routes go by the TLS server name alone', path);
      return;
    }
    listAt<Section>(entry, 'routes').push(...names.map((sni) => ({ sni, pool })));
  }

  /** `tcp-request connection accept|reject [if|unless …src…]`. */
  #access(line: Line, lines: readonly Line[], entry: Section, path: Path): void {
    const [, layer, action, ...condition] = line.words;
    if (layer === 'inspect-delay') {
      (this.#proxy.timeouts as Section).clientHello = haproxyTime(action ?? '');
      return;
    }
    if (layer === 'content' && action === 'accept') return;
    const tests = conditions(condition, lines);
    const sources = tests.length === 1 && tests[0]!.fetch === 'src' ? tests[0]! : undefined;
    if (
      sources === undefined ||
      (layer !== 'connection' && layer !== 'session' && layer !== 'content') ||
      action !== 'reject'
    ) {
      this.#lost(line, 'allow and deny go by the client’s address alone', path);
      return;
    }
    const prefixes = sources.values.map((text) =>
      text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`,
    );
    listAt<string>(entry, sources.negated ? 'allow' : 'deny').push(...prefixes);
  }

  #backend({ name, lines }: HaproxySection): void {
    const pools = sectionAt(this.#proxy, 'pools');
    const path: Path = ['proxy', 'pools', name];
    const all = [...this.#defaults, ...lines];
    const last = (word: string) => all.findLast(({ words }) => words[0] === word);
    const defaults = all.filter(({ words }) => words[0] === 'default-server').flatMap(({ words }) => words.slice(1));
    const servers = serversOf(lines).map((line) => readServer(line, defaults));
    const pool: Section = { balance: this.#balance(last('balance'), path) };
    pools[name] = pool;
    this.#headers(servers, pool, path);
    pool.check = this.#check(all, servers, path);
    const closing = servers.filter(({ closeOnDown }) => closeOnDown);
    pool.onMarkedDown = closing.length > 0 ? 'close' : 'keep';
    if (servers.some(({ closeBackupsOnUp }) => closeBackupsOnUp)) pool.onMarkedUp = 'close-backups';
    if (closing.length > 0 && closing.length < servers.length) {
      this.#lost(closing[0]!.line, 'on-marked-down holds for all members of a pool', path);
    }
    // A weight that is not given is 1 in HAProxy.
    if (servers.some(({ member }) => member.weight !== undefined))
      for (const { member } of servers) member.weight ??= 1;
    const retries = last('retries');
    if (retries !== undefined) pool.retries = Number(retries.words[1]);
    const queue = all.findLast(({ words }) => words[0] === 'timeout' && words[1] === 'queue');
    if (queue !== undefined) pool.queue = { timeout: haproxyTime(queue.words[2] ?? '') };
    for (const server of servers) this.#server(server, pool, path);
    const timeouts: Section = {};
    this.#timeouts(lines, path, timeouts);
    if (Object.keys(timeouts).length > 0) pool.timeouts = timeouts;
    this.#others(lines, path);
  }

  #balance(line: Line | undefined, path: Path): string {
    const word = /^[a-z-]+/.exec(line?.words[1] ?? 'roundrobin')?.[0] ?? '';
    const found = balances[word];
    if (found === undefined) this.#lost(line!, 'leastconn stands in for it', path);
    return found ?? 'leastconn';
  }

  #headers(servers: readonly Server[], pool: Section, path: Path): void {
    const [first] = servers;
    if (first === undefined) return;
    if (first.proxyProtocol !== 'none') pool.proxyProtocol = first.proxyProtocol;
    if (first.proxyV2Options.length > 0) pool.proxyV2Options = first.proxyV2Options;
    for (const other of servers) {
      if (other.proxyProtocol !== first.proxyProtocol) {
        this.#lost(other.line, `all members of a pool get the same PROXY header (${first.proxyProtocol})`, path);
      }
    }
  }

  #check(all: readonly Line[], servers: readonly Server[], path: Path): Section {
    const [first] = servers.filter(({ checked }) => checked);
    if (first === undefined) return { type: 'none' };
    // HAProxy's defaults: every 2 s, up after 2, down after 3.
    const check: Section = { type: first.checkTls ? 'tls' : 'tcp', ...first.check };
    const option = all.findLast(
      ({ words }) => words[0] === 'option' && ['httpchk', 'ssl-hello-chk'].includes(words[1] ?? ''),
    );
    if (option?.words[1] === 'ssl-hello-chk') check.type = 'tls';
    if (option?.words[1] === 'httpchk') {
      check.type = first.checkTls ? 'https' : 'http';
      const [, , ...args] = option.words;
      const [method, path] = args.length === 1 ? [undefined, args[0]] : args;
      if (method !== undefined) check.method = method;
      if (path !== undefined) check.path = path;
    }
    for (const line of all.filter(({ words }) => words[0] === 'http-check' || words[0] === 'tcp-check'))
      this.#checkLine(line, check, path);
    const timeout = all.findLast(({ words }) => words[0] === 'timeout' && words[1] === 'check');
    if (timeout !== undefined) check.timeout = haproxyTime(timeout.words[2] ?? '');
    for (const other of servers) {
      if (other.checked !== first.checked) this.#lost(other.line, 'members of a pool are checked alike', path);
    }
    return check;
  }

  /** `http-check send meth M uri U hdr Host H`, `expect status S`, `connect ssl sni N port P`. */
  #checkLine(line: Line, check: Section, path: Path): void {
    const [, verb, ...rest] = line.words;
    const value = (word: string) => (rest.includes(word) ? rest[rest.indexOf(word) + 1] : undefined);
    if (verb === 'send' && line.words[0] === 'http-check') {
      if (value('meth') !== undefined) check.method = value('meth');
      if (value('uri') !== undefined) check.path = value('uri');
      const host = rest.findIndex((word, i) => word === 'hdr' && /^host$/i.test(rest[i + 1] ?? ''));
      if (host >= 0) check.host = rest[host + 2];
    } else if (verb === 'expect' && rest[0] === 'status') {
      check.expect = rest
        .slice(1)
        .flatMap((text) => text.split(','))
        .map(Number);
    } else if (verb === 'connect') {
      if (rest.includes('ssl')) check.type = check.type === 'http' || check.type === 'https' ? 'https' : 'tls';
      if (value('sni') !== undefined) check.sni = value('sni');
      if (value('port') !== undefined) check.port = Number(value('port'));
    } else if (line.words[0] === 'tcp-check' && stepOf(verb, rest) !== undefined) {
      listAt(check, 'steps').push(stepOf(verb, rest));
    } else this.#lost(line, 'checks know a connect, a TLS handshake, an HTTP status, and text sent and expected', path);
  }

  #server(server: Server, pool: Section, path: Path): void {
    const { line, name, address, port, member } = server;
    for (const word of server.lost)
      this.#lost({ ...line, words: [line.words[0]!, name, word] }, 'not known here', path);
    if (server.template || isIP(address) === 0) {
      const { maxConnections, slowStart } = member;
      const discover = {
        ...(address.startsWith('_') ? { srv: address } : { aaaa: address, ...(port !== undefined && { port }) }),
        ...(maxConnections !== undefined && { maxConnections }),
        ...(slowStart !== undefined && { slowStart }),
      };
      // Members of one template weigh the same anyway.
      if (member.backup === true || (member.weight !== undefined && !server.template))
        this.#lost(line, 'SRV records say the weight, and by their priority who is a backup', path);
      if (pool.discover === undefined) {
        pool.discover = discover;
        if (!address.startsWith('_'))
          this.#lost(line, 'members come from the AAAA records of the name (`a` for those that have only IPv4)', path);
      } else if (JSON.stringify(pool.discover) !== JSON.stringify(discover)) this.#lost(line, 'one name a pool', path);
      return;
    }
    if (port === undefined) {
      this.#lost(line, 'the port of the listener was taken: write it down', path);
      return;
    }
    listAt<Section>(pool, 'members').push({ name, address, port, ...member });
  }

  /** What nothing above has read. */
  #others(lines: readonly Line[], path: Path): void {
    for (const line of lines) {
      const [word = '', second = ''] = line.words;
      if (word === 'no' || (word === 'option' && ownOptions.has(second))) continue;
      const instead = otherWays.get(`${word} ${second}`) ?? otherWays.get(word);
      if (instead !== undefined) this.#lost(line, instead, path);
      else if (!ownWays.has(word)) this.#lost(line, 'not known here', path);
    }
  }

  #lost({ place, words }: Line, why: string, path: Path): void {
    this.#notes.add(place, words.join(' '), why, path);
  }
}

function isStats({ words }: Line): boolean {
  return words[0] === 'stats' && words[1] === 'enable';
}

/** `tcp-check send TEXT`, `send-binary HEX`, `expect string|binary|rstring WHAT`. */
function stepOf(verb: string | undefined, [first, second]: readonly string[]): Section | undefined {
  if (first === undefined) return undefined;
  if (verb === 'send') return { send: first };
  if (verb === 'send-binary') return { sendHex: first };
  const key = { string: 'expect', binary: 'expectHex', rstring: 'expectMatch' }[first];
  return verb === 'expect' && key !== undefined && second !== undefined ? { [key]: second } : undefined;
}

function serversOf(lines: readonly Line[]): Line[] {
  return lines.filter(({ words }) => words[0] === 'server' || words[0] === 'server-template');
}

/** The longer of two durations as HAProxy writes them. */
function longer(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return milliseconds(a) >= milliseconds(b) ? a : b;
}

function milliseconds(text: string): number {
  const [, amount, unit = 'ms'] = /^(\d+)([a-z]*)$/.exec(text) ?? [];
  return Number(amount) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? 1);
}

/** One test of a condition: `{ src 10.0.0.0/8 }`. */
interface AclTest {
  readonly fetch: string;
  readonly values: readonly string[];
  readonly negated: boolean;
  readonly suffix: boolean;
}

/** The tests of `if …` or `unless …`; named acls are looked up. An empty list: none, or more than can be read. */
function conditions(words: readonly string[], lines: readonly Line[]): AclTest[] {
  const [keyword, ...rest] = words;
  if (keyword !== 'if' && keyword !== 'unless') return [];
  const text = rest.join(' ');
  const parts = [...text.matchAll(/(!?)\s*(?:\{\s*([^}]*?)\s*\}|([\w.-]+))/g)];
  if (/\|\||\bor\b/.test(text)) return [];
  return parts.flatMap(([, not, inline, name]) => {
    const negated = (not === '!') !== (keyword === 'unless');
    if (inline !== undefined) return [readTest(inline.split(/\s+/), negated)];
    const acls = lines.filter((line) => line.words[0] === 'acl' && line.words[1] === name);
    const tests = acls.map((line) => readTest(line.words.slice(2), negated));
    const [first] = tests;
    if (first === undefined) return [{ fetch: name ?? '', values: [], negated, suffix: false }];
    const alike = tests.every(({ fetch, suffix }) => fetch === first.fetch && suffix === first.suffix);
    return alike ? [{ ...first, values: tests.flatMap(({ values }) => values) }] : tests;
  });
}

function readTest([fetch = '', ...rest]: readonly string[], negated: boolean): AclTest {
  const values = rest.filter((word, i) => !word.startsWith('-') && !(rest[i - 1] === '-m'));
  const suffix = rest.includes('end') || /_end$/.test(fetch);
  return { fetch, values, negated, suffix };
}

/** Names of an SNI test; undefined if it is none that routes can say. */
function serverNames({ fetch, values, negated, suffix }: AclTest): string[] | undefined {
  if (negated || values.length === 0) return undefined;
  if (!/^(req\.ssl_sni|req_ssl_sni|ssl_fc_sni)/.test(fetch)) return undefined;
  if (!suffix) return [...values];
  return values.every((value) => value.startsWith('.')) ? values.map((value) => `*${value}`) : undefined;
}
