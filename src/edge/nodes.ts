/** Nodes as the rest of the daemon sees them: what they announced, and which pools have them. */
import { parseAddress } from '../core/address.ts';
import { equalBytes } from '../dns/wire/bytes.ts';
import { nameFromText } from '../dns/wire/name.ts';
import { rdataToText } from '../dns/wire/rdata.ts';
import { TYPE } from '../dns/wire/types.ts';
import type {
  MaterialReport,
  NodeMembership,
  NodeReport,
  NodeSource,
  TokenReport,
  TokenRequest,
} from './admin/node-reports.ts';
import type { Edge } from './edge.ts';
import type { NewToken } from './join/join.ts';
import type { Material } from './join/material.ts';
import { nodeDomain } from './join/node-grants.ts';
import type { StoredNode } from './join/state.ts';
import { tokenState } from './join/tokens.ts';

export class Nodes implements NodeSource {
  readonly #edge: Edge;

  constructor(edge: Edge) {
    this.#edge = edge;
  }

  get configured(): boolean {
    return this.#edge.join.config !== undefined;
  }

  list(): NodeReport[] {
    const zone = this.#edge.join.config?.zone;
    if (zone === undefined) return [];
    return this.#edge.join.book.nodes
      .map((node) => this.#report(node, zone))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async remove(name: string, client: string): Promise<boolean> {
    const { dns, join } = this.#edge;
    const removed = await join.remove(name, client, async (domain) => {
      const zones = [join.config!.zone, ...join.config!.reverseZones].filter((zone) => dns.zone(zone) !== undefined);
      for (const zone of zones) await dns.edits.withdrawHost(zone, nameFromText(domain), client);
    });
    return removed !== undefined;
  }

  tokens(): TokenReport[] {
    const now = this.#edge.clock.wall();
    return this.#edge.join.book.tokens.map((token) => ({
      id: token.id,
      role: token.role,
      name: token.name,
      state: tokenState(token, now),
      createdAt: token.createdAt,
      expiresAt: token.expiresAt,
      node: token.claim?.name,
      source: token.claim?.source,
    }));
  }

  createToken(order: TokenRequest): NewToken {
    return this.#edge.join.createToken(order);
  }

  revokeToken(id: string): boolean {
    return this.#edge.join.book.revoke(id);
  }

  material(): MaterialReport | undefined {
    const { material } = this.#edge.join.book;
    return material && materialReport(material);
  }

  setMaterial(text: string): MaterialReport {
    return materialReport(this.#edge.join.setMaterial(text, 'api'));
  }

  #report(node: StoredNode, zone: string): NodeReport {
    const { dns } = this.#edge;
    const domain = nodeDomain(node.name, zone);
    const owner = nameFromText(domain);
    const sets = dns.zone(zone) === undefined ? [] : dns.records(zone, { name: owner });
    const hosts = sets.filter(({ rrset }) => rrset.type === TYPE.AAAA || rrset.type === TYPE.A);
    const ends = hosts.flatMap(({ rrset }) => dns.leases(zone, owner, rrset.type).map(({ expiresAt }) => expiresAt));
    const pools = this.#pools(hosts.flatMap(({ rrset }) => rrset.rdata));
    return {
      name: node.name,
      domain,
      role: node.role,
      mode: node.mode,
      joinedAt: node.joinedAt,
      source: node.source,
      state: stateOf(hosts.length > 0, pools),
      addresses: hosts.flatMap(({ rrset }) => rrset.rdata.map((rdata) => rdataToText(rrset.type, rdata))),
      pools,
      lastUpdate: dns.lastUpdateBy(domain),
      progress: this.#edge.join.progress(node.name),
      leaseUntil: ends.length === 0 ? undefined : Math.min(...ends),
    };
  }

  #pools(addresses: readonly Uint8Array[]): NodeMembership[] {
    return this.#edge.proxy.pools().flatMap(({ name, members }) =>
      members
        .filter(({ address }) => addresses.some((own) => equalBytes(own, parseAddress(address).bytes)))
        .map((member) => ({
          pool: name,
          member: member.name,
          port: member.port,
          state: member.state,
          reason: member.reason,
        })),
    );
  }
}

function stateOf(announced: boolean, pools: readonly NodeMembership[]): NodeReport['state'] {
  if (!announced) return 'joining';
  if (pools.length === 0) return 'announced';
  return pools.some(({ state }) => state === 'down') ? 'down' : 'up';
}

function materialReport({ by, at, tokenExpiresAt, caCertHashes, certificateKeyExpiresAt }: Material): MaterialReport {
  return { by, at, tokenExpiresAt, caCertHashes, certificateKeyExpiresAt };
}
