/** What is wrong with one node, from what is known of it. Each rule says why it is believed, and what mends it. */
import { formatAddress } from '../../core/address.ts';
import { takesSessions } from '../../proxy/snapshot.ts';
import type { RaInterfaceConfig } from '../../ra/config.ts';
import { type Evidence, interfaceOfPrefix, isAdvertised, type NodeEvidence } from './evidence.ts';
import type { Updates } from './ledger.ts';
import type { AddressReport, Finding, NodeReport } from './report.ts';
import { isHealthy, sorted } from './report.ts';
import { routerFindings } from './router-findings.ts';
import { ago, clockOffset, times } from './words.ts';

/** A clock that is off by more is not yet refused (fudge 300 s, RFC 8945 §10), and soon may be. */
const driftSeconds = 60;
/** A node that is merely there may be quiet for so long. */
const quietMs = 600_000;
/** A node that solicits or updates and has not asked for so long asks somebody else. */
const seldomMs = 3_600_000;
/** "renew … at 80 % of the lease" (RFC 9664 §5.2): a lease with less left was not renewed. */
const leaseLeft = 0.2;
/** Prerequisites that did not hold are an answer, not a refusal (RFC 2136 §3.2). */
const answered = new Set(['YXDOMAIN', 'YXRRSET', 'NXRRSET', 'NXDOMAIN']);
const badKey = new Set(['BADKEY', 'BADSIG', 'BADTRUNC', 'FORMERR']);

/** What the kernel says of an address that answers, or did a while ago. */
const alive = new Set(['reachable', 'stale', 'delay', 'probe']);

/** A node, summed up from all its addresses. */
export interface NodeFacts {
  readonly evidence: Evidence;
  readonly node: NodeEvidence;
  readonly addresses: readonly AddressReport[];
  readonly solicitations: { count: number; last: number | undefined; interface: string | undefined };
  readonly queries: { count: number; refused: number; last: number | undefined };
  readonly updates: readonly { readonly address: string; readonly updates: Updates }[];
}

/** All that can be said of a node. */
export function reportNode(evidence: Evidence, node: NodeEvidence): NodeReport {
  const facts = factsOf(evidence, node);
  const members = evidence.pools.flatMap((pool) =>
    pool.members
      .filter(({ address }) => node.addresses.includes(address))
      .map((member) => ({ pool: pool.name, member })),
  );
  const findings = sorted([
    ...clockFindings(facts),
    ...refusals(facts),
    ...addressFindings(facts),
    ...resolverFindings(facts),
    ...routerFindings(evidence, interfacesOf(facts)),
    ...memberFindings(members, evidence.now),
    ...nameFindings(facts),
  ]);
  const { accepted, refused, last } = sumUpdates(facts);
  return {
    node: node.node,
    healthy: isHealthy(findings),
    since: evidence.since,
    names: [...new Set(node.hosts.map(({ name }) => name))],
    addresses: facts.addresses,
    solicitations: { count: facts.solicitations.count, last: facts.solicitations.last },
    queries: facts.queries,
    updates: { accepted, refused, last },
    members: members.map(({ pool, member }) => ({
      member: `${pool}/${member.name}`,
      state: member.state,
      reason: member.reason,
    })),
    sessions: members.reduce((sum, { member }) => sum + member.active, 0),
    findings,
  };
}

function factsOf(evidence: Evidence, node: NodeEvidence): NodeFacts {
  const entries = evidence.ledger.filter(({ address }) => node.addresses.includes(address));
  const asked = node.addresses.flatMap((address) => evidence.asked.get(address) ?? []);
  const solicited = entries.flatMap(({ solicitations }) => solicitations ?? []);
  const latest = (moments: readonly number[]) => (moments.length === 0 ? undefined : Math.max(...moments));
  const last = latest(solicited.map((each) => each.last));
  return {
    evidence,
    node,
    addresses: node.addresses.map((address) => {
      const entry = evidence.neighbours.find((each) => each.address === address);
      const { mac = evidence.macs.ofAddress.get(address), interface: on } = entry ?? {};
      const advertised = isAdvertised(evidence, address);
      return { address, neighbour: entry?.state ?? 'unknown', mac, interface: on, advertised };
    }),
    solicitations: {
      count: solicited.reduce((sum, { count }) => sum + count, 0),
      last,
      interface: solicited.find((each) => each.last === last)?.interface,
    },
    queries: {
      count: asked.reduce((sum, { queries }) => sum + queries, 0),
      refused: asked.reduce((sum, { refused }) => sum + refused, 0),
      last: latest(asked.map((each) => each.last)),
    },
    updates: entries.flatMap(({ address, updates }) => (updates === undefined ? [] : [{ address, updates }])),
  };
}

