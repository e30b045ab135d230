/**
 * What a node's key may do: its own name's addresses, host keys and texts; at the service names of its role SRV records that lead to
 * itself; in our reverse zones PTR records that lead to itself. Nothing else, and never what is another's.
 */
import type { TsigKey, UpdateRule } from '../../dns/config.ts';
import type { DynamicKey } from '../../dns/dynamic-keys.ts';
import type { JoinConfig } from './settings.ts';
import type { StoredNode } from './state.ts';

/** Records that a node may have of its own: at its name, at each service, at each address. */
const maxOfName = 32;
const maxOfService = 4;

/** Its TSIG key; the name is the node's domain name. */
export function nodeKey(node: StoredNode, zone: string): TsigKey {
  return { name: nodeDomain(node.name, zone), algorithm: 'hmac-sha256', secret: Buffer.from(node.key, 'base64') };
}

/** A node's domain name, without the final dot. */
export function nodeDomain(name: string, zone: string): string {
  return zone === '' ? name : `${name}.${zone}`;
}

/** A node's key with its rules, by zone. */
export function nodeGrant(node: StoredNode, { zone, reverseZones, services, addresses }: JoinConfig): DynamicKey {
  const key = nodeKey(node, zone);
  const rule = { keys: [key.name], name: undefined, from: [], maxRecords: 0, leaseSeconds: undefined } as const;
  const types = ['A', 'AAAA', 'SSHFP', 'TXT'];
  const own: UpdateRule = { ...rule, match: 'self', types, maxRecords: maxOfName, addresses };
  const names = [...new Set(services[node.role].map(({ name }) => name))];
  return {
    key,
    rules: new Map([
      [
        zone,
        [
          own,
          ...names.map(
            (name): UpdateRule => ({
              ...rule,
              match: 'name',
              name: nodeDomain(name, zone),
              types: [`SRV(${maxOfService})`],
              target: 'self',
            }),
          ),
        ],
      ],
      ...reverseZones.map((reverse): [string, UpdateRule[]] => [
        reverse,
        [{ ...rule, match: 'zonesub', types: ['PTR(1)'], target: 'self' }],
      ]),
    ]),
  };
}
