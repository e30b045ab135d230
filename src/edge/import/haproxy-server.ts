/** `server` and `server-template` lines: members of a pool, and what they say of its checks and headers. */
import { haproxyTime, type Line } from './haproxy-file.ts';
import type { Section } from './report.ts';

/** A `server` line with what `default-server` put before it. */
export interface Server {
  readonly line: Line;
  readonly name: string;
  /** As written; a name when it is to be resolved. */
  readonly address: string;
  readonly port: number | undefined;
  readonly template: boolean;
  readonly member: Section;
  readonly check: Section;
  readonly checked: boolean;
  readonly checkTls: boolean;
  readonly proxyProtocol: 'none' | 'v1' | 'v2';
  readonly proxyV2Options: readonly string[];
  readonly closeOnDown: boolean;
  readonly closeBackupsOnUp: boolean;
  /** Words that mean nothing here. */
  readonly lost: readonly string[];
}

/** Options without a value, and those with one. */
const flags = new Set(
  'check backup send-proxy send-proxy-v2 check-send-proxy check-ssl disabled no-check no-backup ssl'.split(' '),
);
/** What HAProxy does by them is not needed, or done anyway. */
const harmless: ReadonlySet<string> = new Set(
  'resolvers resolve-prefer resolve-opts resolve-net init-addr cookie id maxqueue source observe error-limit on-error check-alpn alpn crt check-proto agent-check agent-port agent-inter'.split(
    ' ',
  ),
);
const silent: ReadonlySet<string> = new Set(['resolvers', 'resolve-prefer', 'init-addr', 'id']);

export function readServer(line: Line, defaults: readonly string[]): Server {
  const template = line.words[0] === 'server-template';
  const [, first = ''] = line.words;
  const endpoint = line.words[template ? 3 : 2] ?? '';
  const { address, port } = splitEndpoint(endpoint);
  const words = [...defaults, ...line.words.slice(template ? 4 : 3)];
  const found = readWords(words);
  return { line, name: first, address, port, template, ...found };
}

function readWords(words: readonly string[]): Omit<Server, 'line' | 'name' | 'address' | 'port' | 'template'> {
  const member: Section = {};
  const check: Section = {};
  const lost: string[] = [];
  const on = new Set<string>();
  let options: string[] = [];
  let closeOnDown = false;
  let closeBackupsOnUp = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (flags.has(word)) {
      on.add(word);
      if (word.startsWith('no-')) on.delete(word.slice(3));
      continue;
    }
    const value = words[++i] ?? '';
    switch (word) {
      case 'weight':
        member.weight = Number(value);
        break;
      case 'maxconn':
        member.maxConnections = Number(value);
        break;
      case 'slowstart':
        member.slowStart = haproxyTime(value);
        break;
      case 'inter':
        check.interval = haproxyTime(value);
        break;
      case 'fastinter':
        check.fastInterval = haproxyTime(value);
        break;
      case 'downinter':
        check.downInterval = haproxyTime(value);
        break;
      case 'rise':
      case 'fall':
      case 'port':
        check[word] = Number(value);
        break;
      case 'addr':
        check.address = value;
        break;
      case 'check-sni':
        check.sni = value;
        break;
      case 'verify':
        check.verify = value === 'required' ? 'required' : 'none';
        break;
      case 'ca-file':
        check.caFile = value;
        break;
      case 'on-marked-down':
        closeOnDown = value === 'shutdown-sessions';
        break;
      case 'on-marked-up':
        closeBackupsOnUp = value === 'shutdown-backup-sessions';
        break;
      case 'proxy-v2-options':
        options = value.split(',');
        break;
      default:
        if (!silent.has(word)) lost.push(harmless.has(word) ? `${word} ${value}` : word);
        // A word of which it is not known whether a value follows: the next may be an option of its own.
        if (!harmless.has(word)) i--;
    }
  }
  if (on.has('backup')) member.backup = true;
  if (on.has('check-send-proxy')) check.sendProxy = true;
  // Of a connection that is not made with TLS.
  if (!on.has('check-ssl')) for (const key of ['verify', 'caFile', 'sni']) delete check[key];
  if (on.has('ssl')) lost.push('ssl');
  if (on.has('disabled')) lost.push('disabled');
  const proxyV2Options = options.filter((one) => ['unique-id', 'authority', 'crc32c'].includes(one));
  lost.push(...options.filter((one) => !proxyV2Options.includes(one)).map((one) => `proxy-v2-options ${one}`));
  return {
    member,
    check,
    checked: on.has('check'),
    checkTls: on.has('check-ssl'),
    proxyProtocol: on.has('send-proxy-v2') ? 'v2' : on.has('send-proxy') ? 'v1' : 'none',
    proxyV2Options,
    closeOnDown,
    closeBackupsOnUp,
    lost,
  };
}

/** `host:port`, `[v6]:port`, `v6:port` (the last colon counts, as HAProxy reads it), `host`. */
export function splitEndpoint(text: string): { address: string; port: number | undefined } {
  const plain = text.replace(/^(ipv[46]|tcp[46]?)@/, '');
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(plain);
  if (bracketed !== null) return { address: bracketed[1]!, port: numberOf(bracketed[2]) };
  const at = plain.lastIndexOf(':');
  if (at < 0) return { address: plain, port: undefined };
  return { address: plain.slice(0, at), port: numberOf(plain.slice(at + 1)) };
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
