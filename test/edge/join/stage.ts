/** A cluster and its nodes for tests. */
import { join } from 'node:path';
import { parseConfig } from '../../../src/edge/config/load.ts';
import { formatProblem } from '../../../src/edge/config/problem-text.ts';
import type { JoinConfig } from '../../../src/edge/join/settings.ts';
import type { StoredNode } from '../../../src/edge/join/state.ts';

const clusterYaml = `
dns:
  listen: ["[fd00:6:6::1]:53"]
  zones:
    - { name: cluster.test, ns: [edge.cluster.test], reverse: true }
    - { name: 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa, ns: [edge.cluster.test] }
`;

/** The `join` section of a configuration, complete. @param rest lines of it, indented */
export function joinConfig(rest = '  services: { worker: ["_http._tcp:80", "_https._tcp:443:100"] }'): JoinConfig {
  const text = `${clusterYaml}join:\n  listen: ["fd00:6:6::1"]\n${rest}\n`;
  const result = parseConfig(text, join(import.meta.dirname, 'v6edge.yaml'));
  if ('errors' in result) throw new Error(result.errors.map(formatProblem).join('\n'));
  return result.config.join!;
}

/** A worker that joins, unless told otherwise. */
export function storedNode(name: string, more: Partial<StoredNode> = {}): StoredNode {
  return {
    name,
    role: 'worker',
    mode: 'join',
    joinedAt: 0,
    source: 'fd00:6:6::21',
    key: Buffer.from(name.padEnd(32, '.')).toString('base64'),
    secretDigest: '0'.repeat(64),
    ...more,
  };
}
