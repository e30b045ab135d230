/** Nodes and tokens as text for people. */
import type { MaterialReport, NodeReport, TokenReport } from '../admin/node-reports.ts';
import type { NewToken } from '../join/join.ts';
import { type Colour, formatAge, formatTable, type Paint } from './table.ts';

const nodeColour: Readonly<Record<NodeReport['state'], Colour>> = {
  joining: 'yellow',
  announced: 'yellow',
  up: 'green',
  down: 'red',
};
const tokenColour: Readonly<Record<TokenReport['state'], Colour>> = {
  open: 'green',
  claimed: 'yellow',
  used: 'dim',
  expired: 'dim',
};

export const notConfigured =
  'nodes cannot join: the configuration has no `join` section; to let them: add it as docs/nodes.md shows, then v6edge reload\n';

/** @param now wall-clock milliseconds, as in all functions here */
export function showNodes(nodes: readonly NodeReport[], now: number, paint: Paint): string {
  if (nodes.length === 0) return 'no node has joined; to let one: v6edge node token create --role worker\n';
  const rows = nodes.map((node) => [
    node.name,
    node.role,
    paint(nodeColour[node.state], node.state) + progressText(node),
    node.addresses.join(' ') || '-',
    node.pools.map(({ pool, port, state }) => (state === 'up' ? pool : `${pool}:${port} ${state}`)).join(', ') || '-',
    node.lastUpdate === undefined ? '-' : `${formatAge(now - node.lastUpdate)} ago`,
    node.leaseUntil === undefined ? '-' : formatAge(node.leaseUntil - now),
  ]);
  const columns = ['NAME', 'ROLE', 'STATE', 'ADDRESS', 'POOLS', 'LAST UPDATE', 'LEASE LEFT'].map((title) => ({
    title,
  }));
  return formatTable(columns, rows, paint);
}

/** How far a node is that is not there yet. */
function progressText({ state, progress }: NodeReport): string {
  if (progress === undefined || (state !== 'joining' && progress.state !== 'failed')) return '';
  return ` (${progress.state}${progress.step === undefined ? '' : ` at ${progress.step}`})`;
}

export function showTokens(tokens: readonly TokenReport[], now: number, paint: Paint): string {
  if (tokens.length === 0) return 'no tokens; to make one: v6edge node token create --role worker\n';
  const rows = tokens.map((token) => [
    token.id,
    token.role,
    paint(tokenColour[token.state], token.state),
    token.state === 'open' ? formatAge(token.expiresAt - now) : '-',
    token.node ?? token.name ?? '-',
    token.source ?? '-',
  ]);
  const columns = ['ID', 'ROLE', 'STATE', 'LASTS', 'NODE', 'FROM'].map((title) => ({ title }));
  return formatTable(columns, rows, paint);
}

export function showNewToken(token: NewToken, now: number, paint: Paint): string {
  const { role, name, id, command, scriptSha256, warning, expiresAt } = token;
  const what = name === undefined ? role : `${role} ${name}`;
  const url = /'(.*)'/.exec(command)?.[1];
  return [
    `On the node that is to be a ${what}, as root, within ${formatAge(expiresAt - now)}, once (token ${id}):`,
    '',
    `  ${paint('bold', command)}`,
    '',
    'The script that it fetches has this SHA-256, and in it that of all it will run:',
    '',
    `  ${scriptSha256}`,
    '',
    'To look before it runs:',
    '',
    `  curl -fsSg '${url}' -o join.sh && echo '${scriptSha256}  join.sh' | sha256sum -c && bash join.sh`,
    '',
    ...(warning === undefined ? [] : [paint('yellow', `But as things stand it cannot join: ${warning}`), '']),
  ].join('\n');
}

export function showMaterial(material: MaterialReport, now: number): string {
  const left = (until: number) => (until > now ? `good for ${formatAge(until - now)}` : 'expired');
  const { by, at, tokenExpiresAt, certificateKeyExpiresAt, caCertHashes } = material;
  return [
    `from ${by}, ${formatAge(now - at)} ago`,
    `bootstrap token: ${left(tokenExpiresAt)}`,
    `certificate key (for control planes): ${certificateKeyExpiresAt === undefined ? 'none' : left(certificateKeyExpiresAt)}`,
    ...caCertHashes.map((hash) => `CA ${hash}`),
    '',
  ].join('\n');
}
