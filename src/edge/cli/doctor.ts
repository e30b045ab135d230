/** `v6edge doctor`: what is wrong, in words, and what mends it. */
import { errorCode, errorMessage } from '../../core/errors.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem-text.ts';
import { takenFindings } from '../doctor/port-findings.ts';
import type { EdgeReport, Finding, NodeReport, Severity } from '../doctor/report.ts';
import { isHealthy } from '../doctor/report.ts';
import { takenPorts, wantedPorts } from '../ports.ts';
import { type ApiError, type ApiTarget, getJson } from './client.ts';
import { type Colour, formatAge, type Paint } from './table.ts';

export interface DoctorOptions {
  /** Undefined: the edge itself. */
  readonly node: string | undefined;
  /** What is looked at when no daemon answers. */
  readonly config: string;
  readonly json: boolean;
}

const colours: Readonly<Record<Severity, Colour>> = { error: 'red', warning: 'yellow', note: 'dim' };

/** @returns what to print, and the exit code: 0 = nothing needs mending */
export async function doctor(
  target: ApiTarget,
  { node, config, json }: DoctorOptions,
  now: number,
  paint: Paint,
): Promise<{ text: string; code: number }> {
  const path = node === undefined ? '/v1/doctor' : `/v1/doctor/${encodeURIComponent(node)}`;
  let answer: EdgeReport | NodeReport | Pick<EdgeReport, 'healthy' | 'findings'>;
  try {
    answer = await getJson<EdgeReport | NodeReport>(target, path);
  } catch (error) {
    // Who may not ask knows nothing of the daemon.
    const denied = /^(EACCES|EPERM)$/.test(errorCode((error as Error).cause) ?? '');
    if (errorCode(error) !== 'V6_API_UNREACHABLE' || denied) throw error;
    answer = { healthy: false, findings: withoutDaemon(error as ApiError, config) };
  }
  const code = answer.healthy && !('nodes' in answer && answer.nodes.some((each) => !each.healthy)) ? 0 : 1;
  if (json) return { text: `${JSON.stringify(answer, undefined, 2)}\n`, code };
  const lines =
    'nodes' in answer
      ? edgeLines(answer, paint)
      : 'node' in answer
        ? nodeLines(answer, now, paint)
        : findingLines(answer.findings, paint);
  return { text: `${lines.join('\n')}\n`, code };
}

/** What can be said with nobody to ask: why, and whether the next start would do. */
function withoutDaemon(error: ApiError, config: string): Finding[] {
  const findings: Finding[] = [
    {
      id: 'daemon-down',
      severity: 'error',
      subject: 'v6edge',
      text: errorMessage(error),
      run: ['systemctl status v6edge', 'journalctl -u v6edge -n 50', 'systemctl start v6edge'],
      where: 'edge',
    },
  ];
  const loaded = loadConfig(config);
  if ('errors' in loaded) {
    const run = [`v6edge check --config ${config}`];
    return [
      ...findings,
      ...loaded.errors.map((each): Finding => {
        const text = formatProblem(each);
        return { id: 'configuration-bad', severity: 'error', subject: each.file, text, run, where: 'edge' };
      }),
    ];
  }
  return [...findings, ...takenFindings(takenPorts(wantedPorts(loaded.config)))];
}

function edgeLines({ findings, nodes, more }: EdgeReport, paint: Paint): string[] {
  const head = isHealthy(findings) ? paint('green', 'the edge is well') : paint('red', 'the edge needs mending');
  const width = Math.max(0, ...nodes.map(({ node }) => node.length));
  return [
    head,
    ...findingLines(findings, paint),
    ...(nodes.length === 0 ? ['', 'no nodes are known yet'] : ['', 'nodes']),
    ...nodes.map(({ node, healthy, findings, text }) => {
      const others = findings.length > 1 ? ` (and ${findings.length - 1} more: v6edge doctor ${node})` : '';
      return `  ${node.padEnd(width)}  ${healthy ? paint('green', 'well') : paint('red', findings[0] ?? '')}${healthy ? '' : `  ${text}${others}`}`;
    }),
    ...(more > 0 ? [`  … and ${more} more`] : []),
  ];
}

function nodeLines(report: NodeReport, now: number, paint: Paint): string[] {
  const { node, healthy, names, addresses, solicitations, queries, updates, members, sessions, findings, since } =
    report;
  const ago = (at: number | null | undefined) =>
    at === undefined || at === null ? '' : `, last ${formatAge(now - at)} ago`;
  const known = addresses.length > 0;
  return [
    `${node}: ${healthy ? paint('green', 'nothing is wrong') : paint('red', 'needs mending')}`,
    ...(known
      ? [
          `  names          ${names.join(', ') || 'none'}`,
          ...addresses.map(
            (each, i) =>
              `  ${i === 0 ? 'addresses' : '         '}      ${each.address} ${each.neighbour}${each.mac === undefined ? '' : ` ${each.mac}`}${each.interface === undefined ? '' : ` ${each.interface}`}`,
          ),
          `  solicitations  ${solicitations.count}${ago(solicitations.last)}`,
          `  queries        ${queries.count}${queries.refused > 0 ? `, ${queries.refused} refused` : ''}${ago(queries.last)}`,
          `  updates        ${updates.accepted} accepted, ${updates.refused} refused${ago(updates.last)}`,
          ...members.map(({ member, state, reason }) => `  member         ${member} ${state}: ${reason}`),
          ...(members.length > 0 ? [`  sessions       ${sessions}`] : []),
          paint('dim', `  counted for ${formatAge(now - since)}`),
        ]
      : []),
    ...findingLines(findings, paint),
  ];
}

function findingLines(findings: readonly Finding[], paint: Paint): string[] {
  return findings.flatMap(({ id, severity, text, run, where }) => [
    '',
    `${paint(colours[severity], `${severity}: ${id}`)}`,
    `  ${text}`,
    ...(run.length === 0 ? [] : [`  on the ${where}:`, ...run.map((each) => `    ${each}`)]),
  ]);
}
