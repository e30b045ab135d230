/** What this host's network looks like: read from the kernel, for `v6edge init`. */
import { readFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';

export interface HostAddress {
  /** As Node prints it: canonical, without zone id. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly length: number;
}

export interface HostInterface {
  readonly name: string;
  readonly addresses: readonly HostAddress[];
  /** IP versions of which the interface has a default route. */
  readonly defaultRoutes: readonly (4 | 6)[];
}

export interface Host {
  readonly hostname: string;
  /** Without loopback. */
  readonly interfaces: readonly HostInterface[];
  /** Name servers of /etc/resolv.conf, in order. */
  readonly nameServers: readonly string[];
}

/** Where it is read from; tests have a folder of their own. */
export interface HostFiles {
  readonly proc: string;
  readonly resolvConf: readonly string[];
}

const kernel: HostFiles = {
  proc: '/proc/net',
  // What systemd-resolved itself asks; /etc/resolv.conf may name only its stub.
  resolvConf: ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'],
};

/** Never throws: what cannot be read is not there. */
export function readHost(files: HostFiles = kernel): Host {
  const routes = [
    ...readRoutes(readText(`${files.proc}/ipv6_route`), defaultRoute6, 6),
    ...readRoutes(readText(`${files.proc}/route`), defaultRoute4, 4),
  ];
  const addresses = networkInterfaces();
  const names = readNames(readText(`${files.proc}/dev`)).filter((name) => name !== 'lo');
  const servers = files.resolvConf.map((file) => readNameServers(readText(file)));
  return {
    hostname: hostname(),
    interfaces: names.map((name) => ({
      name,
      addresses: (addresses[name] ?? []).map(({ address, family, cidr, netmask }) => ({
        address,
        family: family === 'IPv6' ? 6 : 4,
        length: Number(cidr?.split('/')[1] ?? (netmask === '' ? 0 : 128)),
      })),
      defaultRoutes: routes.filter((route) => route.name === name).map(({ family }) => family),
    })),
    nameServers: servers.find((found) => found.length > 0) ?? [],
  };
}

interface DefaultRoute {
  readonly name: string;
  readonly family: 4 | 6;
}

/** proc(5) /proc/net/ipv6_route: destination, its length, …, flags, interface; RTF_REJECT routes lead nowhere. */
export function defaultRoute6(line: string): string | undefined {
  const fields = line.trim().split(/\s+/);
  const [destination, length] = fields;
  const [flags, name] = fields.slice(-2);
  const rejects = (Number.parseInt(flags ?? '0', 16) & 0x0200) !== 0;
  return /^0{32}$/.test(destination ?? '') && length === '00' && !rejects && name !== 'lo' ? name : undefined;
}

/** proc(5) /proc/net/route: interface, destination, gateway, flags, …, mask. */
export function defaultRoute4(line: string): string | undefined {
  const fields = line.trim().split(/\s+/);
  return fields[1] === '00000000' && fields[7] === '00000000' ? fields[0] : undefined;
}

function readRoutes(text: string, parse: (line: string) => string | undefined, family: 4 | 6): DefaultRoute[] {
  const names = text
    .split('\n')
    .map(parse)
    .filter((name) => name !== undefined);
  return [...new Set(names)].map((name) => ({ name, family }));
}

/** resolv.conf(5); the stubs of systemd-resolved are not servers of their own. */
export function readNameServers(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1])
    .filter((server) => server !== undefined)
    .filter((server) => !server.startsWith('127.') && server !== '::1');
}

/** proc(5) /proc/net/dev: `  eth0: …`. (/sys/class/net is of the namespace that mounted it.) */
function readNames(text: string): string[] {
  const names = text.split('\n').map((line) => /^\s*([^\s:]+):/.exec(line)?.[1]);
  return names.filter((name) => name !== undefined).sort();
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
