/** A draft as a configuration file to read and to change: commented, and each guess marked. */
import type { Draft, Guess } from './draft.ts';

/** What a line that has to be looked at begins with. */
export const mark = '# CHANGE?';

export interface Files {
  /** As the configuration names them: absolute, or beside it. */
  readonly keyFile: string;
  readonly tokenFile: string;
  readonly zoneFile: string;
}

/** The file's text. */
export function renderConfig(draft: Draft, files: Files): string {
  const { privateInterface, address, prefix, zone, upstreams } = draft;
  const reverse = reverseZone(prefix);
  return lines(
    '# v6edge: what this edge does. Made by `v6edge init` from what this host looks like.',
    `# Lines to look at are marked "${mark}". Then: v6edge check && systemctl restart v6edge`,
    '# Every setting: man v6edge.yaml',
    '',
    'admin:',
    `  tokenFile: ${files.tokenFile} # for changes over TCP, and for the dashboard`,
    '',
    '# Clients on the internet, IPv4 and IPv6, reach masters and workers by these ports.',
    ...publicLines(draft),
    'proxy:',
    '  listeners:',
    '    - { name: kube-api, bind: ["[::]:6443", "0.0.0.0:6443"], pool: masters }',
    '    - { name: http, bind: ["[::]:80", "0.0.0.0:80"], pool: workers-http }',
    '    - { name: https, bind: ["[::]:443", "0.0.0.0:443"], pool: workers-https }',
    '  pools: # members are the nodes that announce SRV records: a name that comes takes traffic once its check passes',
    `    masters: # kube-apiserver speaks no PROXY protocol`,
    '      balance: leastconn',
    '      check: { type: https, path: /readyz, expect: [200] }',
    `      discover: { srv: _kube-api._tcp.${zone.value} }`,
    `    workers-http: { proxyProtocol: v2, discover: { srv: _http._tcp.${zone.value} } }`,
    `    workers-https: { proxyProtocol: v2, discover: { srv: _https._tcp.${zone.value} } }`,
    '',
    'dns:',
    ...doubts(address, '  '),
    `  listen: ["[${address.value}]:53", "[::1]:53"] # exact addresses: systemd-resolved holds port 53 on 127.0.0.53`,
    `  allow: ["${prefix}", "::1/128"] # who may ask`,
    '  forward:',
    ...doubts(upstreams, '    '),
    `    upstreams: ${JSON.stringify(upstreams.value)}`,
    '  keys:',
    `    node-key: { file: ${files.keyFile} } # what nodes sign their updates with: nsupdate -k`,
    '  zones:',
    ...doubts(zone, '    '),
    `    - name: ${zone.value}`,
    `      ns: [edge.${zone.value}]`,
    `      file: ${files.zoneFile} # the edge’s own name; what nodes announce is kept in the store`,
    '      update: [{ key: node-key, match: subdomain, types: [AAAA, A, TXT, SRV, SSHFP] }]',
    '      reverse: true # PTR records in the zone below keep in step',
    `    - { name: ${reverse}, ns: [edge.${zone.value}] }`,
    '',
    '# Nodes take their address from this prefix and ask this DNS server; they are told no default route.',
    'ra:',
    ...doubts(privateInterface, '  '),
    `  - interface: ${privateInterface.value}`,
    `    prefixes: [{ prefix: "${prefix}" }]`,
    `    rdnss: { servers: ["${address.value}"] }`,
    `    dnssl: { domains: [${zone.value}] }`,
    '',
    '# Machines become nodes by one command, which `v6edge node token create --role worker` prints (docs/nodes.md).',
    'join:',
    `  listen: ["[${address.value}]:8654"] # private: whoever listens there sees what a joining node gets`,
  );
}

/** The records that the zone starts from. */
export function renderZone({ address, zone }: Draft): string {
  return `; ${zone.value}: what it starts from; later changes here are not read again\nedge 300 IN AAAA ${address.value}\n`;
}

/** The guesses of a draft, for the terminal. */
export function doubtsOf(draft: Draft): string[] {
  const guesses: [string, Guess<unknown>][] = [
    [`ra: interface ${draft.privateInterface.value}`, draft.privateInterface],
    [`dns.listen: ${draft.address.value}`, draft.address],
    [`dns.forward.upstreams: ${draft.upstreams.value.join(', ')}`, draft.upstreams],
    [`dns.zones: ${draft.zone.value}`, draft.zone],
  ];
  return guesses.flatMap(([what, { doubt }]) => (doubt === undefined ? [] : [`${what}: ${doubt}`]));
}

/** The ip6.arpa zone of a /64 (RFC 3596 §2.5). */
export function reverseZone(prefix: string): string {
  const [head = '', tail = ''] = prefix.replace(/\/64$/, '').split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail)];
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  const digits = all.slice(0, 4).flatMap((group) => [...group.padStart(4, '0')]);
  return `${digits.reverse().join('.')}.ip6.arpa`;
}

function publicLines({ publicAddresses }: Draft): string[] {
  if (publicAddresses.length === 0) return [`${mark} this host has no address beside private ones`];
  return [`# This host's: ${publicAddresses.join(', ')}`];
}

function doubts({ doubt }: Guess<unknown>, indent: string): string[] {
  return doubt === undefined ? [] : [`${indent}${mark} ${doubt}`];
}

function lines(...all: string[]): string {
  return `${all.join('\n')}\n`;
}
