/** The configuration under test on other ports: beside the old daemons, and with no word to anybody else. */
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { formatAddress, formatEndpoint, type InetEndpoint, parseInetEndpoint } from '../../core/address.ts';

/** An address of the old daemon, and ours beside it. */
export interface Pair {
  readonly old: InetEndpoint;
  readonly ours: InetEndpoint;
}

export interface ShadowConfig {
  /** The file for `v6edge run`. */
  readonly file: string;
  readonly socket: string;
  readonly dns: readonly Pair[];
  /** By listener. */
  readonly proxy: readonly { readonly name: string; readonly acceptProxy: boolean; readonly pairs: readonly Pair[] }[];
}

type Section = Record<string, unknown>;

/**
 * Writes it into an empty folder. Files that the configuration names stand beside it as links, so that relative paths hold.
 * @param file a configuration that loads
 */
export async function shadowConfig(file: string, folder: string): Promise<ShadowConfig> {
  const from = dirname(resolve(file));
  const config = parse(readFileSync(file, 'utf8')) as Section;
  const beside = join(folder, 'etc');
  mkdirSync(beside);
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(beside, name));
  const socket = join(folder, 'admin.sock');
  config.workers = 1;
  config.state = { dir: join(folder, 'state') };
  config.admin = { listen: [`unix:${socket}`] };
  config.log = { level: 'error' };
  // Nodes, receivers of events and secondaries hear one edge alone.
  for (const key of ['ra', 'hooks', 'join']) delete config[key];
  const dns = config.dns as Section | undefined;
  const pairs: Pair[] = [];
  const listeners: ShadowConfig['proxy'][number][] = [];
  await using ports = new FreePorts();
  if (dns !== undefined) {
    delete dns.tls;
    for (const zone of (dns.zones as Section[] | undefined) ?? [])
      delete (zone.transfer as Section | undefined)?.notify;
    pairs.push(...(await moved(dns, 'listen', ports)));
  }
  for (const listener of ((config.proxy as Section | undefined)?.listeners as Section[] | undefined) ?? []) {
    const name = String(listener.name);
    listeners.push({ name, acceptProxy: listener.acceptProxy === true, pairs: await moved(listener, 'bind', ports) });
  }
  const shadow = join(beside, '.shadow.yaml');
  // Keys may be in it.
  writeFileSync(shadow, stringify(config), { mode: 0o600 });
  return { file: shadow, socket, dns: pairs, proxy: listeners };
}

/** Gives each endpoint of a list a port that is free. */
async function moved(section: Section, key: string, ports: FreePorts): Promise<Pair[]> {
  const texts = [section[key] ?? []].flat() as string[];
  const pairs: Pair[] = [];
  for (const text of texts) {
    const old = parseInetEndpoint(text);
    pairs.push({ old, ours: { ...old, port: await ports.take(formatAddress(old.address)) } });
  }
  if (pairs.length > 0) section[key] = pairs.map(({ ours }) => formatEndpoint(ours));
  return pairs;
}

/** Ports that nobody has. Each is held until the last one is found: the kernel would give one away again, at another address. */
class FreePorts {
  readonly #servers: Server[] = [];

  async take(host: string): Promise<number> {
    const server = createServer();
    this.#servers.push(server);
    server.listen(0, host);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => once(server, 'close'));
    for (const server of this.#servers) server.close();
    await Promise.all(closed);
  }
}

/** Where a client on this host connects to reach an endpoint. */
export function reached({ address, ...rest }: InetEndpoint): InetEndpoint {
  if (address.bytes.some((byte) => byte !== 0)) return { ...rest, address };
  return parseInetEndpoint(address.family === 4 ? `127.0.0.1:${rest.port}` : `[::1]:${rest.port}`);
}
