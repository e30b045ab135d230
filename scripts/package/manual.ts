/** v6edge(1) from what the command line says of itself, v6edge.yaml(5) from the schema of the configuration. */
import { execFileSync } from 'node:child_process';
import { settings } from '../../src/edge/config/reference.ts';

/** Where the package puts the documentation. */
const docs = '/usr/share/doc/v6edge/docs';

/** What is known of the moment and the build. */
export interface Edition {
  readonly version: string;
  /** YYYY-MM-DD */
  readonly date: string;
}

/** v6edge(1). `program` runs v6edge, as in `['node', 'main.js']`. */
export function commandPage(program: readonly string[], edition: Edition): string {
  const help = helpOf(program, []);
  const commands = leaves(program, help);
  return [
    title('V6EDGE', 1, edition),
    section('NAME', 'v6edge \\- TCP proxy, DNS server and router advertisements for an IPv6\\-only cluster'),
    section('SYNOPSIS', '.B v6edge\n.I COMMAND\n[options]'),
    section(
      'DESCRIPTION',
      `${roff(help.about)}\n.PP\nOne daemon,\n.BR "v6edge run" ,\nand commands that ask it over its admin API.`,
    ),
    section('COMMANDS', commands.map(commandEntry).join('\n')),
    section('EXIT STATUS', roff(help.last.replace(/^Exit codes: /, ''))),
    section(
      'SIGNALS',
      [
        ['SIGTERM', 'Ends the daemon in order, with final router advertisements.'],
        ['SIGUSR2', 'Ends it in order without them: another daemon follows at once. systemd sends it on a restart.'],
        ['SIGHUP', 'Reads the configuration again.'],
      ]
        .map(([name, what]) => item(name!, what!))
        .join('\n'),
    ),
    section(
      'FILES',
      [
        ['/etc/v6edge/v6edge.yaml', 'Configuration.'],
        ['/etc/v6edge/keys/', 'TSIG keys, as nsupdate -k reads them.'],
        ['/var/lib/v6edge/', 'Zone store and what hosts were told by router advertisements.'],
        ['/run/v6edge/admin.sock', 'Admin API for root and group v6edge.'],
        [docs, 'Guides: installation, operation, migration, troubleshooting by symptom, metrics, and others.'],
        [
          '/usr/share/doc/v6edge/examples/',
          'A whole configuration; alert rules and a dashboard for Prometheus and Grafana.',
        ],
      ]
        .map(([name, what]) => item(name!, what!))
        .join('\n'),
    ),
    section('SEE ALSO', '.BR v6edge.yaml (5)'),
  ].join('');
}

/** v6edge.yaml(5). */
export function configurationPage(edition: Edition): string {
  const entries = settings().map(({ path, kind, allowed, fallback, required, description }) => {
    const value = allowed === undefined ? kind : `${kind}: ${allowed}`;
    const otherwise = required ? 'Needed.' : fallback === undefined ? '' : `Default: ${fallback}.`;
    // Pages are linked to in the reference.
    const words = description.replaceAll(/\[[^\]]+\]\(([\w.-]+\.md)\)/g, `${docs}/$1`);
    const sentences = [`(${value})`, words && `${words}.`, otherwise];
    return item(path.replaceAll('*', 'NAME'), sentences.filter(Boolean).join(' '));
  });
  return [
    title('V6EDGE.YAML', 5, edition),
    section('NAME', 'v6edge.yaml \\- configuration of v6edge'),
    section(
      'DESCRIPTION',
      roff(`One YAML file, /etc/v6edge/v6edge.yaml unless v6edge is told otherwise. \`v6edge check\` says everything that is
wrong with it, with line, column and key. Unknown keys are errors. Durations are 500ms, 2s, 5m, 1h, 1d and sums of these; sizes
64k, 16m, 1g; endpoints 1.2.3.4:53, [fd00::1]:53, [fe80::1%eth1]:53, unix:/path; prefixes fd00::/64. Relative paths begin at
the file's folder. [] after a key stands for the entries of a list, NAME for a name of yours.`),
    ),
    section('SETTINGS', entries.join('\n')),
    section('EXAMPLE', roff('/usr/share/doc/v6edge/examples/reference.yaml has every setting in its place.')),
    section('SEE ALSO', '.BR v6edge (1)'),
  ].join('');
}

interface Help {
  readonly usage: string;
  readonly about: string;
  /** First words of a line of the list and the rest. */
  readonly commands: readonly (readonly [string, string])[];
  readonly options: readonly (readonly [string, string])[];
  readonly last: string;
}

/** The commands that do something, those of commands included. */
function leaves(program: readonly string[], help: Help): Help[] {
  return help.commands.flatMap(([usage, about]) => {
    const words = usage.split(' ').slice(1);
    // Of yargs' own, which says nothing of itself.
    if (words[0] === 'completion') return [{ usage, about, commands: [], options: [], last: '' }];
    const child = helpOf(
      program,
      words.filter((word) => /^\w+$/.test(word)),
    );
    if (child.commands.length === 0) return [child];
    // One with options does something without a further word, too.
    return [...(child.options.length > 0 ? [child] : []), ...leaves(program, child)];
  });
}

function helpOf(program: readonly string[], words: readonly string[]): Help {
  const text = execFileSync(program[0]!, [...program.slice(1), ...words, '--help'], { encoding: 'utf8' });
  const blocks = text.trim().split('\n\n');
  const list = (name: string) => entries(blocks.find((block) => block.startsWith(`${name}:\n`)) ?? '');
  return {
    usage: blocks[0]!,
    about: blocks[1] ?? '',
    commands: list('Commands'),
    options: list('Options').filter(([name]) => !name.includes('--help')),
    last: blocks.at(-1)!.replaceAll('\n', ' '),
  };
}

/** A list of yargs: an entry begins with a dash or the program's name; what else there is goes on with the last. */
function entries(block: string): (readonly [string, string])[] {
  const joined: string[] = [];
  for (const line of block.split('\n').slice(1)) {
    const text = line.trim();
    if (/^(-|v6edge )/.test(text)) joined.push(text);
    else joined.push(`${joined.pop() ?? ''} ${text}`);
  }
  return joined.map((entry) => {
    const [, name, rest] = /^(.*?)(?: {2,}(.*))?$/.exec(entry)!;
    return [name!, (rest ?? '').replace(/\s+/g, ' ')] as const;
  });
}

function commandEntry({ usage, about, options }: Help): string {
  const rows = options.map(([name, what]) => item(name, what));
  return [`.SS "${roff(usage)}"`, roff(about), ...rows].join('\n');
}

function title(name: string, part: number, { version, date }: Edition): string {
  return `.\\" Made by npm run package; change the command line or the schema instead.\n.TH ${name} ${part} ${date} "v6edge ${version}"\n`;
}

function section(name: string, text: string): string {
  return `.SH "${name}"\n${text}\n`;
}

function item(name: string, text: string): string {
  return `.TP\n.B "${roff(name)}"\n${roff(text)}`;
}

/** Text as groff takes it: nothing in it is a request, dashes stay dashes, quotes do not end an argument. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replace(/[^\p{ASCII}]/gu, (char) => `\\[u${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)
    .replace(/^([.'])/gm, '\\&$1');
}
