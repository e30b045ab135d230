/**
 * The doctor: says what is wrong with a node, or with the edge, from what the three engines and the kernel know. Loaded when it
 * is asked.
 */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminSource } from '../admin/source.ts';
import type { Edge } from '../edge.ts';
import { edgeFindings } from './edge-findings.ts';
import {
  allNodes,
  type Evidence,
  findNode,
  gather,
  interfaceOfPrefix,
  isAdvertised,
  likelyLinkLocals,
  readNeighbourEntries,
} from './evidence.ts';
import { reportNode } from './node-findings.ts';
import { type EdgeReport, isHealthy, type NodeLine, type NodeReport, sorted } from './report.ts';

/** Nodes of the edge's list. */
const maxNodes = 200;
/** Names that are listed for one that is unknown. */
const maxKnown = 20;
/** The kernel asks three times, a second apart, before it gives an address up (RFC 4861 §10). */
const probeMs = 3_500;
const lookEveryMs = 50;
const maxProbes = 8;
/** Nobody listens there; what is looked at is whether the address resolves on the link. */
const discardPort = 9;

/** The edge and all its nodes. */
export async function examineEdge(edge: Edge, source: AdminSource): Promise<EdgeReport> {
  const evidence = await gather(edge, source.pools(), undefined);
  const findings = sorted(edgeFindings(edge, source, evidence));
  const { nodes, more } = allNodes(evidence, maxNodes);
  return {
    healthy: isHealthy(findings),
    since: evidence.since,
    findings,
    nodes: nodes.map((node) => lineOf(reportNode(evidence, node))),
    more,
  };
}

/** One node; for one that nobody knows the one finding says so. */
export async function examineNode(edge: Edge, source: AdminSource, text: string): Promise<NodeReport> {
  const evidence = await gather(edge, source.pools(), text);
  const node = findNode(evidence, text);
  if (node === undefined) return unknownNode(evidence, text);
  const likely = likelyLinkLocals(node.addresses);
  const after = await probed(evidence, [...node.addresses, ...likely]);
  const there = likely.filter((each) =>
    after.neighbours.some(({ address, mac }) => address === each && mac !== undefined),
  );
  return reportNode(after, { ...node, addresses: [...node.addresses, ...there] });
}

function lineOf({ node, healthy, findings, names }: NodeReport): NodeLine {
  const [gravest] = findings;
  const short = names.length > 0 ? names[0]! : node;
  return {
    node: short,
    healthy,
    findings: findings.map(({ id }) => id),
    text: gravest === undefined ? 'nothing is wrong' : gravest.text,
  };
}

function unknownNode(evidence: Evidence, text: string): NodeReport {
  const { nodes, more: others } = allNodes(evidence, maxKnown);
  const known = nodes.map(({ node }) => node);
  const more = others > 0 ? ` and ${others} more` : '';
  const list = known.length === 0 ? 'nobody is known yet' : `known are ${known.join(', ')}${more}`;
  const none = { count: 0, last: undefined };
  return {
    node: text,
    healthy: false,
    since: evidence.since,
    names: [],
    addresses: [],
    solicitations: none,
    queries: { ...none, refused: 0 },
    updates: { accepted: 0, refused: 0, last: undefined },
    members: [],
    sessions: 0,
    findings: [
      {
        id: 'node-unknown',
        severity: 'error',
        subject: text,
        text: `no zone, pool, solicitation, query, update or neighbour has ${text}: ${list}`,
        run: ['ip -6 addr; ip -6 route   # is its private interface up, and on this link?'],
        where: 'node',
      },
    ],
  };
}

/** Makes the kernel look for addresses that the neighbour cache lacks, and reads it again. */
async function probed(evidence: Evidence, addresses: readonly string[]): Promise<Evidence> {
  const stateOf = (entries: Evidence['neighbours'], address: string) =>
    entries.find((each) => each.address === address)?.state ?? 'none';
  const on = addresses.map((each) => interfaceOfPrefix(evidence, each)).find((name) => name !== undefined);
  const lacking = addresses
    .filter((each) => ['none', 'failed'].includes(stateOf(evidence.neighbours, each)))
    .filter((each) => isAdvertised(evidence, each) || (on !== undefined && each.startsWith('fe80:')))
    .slice(0, maxProbes);
  if (lacking.length === 0) return evidence;
  const socket = createSocket('udp6');
  socket.on('error', () => undefined);
  try {
    for (const each of lacking) {
      const to = each.startsWith('fe80:') ? `${each}%${on}` : each;
      socket.send(Buffer.alloc(1), discardPort, to, () => undefined);
    }
    let neighbours = evidence.neighbours;
    for (const end = performance.now() + probeMs; performance.now() < end; ) {
      await sleep(lookEveryMs);
      neighbours = readNeighbourEntries(evidence.ra);
      if (lacking.every((each) => !['none', 'incomplete'].includes(stateOf(neighbours, each)))) break;
    }
    return { ...evidence, neighbours };
  } finally {
    socket.close();
  }
}
