/** The `join` section: schema, defaults, and what follows from other sections. */
import { existsSync } from 'node:fs';
import { join as joinPath, resolve } from 'node:path';
import { z } from 'zod';
import {
  type Address,
  type Cidr,
  cidrContains,
  formatAddress,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  maskAddress,
  parseCidr,
} from '../../core/address.ts';
import { errorMessage, ValueError } from '../../core/errors.ts';
import type { DnsConfig } from '../../dns/config.ts';
import type { RaInterfaceConfig } from '../../ra/config.ts';
import { otherSettings } from '../join/env-file.ts';
import type { JoinConfig, NodeService } from '../join/settings.ts';
import { readDomainName } from './domain-name.ts';
import {
  address6,
  choice,
  cidr,
  cidr6,
  flag,
  inetEndpoint,
  integer,
  list,
  milliseconds,
  parsed,
  peers,
  seconds,
  section,
  text,
} from './fields.ts';
import type { Report } from './types.ts';

/** Of the listener; the port after the admin API's. */
const joinPort = 8654;

const domainName = () => parsed({ kind: 'domain name' }, readDomainName);
const word = (kind: string) => parsed({ kind }, readWord);

const repositories = section({
  kubernetes: word('URL').optional().describe('packages of Kubernetes; {minor} stands for its minor version'),
  crio: word('URL').optional().describe('packages of CRI-O'),
  kubernetesKey: word('fingerprint').optional().describe('of the key that signs them'),
  crioKey: word('fingerprint').optional().describe('of the key that signs those'),
  images: word('registry').optional().describe('of the control plane’s images'),
  mirrors: list(word('mirror')).prefault([]).describe('that nodes ask first, as docker.io=mirror.example.net/docker'),
})
  .prefault({})
  .describe('where nodes get packages and images; what is left out is as the scripts have it');

const cluster = section({
  name: word('name').prefault('v6edge').describe('as kubectl’s contexts show it'),
  domain: domainName().prefault('cluster.local').describe('of Services inside of the cluster'),
  kubernetes: parsed({ kind: 'version', allowed: 'as "1.36"' }, readMinor)
    .optional()
    .describe('minor version that nodes install; else the one that the scripts were made for'),
  podSubnet: cidr6().optional().describe('addresses of pods, /48 to /64; else :100::/56 of the private subnet’s /48'),
  serviceSubnet: cidr6().optional().describe('addresses of Services, /108 to /120; else :ff00::/112 of that /48'),
  privateSubnet: cidr6([64])
    .optional()
    .describe('where nodes have their private addresses; else what `ra` advertises around `listen`'),
  edgeAddress: address6().optional().describe('where nodes ask DNS; else the first of `listen`'),
  edgeName: domainName()
    .optional()
    .describe('under which nodes reach the API server through the edge; else edge in the zone'),
  edgeLinkLocal: address6().optional().describe('nodes obey router advertisements from this address alone'),
  apiPort: integer(1, 65535).prefault(6443).describe('of the API server on the edge'),
  privateInterface: word('interface').prefault('auto').describe('of nodes; auto = the one without a default route'),
  publicInterface: word('interface').prefault('auto').describe('of nodes; auto = the one with the default route; none'),
  firewall: flag()
    .prefault(false)
    .describe('nodes drop what comes from the public interface but for SSH, ICMPv6 and answers'),
  searchDomains: flag()
    .prefault(true)
    .describe('the edge’s search list becomes the nodes’; false = it only routes queries'),
  sans: list(word('name or address')).prefault([]).describe('more names and addresses in the API server’s certificate'),
  repositories,
  ttl: seconds(1, 86_400).prefault('1m').describe('of the records that nodes announce'),
  lease: seconds(60, 30 * 86_400)
    .prefault('2h')
    .describe('that nodes ask for; they announce themselves four times in it'),
  settings: z
    .record(z.string(), parsed({ kind: 'text', allowed: 'without quotation marks, $, ` and \\' }, readSetting))
    .prefault({})
    .describe('other settings of the scripts, by the names in their edge.env.example'),
  ptr: choice(['edge', 'node', 'none'])
    .optional()
    .describe(
      'who writes PTR records; else edge where the zone has `reverse`, node where we have a reverse zone, none',
    ),
})
  .prefault({})
  .describe('settings that nodes get (edge.env)');