function sumUpdates({ updates }: NodeFacts): { accepted: number; refused: number; last: number | undefined } {
  const moments = updates.flatMap(({ updates: { lastAccepted, lastRefused } }) => [
    ...(lastAccepted === undefined ? [] : [lastAccepted]),
    ...(lastRefused === undefined ? [] : [lastRefused.at]),
  ]);
  return {
    accepted: updates.reduce((sum, each) => sum + each.updates.accepted, 0),
    refused: updates.reduce((sum, each) => sum + each.updates.refused, 0),
    last: moments.length === 0 ? undefined : Math.max(...moments),
  };
}

/** The refusal that nothing accepted came after, if there is one. */
function standingRefusal({ lastAccepted, lastRefused }: Updates): Updates['lastRefused'] {
  return lastRefused !== undefined && lastRefused.at >= (lastAccepted ?? 0) ? lastRefused : undefined;
}

function clockFindings({ updates, evidence }: NodeFacts): Finding[] {
  return updates.flatMap(({ address, updates }): Finding[] => {
    const refusal = standingRefusal(updates);
    const behind = updates.clockBehindSeconds;
    const mend = ['timedatectl set-ntp true', 'timedatectl timesync-status   # or: chronyc makestep'];
    if (refusal?.sighting.result === 'BADTIME') {
      const off = clockOffset(refusal.sighting.clockBehindSeconds ?? behind ?? 0);
      const text = `its clock is ${off}: updates are refused with BADTIME (the last one ${ago(evidence.now, refusal.at)}), as a signature counts for 300 s`;
      return [{ id: 'clock-off', severity: 'error', subject: address, text, run: mend, where: 'node' }];
    }
    if (behind === undefined || Math.abs(behind) <= driftSeconds) return [];
    const text = `its clock is ${clockOffset(behind)}: beyond 300 s its updates will be refused with BADTIME`;
    return [{ id: 'clock-drifts', severity: 'warning', subject: address, text, run: mend, where: 'node' }];
  });
}

function refusals({ updates, evidence, queries, node }: NodeFacts): Finding[] {
  const findings: Finding[] = [];
  for (const { address, updates: each } of updates) {
    const refusal = standingRefusal(each);
    if (refusal === undefined) continue;
    const { result, reason = '', key, names } = refusal.sighting;
    const when = ago(evidence.now, refusal.at);
    if (badKey.has(result)) {
      findings.push({
        id: 'key-refused',
        severity: 'error',
        subject: address,
        text: `its key is refused with ${result} (${when}): ${reason}`,
        run: [
          `compare the node's key file with dns.keys${key === undefined ? '' : ` "${key}"`} here: name, algorithm and secret have to be the same`,
        ],
        where: 'node',
      });
    } else if (result !== 'BADTIME' && !answered.has(result)) {
      const what = names.length === 0 ? '' : ` of ${names.join(', ')}`;
      findings.push({
        id: 'update-refused',
        severity: 'error',
        subject: address,
        text: `its update${what} is refused with ${result} (${when}): ${reason}`,
        run: ['give the key a rule for this name and type under `update:` of the zone, then: v6edge reload'],
        where: 'edge',
      });
    }
  }
  if (queries.refused > 0) {
    findings.push({
      id: 'dns-refused',
      severity: 'error',
      subject: node.node,
      text: `it asked ${times(queries.refused)} from an address that \`dns.allow\` does not have, and was refused`,
      run: ['add the network of its address to dns.allow, then: v6edge reload'],
      where: 'edge',
    });
  }
  return findings;
}

