/** The `join` section, checked and complete. */
import type { Address, Cidr, InetEndpoint } from '../../core/address.ts';
import type { NodeRole } from './state.ts';

/** What makes a node a member of a pool: an SRV record at `name` in the zone. */
export interface NodeService {
  /** `_http._tcp`, without the zone. */
  readonly name: string;
  readonly port: number;
  /** Of the SRV record; undefined: as the scripts have it. */
  readonly weight: number | undefined;
}

/** Settings of the cluster as nodes get them; what is undefined is for the scripts to say. */
export interface ClusterSettings {
  readonly name: string;
  readonly domain: string;
  readonly kubernetes: string | undefined;
  readonly podSubnet: Cidr;
  readonly serviceSubnet: Cidr;
  readonly privateSubnet: Cidr;
  readonly edgeAddress: Address;
  readonly edgeName: string | undefined;
  readonly edgeLinkLocal: Address | undefined;
  readonly apiPort: number;
  readonly privateInterface: string;
  readonly publicInterface: string;
  readonly firewall: boolean;
  readonly searchDomains: boolean;
  readonly sans: readonly string[];
  readonly repositories: {
    readonly kubernetes: string | undefined;
    readonly crio: string | undefined;
    readonly kubernetesKey: string | undefined;
    readonly crioKey: string | undefined;
    readonly images: string | undefined;
    /** `docker.io=mirror.example.net/docker` */
    readonly mirrors: readonly string[];
  };
  readonly ttlSeconds: number;
  readonly leaseSeconds: number;
  readonly ptr: 'edge' | 'node' | 'none';
  /** Other settings of the scripts, by name. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface JoinConfig {
  readonly listen: readonly InetEndpoint[];
  readonly allow: readonly Cidr[];
  /** Folder with the scripts; absolute. */
  readonly scripts: string;
  readonly ttlMs: number;
  /** Of the nodes' names; lower case, without the final dot. */
  readonly zone: string;
  /** Our reverse zones, where a node may have its own PTR records. */
  readonly reverseZones: readonly string[];
  /** What nodes may announce addresses in; empty = every address. */
  readonly addresses: readonly Cidr[];
  readonly services: Readonly<Record<NodeRole, readonly NodeService[]>>;
  readonly cluster: ClusterSettings;
}