const services = section({
  worker: list(parsed({ kind: 'service', allowed: '_service._protocol:port[:weight]' }, readService))
    .prefault(['_http._tcp:30080', '_https._tcp:30443'])
    .describe('of workers'),
  controlPlane: list(parsed({ kind: 'service', allowed: '_service._protocol:port[:weight]' }, readService))
    .prefault(['_kube-api._tcp:6443'])
    .describe('of control-plane nodes'),
})
  .prefault({})
  .describe(
    'SRV records in the zone that nodes of a role announce: pools with `discover: { srv }` have them as members',
  );

/** The `join` section. */
export const join = section({
  listen: list(inetEndpoint(joinPort), 1).describe(
    'private addresses where nodes get what they need; port 8654 unless given',
  ),
  allow: list(peers())
    .optional()
    .describe('who may ask; else what `ra` advertises, without it the /64 of each address of `listen`'),
  scripts: text('path').optional().describe('folder with the node scripts; else those that came with v6edge'),
  ttl: milliseconds(60_000, 30 * 86_400_000)
    .prefault('1h')
    .describe('how long tokens last that say nothing else'),
  zone: domainName()
    .optional()
    .describe('of the nodes’ names; else the first of `dns.zones` that is ours and no reverse zone'),
  services,
  addresses: list(cidr())
    .prefault([])
    .describe('networks that nodes’ own A and AAAA records must lead into; empty = anywhere'),
  cluster,
}).describe('nodes join by one command; without this section they cannot');

type Parsed = z.infer<typeof join>;
type Fault = (path: (string | number)[], message: string) => void;

/** What the section is together with the others; reports what cannot be. */
export function completeJoin(
  parsed: Parsed,
  folder: string,
  dns: DnsConfig | undefined,
  ra: readonly RaInterfaceConfig[],
  report: Report,
): JoinConfig | undefined {
  let good = true;
  const fault: Fault = (path, message) => {
    good = false;
    report(['join', ...path], message);
  };
  for (const [i, { address }] of parsed.listen.entries()) {
    if (address.family !== 6) fault(['listen', i], 'nodes have IPv6 alone: an IPv6 address is wanted');
    else if (isUnspecified(address))
      fault(['listen', i], 'every address of this host is too many: name those on the private network');
    else if (!isPrivate(address))
      fault(['listen', i], `${formatAddress(address)} is a public address: it is for the private network alone`);
  }
  const isReverse = (name: string) => /(^|\.)(ip6|in-addr)\.arpa$/.test(name);
  const ours = (dns?.zones ?? []).filter(({ secondary }) => secondary === undefined);
  const zone = ours.find(({ name }) => (parsed.zone === undefined ? !isReverse(name) : name === parsed.zone));
  if (zone === undefined) {
    const wanted =
      parsed.zone === undefined ? 'no zone of dns.zones is ours' : `"${parsed.zone}" is no zone of ours in dns.zones`;
    fault(parsed.zone === undefined ? [] : ['zone'], `${wanted}: nodes announce their names there`);
  }
  const { cluster, services, allow, addresses } = parsed;
  if (cluster.podSubnet !== undefined && (cluster.podSubnet.length < 48 || cluster.podSubnet.length > 64)) {
    fault(['cluster', 'podSubnet'], 'its length is to be 48 to 64');
  }
  if (
    cluster.serviceSubnet !== undefined &&
    (cluster.serviceSubnet.length < 108 || cluster.serviceSubnet.length > 120)
  ) {
    fault(['cluster', 'serviceSubnet'], 'its length is to be 108 to 120');
  }
  const scripts = resolve(folder, parsed.scripts ?? packagedScripts());
  if (!existsSync(joinPath(scripts, 'join.sh'))) {
    fault(parsed.scripts === undefined ? [] : ['scripts'], `there are no node scripts in ${scripts}`);
  } else checkSettings(cluster.settings, scripts, fault);
  if (!good || zone === undefined) return undefined;
  const advertised = ra
    .flatMap(({ prefixes }) => prefixes.map(({ prefix }) => prefix))
    .filter(({ base }) => !isUnspecified(base));
  const edgeAddress = cluster.edgeAddress ?? parsed.listen[0]!.address;
  const privateSubnet = cluster.privateSubnet ??
    advertised.find((each) => each.length === 64 && cidrContains(each, edgeAddress.bytes)) ?? {
      base: maskAddress(edgeAddress, 64),
      length: 64,
    };
  const reverseZones = ours.map(({ name }) => name).filter(isReverse);
  return {
    listen: parsed.listen,
    allow: allow ?? (advertised.length > 0 ? advertised : parsed.listen.map(({ address }) => prefixAround(address))),
    scripts,
    ttlMs: parsed.ttl,
    zone: zone.name,
    reverseZones,
    addresses,
    services: { worker: services.worker, 'control-plane': services.controlPlane },
    cluster: {
      ...cluster,
      kubernetes: cluster.kubernetes,
      podSubnet: cluster.podSubnet ?? within(privateSubnet, 0x01, 0x00, 56),
      serviceSubnet: cluster.serviceSubnet ?? within(privateSubnet, 0xff, 0x00, 112),
      privateSubnet,
      edgeAddress,
      edgeName: cluster.edgeName,
      edgeLinkLocal: cluster.edgeLinkLocal,
      repositories: {
        kubernetes: cluster.repositories.kubernetes,
        crio: cluster.repositories.crio,
        kubernetesKey: cluster.repositories.kubernetesKey,
        crioKey: cluster.repositories.crioKey,
        images: cluster.repositories.images,
        mirrors: cluster.repositories.mirrors,
      },
      ttlSeconds: cluster.ttl,
      leaseSeconds: cluster.lease,
      ptr: cluster.ptr ?? (zone.reverse ? 'edge' : reverseZones.length > 0 ? 'node' : 'none'),
    },
  };
}