/** Addresses that should answer on the link, and do not. */
function addressFindings(facts: NodeFacts): Finding[] {
  const { addresses, evidence, solicitations, node } = facts;
  const answers = addresses.filter(({ neighbour }) => alive.has(neighbour));
  const wanted = new Set([
    ...node.hosts.map(({ address }) => address),
    ...evidence.pools.flatMap(({ members }) => members.map(({ address }) => address)),
  ]);
  return (
    addresses
      // An address that the kernel has nothing of was not looked for: nobody sent anything there.
      .filter(({ address, advertised, neighbour }) => advertised && wanted.has(address) && neighbour === 'failed')
      .map(({ address, neighbour }): Finding => {
        const [other] = answers;
        const asked =
          solicitations.last === undefined
            ? `it has not solicited since v6edge started, ${ago(evidence.now, evidence.since)}`
            : `it solicited ${ago(evidence.now, solicitations.last)} for the last time`;
        if (other === undefined) {
          const text = `neither ${address} nor another address of it answers on the link (neighbour cache: ${neighbour}); ${asked}: it is off, or its private interface is down`;
          return { id: 'node-silent', severity: 'error', subject: address, text, run: ['ip -6 addr'], where: 'node' };
        }
        const text = `${other.address} answers, ${address} does not (neighbour cache: ${neighbour}), and ${asked}: it no longer takes its address from our advertisements, most likely accept_ra=1 with forwarding=1`;
        return {
          id: 'address-lost',
          severity: 'error',
          subject: address,
          text,
          run: [
            'sysctl net.ipv6.conf.all.forwarding net.ipv6.conf.IFACE.accept_ra',
            'sysctl -w net.ipv6.conf.IFACE.accept_ra=2   # IFACE: the private interface; 2 takes advertisements also while forwarding',
            'ip link set IFACE down && ip link set IFACE up',
          ],
          where: 'node',
        };
      })
  );
}

/** Whether it asks us at all. */
function resolverFindings(facts: NodeFacts): Finding[] {
  const { evidence, queries, solicitations, addresses } = facts;
  if (evidence.config.dns === undefined || queries.refused > 0) return [];
  const updates = sumUpdates(facts);
  // nsupdate asks for the SOA, and who the primary is, before it updates: no resolver of a node does that.
  const own = queries.count - 2 * (updates.accepted + updates.refused);
  const heard = Math.max(solicitations.last ?? 0, updates.last ?? 0);
  const seen = [
    ...(solicitations.count > 0 ? [`solicited ${times(solicitations.count)}`] : []),
    ...(updates.accepted + updates.refused > 0 ? [`sent ${updates.accepted + updates.refused} updates`] : []),
  ];
  const { now, since } = evidence;
  const merelyThere = now - since > quietMs && addresses.some((each) => each.advertised && alive.has(each.neighbour));
  if (own <= 0 && (seen.length > 0 || merelyThere)) {
    const what = seen.length > 0 ? `it ${seen.join(' and ')}` : 'it is on the link';
    const queried = queries.count === 0 ? 'never asked us a name' : 'asked us nothing beside what nsupdate asks';
    return [racing(facts, `${what} and ${queried} (since ${ago(now, since)})`)];
  }
  if (queries.last !== undefined && heard - queries.last > seldomMs) {
    return [racing(facts, `it ${seen.join(' and ')}, and asked us ${ago(now, queries.last)} for the last time`)];
  }
  return [];
}

function racing(facts: NodeFacts, seen: string): Finding {
  const { evidence, node } = facts;
  const [on] = interfacesOf(facts);
  const entry = evidence.config.ra.find((each) => each.interface === on);
  const lacks = entry === undefined ? [] : lacking(entry);
  const base = { id: 'resolver-elsewhere', severity: 'warning', subject: node.node } as const;
  const cause = 'its resolver uses the name servers of its public interface';
  if (lacks.length > 0) {
    const zone = evidence.zones.find((each) => !each.endsWith('.arpa')) ?? 'ZONE';
    const run = lacks.map((each) =>
      each === 'rdnss'
        ? `add to ra: ${on}:  rdnss: { servers: [${serversHere(evidence)}] }`
        : `add to ra: ${on}:  dnssl: { domains: [${zone}] }   # resolved sends names below it to the interface it came from`,
    );
    const text = `${seen}: ${cause}, and our advertisements have no ${lacks.join(' and no ').toUpperCase()} that would change it`;
    return { ...base, text, run: [...run, 'v6edge reload'], where: 'edge' };
  }
  const text = `${seen}: ${cause} before ours`;
  const run = [
    'resolvectl status   # which servers and domains each interface has',
    'run network.sh of v6edge’s node-bootstrap, which gives our server the domain "~."',
  ];
  return { ...base, text, run, where: 'node' };
}