/** Unique local addresses (RFC 4193). */
const uniqueLocal: Cidr = parseCidr('fc00::/7');

function isPrivate(address: Address): boolean {
  return isLoopback(address) || isLinkLocal(address) || cidrContains(uniqueLocal, address.bytes);
}

/** A subnet of the /48 that a prefix is in, by the octets behind it. */
function within({ base }: Cidr, first: number, second: number, length: number): Cidr {
  const bytes = new Uint8Array(16);
  bytes.set(base.bytes.subarray(0, 6));
  bytes.set([first, second], 6);
  return { base: { family: 6, bytes }, length };
}

function prefixAround(address: Address): Cidr {
  return isLoopback(address) ? { base: address, length: 128 } : { base: maskAddress(address, 64), length: 64 };
}

/** Names that the scripts know, and no key above has. */
function checkSettings(settings: Readonly<Record<string, string>>, scripts: string, fault: Fault): void {
  const names = Object.keys(settings);
  if (names.length === 0) return;
  let others: readonly string[];
  try {
    others = otherSettings(scripts);
  } catch (error) {
    fault(['cluster', 'settings'], `which there are cannot be seen: ${errorMessage(error)}`);
    return;
  }
  for (const name of names.filter((each) => !others.includes(each))) {
    fault(
      ['cluster', 'settings', name],
      `the scripts have no such setting, or a key of its own is for it (allowed: ${others.join(', ')})`,
    );
  }
}

/** Beside the program: in a checkout, and as the package lays it out. */
function packagedScripts(): string {
  const places = ['../../../scripts/node-bootstrap', '../node-bootstrap'].map((each) =>
    resolve(import.meta.dirname, each),
  );
  return places.find((place) => existsSync(place)) ?? '/usr/lib/v6edge/node-bootstrap';
}

/** What can stand in edge.env in quotes. */
function readSetting(value: string): string {
  if (!/^[^\p{Cc}"'`\\$]{1,1024}$/u.test(value))
    throw new ValueError('has a quotation mark, $, ` or \\, or is longer than 1,024 characters');
  return value;
}

/** @throws {ValueError} */
function readService(value: string): NodeService {
  const [, name, port, weight] = /^(_[a-z0-9-]{1,15}\._(?:tcp|udp)):(\d{1,5})(?::(\d{1,5}))?$/.exec(value) ?? [];
  if (name === undefined || Number(port) < 1 || Number(port) > 65535 || Number(weight ?? 0) > 65535) {
    throw new ValueError(
      `"${value}" is no service; write for example _http._tcp:80, or _http._tcp:80:100 with its weight`,
    );
  }
  return { name, port: Number(port), weight: weight === undefined ? undefined : Number(weight) };
}

function readMinor(value: string): string {
  if (!/^1\.\d{1,3}$/.test(value))
    throw new ValueError(`"${value}" is no minor version of Kubernetes; write for example "1.36"`);
  return value;
}

/** What can stand in edge.env as it is: the scripts expand nothing, and lists have spaces between. */
function readWord(value: string): string {
  if (!/^[!#%&()*+,./:;<=>?@[\]^_{|}~A-Za-z0-9-]{1,512}$/.test(value)) {
    throw new ValueError(
      `"${value}" has a space, a quotation mark or another character that nodes' settings cannot have`,
    );
  }
  return value;
}