function lacking({ rdnss, dnssl }: RaInterfaceConfig): ('rdnss' | 'dnssl')[] {
  return [...(rdnss === undefined ? (['rdnss'] as const) : []), ...(dnssl === undefined ? (['dnssl'] as const) : [])];
}

function serversHere({ config }: Evidence): string {
  const addresses = (config.dns?.listen ?? []).map(({ address }) => formatAddress(address));
  return addresses
    .filter((text) => text.includes(':') && text !== '::1' && text !== '::')
    .map((text) => `"${text}"`)
    .join(', ');
}

function memberFindings(
  members: readonly { pool: string; member: Evidence['pools'][number]['members'][number] }[],
  now: number,
): Finding[] {
  return members.flatMap(({ pool, member }): Finding[] => {
    const subject = `${pool}/${member.name}`;
    if (member.state === 'down') {
      const text = `it is a member of ${pool}, but its check fails (since ${ago(now, member.since)}): ${member.reason}`;
      const run = [`ss -lntp 'sport = :${member.port}'   # does the service listen, and on ${member.address}?`];
      return [{ id: 'check-failing', severity: 'error', subject, text, run, where: 'node' }];
    }
    if (takesSessions(member)) return [];
    if (member.state === 'up') {
      const text = `in ${pool} it has weight 0 and takes no new sessions`;
      const run = [`v6edge member ${pool} ${member.name} --weight ${member.configuredWeight || 100}`];
      return [{ id: 'member-out', severity: 'note', subject, text, run, where: 'edge' }];
    }
    const text = `in ${pool} it is in ${member.state} and takes no new sessions (since ${ago(now, member.since)}): ${member.reason}`;
    const run = member.leaving ? [] : [`v6edge member ${pool} ${member.name} --state ready`];
    return [{ id: 'member-out', severity: 'note', subject, text, run, where: 'edge' }];
  });
}

function nameFindings({ node, evidence, solicitations }: NodeFacts): Finding[] {
  const findings: Finding[] = [];
  const updatable = evidence.config.dns?.zones.some(({ update }) => update.length > 0) === true;
  if (node.hosts.length === 0 && solicitations.count > 0 && updatable) {
    findings.push({
      id: 'not-announced',
      severity: 'warning',
      subject: node.node,
      text: `it solicited ${times(solicitations.count)}, but no name in our zones has an address of it: it has not announced itself`,
      run: [
        'run the announcement of v6edge’s node-bootstrap, or nsupdate -k KEYFILE by hand, and look at what it prints',
      ],
      where: 'node',
    });
  }
  for (const { name, zone, address, ptr, lease } of node.hosts) {
    if (ptr === 'missing') {
      const reverse = evidence.config.dns?.zones.find((each) => each.name === zone)?.reverse === true;
      findings.push({
        id: 'no-ptr',
        // Nobody has asked for them where the zone does not keep them.
        severity: reverse ? 'warning' : 'note',
        subject: name,
        text: `${name} has ${address}, but the address has no PTR record, though its reverse zone is ours`,
        run: [reverse ? `announce ${name} again` : `set reverse: true for zone ${zone}, then: v6edge reload`],
        where: reverse ? 'node' : 'edge',
      });
    }
    if (lease !== undefined && lease.expiresAt - evidence.now < leaseLeft * lease.seconds * 1000) {
      const left = Math.max(0, Math.round((lease.expiresAt - evidence.now) / 1000));
      findings.push({
        id: 'lease-ending',
        severity: 'warning',
        subject: name,
        text: `the lease of ${name} ${address} ends in ${left} s and was not renewed in time: then the name goes, and its members with it`,
        run: ['systemctl list-timers   # is the one that announces there?', 'announce the name again'],
        where: 'node',
      });
    }
  }
  return findings;
}

/** The interfaces of ours that the node is on. */
function interfacesOf({ addresses, solicitations, evidence }: NodeFacts): string[] {
  const names = [
    solicitations.interface,
    ...addresses.map((each) => interfaceOfPrefix(evidence, each.address)),
    ...addresses.map((each) => each.interface),
  ];
  const known = evidence.config.ra.map((one) => one.interface);
  return [...new Set(names.filter((name) => name !== undefined))].filter((name) => known.includes(name));
}
